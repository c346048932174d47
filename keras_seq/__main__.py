"""``python -m keras_seq``: what there is; ``python -m keras_seq train ...`` runs a command of it."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from typing import Any

from keras_seq import __version__, cli
from keras_seq.cli.registry import COMMANDS, GROUPS, find
from keras_seq.errors import ConfigError, nearest

DESCRIPTION = """Lists the commands, or runs one: python -m keras_seq train is python -m keras_seq.train.

  python -m keras_seq                      every command
  python -m keras_seq --all                also data sources and model families
  python -m keras_seq train --help         what a command takes
  python -m keras_seq completion bash      completion with TAB
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m keras_seq", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--all", action="store_true", help="also the data sources and the model families")
    return parser


@cli.command("keras_seq")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    if argv and not argv[0].startswith("-") and find(argv[0]) is None:
        known = [short for command in COMMANDS.values() for short in {command.short, command.name}]
        raise ConfigError(f"There is no command '{argv[0]}'{nearest(argv[0], known)}")
    options = make_parser().parse_args(argv)
    commands = [
        {"name": command.name, "group": group, "what": command.what}
        for group, held in GROUPS.items()
        for command in held
    ]
    fields: dict[str, Any] = {"version": __version__, "commands": commands}
    text = _listing()
    if options.all:
        fields |= _more()
        text += "\n\nsources (--data.source):\n"
        text += "\n".join(f"  {one['name']:<12} {one['what']}" for one in fields["sources"])
        text += f"\n\nmodel families (--model.family):\n  {', '.join(fields['families'])}"
    return cli.Result(fields, text)


def start(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names, as ``python -m`` would, or list them."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = find(words[0]) if words else None
    if command is None:
        return cli.run(main, words)
    sys.argv = [command.name, *words[1:]]
    runpy.run_module(command.name, run_name="__main__", alter_sys=True)
    return 0


def _listing() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [f"keras_seq {__version__}: python -m COMMAND ... (each has --help and --json)"]
    for group, held in GROUPS.items():
        lines += ["", group, *(f"  {command.name:<{width}}  {command.what}" for command in held)]
    return "\n".join(lines)


def _more() -> dict[str, Any]:
    from keras_seq.data.sources import known_sources
    from keras_seq.models.registry import names

    sources = [{"name": name, "task": info.task, "what": info.what} for name, info in known_sources().items()]
    return {"sources": sources, "families": list(names())}


if __name__ == "__main__":
    sys.exit(start())
