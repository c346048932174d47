"""CSV files as UTF-8 text with plain line ends, whatever they were, and the byte offsets of their lines."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from keras_seq.data.reading.reading import Reading
from keras_seq.errors import DataError

BLOCK = 2**20  # bytes read at once
LONGEST_HEADER = 2**16  # characters of names with line ends in them
PLAIN_ENCODINGS = ("utf-8", "ascii")


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked where it is a gzip file by its content."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else open(path, "rb")  # type: ignore[return-value]


def open_text(path: Path, encoding: str) -> IO[str]:
    """The file's lines as text; every kind of line end reads as one."""
    return io.TextIOWrapper(open_bytes(path), encoding=encoding.replace("utf-8", "utf-8-sig"), newline=None)


def read_head(path: Path, size: int) -> bytes:
    """The first bytes of a file, unpacked.

    Raises:
        DataError: they cannot be read.
    """
    try:
        with open_bytes(path) as file:
            return file.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"File '{path}' cannot be read: {error}.") from None


class PlainText(io.RawIOBase):
    """A file's bytes in UTF-8 with plain line feeds at the ends of lines; lines of nothing but delimiters are left out.

    Args:
        path: the file.
        reading: its encoding and delimiter.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        super().__init__()
        self._file = open_bytes(path)
        other = reading.encoding not in PLAIN_ENCODINGS
        self._decoder: Any = codecs.getincrementaldecoder(reading.encoding)() if other else None
        self._blank = re.compile(rf"(?m)^[ {re.escape(reading.delimiter)}]*\n".encode())
        self._openings = (reading.delimiter.encode(), b" ", b"\n")  # how a blank line begins
        self._rest, self._ready, self._ended = b"", b"", False

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        while not self._ready and not self._ended:
            self._ready = self._next()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _next(self) -> bytes:
        """The next lines, whole; what is left of the last one waits for its end."""
        block = self._file.read(BLOCK)
        self._ended = not block
        if self._decoder is not None:
            block = self._decoder.decode(block, final=self._ended).encode()
        lines = self._rest + block
        if self._ended and lines and not lines.endswith((b"\n", b"\r")):
            lines += b"\n"
        if b"\r" in lines and not (lines.endswith(b"\r") and not self._ended):
            lines = lines.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        cut = len(lines) if self._ended else lines.rfind(b"\n") + 1
        self._rest, lines = lines[cut:], lines[:cut]
        if lines.startswith(self._openings) or any(b"\n" + opening in lines for opening in self._openings):
            lines = self._blank.sub(b"", lines)
        return lines

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def is_plain(path: Path, reading: Reading) -> bool:
    """Whether Arrow can take the file as it is: UTF-8, not packed, and no lines of delimiters only at its end."""
    if reading.encoding not in PLAIN_ENCODINGS:
        return False
    with open(path, "rb") as file:
        if file.read(2) == b"\x1f\x8b":
            return False
        file.seek(max(0, path.stat().st_size - 4096))
        tail = file.read()
    if b"\r" in tail.replace(b"\r\n", b""):
        return False
    blanks = f" {reading.delimiter}\r\n".encode()
    return not any(line and not line.strip(blanks) for line in tail.split(b"\n")[1:] if line != b"\r")


def header_line(path: Path, reading: Reading) -> tuple[int, int, str]:
    """The header: its lines up to and with it in the file, those that ``PlainText`` keeps of them, and its text.

    The text is "" where there is no header.
    """
    blanks = f" {reading.delimiter}"
    with open_text(path, reading.encoding) as file:
        number = filled = 0
        for line in file:
            number += 1
            text = line.rstrip("\n")
            filled += text.strip(blanks) != ""
            if text.strip(blanks) and not (reading.comment and text.startswith(reading.comment)):
                while text.count('"') % 2 and len(text) < LONGEST_HEADER and (more := file.readline()):
                    number, filled, text = number + 1, filled + 1, f"{text}\n{more.rstrip(chr(10))}"
                return number, filled, text
    return number, filled, ""


def file_lines(path: Path, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    """Numbers, from 1, and fields of the lines that are rows, the header first; slow, for messages."""
    blanks = f" {reading.delimiter}"
    with open_text(path, reading.encoding) as file:
        for number, line in enumerate(file, start=1):
            text = line.rstrip("\n")
            if text.strip(blanks) and not (reading.comment and text.startswith(reading.comment)):
                yield number, next(csv.reader([text], delimiter=reading.delimiter), [])


def count_lines(path: Path) -> int:
    """Line ends in a file, at least as many as it has rows; exact but for blank lines and quoted line ends."""
    with open_bytes(path) as file:
        lines, last = 0, b"\n"
        while block := file.read(BLOCK):
            feeds = block.count(b"\n")
            lines += feeds or block.count(b"\r")
            last = block[-1:]
    return lines + (last not in b"\r\n")


def line_starts(path: Path, size: int, reading: Reading) -> list[int]:
    """Places where lines of a plain CSV begin, about ``size`` bytes apart: after the header, ..., the file's end."""
    end = path.stat().st_size
    lines, _, _ = header_line(path, reading)
    with open(path, "rb") as file:
        for _ in range(lines):
            file.readline()
        starts = [file.tell()]
        for place in range(starts[0] + size, end, size):
            if place > starts[-1]:
                file.seek(place - 1)
                file.readline()
                starts.append(min(file.tell(), end))
    return list(dict.fromkeys([*starts, end]))
