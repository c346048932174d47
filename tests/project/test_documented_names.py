"""Files, modules and names of the code that README and docs speak of are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = re.compile(
    r"(?<![\w/.-])((?:(?:keras_seq|serving|tuning)/[\w/]+\.py)|(?:(?:tests|scripts|configs|examples)/[\w/.]*\w))\b"
)
DOTTED = re.compile(r"(?<![\w/.-])((?:keras_seq|serving|tuning)(?:\.[A-Za-z_]\w*)+)")
FILES = re.compile(r"[\w/.-]+\.(?:json|npz|yaml|md|txt|log|py|bash|zsh|fish)\b")
EXAMPLES = {"keras_seq/models/dense_gru.py", "keras_seq.NAME", "configs/cmapss_fd00"}
TAGS = re.compile(r"keras_seq\.(study|trial|formats|sources)$")  # of runs in the store, and of entry points


def pages() -> dict[str, str]:
    """Text of every page; of the glossary what stands above the old names."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths if path.name != "CHANGELOG.md"}
    texts["glossary.md"] = texts["glossary.md"].partition("## Old names")[0]
    return texts


def is_there(dotted: str) -> bool:
    """Whether a dotted name is a module, a command, or defined in a module."""
    parts = dotted.split(".")
    if parts[0] == "keras_seq" and (ROOT / "keras_seq/commands" / f"{parts[1]}.py").is_file():
        return True
    for count in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:count])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if file.is_file():
            rest = parts[count:]
            return not rest or bool(re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8")))
    return False


def imported(text: str) -> set[str]:
    """What the Python of a page imports of ours, as dotted names."""
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    return {f"{node.module}.{alias.name}" for node in nodes for alias in node.names if DOTTED.match(f"{node.module}.x")}


def missing(text: str) -> list[str]:
    """Names of a page that lead nowhere."""
    homes = (ROOT, ROOT / "tests")  # a page about tests leaves their folder out
    gone = [name for name in set(FILE.findall(text)) if not any((home / name).exists() for home in homes)]
    dotted = {name for name in DOTTED.findall(FILES.sub("", text)) if not TAGS.match(name)} | imported(text)
    return sorted({*gone, *(name for name in dotted if not is_there(name))} - EXAMPLES)


def test_everything_that_is_spoken_of_is_there():
    assert {page: names for page, text in pages().items() if (names := missing(text))} == {}


def test_tables_that_contributors_are_sent_to_are_there():
    names = set(re.findall(r"`([A-Z]+_?[A-Z]{3,})`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    sources = [path for package in ("keras_seq", "serving") for path in (ROOT / package).rglob("*.py")]
    tables = {name for path in sources for name in re.findall(r"^([A-Z_]+)\b.* = ", path.read_text(), re.MULTILINE)}
    assert len(names) > 6 and names - tables == set()


def test_a_planted_name_is_seen():
    text = "see `keras_seq/models/none.py`, `keras_seq.data.splits`, `keras_seq.nowhere` and `keras_seq.config.Nothing`"
    text += "\n```python\nfrom keras_seq import config, prepare, unheard\n```\n"
    names = ["keras_seq.config.Nothing", "keras_seq.nowhere", "keras_seq.unheard", "keras_seq/models/none.py"]
    assert missing(text) == names
