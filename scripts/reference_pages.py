"""Writes docs/reference/: packages from their docstrings, commands from their parsers, settings from their fields.

Usage: scripts/reference [--output FOLDER]

The pages are not in git: they are as the code of the checkout is when the command is given.
"""

from __future__ import annotations

import argparse
import os
import sys
import types
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import reference_code

ROOT = reference_code.ROOT
FOLDER = ROOT / "docs/reference"
WIDTH = "110"  # of the help texts; argparse reads COLUMNS
FIELDS = "fields (--section.field VALUE):"
NOTE = "\nWritten by `scripts/reference`.\n"
ALLOWED = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
SETTINGS = {  # sections beside the experiment's: title, module, class, what stands before a field
    "Study": ("tuning.settings", "TuningConfig", "tuning."),
    "Monitor": ("serving.monitor.settings", "MonitorSettings", ""),
}


def every_page() -> dict[str, str]:
    """Text of every page by its file name."""
    code = reference_code.pages(reference_code.load())
    return {
        **{f"{name}.md": text + NOTE for name, text in code.items()},
        "commands.md": commands_page(),
        "configuration.md": configuration_page(),
        "README.md": _index(code),
    }


def _index(code: dict[str, str]) -> str:
    lines = ["# Reference", "", "Every public function, command and setting, from the code itself.", ""]
    lines += ["- [Commands](commands.md): the help of every command"]
    lines += ["- [Configuration](configuration.md): every field with type, default and meaning", "", "## Packages", ""]
    lines += [f"- [{name}]({name}.md): {_first_line(text)}" for name, text in code.items()]
    return "\n".join(lines) + "\n" + NOTE


def _first_line(text: str) -> str:
    line = text.split("\n")[2].strip()
    return line if line and not line.startswith(("#", "Names")) else "modules of this package"


def commands_page(only: tuple[str, ...] = ()) -> str:
    """Help of every command and of each of its actions.

    Args:
        only: names of commands; all if empty.
    """
    from keras_seq.cli.registry import GROUPS

    parts = ["# Commands", "", "What `--help` says. Options of the form `--section.field` are the fields of"]
    parts += ["[the configuration](configuration.md); each command says which of them it takes.", ""]
    for group, commands in GROUPS.items():
        chosen = [command for command in commands if not only or command.name in only]
        parts += [f"## {group[0].upper()}{group[1:]}", ""] if chosen else []
        for command in chosen:
            parts += [f"### python -m {command.name}", ""]
            for text in helps(command):
                parts += ["```", text, "```", ""]
    return "\n".join(parts) + NOTE.lstrip("\n")


def helps(command: Any) -> Iterator[str]:
    """Help of a command, then of its actions."""
    from keras_seq.commands import completion

    parser = completion.parser_of(command)
    yield _help(parser)
    below = {
        name: made
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, made in action.choices.items()
    }
    for name in (*below, *getattr(import_module(command.module).main, "actions", ())):
        made = below.get(name) or completion.parser_of(command, name)
        if name in below or made.prog != parser.prog:
            yield _help(made)


def _help(parser: argparse.ArgumentParser) -> str:
    if parser.epilog and FIELDS in parser.epilog:
        head, _, _ = parser.epilog.partition(FIELDS)
        parser.epilog = head + "fields (--section.field VALUE): docs/reference/configuration.md"
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        return "\n".join(line.rstrip() for line in parser.format_help().strip().splitlines())
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)


def configuration_page() -> str:
    """Every field of every section."""
    from keras_seq import config

    parts = [
        "# Configuration fields",
        "",
        "How the tree is used: [configuration](../configuration.md). Each field is also",
    ]
    parts += ["an option, `--section.field VALUE`. 'none' means: left open.", ""]
    parts += _sections(config.fields(), "Top level", config.Experiment)
    for title, (module, name, prefix) in SETTINGS.items():
        kind = getattr(import_module(module), name)
        parts += _sections(config.fields(kind, prefix), title, kind)
    return "\n".join(parts) + NOTE.lstrip("\n")


def _sections(fields: dict[str, Any], title: str, kind: Any) -> list[str]:
    grouped: dict[str, dict[str, Any]] = {}
    for name, info in fields.items():
        grouped.setdefault(name.rpartition(".")[0], {})[name] = info
    lines: list[str] = []
    for head, held in grouped.items():
        shown = title if not head or title != "Top level" else f"`{head}`"
        about = _about(kind, head if title == "Top level" else "")
        lines += [f"## {shown}", "", about, ""] if about else [f"## {shown}", ""]
        lines += ["| Field | Type | Default | Allowed | Meaning |", "|---|---|---|---|---|"]
        lines += [_row(name, info) for name, info in held.items()]
        lines.append("")
    return lines


def _row(name: str, info: Any) -> str:
    meaning = (info.description or "").replace("<", "&lt;")
    cells = (f"`{name}`", type_name(info.annotation), _default(info), allowed(info), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ").strip() for cell in cells) + " |"


def _about(kind: Any, head: str) -> str:
    for part in filter(None, head.split(".")):
        kind = kind.model_fields[part].annotation
    return " ".join((kind.__doc__ or "").split())


def type_name(annotation: Any) -> str:
    """A field's type for people."""
    origin, given = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "choice"
    if origin is typing.Annotated:
        return type_name(given[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_name(part) for part in given if part is not type(None)))
    if origin in (tuple, list):
        return f"list of {type_name(given[0])}"
    if origin is dict or str(origin) == "<class 'collections.abc.Mapping'>":
        return f"mapping to {type_name(given[1])}"
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    return names.get(getattr(annotation, "__name__", ""), getattr(annotation, "__name__", str(annotation)))


def allowed(info: Any) -> str:
    """Choices, or bounds, of a field."""
    found = [*_choices(info.annotation), *_bounds(info.metadata), *_inner_bounds(info.annotation)]
    pattern = next((one.pattern for one in info.metadata if getattr(one, "pattern", None)), None)
    return ", ".join(dict.fromkeys(found)) + (f" matches `{pattern}`" if pattern else "")


def _choices(annotation: Any) -> Iterator[str]:
    origin, given = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        yield from (f"`{one}`" for one in given)
    elif origin is not None:
        for part in given:
            yield from _choices(part)


def _bounds(metadata: Any) -> Iterator[str]:
    for one in metadata:
        for name, words in ALLOWED.items():
            bound = getattr(one, name, None)
            if bound is not None:
                yield words.format(f"{bound:g}" if isinstance(bound, float) else bound)
        yield from _bounds(getattr(one, "metadata", ()))  # Field(...) inside Annotated


def _inner_bounds(annotation: Any) -> Iterator[str]:
    yield from _bounds(getattr(annotation, "__metadata__", ()))
    if typing.get_origin(annotation) is not typing.Literal:
        for part in typing.get_args(annotation):
            yield from _inner_bounds(part)


def _default(info: Any) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return "none" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def write(folder: Path, pages: dict[str, str]) -> None:
    """Write ``pages``; other pages of the folder, of modules that are gone, are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="scripts/reference", description="Write the reference pages.")
    parser.add_argument("--output", metavar="FOLDER", type=Path, default=FOLDER, help="folder (docs/reference)")
    options = parser.parse_args(argv)
    pages = every_page()
    write(options.output, pages)
    print(f"{options.output}: {len(pages)} pages, begin with README.md")


if __name__ == "__main__":
    main()
