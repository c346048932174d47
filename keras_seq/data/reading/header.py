"""The header of a text file: the lines that come before the rows, and the names that they give to the columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from keras_seq.data.reading.lines import LONGEST_RECORD, numbered_lines, split_line
from keras_seq.data.reading.reading import Reading
from keras_seq.data.reading.values import holds_number
from keras_seq.errors import DataError

MOST_COLUMNS = 100_000


@dataclass(frozen=True)
class HeaderLine:
    """What comes before the rows of a file.

    Attributes:
        lines: how many lines of the file.
        text: of the header; "" where there is none.
        names: of the columns as they stand there, or as the reading has them.
    """

    lines: int
    text: str
    names: tuple[str, ...]


def find_header(file: IO[str], reading: Reading, path: Path) -> HeaderLine:
    """The header of an open file, at its beginning.

    Raises:
        DataError: its quotes make no names, or it has more columns than any table.
    """
    comment, last, found, text = reading.comment, "", 0, ""
    lines = numbered_lines(file, path)
    for number, line in lines:
        if number <= reading.skip_lines or not line.strip(reading.blanks):
            continue
        if comment and line.startswith(comment):
            last = line
            continue
        if reading.header in ("comment", "none"):
            return _named(number - 1, last, comment, reading, path)
        found, text = number, line
        while text.count('"') % 2 and len(text) < LONGEST_RECORD and (more := next(lines, None)):
            found, text = more[0], f"{text}\n{more[1]}"
        break
    else:
        return HeaderLine(found, "", reading.names)
    if reading.units_line:
        found = _below_units(lines, found, reading)
    return HeaderLine(found, text, _fields(text, reading, path))


def _named(lines: int, comment_line: str, comment: str, reading: Reading, path: Path) -> HeaderLine:
    """The names of a file whose first line is a row."""
    if reading.header == "none":
        return HeaderLine(lines, "", reading.names)
    text = comment_line.removeprefix(comment).strip(" \t")
    return HeaderLine(lines, text, _fields(text, reading, path))


def _below_units(lines: Iterator[tuple[int, str]], found: int, reading: Reading) -> int:
    """Lines up to and with the one of units, where it is there."""
    for number, line in lines:
        if line.strip(reading.blanks):
            try:
                return number if not any(map(holds_number, split_line(line, reading))) else found
            except csv.Error:
                return found
    return found


def _fields(text: str, reading: Reading, path: Path) -> tuple[str, ...]:
    try:
        names = split_line(text, reading)
    except csv.Error as error:
        raise DataError(
            f"The header of '{path}' cannot be read ({error}): {text[:60]!r}. Mend its quotes, or write the names anew."
        ) from None
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"The header of '{path}' names {len(names)} columns, {MOST_COLUMNS} are read at most. Write the columns as "
            "rows (unit, time, value), or choose some of them."
        )
    return tuple(names)
