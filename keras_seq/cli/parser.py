"""Argument parsers of all commands, and the configuration tree as options."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from keras_seq.cli import output
from keras_seq.errors import ConfigError

if TYPE_CHECKING:
    from keras_seq import config


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are ``ConfigError``; every one knows ``--json``.

    Args:
        keys: fields of the config tree that may stand behind ``--``, for completion: names, or what they begin with
            (``"data."``; ``""``: all of them).
        values: of options that check their words themselves, for completion: words, or ``module:NAME`` that holds them.
        options: of ``argparse.ArgumentParser``.
    """

    def __init__(
        self, *, keys: Iterable[str] = (), values: Mapping[str, str | Iterable[str]] | None = None, **options: Any
    ) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.keys, self.values = tuple(keys), dict(values or {})
        if self.add_help:  # others are parts of a parser
            self.add_argument(output.FLAG, action=_Json, help="print one JSON document, nothing else")

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving."""
        raise ConfigError(f"{message[0].upper()}{message[1:]}. See '{self.prog} --help'.")

    def _print_message(self, message: str, file: Any = None) -> None:
        if output.wanted():
            output.write({"text": message}, seconds=0.0)
        else:
            super()._print_message(message, file)


class _Json(argparse.Action):
    """``command`` takes the word away before a parser sees it; this one is for the help."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, *unused: Any) -> None:
        """Nothing is left to do."""


def experiment_parser(program: str, description: str, **options: Any) -> Parser:
    """A parser with ``--config FILE`` whose help lists every field of the config tree."""
    from keras_seq.cli.fields import describe_fields

    parser = Parser(
        prog=f"python -m {program}",
        usage=f"python -m {program} [--config FILE] [--section.field VALUE ...]",
        description=description,
        epilog=describe_fields(),
        keys=("",),
        **options,
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file of an experiment (see configs/)")
    return parser


def parse_experiment(parser: Parser, argv: Sequence[str] | None) -> tuple[argparse.Namespace, config.Experiment]:
    """Read ``--config`` and dotted overrides; without a file or a source, the main job is meant.

    Raises:
        ConfigError: unknown option or value; names the nearest known key.
    """
    from keras_seq import config
    from keras_seq.config.main_job import MAIN_JOB

    known, rest = parser.parse_known_args(argv)
    overrides = read_overrides(rest)
    if known.config:
        return known, config.load(known.config, overrides)
    start = {} if "data.source" in overrides else MAIN_JOB
    return known, config.from_dict(config.override(start, overrides))


def read_overrides(words: Sequence[str]) -> dict[str, Any]:
    """``["--model.units", "128", "--training.jit=false"]`` -> ``{"model.units": "128", ...}``."""
    if not words:
        return {}
    from keras_seq import config

    switches = {name for name, info in config.fields().items() if info.annotation is bool}
    overrides: dict[str, Any] = {}
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not word.startswith("--"):
            raise ConfigError(f"Unexpected argument '{word}'; options are written --section.field VALUE.")
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if equals:
            overrides[name] = value
        elif position < len(words) and not words[position].startswith("--"):
            overrides[name] = words[position]
            position += 1
        elif name in switches or f"data.{name}" in switches:  # commands on data leave the section's name out
            overrides[name] = True
        elif name in config.fields():
            raise ConfigError(f"Option '--{name}' needs a value.")
        else:
            overrides[name] = None  # validation names the nearest known key
    return overrides


def refuse_other_sections(overrides: Mapping[str, Any], *sections: str, when: str = "") -> None:
    """Refuse options of sections that a trained model no longer takes.

    Args:
        overrides: dotted options.
        sections: that it takes: ``data``, ``evaluation``, ``tracking``.
        when: what else must be given for them.

    Raises:
        ConfigError: names the first option of another section, and the sections that are taken.
    """
    prefixes = tuple(f"{section}." for section in sections)
    foreign = [name for name in overrides if not name.startswith(prefixes)]
    if foreign:
        *others, last = (f"--{prefix}*" for prefix in prefixes)
        taken = f"{', '.join(others)} and {last}" if others else last
        raise ConfigError(f"Option '--{foreign[0]}' cannot change a trained model; {taken} can{when}.")
