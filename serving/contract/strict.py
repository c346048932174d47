"""JSON as TensorFlow Serving parses it: RapidJSON 1.1 with NaN allowed, stopping at the end of the root value.

Nothing but a copy of its behaviour gives the same answers: strings are bytes that need not be UTF-8, the first of
duplicate keys counts, integers and doubles are different things, doubles come from RapidJSON's quick conversion
(which may be a few units in the last place off), and every error has its own text and byte offset.

Values are None, bool, int (within 64 bits), float, bytes (a string), list and ``JsonMembers`` (an object).
Source: ``rapidjson/reader.h`` (``ParseStream<kParseNanAndInfFlag | kParseStopWhenDoneFlag>``, UTF-8 stream).
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from serving.contract.status import invalid

_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_FRACTION = re.compile(rb"\.[0-9]+")
_EXPONENT = re.compile(rb"[eE][+-]?[0-9]+")
_HEX4 = re.compile(rb"[0-9A-Fa-f]{4}")
_LITERALS: dict[int, tuple[bytes, bool | None]] = {
    ord("n"): (b"null", None),
    ord("t"): (b"true", True),
    ord("f"): (b"false", False),
}
_ESCAPES = {
    ord(each): value
    for each, value in zip('"\\/bfnrt', (b'"', b"\\", b"/", b"\b", b"\f", b"\n", b"\r", b"\t"), strict=True)
}
_TENS = [float(f"1e{power}") for power in range(309)]
_UINT64_MAX, _INT64_MIN, _EXACT = 2**64 - 1, -(2**63), 2**53 - 1
_MISS_FRACTION, _MISS_EXPONENT = "Miss fraction part in number.", "Miss exponent in number."
_TOO_BIG = "Number too big to be stored in double."
_INVALID = "Invalid value."
_SURROGATE = "The surrogate pair in string is invalid."


JsonValue: TypeAlias = bool | int | float | bytes | list[Any] | None  # a list of values, or ``JsonMembers``


class JsonMembers(list[tuple[bytes, Any]]):
    """JSON object: its members in order, duplicates kept."""

    def find(self, name: bytes) -> tuple[bytes, Any] | None:
        """The first member of that name."""
        return next((member for member in self if member[0] == name), None)


class _ParseError(Exception):
    def __init__(self, text: str, offset: int) -> None:
        super().__init__(text)
        self.text, self.offset = text, offset


def parse(body: bytes) -> JsonValue:
    """Parse the first JSON value in ``body``; what follows it is not looked at.

    Raises:
        Refused: INVALID_ARGUMENT "JSON Parse error: <reason> at offset: <byte>".
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        return _JsonReader(body).document()
    except _ParseError as error:
        raise invalid(f"JSON Parse error: {error.text} at offset: {error.offset}") from None


