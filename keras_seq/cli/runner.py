"""Running a command: its result as text or JSON, mistakes as one paragraph, exit code 2."""

from __future__ import annotations

import codecs
import errno
import functools
import io
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from keras_seq.cli import output
from keras_seq.cli.output import Lines, Result
from keras_seq.errors import KerasSeqError, OutputError

Body = Callable[[Sequence[str]], "Result | Lines | int | None"]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


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
            words_given = list(sys.argv[1:] if argv is None else argv)
            words = [word for word in words_given if word != output.FLAG]
            with _progress_shown():
                if len(words) == len(words_given):
                    return _show(body(words))
                with output.only_json(title(words)):
                    return _write(body, words)

        main.title, main.actions = title, tuple(actions)  # type: ignore[attr-defined]
        return main

    return wrap


class _Progress(logging.Handler):
    """What modules log, as plain lines on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        print(self.format(record), file=sys.stderr, flush=True)


@contextmanager
def _progress_shown() -> Iterator[None]:
    """Let people see what our modules log while a command runs, whatever libraries do with the root logger."""
    logger, handler = logging.getLogger("keras_seq"), _Progress()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def _show(result: Result | Lines | int | None) -> int:
    """For people."""
    if isinstance(result, Lines):
        result.show()
        return 0
    if not isinstance(result, Result):
        return result or 0
    if callable(result.show):
        result.show()
    elif result.show:
        print(result.show)
    return _complain(result.error) if result.error else 0


def _write(body: Body, words: Sequence[str]) -> int:
    """For programs."""
    start = time.perf_counter()
    try:
        result = body(words)
    except SystemExit as leaving:  # help or a version, which is written
        return int(leaving.code or 0)
    if isinstance(result, Lines):
        for row in result.rows:
            output.write_line(row)
        return 0
    if not isinstance(result, Result):
        return result or 0
    output.write(result.fields, seconds=time.perf_counter() - start, error=result.error)
    return _complain(result.error) if result.error else 0


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
        problem = OutputError(f"Writing{where} failed: {error.strerror}. Free space, or choose another folder.")
        fail(problem)
        return _complain(problem)
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


def _complain(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2
