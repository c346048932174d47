"""What the first lines of a text file are: a preamble, the header, units of measure, or already rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from keras_seq.data.reading.lines import split_text
from keras_seq.data.reading.values import column_kinds, holds_number, is_number, kind_of

LINES = 200  # lines whose fields are counted
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "'|'"}
BLANK = " "  # stands for any number of blanks and tabs
LONGEST_PREAMBLE = 100  # lines
NO_UNIT = ("-", "\u2013", "\u2014")  # of a column without one
Fields = Sequence[Sequence[str]]
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?: \d{3})+")


def split_rows(rows: Sequence[str], delimiter: str) -> list[list[str]]:
    """Fields of each line; one field where quotes make none."""
    return [_split(row, delimiter) for row in rows]


def preamble(rows: Sequence[str], delimiters: Sequence[str]) -> tuple[int, str] | None:
    """How many lines come before the table, and its delimiter; None where no one reading fits.

    From some line on, nearly all lines have the same number of fields, above one; no line before it has that many. Of
    several readings the one that begins higher up has the header, too; a decimal comma cuts the rows alone.
    """
    best = None
    for delimiter in delimiters:
        counts = [len(fields) for fields in split_rows(rows[:LINES], delimiter)]
        usual = max(set(counts), key=counts.count)
        place = counts.index(usual)
        table = [count for count, row in zip(counts[place:], rows[place:], strict=False) if row[:1] != "#"]
        if usual < 2 or not 0 < place <= LONGEST_PREAMBLE or len(table) < 3:
            continue
        if table.count(usual) >= 0.95 * len(table) and (best is None or (-place, usual) > best[:2]):
            best = (-place, usual, delimiter)
    return best and (-best[0], best[2])


def between_blanks(rows: Sequence[str]) -> bool:
    """Whether lines are fields between blanks: nearly all have the first one's number, above one."""
    counts = [len(fields) for fields in split_rows(rows[:LINES], BLANK)]
    fitting = sum(count in (counts[0], counts[0] + 1) for count in counts)
    return len(counts) > 1 and 1 < counts[0] <= counts[1] <= counts[0] + 1 and fitting >= 0.95 * len(counts)


def cuts_numbers(rows: Sequence[str], delimiter: str) -> bool:
    """Whether a delimiter would cut rows of numbers between blanks: ``0,5 1,2`` by commas, one tab among blanks."""
    if delimiter == BLANK or not between_blanks(rows):
        return False
    body = split_rows(rows[1:LINES], delimiter)
    cut = sum(any(map(_holds_numbers, row)) for row in body)
    single = all(field.count(delimiter) < 2 for row in split_rows(rows[1:LINES], BLANK) for field in row)
    return single and 2 * cut > len(body)


def _holds_numbers(field: str) -> bool:
    """Whether a field is several numbers with blanks between them, and not one with blanks between thousands."""
    parts = field.split()
    return len(parts) > 1 and all(map(is_number, parts)) and not _THOUSANDS.fullmatch(field.strip())


def judge_first(first: Sequence[str], body: Fields) -> Literal["header", "row", "either"]:
    """Whether the first line names the columns or is a row as the others.

    It is a row where each of its fields is of its column's kind, and one is a number. Numbers that count up, or that
    stand beside a word found nowhere below, may be names: either.
    """
    kinds = column_kinds(body)
    pairs = [
        (place, own, kind)
        for place, (own, kind) in enumerate(zip(map(kind_of, first), kinds, strict=False))
        if "missing" not in (own, kind)
    ]
    if len(first) != len(kinds) or not any(kind == "number" for _, _, kind in pairs):
        return "header"
    if any(own != kind for _, own, kind in pairs):
        return "header"
    if _counts_up(first) and not _counts_up(body[0]):
        return "either"
    words = [place for place, own, _ in pairs if own == "word"]
    if not words or any(own == "date" for _, own, _ in pairs):
        return "row"
    if any(row[place] == first[place] for place in words for row in body if place < len(row)):
        return "row"
    numbers = [float(first[place]) for place, own, _ in pairs if own == "number" and is_number(first[place])]
    rising = len(numbers) > 1 and all(low < high for low, high in pairwise(numbers))
    return "either" if rising else "row"


def names_numbers(first: Sequence[str], body: Fields) -> bool:
    """Whether a line surely names the columns: words above numbers, and no number or date."""
    kinds = column_kinds(body)
    own = [kind_of(field) for field in first]
    return (
        len(own) == len(kinds)
        and not {"number", "date"} & set(own)
        and ("word", "number") in set(zip(own, kinds, strict=True))
    )


def is_units(second: Sequence[str], body: Fields, missing: Sequence[str]) -> bool:
    """Whether a line below the header holds units of measure: texts where all rows below it hold numbers.

    Args:
        second: its fields.
        body: fields of the rows below it.
        missing: words that stand for a missing value.
    """
    if len(body) < 2 or len(second) != len(body[0]) or any(map(holds_number, second)):
        return False
    kinds = column_kinds(body)
    numbers = [place for place, kind in enumerate(kinds) if kind == "number"]
    units = [second[place].strip() for place in numbers if kind_of(second[place]) == "word"]
    below = {field.strip() for row in body for field in row} | set(missing)
    named = [unit for unit in units if len(unit) <= 20 and re.search(r"[^\W\d_]|[%°\[(]", unit) and unit not in below]
    told = len(named) + sum(unit in NO_UNIT for unit in units)
    return bool(named) and 2 * told > len(numbers) and told == len(units)


def _counts_up(fields: Sequence[str]) -> bool:
    """Whether fields are three or more whole numbers, each one above the last."""
    if len(fields) < 3 or not all(re.fullmatch(r"\d{1,9}", field.strip()) for field in fields):
        return False
    numbers = [int(field) for field in fields]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _split(row: str, delimiter: str) -> list[str]:
    try:
        return split_text(row, delimiter)
    except csv.Error:
        return [row]