class _JsonReader:
    def __init__(self, body: bytes) -> None:
        self.body, self.size = body, len(body)
        self.at = 0
        for mark in (0xEF, 0xBB, 0xBF):  # each byte of a byte order mark is skipped by itself
            if self.peek() == mark:
                self.at += 1

    def peek(self) -> int:
        """The byte ahead; 0 at the end, so that a zero byte looks like the end as well."""
        return self.body[self.at] if self.at < self.size else 0

    def space(self) -> None:
        self.at = _SPACE.match(self.body, self.at).end()  # type: ignore[union-attr]

    def fail(self, text: str) -> _ParseError:
        return _ParseError(text, self.at)

    def document(self) -> JsonValue:
        self.space()
        if self.peek() == 0:
            raise self.fail("The document is empty.")
        # Containers still open, innermost last: a loop instead of recursion, however deep they nest.
        open_: list[list[Any]] = []
        while True:
            value, opened = self.value()
            if opened:
                if self.enter(value, open_):
                    continue
            else:
                self.put(value, open_)
            while open_:
                if self.another(open_):
                    break
                value = open_.pop()
                if not open_:
                    return value
            else:
                return value

    def value(self) -> tuple[Any, bool]:
        """A scalar and False, or an empty container just opened and True."""
        ahead = self.peek()
        if ahead == 0x5B:
            self.at += 1
            return [], True
        if ahead == 0x7B:
            self.at += 1
            return JsonMembers(), True
        if ahead == 0x22:
            return self.string(), False
        if ahead in _LITERALS:
            return self.literal(*_LITERALS[ahead]), False
        return self.number(), False

    def enter(self, container: list[Any], open_: list[list[Any]]) -> bool:
        """Whether a first value follows in a container just opened; an empty one is put where it belongs."""
        is_object = type(container) is JsonMembers
        self.space()
        if self.peek() == (0x7D if is_object else 0x5D):
            self.at += 1
            self.put(container, open_)
            return False
        self.put(container, open_)
        open_.append(container)
        if is_object:
            self.key(container)
        return True

    def put(self, value: JsonValue, open_: list[list[Any]]) -> None:
        if not open_:
            return
        inside = open_[-1]
        if type(inside) is JsonMembers:
            inside[-1] = (inside[-1][0], value)
        else:
            inside.append(value)

    def another(self, open_: list[list[Any]]) -> bool:
        """Whether one more value follows in the innermost container; else its end has been read."""
        inside = open_[-1]
        self.space()
        ahead = self.peek()
        if type(inside) is JsonMembers:
            if ahead == 0x2C:
                self.at += 1
                self.space()
                self.key(inside)
                return True
            if ahead != 0x7D:
                raise self.fail("Missing a comma or '}' after an object member.")
        else:
            if ahead == 0x2C:
                self.at += 1
                self.space()
                return True
            if ahead != 0x5D:
                raise self.fail("Missing a comma or ']' after an array element.")
        self.at += 1
        return False

    def key(self, members: list[Any]) -> None:
        if self.peek() != 0x22:
            raise self.fail("Missing a name for object member.")
        name = self.string()
        self.space()
        if self.peek() != 0x3A:
            raise self.fail("Missing a colon after a name of object member.")
        self.at += 1
        self.space()
        members.append((name, None))

    def literal(self, word: bytes, value: bool | None) -> bool | None:
        for each in word:
            if self.peek() != each:
                raise self.fail(_INVALID)
            self.at += 1
        return value

    def string(self) -> bytes:
        self.at += 1
        parts = []
        while True:
            match = _PLAIN.match(self.body, self.at)
            parts.append(match.group())  # type: ignore[union-attr]
            self.at = match.end()  # type: ignore[union-attr]
            ahead = self.peek()
            if ahead == 0x22:
                self.at += 1
                return parts[0] if len(parts) == 1 else b"".join(parts)
            if ahead == 0x5C:
                parts.append(self.escape())
            elif ahead == 0:
                raise self.fail("Missing a closing quotation mark in string.")
            else:
                raise self.fail("Invalid escape character in string.")

    def escape(self) -> bytes:
        start = self.at
        self.at += 1
        ahead = self.peek()
        if ahead in _ESCAPES:
            self.at += 1
            return _ESCAPES[ahead]
        if ahead != 0x75:
            raise _ParseError("Invalid escape character in string.", start)
        self.at += 1
        code = self.hex4(start)
        if 0xD800 <= code <= 0xDBFF:
            if self.body[self.at : self.at + 2] != b"\\u":
                raise _ParseError(_SURROGATE, start)
            self.at += 2
            low = self.hex4(start)
            if not 0xDC00 <= low <= 0xDFFF:
                raise _ParseError(_SURROGATE, start)
            code = ((code - 0xD800) << 10 | (low - 0xDC00)) + 0x10000
        return chr(code).encode("utf-8", "surrogatepass")

    def hex4(self, start: int) -> int:
        match = _HEX4.match(self.body, self.at)
        if not match:
            raise _ParseError("Incorrect hex digit after \\u escape in string.", start)
        self.at += 4
        return int(match.group(), 16)

    def number(self) -> int | float:
        start = self.at
        match = _NUMBER.match(self.body, start)
        if not match:
            return self.not_a_number()
        whole = match.group()
        self.at = match.end()
        fraction, exponent = b"", b""
        if self.peek() == 0x2E:
            match = _FRACTION.match(self.body, self.at)
            if not match:
                _check_whole(whole, start)
                self.at += 1
                raise self.fail(_MISS_FRACTION)
            fraction = match.group()[1:]
            self.at = match.end()
        if self.peek() in b"eE":
            match = _EXPONENT.match(self.body, self.at)
            if not match:
                _check_whole(whole, start)
                self.at += 2 if self.body[self.at + 1 : self.at + 2] in (b"+", b"-") else 1
                raise self.fail(_MISS_EXPONENT)
            exponent = match.group()[1:]
            self.at = match.end()
        return _number(whole, fraction, exponent, start)

    def not_a_number(self) -> float:
        """NaN, Inf, Infinity and -Inf, -Infinity; -NaN reads as NaN."""
        minus = self.peek() == 0x2D
        self.at += minus
        if self.peek() == 0x4E:
            return self.word(b"NaN", float("nan"))
        if self.peek() == 0x49:
            value = self.word(b"Inf", float("-inf") if minus else float("inf"))
            return self.word(b"inity", value) if self.peek() == 0x69 else value
        raise self.fail(_INVALID)

    def word(self, word: bytes, value: float) -> float:
        for each in word:
            if self.peek() != each:
                raise self.fail(_INVALID)
            self.at += 1
        return value


