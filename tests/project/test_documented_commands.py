"""Every command line of README and docs is one that its command understands."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from keras_seq import cli, config
from keras_seq.cli.registry import GROUPS
from serving.settings import parse
from tests.factories.offenders import check_each

ROOT = Path(__file__).parents[2]
MODULES = {one.name: one.module for group in GROUPS.values() for one in group}
CALL = re.compile(r"python -m ((?:keras_seq|tuning|serving)[a-z_.]*)(.*)")


def shell_lines(text: str) -> list[str]:
    """Lines of the shell blocks of a page."""
    lines, language = [], None
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.startswith("```"):
            language = line[3:].strip() if language is None else None
        elif language in ("", "sh", "bash"):
            lines.append(line)
    return lines


def calls() -> list[tuple[str, str, str]]:
    """Page, command and its words; variables of loops stand for a number."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for line in shell_lines(page.read_text(encoding="utf-8")):
            if match := CALL.search(line):
                found.append((page.name, match[1], match[2]))
    return found


class Seen(Exception):
    """The parser that would have read these words."""

    def __init__(self, parser: cli.Parser, words: list[str]) -> None:
        self.parser, self.words = parser, words


def test_commands_understand_what_is_documented(monkeypatch):
    assert len(calls()) > 150
    check_each(lambda page, name, rest: understands(page, name, rest, monkeypatch), calls())


def understands(page: str, name: str, rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse the words of a documented line as its command would."""
    words = []
    for word in shlex.split(re.sub(r"\$\{?\w+\}?", "1", rest), comments=True):
        ends = word.endswith((";", ")"))
        if word in ("&&", "|", "&") or ">" in word[:2]:
            break
        words.append(word.rstrip(";)"))
        if ends:
            break
    if name not in MODULES:
        assert name == "keras_seq"  # the map of commands
        return

    if name == "serving":  # TensorFlow Serving's flags have a reader of their own
        assert "--help" in words or parse([word for word in words if word != "--json"])
        return

    def stop(parser, given=None, namespace=None):
        raise Seen(parser, list(given or []))

    with monkeypatch.context() as patch:
        patch.setattr(cli.Parser, "parse_known_args", stop)
        with pytest.raises(Seen) as seen:
            importlib.import_module(MODULES[name]).main(words)
    if "--help" in words:
        return
    _, others = seen.value.parser.parse_known_args(seen.value.words)
    if name == "keras_seq.data":  # reads names after the command, and the fields of data by their short names
        others = [re.sub(r"^--(?!data\.)", "--data.", word) for word in others]
        others = others[next((k for k, word in enumerate(others) if word.startswith("--")), len(others)) :]
    for key in cli.read_overrides(others):
        assert key in config.fields() or key.startswith("tuning."), f"{page}: --{key}"
