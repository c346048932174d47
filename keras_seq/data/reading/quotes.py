"""Quotes that are opened and not closed on their line: what follows would be taken for one text, rows and all."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq.errors import DataError


class CheckedBytes(io.RawIOBase):
    """A file's bytes as they are; a line that leaves a quote open is refused.

    Args:
        path: a plain CSV file.
        delimiter: of its fields.
        span: bytes ``[low, high)`` of it, at starts of lines; None: all.
        skip: first lines that are not looked at, the header's.
    """

    def __init__(self, path: Path, delimiter: str, span: tuple[int, int] | None = None, skip: int = 0) -> None:
        super().__init__()
        self._path, self._delimiter, self._skip = path, delimiter, skip
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by ``close``)
        self._file.seek(span[0] if span else 0)
        self._left = span[1] - span[0] if span else None
        self._rest = b""

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes; b"" at the end."""
        if self._left is not None:
            size = min(size, self._left) if size >= 0 else self._left
        block = self._file.read(size) or b""
        if self._left is not None:
            self._left -= len(block)
        lines = self._rest + block if self._rest else block
        cut = lines.rfind(b"\n") + 1 if block else len(lines)
        low = 0
        while self._skip and low < cut:
            low = lines.find(b"\n", low) + 1 or cut
            self._skip -= 1
        if b'"' in lines:
            refuse_open_quotes(lines[low:cut], self._delimiter, self._path)
        self._rest = lines[cut:]
        return block

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def refuse_open_quotes(lines: bytes, delimiter: str, path: Path) -> None:
    """Refuse a line in which a quoted field does not end; a quote inside a plain field is a character as any.

    Args:
        lines: whole lines with line feeds at their ends.
        delimiter: of their fields.
        path: for the message.

    Raises:
        DataError: names the line's text.
    """
    codes = np.frombuffer(lines, np.uint8)
    ends = np.append(np.flatnonzero(codes == 10), len(lines))
    before = np.searchsorted(np.flatnonzero(codes == 34), ends)  # quotes up to each line's end
    odd = np.flatnonzero(np.diff(before, prepend=0) % 2)
    for number in odd[:1000]:
        line = lines[ends[number - 1] + 1 if number else 0 : ends[number]].decode("utf-8", "replace").rstrip("\r")
        if _leaves_open(line, delimiter):
            raise DataError(
                f"File '{path}' has a line that opens a quote and does not close it: {line[:60]!r}. "
                "Close the quote; where quoted texts hold line ends, say --data.quoted_lines true."
            )


def _leaves_open(line: str, delimiter: str) -> bool:
    """Whether the last quoted field of a line goes on after it."""
    try:
        fields = next(csv.reader([line, "\x00"], delimiter=delimiter), [])
    except csv.Error:
        return True
    return bool(fields) and fields[-1].endswith("\x00")