def _check_whole(whole: bytes, start: int) -> None:
    """Refuse an integer part that is too big, which RapidJSON notices before what follows it."""
    if len(whole) > 308:
        _number(whole, b"", b"", start)


def _number(whole: bytes, fraction: bytes, exponent: bytes, start: int) -> int | float:
    """The number of these digits, by the steps of ``GenericReader::ParseNumber``."""
    minus = whole[0] == 0x2D
    digits = whole[1:] if minus else whole
    limit = -_INT64_MIN if minus else _UINT64_MAX
    # More than 20 digits cannot fit; no need to convert what may be thousands of them.
    value = int(digits) if len(digits) <= 20 else limit + 1
    if value <= limit:
        if not fraction and not exponent:
            return -value if minus else value
        number, power = _continue(value, len(digits) - 1, fraction)
    else:
        number = _beyond_64_bits(digits, limit, start)
        power = 0
    if exponent:
        power += _power(exponent, power, start)
    number = _scale(number, power)
    return -number if minus else number


def _continue(value: int, significant: int, fraction: bytes) -> tuple[float, int]:
    """Digits behind the point: as an integer while it is exact, then as a double up to 17 digits."""
    power = index = 0
    while index < len(fraction) and value <= _EXACT:
        value = value * 10 + fraction[index] - 0x30
        index += 1
        power -= 1
        significant += value != 0
    number = float(value)
    while index < len(fraction) and significant < 17:
        number = number * 10.0 + (fraction[index] - 0x30)
        index += 1
        power -= 1
        significant += number > 0.0
    return number, power


def _beyond_64_bits(digits: bytes, limit: int, start: int) -> float:
    size = 19 if int(digits[:20]) > limit else 20
    number = float(int(digits[:size]))
    for digit in digits[size:]:
        if number >= 1.7976931348623157e307:
            raise _ParseError(_TOO_BIG, start)
        number = number * 10 + (digit - 0x30)
    return number


def _power(exponent: bytes, behind_point: int, start: int) -> int:
    digits = exponent.lstrip(b"+-")
    if exponent[0] == 0x2D:
        short = digits.lstrip(b"0")
        return -int(short or b"0") if len(short) < 10 else -(10**9)
    most = 308 - behind_point
    power = digits[0] - 0x30
    for digit in digits[1:]:
        power = power * 10 + digit - 0x30
        if power > most:
            raise _ParseError(_TOO_BIG, start)
    return power


def _scale(number: float, power: int) -> float:
    """``StrtodNormalPrecision``: one multiplication or division by a power of ten."""
    if power >= 0:
        return number * _TENS[power]
    if power >= -308:
        return number / _TENS[-power]
    number /= _TENS[308]
    return number / _TENS[-power - 308] if power >= -616 else 0.0
