"""What every command line shares: the config tree as options, errors as one paragraph, exit code 2."""

from __future__ import annotations

import argparse
import codecs
import errno
import functools
import io
import os
import sys
import tempfile
import textwrap
import time
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from keras_seq import output
from keras_seq.errors import ConfigError, KerasSeqError, OutputError
from keras_seq.output import Lines, Result

if TYPE_CHECKING:
    from keras_seq import config

Body = Callable[[Sequence[str]], "Result | Lines | int | None"]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

CHATTER = ("absl::InitializeLog", "port.cc", "cudart_stub.cc", "cpu_feature_guard.cc", "instructions in performance")


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are ``ConfigError``; every one knows ``--json``.

    Args:
        keys: fields of the config tree that may stand behind ``--``, for completion: names, or what they begin with
            (``"data."``; ``""``: all of them).
        values: of options that check their words themselves, for completion: words, or ``module:NAME`` that holds them.
        options: of ``argparse.ArgumentParser``.
    """

    seen: typing.ClassVar[Callable[[Parser], None] | None] = None  # gets the next parser instead of its being used

    def __init__(
        self, *, keys: Iterable[str] = (), values: Mapping[str, str | Iterable[str]] | None = None, **options: Any
    ) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.keys, self.values = tuple(keys), dict(values or {})
        if self.add_help:  # others are parts of a parser
            self.add_argument(output.FLAG, action=_Json, help="print one JSON document, nothing else")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does."""
        if Parser.seen is not None:
            Parser.seen(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving."""
        raise ConfigError(f"{message[0].upper()}{message[1:]}. See '{self.prog} --help'.")

    def _print_message(self, message: str, file: Any = None) -> None:
        if output.wanted():
            raise output.Told(message)
        super()._print_message(message, file)


class _Json(argparse.Action):
    """``command`` takes the word away before a parser sees it; this one is for the help."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, *unused: Any) -> None:
        """Nothing is left to do."""


def command(name: str, *, actions: Sequence[str] = ()) -> Callable[[Body], Callable[..., int]]:
    """Make a command line of a function that takes words and returns a ``Result``.

    The command line returns the exit code after it has shown the result: as text, or with ``--json`` as one document.
    Mistakes are raised; ``run`` tells them.

    Args:
        name: as in ``python -m NAME``.
        actions: words one of which says what is done, such as ``status``; the document's ``command`` names it too.
    """

    def title(words: Sequence[str]) -> str:
        action = next((word for word in words if word in actions), "")
        return f"{name} {action}".rstrip()

    def wrap(body: Body) -> Callable[..., int]:
        @functools.wraps(body)
        def main(argv: Sequence[str] | None = None) -> int:
            given = list(sys.argv[1:] if argv is None else argv)
            words = [word for word in given if word != output.FLAG]
            if len(words) == len(given):
                return _show(body(words))
            with output.only_json(title(words)):
                return _write(body, words)

        main.title, main.actions = title, tuple(actions)  # type: ignore[attr-defined]
        return main

    return wrap


def _show(found: Result | Lines | int | None) -> int:
    """For people."""
    if isinstance(found, Lines):
        found.show()
        return 0
    if not isinstance(found, Result):
        return found or 0
    if callable(found.show):
        found.show()
    elif found.show:
        print(found.show)
    return _complain(found.error) if found.error else 0


def _write(body: Body, words: Sequence[str]) -> int:
    """For programs."""
    start = time.perf_counter()
    try:
        found = body(words)
    except output.Told as told:
        found = Result({"text": str(told)})
    if isinstance(found, Lines):
        for row in found.rows:
            output.write_line(row)
        return 0
    if not isinstance(found, Result):
        return found or 0
    output.write(found.fields, seconds=time.perf_counter() - start, error=found.error)
    return _complain(found.error) if found.error else 0


def experiment_parser(program: str, description: str, **options: Any) -> Parser:
    """A parser with ``--config FILE`` whose help lists every field of the config tree."""
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
    from keras_seq.main_job import MAIN_JOB

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


def describe_fields() -> str:
    """Every field with its default and meaning, grouped by section, for ``--help``."""
    from keras_seq import config

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
    """Run a command: user errors become one paragraph on stderr and exit code 2; with ``--json`` also a document."""
    if argv is None and main.__module__ == "__main__":
        _speak_utf8()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    words, start = list(sys.argv[1:] if argv is None else argv), time.perf_counter()

    def fail(error: BaseException) -> None:
        if output.FLAG in words and hasattr(main, "title"):
            with output.only_json(main.title([word for word in words if word != output.FLAG])):
                output.write({}, seconds=time.perf_counter() - start, error=error)

    try:
        return main(argv) or 0
    except KerasSeqError as error:
        fail(error)
        return _complain(error)
    except KeyboardInterrupt:
        fail(KeyboardInterrupt("stopped"))
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in FULL:
            fail(error)
            raise
        where = f" '{error.filename}'" if error.filename else ""
        told = OutputError(f"Writing{where} failed: {error.strerror}. Free space, or choose another folder.")
        fail(told)
        return _complain(told)
    except Exception as error:  # a bug: it keeps its traceback, and programs get their document all the same
        fail(error)
        raise


def _speak_utf8() -> None:
    """Begin this process anew in Python's UTF-8 mode where it could name ASCII files only (``LC_ALL=C PYTHONUTF8=0``).

    In other places output may hold what a terminal cannot show; it is then written as an escape.
    """
    if not sys.flags.utf8_mode and codecs.lookup(sys.getfilesystemencoding()).name == "ascii":
        os.environ["PYTHONUTF8"] = "1"  # for the processes of this one, too
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def load_tensorflow() -> None:
    """Import TensorFlow without the start-up chatter of its C++ parts; anything else it says is passed on."""
    if "tensorflow" in sys.modules:
        return
    with tempfile.TemporaryFile() as heard:
        stderr = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            import tensorflow
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            heard.seek(0)
            for line in heard.read().decode(errors="replace").splitlines():
                if not any(word in line for word in CHATTER):
                    print(line, file=sys.stderr)
    # every judged model and every shape of a batch is traced anew, and that is meant
    tensorflow.get_logger().addFilter(lambda record: "retracing" not in record.getMessage())


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
