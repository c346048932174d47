"""Completion with TAB: ``python -m keras_seq.completion bash``."""

from __future__ import annotations

import argparse
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from keras_seq import cli, config
from keras_seq.cli import shells
from keras_seq.cli.registry import COMMANDS, Command
from keras_seq.errors import ConfigError, nearest

DESCRIPTION = """Print a script that completes every command: options, fields of the configuration, values, files.

  source <(python -m keras_seq completion bash)                                this shell; for good: into ~/.bashrc
  source <(python -m keras_seq completion zsh)                                 after compinit; for good: into ~/.zshrc
  python -m keras_seq completion fish > ~/.config/fish/completions/keras-seq.fish

The script holds all words itself, so that TAB starts no Python; make it anew after an update.
"""
FILE, OPEN = "@file", "@open"  # a value that is a file or folder; a value that nobody can list
PLACES = frozenset((
    "base", "bundle", "bundles", "ca", "config", "contenders", "file", "folder", "home", "map", "members", "metadata",
    "models", "monitor", "out", "output", "path", "policy", "request_log", "rollout", "run", "saved_models",
    "schema_file", "settings", "studies", "study", "warm_start", "weights", "work",
))  # fmt: skip
NOT_PLACES = frozenset((("serving.rollout set", "--weights"),))  # shares by version


@dataclass
class Words:
    """What may stand behind one command, or behind one action of it.

    Attributes:
        options: ``--name``, and which values it takes: words, ``FILE``, ``OPEN``; nothing for a switch.
        keys: fields of the config tree that it takes, ``--section.field``.
        first: values of its arguments without a name: words, ``FILE`` or nothing.
        actions: words of which one comes first.
        values: of options and keys, instead of those above.
    """

    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)


def parser_of(command: Command, action: str = "") -> cli.Parser:
    """The parser of a command, or of one of its actions."""
    make_parser = import_module(command.module).make_parser
    return make_parser(action) if action and inspect.signature(make_parser).parameters else make_parser()


def collect() -> dict[str, Words]:
    """Words by path: ``keras_seq.train``, ``tuning best``."""
    words_by_path: dict[str, Words] = {}
    for command in COMMANDS.values():
        parser = parser_of(command)
        words_by_path[command.name] = words = _words(parser, command.name)
        subparsers = {
            name: subparser
            for action in parser._actions
            if isinstance(action, argparse._SubParsersAction)
            for name, subparser in action.choices.items()
        }
        actions = getattr(import_module(command.module).main, "actions", ())
        words.actions = tuple(dict.fromkeys((*subparsers, *actions)))
        for name in words.actions:
            below = subparsers.get(name) or parser_of(command, name)
            words_by_path[f"{command.name} {name}"] = _words(below, f"{command.name} {name}")
    return words_by_path


def field_values() -> dict[str, tuple[str, ...]]:
    """Values of every field of the config tree that has names for them, is a switch, or a place."""
    from keras_seq.data.sources import known_sources
    from keras_seq.models.registry import names

    values = {name: _values_of(name, info.annotation) for name, info in config.fields().items()}
    return values | {"data.source": tuple(known_sources()), "model.family": tuple(names())}


def _words(parser: cli.Parser, path: str) -> Words:
    words = Words(keys=_keys(parser.keys))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        values = () if action.nargs == 0 else _argument_values(action)
        if not action.option_strings:
            words.first = words.first or values
        for name in action.option_strings:
            if name.startswith("--"):
                words.options[name] = (OPEN,) if (path, name) in NOT_PLACES else values
    words.values = {name: _listed(of) for name, of in parser.values.items()}
    return words


def _listed(values: str | Iterable[str]) -> tuple[str, ...]:
    """Words, or those that lie under a name of a module."""
    if isinstance(values, str):
        module, _, name = values.partition(":")
        values = getattr(import_module(module), name)
    return tuple(map(str, values))


def _argument_values(action: argparse.Action) -> tuple[str, ...]:
    if action.choices is not None:
        return tuple(map(str, action.choices))
    hint = f"{action.metavar or ''}".upper()
    place = any(word in hint for word in ("FILE", "FOLDER", "BASE", "RUN")) or action.type is Path
    known = action.dest in PLACES or action.dest.endswith(("_file", "_path", "_base_path"))
    kind = action.type in (None, str) and known
    return (FILE,) if place or kind else (OPEN,)


def _keys(wanted: Iterable[str]) -> tuple[str, ...]:
    """Full names of the fields that ``Parser(keys=...)`` means."""
    names, keys = list(config.fields()), dict[str, None]()
    for key in wanted:
        group = [name for name in names if name.startswith(key)] if not key or key.endswith(".") else [key]
        keys |= dict.fromkeys(group)
    return tuple(keys)


def _values_of(name: str, annotation: Any) -> tuple[str, ...]:
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return tuple(map(str, typing.get_args(annotation)))
    if origin in (typing.Union, types.UnionType):
        inner = [part for part in typing.get_args(annotation) if part is not type(None)]
        return _values_of(name, inner[0]) if len(inner) == 1 else (OPEN,)
    if annotation is bool:
        return ("true", "false")
    return (FILE,) if annotation is str and name.rpartition(".")[2] in PLACES else (OPEN,)


def tables() -> shells.Tables:
    """All words, as the scripts need them."""
    words_by_path, values = collect(), field_values()
    completions: dict[str, tuple[str, ...]] = {f"--{name}": of for name, of in values.items()}
    for path, words in words_by_path.items():
        completions |= {f"{path} {name}": of for name, of in words.options.items() if of}
        bare = [key for key in words.keys if key not in values]  # of the data commands: fields without 'data.'
        completions |= {f"{path} --{key}": values.get(f"data.{key}", (OPEN,)) for key in bare}
        completions |= {f"{path} {name}": of for name, of in words.values.items()}
    return shells.Tables(
        short={command.short: name for name, command in COMMANDS.items()},
        options={path: tuple(words.options) for path, words in words_by_path.items()},
        keys={path: tuple(f"--{key}" for key in words.keys) for path, words in words_by_path.items()},
        first={path: words.first for path, words in words_by_path.items()},
        actions={path: words.actions for path, words in words_by_path.items() if words.actions},
        values=completions,
    )


WRITERS: Mapping[str, Any] = {"bash": shells.bash, "zsh": shells.zsh, "fish": shells.fish}


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m keras_seq.completion", description=DESCRIPTION)
    parser.add_argument("shell", help="bash, zsh or fish", metavar="bash|zsh|fish")
    return parser


@cli.command("keras_seq.completion")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    shell = make_parser().parse_args(argv).shell
    if shell not in WRITERS:
        raise ConfigError(f"There is no completion for '{shell}'{nearest(shell, WRITERS)}")
    script = WRITERS[shell](tables())
    return cli.Result({"shell": shell, "script": script}, script)


if __name__ == "__main__":
    sys.exit(cli.run(main))
