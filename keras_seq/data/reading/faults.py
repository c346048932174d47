"""Error messages for malformed files: line, column, value, and how to mend them."""

from __future__ import annotations

import re
from pathlib import Path

from keras_seq.data.formats.converted import is_text, parquet_of
from keras_seq.data.formats.roles import roles_of
from keras_seq.data.reading.reading import Kind, Reading
from keras_seq.data.reading.stream import file_lines, header_line, is_plain
from keras_seq.errors import DataError, nearest, shorten

_RAGGED = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
_VALUE = re.compile(
    r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to \w+.*?: invalid value '(.*)'", re.S
)

MOST_BELOW = 5  # lines at a file's end that may be a footer


def explain(
    text: str, path: Path, names: list[str], kinds: dict[str, Kind], reading: Reading, span: tuple[int, int] | None
) -> DataError:
    """Error for Arrow's message ``text``, with line, column and value of the file."""
    if ragged := _RAGGED.search(text):
        place, wanted, got = map(int, ragged.groups())
        line, words = _line(path, _data_row(path, place, reading, span), reading)
        shown = reading.delimiter.join(words)[:80]
        counts = f"{got} columns, the header has {wanted}"
        if reading.header == "none":
            counts = f"{got} columns, its first line has {wanted}"
        return DataError(
            f"Line {line} of '{path}' has {counts}: {shown!r}. Mend the line; a value "
            f"that is missing stays empty between its delimiters.{_passed_over(path, line, shown, reading)}"
        )
    if value := _VALUE.search(text):
        column, row_text, wrong = value.groups()
        row = _data_row(path, int(row_text), reading, span) if row_text else None
        name = names[int(column)]
        return not_a_number(path, name, wrong, row, reading, clock=kinds.get(name) == "clock")
    if "Could not skip initial" in text or "Empty CSV" in text:
        return no_rows(path, reading)
    if "straddl" in text or "out of sync" in text:
        return DataError(
            f"File '{path}' has a quote that is never closed, or a line of more than a million characters: it is no "
            "table of rows, or its line ends were lost. Mend it there."
        )
    if "UTF8" in text or "UTF-8" in text or "codec can't decode" in text:
        return DataError(
            f"File '{path}' is not written in {reading.encoding} throughout ({text.splitlines()[0][:120]}). Convert "
            "it, or name its encoding (--data.encoding cp1252)."
        )
    return DataError(f"File '{path}' cannot be read as CSV: {text.splitlines()[0][:200]}.")


def no_rows(path: Path, reading: Reading) -> DataError:
    """The error for a file without rows."""
    return DataError(f"File '{path}' {'holds' if reading.header == 'none' else 'has a header but'} no rows.")


def _passed_over(path: Path, line: int, shown: str, reading: Reading) -> str:
    """How a line that is no row can be passed over: a comment, or what stands below the table."""
    hints = ""
    if shown.startswith(("#", "//", "%", "--", "!")) and reading.comments != "all":
        mark = shown[: 2 if shown[:2] in ("//", "--") else 1]
        hints = f" Lines that begin with '{mark}' are passed over with --data.comment '{mark}'."
    below = sum(number >= line for number, _ in file_lines(path, reading))
    return f"{hints} If the table ends above it, say --data.skip_footer {below}." if below <= MOST_BELOW else hints


def not_a_number(
    path: Path, name: str, value: str, row: int | None, reading: Reading, *, clock: bool = False
) -> DataError:
    """A value that is no number, by its data row from 1 (None: not known)."""
    if row and not is_text(path, reading):
        where = _converted_row(path, row, reading)
    else:
        where = f"line {_line(path, row, reading)[0]}" if row else "a line"
    if clock:
        return DataError(
            f"Column '{name}' of '{path}' must hold a time, a number as in its other rows, got {shorten(value)} "
            f"({where}). Mend the value."
        )
    if re.fullmatch(r"[+-]?[\d.,' ]*\d[\d.,' ]*", value.strip()):
        marks = reading.marks_of(name)
        where += (
            f"; numbers are read with '{marks.decimal}' as decimal mark and "
            + (f"'{marks.thousands}'" if marks.thousands else "no mark")
            + " between thousands, data.decimal and data.thousands say otherwise"
        )
    if re.fullmatch(r"[+-]?[\d.,' ]*\d\s?%|[$€£¥]\s?[+-]?[\d.,' ]*\d|[+-]?[\d.,' ]*\d\s?[$€£¥]", value.strip()):
        where += "; signs of per cent and of money are no part of a number: write the plain numbers"
    if "\n" in value:
        where += "; its opening quote is closed on a later line or never"
    return DataError(not_number_text(path, name, shorten(value), where))


def _converted_row(path: Path, row: int, reading: Reading) -> str:
    """Place of a data row, from 1, of a file that was converted: in its unit, where the file itself has units."""
    from pyarrow import parquet

    file = parquet_of(path, reading)
    unit = roles_of(parquet.read_schema(file)).unit if file != path else None
    if unit is None:
        return f"data row {row}"
    units = parquet.read_table(file, columns=[unit])[unit].slice(0, row)
    name = units[row - 1].as_py()
    first = next(place for place, one in enumerate(units) if one.as_py() == name)
    return f"row {row - first} of {unit} '{name}'"


def not_number_text(path: Path, name: str, value: str, where: str) -> str:
    """The message for a value that is no number."""
    return (
        f"Column '{name}' of '{path}' must hold numbers, got {value} ({where}). Mend the value (empty: missing; a word "
        "that stands for missing: data.missing_texts), or leave the column out of data.features."
    )


def no_column(path: Path, name: str, names: list[str], reading: Reading | None) -> str:
    """The message for a column that is not there, or for a file with another delimiter."""
    if reading is not None and len(names) == 1:
        other = max(",;\t|", key=names[0].count)
        if other != reading.delimiter and names[0].count(other):
            return (
                f"File '{path}' is separated by {other!r}, expected {reading.delimiter!r} as in the table the schema "
                "was made from. Write it alike."
            )
    return f"File '{path}' has no column '{name}'{nearest(name, names)}"


def _data_row(path: Path, row: int, reading: Reading, span: tuple[int, int] | None) -> int:
    """Data row, from 1, of Arrow's row number, which counts the lines before the rows of a plain file too."""
    if span:
        return row + _filled_lines(path, span[0]) - 1
    return row - header_line(path, reading).lines if is_plain(path, reading) else row


def _filled_lines(path: Path, place: int) -> int:
    """Lines with something in them before a byte of the file."""
    with open(path, "rb") as file:
        count = 0
        while file.tell() < place:
            count += file.readline().strip(b"\r\n") != b""
    return count


def _line(path: Path, row: int, reading: Reading) -> tuple[int, list[str]]:
    """File line and fields of a data row."""
    for place, (number, words) in enumerate(file_lines(path, reading), start=1):
        if place == row:
            return number, words
    return row, []
