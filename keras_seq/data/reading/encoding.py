"""Encoding of a text file, told from its first bytes."""

from __future__ import annotations

import codecs
from pathlib import Path

from keras_seq.data.reading.code_pages import USUAL, guess_code_page
from keras_seq.data.reading.unpack import PACKINGS
from keras_seq.errors import ConfigError, DataError

_BINARY = {
    b"\xd0\xcf\x11\xe0": "an old Excel file; save the sheet as CSV (UTF-8)",
    b"PAR1": "a Parquet file; rename it to end in .parquet",
}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def head_encoding(head: bytes, path: Path, asked: str | None) -> tuple[str, str | None]:
    """Encoding of a file's first bytes, and a remark where it is not plain UTF-8.

    Raises:
        ConfigError: the encoding asked for is none.
        DataError: the bytes are no text.
    """
    for magic, what in _BINARY.items():
        if head.startswith(magic):
            raise DataError(f"File '{path}' is {what}.")
    twice = next((kind for magic, kind in PACKINGS.items() if head.startswith(magic) and magic != b"BZh"), None)
    if twice:
        raise DataError(f"File '{path}' is packed twice (once more with {twice}); unpack it once.")
    if asked:
        return _known_encoding(asked), None
    for mark, name in _MARKS:
        if head.startswith(mark):
            words = "a byte order mark" if name == "utf-8" else f"the byte order mark of {name.upper()}"
            return name, f"begins with {words}, which is passed over"
    if b"\0" in head:
        return _without_mark(head, path)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        return "utf-8", None
    except UnicodeDecodeError as error:
        line = head[: error.start].count(b"\n") + 1
        byte = head[error.start]
        page, examples = guess_code_page(head)
        shown = f"{page} ({', '.join(map(repr, examples))}), data.encoding says another"
        told = "Windows-1252, data.encoding says it" if page == USUAL else shown
        return page, f"is not UTF-8 (byte 0x{byte:02x} in line {line}): read as {told}"


def decode_head(head: bytes, encoding: str, path: Path) -> str:
    """Text of a file's first bytes, of which the last one may be cut.

    Raises:
        DataError: they are not of this encoding.
    """
    try:
        return codecs.getincrementaldecoder(encoding.replace("utf-8", "utf-8-sig"))().decode(head)
    except UnicodeDecodeError as error:
        raise DataError(f"File '{path}' cannot be read as text in {encoding}: {error}. Name its encoding.") from None


def _without_mark(head: bytes, path: Path) -> tuple[str, str]:
    """UTF-16 without a byte order mark: nearly every other byte is zero, and none between them."""
    for encoding, zeros, others in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if zeros.count(0) > 0.8 * len(zeros) and not others.count(0):
            try:
                text = codecs.getincrementaldecoder(encoding)().decode(head)
            except UnicodeDecodeError:
                continue
            if not any(ord(char) < 32 and char not in "\t\r\n" for char in text[:4096]):
                return encoding, f"is {encoding.upper()} without a byte order mark, data.encoding says it"
    raise DataError(f"File '{path}' holds bytes that no text has; a CSV or Parquet file is wanted.")


def _known_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ConfigError(f"data.encoding={name!r} is no known encoding; use utf-8, cp1252, utf-16, ...") from None
