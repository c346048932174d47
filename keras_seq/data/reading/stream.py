"""CSV files as UTF-8 text with plain line ends, whatever they were, and the byte offsets of their lines."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from keras_seq.data.reading.header import HeaderLine, find_header
from keras_seq.data.reading.lines import LONGEST_LINE, numbered_lines, split_line, too_long
from keras_seq.data.reading.quotes import refuse_open_quotes
from keras_seq.data.reading.reading import Reading
from keras_seq.data.reading.unpack import open_bytes, packing

BLOCK = 2**20  # bytes read at once
PLAIN_ENCODINGS = ("utf-8", "ascii")


def open_text(path: Path, reading: Reading) -> IO[str]:
    """The file's lines as text; every kind of line end reads as one."""
    encoding = reading.encoding.replace("utf-8", "utf-8-sig")
    return io.TextIOWrapper(open_bytes(path, reading.member), encoding=encoding, newline=None)


def read_head(path: Path, size: int, member: str | None = None, lines: int = 4) -> bytes:
    """The first ``size`` bytes of a file, unpacked; more where they do not hold some lines.

    Raises:
        DataError: they cannot be read, or a line of it does not end.
    """
    with open_bytes(path, member) as file:
        head = file.read(size)
        while max(head.count(b"\n"), head.count(b"\r")) < lines and (more := file.read(len(head))):
            head += more
            if len(head) > LONGEST_LINE and not max(head.count(b"\n"), head.count(b"\r")):
                raise too_long(path)
    return head


