"""Choices as a commented YAML file that ``keras_seq.train --config`` takes; proved before it is written."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_seq import config, files
from keras_seq.autoconfig.facts import Choice, ConfigurationFacts
from keras_seq.config import yaml_text
from keras_seq.errors import ConfigError

WIDTH = 110


def tree(choices: list[Choice]) -> dict[str, Any]:
    """The values as the nested mapping that the file holds."""
    return _nested({choice.key: choice.value for choice in choices})


def to_yaml(choices: list[Choice], head: list[str]) -> str:
    """YAML with every reason and alternative as a comment above its value."""
    lines = [line for text in head for line in _comment(text, 0)]
    _section(_nested({choice.key: choice for choice in choices}), 0, lines)
    return "\n".join(lines) + "\n"


def schema_yaml(facts: ConfigurationFacts) -> str:
    """The schema file that marks the condition columns."""
    marked = facts.conditions.columns if facts.conditions else ()
    lines = ["# Which inputs tell the operating condition; unit, minimum and maximum may be added (docs/data.md)."]
    lines.append("columns:")
    for name in facts.question.features:
        kind = ", kind: condition" if name in marked else ", kind: category" if name in facts.question.words else ""
        lines.append(f"  - {{name: {scalar(name)}{kind}}}")
    return "\n".join(lines) + "\n"


def write(out: Path, text: str) -> None:
    """Write the configuration atomically, once ``config.load`` has read it.

    Raises:
        ConfigError: it is no valid experiment (nothing is written). OutputError: it cannot be written.
    """
    with files.new_file(out) as partial:
        partial.write_text(text, encoding="utf-8")
        config.load(partial)


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Refuse to overwrite a configuration unasked.

    Raises:
        ConfigError: ``out`` exists, or is a folder.
    """
    if out.is_dir():
        raise ConfigError(f"Option '--out': '{out}' is a folder; give a file such as {out / 'config.yaml'}.")
    if out.exists() and not overwrite:
        raise ConfigError(f"'{out}' exists already; give --overwrite, or another file with --out.")


def scalar(value: object) -> str:
    """A value as YAML on one line."""
    if isinstance(value, str):
        return yaml_text.quote(value)
    if isinstance(value, list):
        return f"[{', '.join(scalar(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {scalar(item)}" for key, item in value.items()) + "}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key as sections within sections."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        *parents, leaf = key.split(".")
        branch = result
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = value
    return result


def _section(branch: dict[str, Any], depth: int, lines: list[str]) -> None:
    space = "  " * depth
    for key, item in branch.items():
        if isinstance(item, dict):
            lines.append(f"{space}{key}:")
            _section(item, depth + 1, lines)
            continue
        if item.why:
            lines += _comment(item.why, depth)
        if item.instead:
            lines += _comment(f"instead: {item.instead}", depth)
        lines += [f"{space}#   {_printable(line)}".rstrip() for line in item.table]
        text = scalar(item.value)
        if isinstance(item.value, list) and len(text) > WIDTH - len(space) - len(key):
            lines.append(f"{space}{key}:")
            lines += [f"{space}  - {scalar(entry)}" for entry in item.value]
        else:
            lines.append(f"{space}{key}: {text}")


def _comment(text: str, depth: int) -> list[str]:
    space = "  " * depth
    wrapped = textwrap.wrap(_printable(text), WIDTH - len(space) - 2, break_long_words=False, break_on_hyphens=False)
    return [f"{space}# {line}" for line in wrapped]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
