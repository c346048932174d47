"""What a command found: text for people, or with ``--json`` one JSON document on standard output and nothing else.

A command hands back a ``Result`` (or ``Lines``, where answers come one by one); ``keras_seq.cli.command`` shows it.
While a command runs under ``--json``, whatever it, its libraries, native code or processes print goes to standard
error, so that no command has to keep quiet by itself. docs/automation.md states the fields.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any, TextIO

from keras_seq.errors import KerasSeqError

FLAG = "--json"
ENVELOPE = ("command", "status", "seconds", "error")
OK, FAILED = "ok", "failed"


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command found.

    Attributes:
        fields: of the JSON document, beside those of ``ENVELOPE``; tables as lists of objects.
        show: the same for people: a text, or a function that prints it.
        error: why the command has failed although there are fields; its exit code is 2 then.
    """

    fields: Mapping[str, Any]
    show: str | Callable[[], object] = ""
    error: KerasSeqError | None = None

    def __post_init__(self) -> None:
        taken = [name for name in ENVELOPE if name in self.fields]
        if taken:
            raise ValueError(f"Field '{taken[0]}' of a result is the document's own; name it otherwise.")


@dataclasses.dataclass(frozen=True)
class Lines:
    """Answers that come one by one: one JSON object a line.

    Attributes:
        rows: of plain values.
        show: prints the same for people.
    """

    rows: Iterable[Mapping[str, Any]]
    show: Callable[[], object]


class _Session:
    out: TextIO | None = None  # standard output, while it is kept for JSON
    command = ""


def wanted() -> bool:
    """Whether the running command answers in JSON: nobody is there to be asked."""
    return _Session.out is not None


@contextmanager
def only_json(command: str) -> Iterator[None]:
    """Keep standard output for ``write``; what anything else prints meanwhile goes to standard error.

    Args:
        command: as the documents name it.
    """
    before = _Session.out, _Session.command
    with _aside(sys.stdout) as out, redirect_stdout(sys.stderr):
        _Session.out, _Session.command = out, command
        try:
            yield
        finally:
            _Session.out, _Session.command = before


@contextmanager
def _aside(stream: TextIO) -> Iterator[TextIO]:
    """The stream itself; the process's own standard output also with its descriptor, which then leads to stderr."""
    try:
        own = stream.fileno() == 1
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        own = False
    if not own:
        yield stream
        return
    stream.flush()
    standard_output = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(os.dup(standard_output), "w", encoding="utf-8", closefd=True) as out:
            yield out
    finally:
        with suppress(OSError, ValueError):
            stream.flush()  # what slipped into its buffer goes where all the rest went
        os.dup2(standard_output, 1)
        os.close(standard_output)


def write(fields: Mapping[str, Any], *, seconds: float | None = None, error: BaseException | None = None) -> None:
    """Write the document of the running command: its envelope around ``fields``."""
    document: dict[str, Any] = {"command": _Session.command, "status": FAILED if error else OK}
    if error is not None:
        document["error"] = {"kind": type(error).__name__, "message": str(error)}
    document |= fields
    if seconds is not None:
        document["seconds"] = round(seconds, 3)
    write_line(document)


def write_line(fields: Mapping[str, Any]) -> None:
    """Write one object as one line, at once."""
    out = _Session.out or sys.stdout
    out.write(dumps(fields) + "\n")
    out.flush()


def announce(fields: Mapping[str, Any]) -> None:
    """Under ``--json`` a line that a server is ready; for people nothing."""
    if wanted():
        write({"event": "ready", **fields})


def dumps(value: Any) -> str:
    """One line of JSON; see ``plain``."""
    return json.dumps(plain(value), allow_nan=False, ensure_ascii=False)


def plain(value: Any) -> Any:
    """Plain values that JSON has: what is not finite is null, tables are lists of objects.

    Raises:
        TypeError: nothing that JSON could hold.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [plain(one) for one in value]
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat() if value == value else None  # pandas' "no time" is not itself
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a table of pandas
        return [plain(row) for row in value.to_dict("records")]
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