class PlainText(io.RawIOBase):
    """A file's rows in UTF-8 with plain line feeds at the ends of lines.

    What comes before the rows, comments, lines of nothing but delimiters and lines of a footer are left out.

    Args:
        path: the file.
        reading: how it is written.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        super().__init__()
        self._before = header_line(path, reading)
        self._path, self._reading = path, reading
        self._file = open_bytes(path, reading.member)
        other = reading.encoding not in PLAIN_ENCODINGS
        self._decoder: Any = codecs.getincrementaldecoder(reading.encoding)() if other else None
        self._blank = re.compile(rf"(?m)^[{re.escape(reading.blanks)}]*\n".encode())
        openings = ("\n", *reading.blanks, *(reading.comment[:1] if reading.comments != "head" else ""))
        self._openings = tuple(opening.encode() for opening in openings)  # how a line to leave out begins
        self._skip, self._quoted = self._before.lines, False
        self._rest, self._held, self._ready, self._ended = b"", b"", b"", False

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        filled = 0  # to its end: Arrow takes what one call gives for a block
        while filled < len(buffer) and (self._ready or not self._ended):
            self._ready = self._ready or self._next()
            count = min(len(buffer) - filled, len(self._ready))
            buffer[filled : filled + count] = self._ready[:count]
            self._ready, filled = self._ready[count:], filled + count
        return filled

    def _next(self) -> bytes:
        """The next lines, whole; what is left of the last one waits for its end."""
        block = self._file.read(BLOCK)
        self._ended = not block
        if self._decoder is not None:
            block = self._decoder.decode(block, final=self._ended).encode()
        lines = self._rest + block
        if self._ended and lines and not lines.endswith((b"\n", b"\r")):
            lines += b"\n"
        split = b"\r" if lines.endswith(b"\r") and not self._ended else b""  # maybe the first half of a line end
        lines = lines[: len(lines) - len(split)]
        if b"\r" in lines:
            lines = lines.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        cut = len(lines) if self._ended else lines.rfind(b"\n") + 1
        self._rest, lines = lines[cut:] + split, lines[:cut]
        if len(self._rest) > LONGEST_LINE:
            raise too_long(self._path)
        return self._without_footer(self._rows(self._without_head(lines)))

    def _without_head(self, lines: bytes) -> bytes:
        place = 0
        while self._skip and place < len(lines):
            place = lines.index(b"\n", place) + 1
            self._skip -= 1
        lines = lines[place:]
        return lines.removeprefix(codecs.BOM_UTF8) if place == 0 and not self._before.lines else lines

    def _rows(self, lines: bytes) -> bytes:
        reading = self._reading
        if reading.quoted_lines:
            lines = b"".join(self._records(lines))
        elif lines.startswith(self._openings) or any(b"\n" + opening in lines for opening in self._openings):
            lines = self._blank.sub(b"", lines)
            if reading.comments != "head":
                lines = b"".join(line for line in lines.splitlines(keepends=True) if not self._is_comment(line))
        if not reading.quoted_lines and b'"' in lines:
            refuse_open_quotes(lines, reading.delimiter, self._path)
        return _single_blanks(lines) if reading.delimiter == " " else lines

    def _records(self, lines: bytes) -> Iterator[bytes]:
        """Lines that are rows, or inside quotes."""
        for line in lines.splitlines(keepends=True):
            if self._quoted or not (self._blank.fullmatch(line) or self._is_comment(line)):
                yield line
                self._quoted ^= bool(line.count(b'"') % 2)

    def _is_comment(self, line: bytes) -> bool:
        return is_comment(line.decode("utf-8", "replace"), self._reading, len(self._before.names))

    def _without_footer(self, lines: bytes) -> bytes:
        if not self._reading.skip_footer:
            return lines
        lines = self._held + lines
        cut = len(lines)
        for _ in range(self._reading.skip_footer):
            cut = lines.rfind(b"\n", 0, max(cut - 1, 0)) + 1
        self._held, lines = lines[cut:], lines[:cut]
        return lines

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _single_blanks(lines: bytes) -> bytes:
    """Lines with one blank between fields and none at their ends."""
    if b'"' in lines:
        return b"\n".join(
            re.sub(rb'("[^"\n]*")|[ \t]+', lambda found: found[1] or b" ", line).strip(b" ")
            for line in lines.split(b"\n")
        )
    lines = lines.replace(b"\t", b" ")
    while b"  " in lines:
        lines = lines.replace(b"  ", b" ")
    return lines.replace(b" \n", b"\n").replace(b"\n ", b"\n").removeprefix(b" ")


def is_comment(line: str, reading: Reading, columns: int) -> bool:
    """Whether a line below the header is passed over as a comment."""
    if reading.comments == "head" or not line.startswith(reading.comment):
        return False
    if reading.comments == "all" or columns < 2:
        return True
    try:
        return len(split_line(line.rstrip("\r\n"), reading)) != columns
    except csv.Error:
        return True


def is_plain(path: Path, reading: Reading) -> bool:
    """Whether Arrow can take the file as it is: UTF-8, not packed, and no lines of delimiters only at its end."""
    if reading.encoding not in PLAIN_ENCODINGS or reading.delimiter == " " or reading.comments != "head":
        return False
    if reading.skip_footer or reading.quoted_lines or packing(path):
        return False
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        tail = file.read()
    if b"\r" in tail.replace(b"\r\n", b""):
        return False
    blanks = f"{reading.blanks}\r\n".encode()
    return not any(line and not line.strip(blanks) for line in tail.split(b"\n")[1:] if line != b"\r")


def header_line(path: Path, reading: Reading) -> HeaderLine:
    """What comes before the rows: its lines, and the names of the columns."""
    with open_text(path, reading) as file:
        return find_header(file, reading, path)


def file_lines(path: Path, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    """Numbers, from 1, and fields of the lines that are rows; slow, for messages."""
    before = header_line(path, reading)
    with open_text(path, reading) as file:
        for number, text in numbered_lines(file, path, before.lines, quoted=reading.quoted_lines):
            if text.strip(reading.blanks) and not is_comment(text, reading, len(before.names)):
                try:
                    yield number, split_line(text, reading)
                except csv.Error:  # quotes that make no fields
                    yield number, [text]


def count_lines(path: Path, member: str | None = None) -> int:
    """Line ends in a file, at least as many as it has rows; exact but for blank lines and quoted line ends."""
    with open_bytes(path, member) as file:
        lines, last = 0, b"\n"
        while block := file.read(BLOCK):
            feeds = block.count(b"\n")
            lines += feeds or block.count(b"\r")
            last = block[-1:]
    return lines + (last not in b"\r\n")


def line_starts(path: Path, size: int, reading: Reading) -> list[int]:
    """Places where lines of a plain CSV begin, about ``size`` bytes apart: after the header, ..., the file's end."""
    end = path.stat().st_size
    before = header_line(path, reading)
    with open(path, "rb") as file:
        for _ in range(before.lines):
            file.readline()
        starts = [file.tell()]
        for place in range(starts[0] + size, end, size):
            if place > starts[-1]:
                file.seek(place - 1)
                file.readline()
                starts.append(min(file.tell(), end))
    return list(dict.fromkeys([*starts, end]))
