"""Rows of text that come line by line, read as those of a file of the same dialect."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain

from keras_seq.data.reading.lines import split_line
from keras_seq.data.reading.reading import Reading
from keras_seq.data.reading.stream import is_comment
from keras_seq.data.reading.values import holds_number


class LineStream:
    """Lines of a table, the header's taken off.

    Args:
        lines: as they come, with their ends.
        reading: how the table is written; None: a header, and rows of one delimiter.

    Attributes:
        header: text of the header; "" where there is none.
        names: of the columns where no header names them; else empty.
    """

    def __init__(self, lines: Iterable[str], reading: Reading | None) -> None:
        reading = reading or Reading()
        self._lines: Iterator[tuple[int, str]] = enumerate(lines, 1)
        self.header, self.names = "", reading.names if reading.header == "none" else ()
        comment = ""
        for number, line in self._lines:
            text = line.lstrip("\ufeff") if number == 1 else line
            if number <= reading.skip_lines:
                continue
            if reading.comment and text.startswith(reading.comment):
                comment = text.removeprefix(reading.comment).strip(" \t\r\n")
                continue
            if reading.header in ("line", "numbers"):
                self.header = text
            else:
                self.header = comment if reading.header == "comment" else ""
                self._lines = chain([(number, text)], self._lines)
            break

    def rows(self, reading: Reading, columns: int) -> Iterator[tuple[int, list[str]]]:
        """Number of its line, from 1, and fields of every row, as soon as it is there; empty lines have none.

        Args:
            reading: how they are written.
            columns: how many fields a row has.
        """
        self._number = 0
        blanks = reading.delimiter == " "
        rows = csv.reader(self._wanted(reading, columns), delimiter=reading.delimiter, skipinitialspace=blanks)
        for row in rows:
            yield self._number, row

    def _wanted(self, reading: Reading, columns: int) -> Iterator[str]:
        units = reading.units_line
        for number, line in self._lines:
            self._number = number
            filled = line.strip(f"{reading.blanks}\r\n")
            if is_comment(line, reading, columns):
                continue
            if filled and units:
                units = False
                if not any(map(holds_number, split_line(line.rstrip("\r\n"), reading))):
                    continue
            yield line.replace("\t", " ").strip(" \r\n") + "\n" if reading.delimiter == " " else line
