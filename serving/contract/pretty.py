"""RapidJSON's ``PrettyWriter``, event by event, and the echo of a request's JSON that error messages carry.

Four spaces of indent; arrays on one line or one element a line, as set at the time; non-ASCII bytes as they are.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from serving.contract.decimals import double_text, float_text, to_float
from serving.contract.strict import JsonMembers, JsonValue

ECHO_BYTES = 256
_WORDS = {None: b"null", True: b"true", False: b"false"}
_FLOAT_LIMIT = 3.4028234e38  # Value::IsFloat
_SPECIAL = re.compile(rb'[\x00-\x1f"\\]')
_ESCAPED = {bytes((code,)): f"\\u{code:04X}".encode() for code in range(0x20)} | {
    b"\b": b"\\b", b"\f": b"\\f", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t", b'"': b'\\"', b"\\": b"\\\\",
}  # fmt: skip


def quoted(text: bytes) -> bytes:
    """A JSON string; only what must be escaped is."""
    if _SPECIAL.search(text):
        text = _SPECIAL.sub(lambda match: _ESCAPED[match.group()], text)
    return b'"' + text + b'"'


class WriterFull(Exception):
    """The writer has reached its limit: a stop, not an error."""


class PrettyWriter:
    """Builds a JSON text from events.

    Attributes:
        single_line: whether arrays go on one line (``kFormatSingleLineArray``); may be changed at any time.
        limit: no event is taken once so many bytes are written; None: no limit.
    """

    def __init__(self, *, single_line: bool = False, limit: int | None = None) -> None:
        self.single_line, self.limit = single_line, limit
        self._parts: list[bytes] = []
        self._size = 0
        self._levels: list[list[Any]] = []  # [in an array, values so far]

    def text(self) -> bytes:
        """What is written so far."""
        return b"".join(self._parts)

    def raw(self, value: bytes) -> None:
        """A value whose text is given."""
        self._prefix()
        self._put(value)

    def string(self, value: bytes) -> None:
        """A string value or an object's key."""
        self.raw(quoted(value))

    def start(self, bracket: bytes) -> None:
        """Open a container: ``b"["`` or ``b"{"``."""
        self._prefix()
        self._levels.append([bracket == b"[", 0])
        self._put(bracket)

    def end(self) -> None:
        """Close the innermost container."""
        self._check()
        in_array, count = self._levels.pop()
        if count and not (in_array and self.single_line):
            self._line()
        self._put(b"]" if in_array else b"}")

    def _check(self) -> None:
        if self.limit is not None and self._size >= self.limit:
            raise WriterFull

    def _put(self, text: bytes) -> None:
        self._parts.append(text)
        self._size += len(text)

    def _line(self) -> None:
        self._put(b"\n" + b"    " * len(self._levels))

    def _prefix(self) -> None:
        self._check()
        if not self._levels:
            return
        in_array, count = self._levels[-1]
        self._levels[-1][1] += 1
        if in_array:
            if count:
                self._put(b", " if self.single_line else b",")
            if not self.single_line:
                self._line()
        elif count % 2:
            self._put(b": ")
        else:
            if count:
                self._put(b",")
            self._line()


def echo(value: JsonValue) -> str:
    """A value of a request as error messages show it: arrays on one line, cut after some 256 bytes, left unclosed.

    Args:
        value: as ``strict.parse`` gives it.

    Returns:
        Text; bytes that are not UTF-8 as surrogate escapes.
    """
    if type(value) is float:
        return float_text(to_float(value)) if -_FLOAT_LIMIT <= value <= _FLOAT_LIMIT else double_text(value)
    writer = PrettyWriter(single_line=True, limit=ECHO_BYTES)
    with suppress(WriterFull):
        _write(writer, value)
    return writer.text().decode("utf-8", "surrogateescape")


def _write(writer: PrettyWriter, value: JsonValue) -> None:
    """Events of a value: a loop, as values may nest to any depth."""
    todo: list[JsonValue | _End] = [value]
    while todo:
        event = todo.pop()
        if isinstance(event, _End):
            writer.end()
        elif isinstance(event, bytes):
            writer.string(event)
        elif isinstance(event, list):
            is_object = type(event) is JsonMembers
            writer.start(b"{" if is_object else b"[")
            todo.append(_End())
            # No more than the limit can be written, however long the list.
            for item in reversed(event[:ECHO_BYTES]):
                todo += (item[1], item[0]) if is_object else (item,)
        elif isinstance(event, float):
            finite = event - event == 0
            writer.raw(shortest(event) if finite else b"")
            if not finite:  # RapidJSON's writer gives up here
                raise WriterFull
        elif event is None or isinstance(event, bool):
            writer.raw(_WORDS[event])
        else:
            writer.raw(b"%d" % event)


class _End:
    """Stands where a container ends."""


def shortest(value: float) -> bytes:
    """A double inside an echoed list or object, as ``Writer::Double`` writes it (``dtoa.h``).

    Args:
        value: finite.
    """
    mantissa, _, exponent = f"{value!r}e0".partition("e")
    sign, digits = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    whole, _, fraction = digits.partition(".")
    power = int(exponent.removesuffix("e0")) - len(fraction)
    digits = (whole + fraction).lstrip("0")
    power += len(digits) - len(digits.rstrip("0"))
    digits = digits.rstrip("0")
    if not digits:
        return f"{sign}0.0".encode()
    point = len(digits) + power  # where the point goes, counted from the first digit
    if power >= 0 and point <= 21:
        text = f"{digits}{'0' * power}.0"
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        text = f"{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{point - 1}"
    return f"{sign}{text}".encode()
