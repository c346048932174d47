"""What every command line shares: the config tree as options, errors as one paragraph, exit code 2."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import tempfile
import textwrap
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from keras_seq import config
from keras_seq.errors import ConfigError, KerasSeqError, OutputError
from keras_seq.main_job import MAIN_JOB

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

CHATTER = ("absl::InitializeLog", "port.cc", "cudart_stub.cc", "cpu_feature_guard.cc", "instructions in performance")


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are ``ConfigError``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving."""
        raise ConfigError(f"{message[0].upper()}{message[1:]}. See '{self.prog} --help'.")


def experiment_parser(program: str, description: str) -> Parser:
    """A parser with ``--config FILE`` whose help lists every field of the config tree."""
    parser = Parser(
        prog=f"python -m {program}",
        usage=f"python -m {program} [--config FILE] [--section.field VALUE ...]",
        description=description,
        epilog=describe_fields(),
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file of an experiment (see configs/)")
    return parser


def parse_experiment(parser: Parser, argv: Sequence[str] | None) -> tuple[argparse.Namespace, config.Experiment]:
    """Read ``--config`` and dotted overrides; without a file or a source, the main job is meant.

    Raises:
        ConfigError: unknown option or value; names the nearest known key.
    """
    known, rest = parser.parse_known_args(argv)
    overrides = read_overrides(rest)
    if known.config:
        return known, config.load(known.config, overrides)
    start = {} if "data.source" in overrides else MAIN_JOB
    return known, config.from_dict(config.override(start, overrides))


def read_overrides(words: Sequence[str]) -> dict[str, Any]:
    """``["--model.units", "128", "--training.jit=false"]`` -> ``{"model.units": "128", ...}``."""
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
        elif name in switches:
            overrides[name] = True
        elif name in config.fields():
            raise ConfigError(f"Option '--{name}' needs a value.")
        else:
            overrides[name] = None  # validation names the nearest known key
    return overrides


def describe_fields() -> str:
    """Every field with its default and meaning, grouped by section, for ``--help``."""
    lines = ["fields (--section.field VALUE):"]
    section = None
    for name, info in config.fields().items():
        head = name.rpartition(".")[0]
        if head != section:
            section = head
            lines.append(f"\n  {head or 'top level'}:")
        text = f"{_type_name(info.annotation)} = {_default(info)}"
        if info.description:
            text += f"  {info.description}"
        lines += textwrap.wrap(
            text, 112, initial_indent=f"    --{name} ", subsequent_indent=" " * 10, break_on_hyphens=False
        )
    return "\n".join(lines)


def run(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> int:
    """Run a command: user errors become one paragraph on stderr and exit code 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return main(argv) or 0
    except KerasSeqError as error:
        return _complain(error)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in FULL:
            raise
        where = f" '{error.filename}'" if error.filename else ""
        return _complain(OutputError(f"Writing{where} failed: {error.strerror}. Free space, or choose another folder."))


def load_tensorflow() -> None:
    """Import TensorFlow without the start-up chatter of its C++ parts; anything else it says is passed on."""
    if "tensorflow" in sys.modules:
        return
    with tempfile.TemporaryFile() as heard:
        stderr = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            heard.seek(0)
            for line in heard.read().decode(errors="replace").splitlines():
                if not any(word in line for word in CHATTER):
                    print(line, file=sys.stderr)


def _complain(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2


def _type_name(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return "|".join(map(str, typing.get_args(annotation)))
    if origin is typing.Annotated:
        return _type_name(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return "|".join(_type_name(part) for part in typing.get_args(annotation) if part is not type(None))
    if origin is tuple:
        return f"[{_type_name(typing.get_args(annotation)[0])}, ...]"
    return getattr(annotation, "__name__", str(annotation))


def _default(info: Any) -> str:
    value = info.get_default(call_default_factory=True)
    if isinstance(value, tuple):
        return str(list(value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
