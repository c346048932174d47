"""Lines of a text file: their numbers, their fields, and the bound of their length."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from keras_seq.data.reading.reading import Reading
from keras_seq.errors import DataError

LONGEST_LINE = 2**26  # characters
LONGEST_RECORD = 2**16  # characters of a quoted text with line ends in it, where its quote never ends


def numbered_lines(file: IO[str], path: Path, skip: int = 0, *, quoted: bool = False) -> Iterator[tuple[int, str]]:
    """Numbers, from 1, and texts of the lines of an open file, without their ends.

    Args:
        file: at its beginning.
        path: for messages.
        skip: lines passed over.
        quoted: whether a line end inside quotes belongs to the text; the number is that of the first line.

    Raises:
        DataError: a line does not end within ``LONGEST_LINE`` characters.
    """
    number = 0
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise too_long(path)
        number += 1
        line = line.removeprefix("\ufeff") if number == 1 else line
        if number <= skip:
            continue
        first, text = number, line.rstrip("\n")
        while quoted and text.count('"') % 2 and len(text) < LONGEST_RECORD and (more := file.readline(LONGEST_LINE)):
            number, text = number + 1, f"{text}\n{more.rstrip(chr(10))}"
        yield first, text


def split_line(text: str, reading: Reading) -> list[str]:
    """Fields of one line, quotes taken off.

    Raises:
        csv.Error: its quotes make no fields.
    """
    return split_text(text, reading.delimiter)


def split_text(text: str, delimiter: str) -> list[str]:
    """Fields of one line between delimiters; between runs of blanks where the delimiter is a blank."""
    if delimiter != " ":
        return next(csv.reader((f"{line}\n" for line in text.split("\n")), delimiter=delimiter), [])
    line = text.replace("\t", " ").strip(" ")
    return next(csv.reader([line], delimiter=" ", skipinitialspace=True), [])


def too_long(path: Path) -> DataError:
    """The error for a line without an end."""
    return DataError(
        f"File '{path}' has a line of more than {LONGEST_LINE // 2**20} million characters: it is no table of rows, or "
        "its line ends were lost. Write a line for every row."
    )
