"""Error paragraphs that users meet name what is wrong, and stay as they are.

``tests/golden/errors.txt`` holds command lines behind ``$``, each followed by what it says. To add one, or after a text
was meant to change: write the command line there, run ``python tests/project/test_error_texts.py``, and read the diff.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/errors.txt"
BUNDLE = ROOT / "tests/golden/bundles/0.1.0/trees/bundle"

FILES = {
    "pumps.csv": "unit,time,load,wear\n" + "".join(f"{u},{t},{t * 0.5},{t + u}\n" for u in range(3) for t in range(9)),
    "words.csv": "unit,time,load,wear\n" + "".join(f"1,{t},high,low\n" for t in range(9)),
    "head.csv": "unit,time,load,wear\n",
    "empty.csv": "",
    "notes.txt": "not a table",
    "pumps.yaml": "name: pumps\ndata: {source: table, path: pumps.csv, targets: wear, unit: unit, time: time}\n",
    "unknown.yaml": "model: {unitz: 3}\n",
    "wrong.yaml": "model: {units: many}\n",
    "broken.yaml": "model: {units: [3\n",
    "list.yaml": "- 1\n- 2\n",
}

NAME_NOTHING = (  # the whole is wrong, or the argument is the sentence's own subject
    "The stamps of this table follow no rule",
    "Line 1 must be a header",
    "A meta learner needs examples of at least two classes",
    "No background window has a single real step",
    "The events drawn again are not those of this caster data set",
    "TFLite int8 needs real training windows",
    "lengths was given",
    "examples is empty",
    "A ModelManager takes exactly one of",
    "The training was stopped before its end",
)


@contextlib.contextmanager
def place(folder: Path) -> Iterator[None]:
    """Be in a folder with small files, a folder that is no bundle, a damaged bundle, and no data sets."""
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "nothing").mkdir()
    shutil.copytree(BUNDLE, folder / "damaged")
    with (folder / "damaged/config.yaml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    before, environment = Path.cwd(), dict(os.environ)
    os.chdir(folder)
    os.environ |= {"KERAS_SEQ_DATA": str(folder / "home"), "COLUMNS": "120"}
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(environment)


def answer(line: str, folder: Path) -> str:
    """Exit code and standard error of a command line, run in this process; the folder's own name is left out."""
    from keras_seq import cli
    from keras_seq.cli.registry import COMMANDS

    name, *words = shlex.split(line)
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        code = cli.run(import_module(COMMANDS[name].module).main, words)
    return f"{code}\n{err.getvalue().strip()}".replace(str(folder), "HERE")


def entries() -> dict[str, str]:
    """What the file says by command line."""
    parts = re.split(r"^\$ ", GOLDEN.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in parts}


@pytest.fixture
def here(tmp_path):
    with place(tmp_path):
        yield tmp_path


def test_every_mistake_is_answered_as_before(here):
    changed = {line: said for line, expected in entries().items() if (said := answer(line, here)) != expected}
    assert changed == {}


def test_every_command_has_mistakes_and_every_answer_is_a_paragraph():
    from keras_seq.cli.registry import COMMANDS

    assert {line.split()[0] for line in entries()} == set(COMMANDS)
    for line, text in entries().items():
        code, _, said = text.partition("\n")
        assert code == "2" and said.startswith("error: ") and "Traceback" not in said, line


def raised() -> Iterator[tuple[str, ast.expr | None]]:
    """File and message of every error for users that our code raises."""
    from keras_seq import errors

    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)} | {"WorkerLost"}
    for path in (path for package in ("keras_seq", "tuning", "serving") for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            error = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(error, ast.Call) and isinstance(error.func, ast.Name) and error.func.id in kinds:
                yield str(path.relative_to(ROOT)), error.args[0] if error.args else None


def names_something(message: ast.expr | None) -> bool:
    """Whether a message has a value in it, or names an option, a field, a file or an argument."""
    if isinstance(message, ast.Constant):
        return bool(re.search(r"'|`|--|\b[a-z_]+\.[a-z_]+", str(message.value)))
    return message is not None


def test_every_error_names_the_argument_or_the_value():
    messages = list(raised())
    silent = [(path, ast.unparse(message)) for path, message in messages if message and not names_something(message)]
    assert len(messages) > 700 and not [path for path, message in messages if message is None]
    assert [(path, text) for path, text in silent if not text[1:].startswith(NAME_NOTHING)] == []


def test_a_message_that_names_nothing_is_seen():
    assert not names_something(ast.parse("'The value is wrong.'", mode="eval").body)
    assert names_something(ast.parse("f'{name} is wrong.'", mode="eval").body)


def write() -> None:
    """Write the file anew, the same command lines in the same order."""
    head = GOLDEN.read_text(encoding="utf-8").partition("\n$ ")[0] + "\n"
    with tempfile.TemporaryDirectory() as name, place(Path(name)):
        texts = {line: answer(line, Path(name)) for line in entries()}
    GOLDEN.write_text(head + "\n".join(f"$ {line}\n{text}\n" for line, text in texts.items()), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    write()
