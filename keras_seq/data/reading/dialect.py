"""CSV dialect sniffed from a file's head: encoding, delimiter, lines before the header, names of rows."""

from __future__ import annotations

import codecs
import csv
from dataclasses import dataclass
from pathlib import Path

from keras_seq.data.reading.reading import UNNAMED, Reading
from keras_seq.data.reading.stream import header_line, read_head
from keras_seq.errors import ConfigError, DataError

HEAD = 2**18  # bytes looked at
LINES = 200  # lines whose fields are counted
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "'|'"}
_BINARY = {
    b"PK\x03\x04": "a zip or Excel file; save the sheet as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save the sheet as CSV (UTF-8)",
    b"PAR1": "a Parquet file; rename it to end in .parquet",
    b"BZh": "packed with bzip2; unpack it first",
    b"\xfd7zXZ": "packed with xz; unpack it first",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it first",
}
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Options:
    """Dialect options given by the user; None where the file tells."""

    encoding: str | None = None
    delimiter: str | None = None
    row_names: bool | None = None


def sniff_dialect(path: Path, options: Options) -> tuple[Reading, list[str]]:
    """Encoding, delimiter, comment lines and names of rows, and remarks on what is not usual.

    Raises:
        DataError: the file is no text, has another encoding than the one given, or its delimiter cannot be told.
    """
    head = read_head(path, HEAD)
    encoding, remarks = _encoding(head, path, options.encoding)
    lines = [line for line in _decode(head, encoding, path).splitlines() if line.strip()]
    if len(head) == HEAD:
        lines = lines[:-1] or lines  # the last one is cut
    comment = next((mark for mark in ("#", "sep=") if lines and lines[0].startswith(mark)), "")
    rows = [line for line in lines if not (comment and line.startswith(comment))]
    if comment == "#" and (not rows or _is_header(lines[0], rows, options.delimiter)):
        comment, rows = "", lines
    delimiter = options.delimiter or _delimiter(rows, path)
    row_names, open_ends = _longer_rows(rows, delimiter, path, options.row_names)
    if comment:
        remarks.append(f"begins with lines of '{comment}', which are passed over")
    if delimiter != ",":
        remarks.append(f"is separated by {DELIMITERS.get(delimiter, repr(delimiter))}")
    if row_names:
        remarks.append("has rows that begin with a field without a name in the header, which is left out")
    if open_ends:
        remarks.append("has a delimiter at the ends of its rows, which is passed over")
    return Reading(
        encoding=encoding, delimiter=delimiter, comment=comment, row_names=row_names, open_ends=open_ends
    ), remarks


def csv_names(path: Path, reading: Reading) -> list[str]:
    """Names of the columns in file order; one without a name is called ``unnamed_<position>``.

    Names of rows are not among them. A file whose delimiter is not the reading's is refused by its header.

    Raises:
        DataError: the file cannot be decoded, is empty or has no header.
    """
    try:
        _, _, line = header_line(path, reading)
    except (UnicodeDecodeError, LookupError, OSError, EOFError) as error:
        raise DataError(
            f"File '{path}' cannot be read as text in {reading.encoding} ({error}); convert it, or name its encoding "
            "(--data.encoding cp1252)."
        ) from None
    if not line.strip():
        raise DataError(f"File '{path}' is empty; it needs a header line and rows.")
    try:
        names = next(csv.reader(line.splitlines(keepends=True), delimiter=reading.delimiter))
    except csv.Error as error:
        raise DataError(
            f"The header of '{path}' cannot be read ({error}): {line[:60]!r}. Mend its quotes, or write the names anew."
        ) from None
    if all(is_number(name) for name in names):
        raise DataError(
            f"File '{path}' seems to have no header: its first line is {line.strip()[:60]!r}. Put a line of column "
            "names in front."
        )
    if reading.open_ends:
        names.append("")
    return [(name.strip() and name) or f"{UNNAMED}{place}" for place, name in enumerate(names, 1)]


def trailing_names(names: list[str]) -> int:
    """How many columns at the end have no name: what delimiters at the ends of lines leave."""
    count = 0
    while count < len(names) and names[-1 - count] == f"{UNNAMED}{len(names) - count}":
        count += 1
    return count


def _encoding(head: bytes, path: Path, asked: str | None) -> tuple[str, list[str]]:
    for magic, what in _BINARY.items():
        if head.startswith(magic):
            raise DataError(f"File '{path}' is {what}.")
    if asked:
        return _known_encoding(asked), []
    for mark, name in _MARKS:
        if head.startswith(mark):
            remark = "a byte order mark" if name == "utf-8" else "the byte order mark of UTF-16"
            return name, [f"begins with {remark}, which is passed over"]
    if b"\0" in head:
        raise DataError(f"File '{path}' holds bytes that no text has; a CSV or Parquet file is wanted.")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        return "utf-8", []
    except UnicodeDecodeError as error:
        line = head[: error.start].count(b"\n") + 1
        remark = (
            f"is not UTF-8 (byte 0x{head[error.start]:02x} in line {line}): read as Windows-1252, data.encoding says it"
        )
        return "cp1252", [remark]


def _known_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ConfigError(f"data.encoding={name!r} is no known encoding; use utf-8, cp1252, utf-16, ...") from None


def _decode(head: bytes, encoding: str, path: Path) -> str:
    try:
        return codecs.getincrementaldecoder(encoding.replace("utf-8", "utf-8-sig"))().decode(head)
    except UnicodeDecodeError as error:
        raise DataError(f"File '{path}' cannot be read as text in {encoding}: {error}. Name its encoding.") from None


def _is_header(line: str, rows: list[str], delimiter: str | None) -> bool:
    """Whether a line that begins with '#' names the columns: it has as many fields as every row below."""
    delimiter = delimiter or max(DELIMITERS, key=line.count)
    wanted = line.count(delimiter)
    return wanted > 0 and all(row.count(delimiter) == wanted for row in rows[:LINES])


def _delimiter(rows: list[str], path: Path) -> str:
    """The delimiter by which the most of the first lines have the header's number of fields, and that above one."""
    if not rows:
        return ","
    scores = {}
    for delimiter in DELIMITERS:
        counts = _fields(rows[:LINES], delimiter)
        fitting = sum(count in (counts[0], counts[0] + 1) for count in counts) / len(counts)
        scores[delimiter] = (counts[0] > 1, fitting > 0.9, counts[0] * fitting)
    best = max(scores, key=lambda one: scores[one])
    if not scores[best][0]:
        _refuse_blanks(rows, path)
        _refuse_preamble(rows, path)
        return ","
    return best


def _fields(rows: list[str], delimiter: str) -> list[int]:
    """Fields of each row; 1 for all where quotes make no rows of them."""
    return [len(row) for row in _split(rows, delimiter)]


def _split(rows: list[str], delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(rows, delimiter=delimiter) if row]
    except csv.Error:  # a quote that never ends
        return [[row] for row in rows]


def _longer_rows(rows: list[str], delimiter: str, path: Path, asked: bool | None) -> tuple[bool, bool]:
    """Whether rows with one field more than the header begin with a name, or end with a delimiter.

    Raises:
        DataError: neither is certain: a decimal comma may have cut a number in two.
    """
    if not rows:
        return False, False
    fields = _split(rows[:LINES], delimiter)
    header, body = fields[0], fields[1:]
    longer = bool(body) and all(len(row) == len(header) + 1 for row in body)
    if not longer or asked is False:
        return False, False
    if not any(row[-1].strip() for row in body):
        return False, True
    names_quoted = rows[0].count('"') == 2 * len(header)
    if asked or (names_quoted and all(row.startswith('"') for row in rows[1:LINES])):  # as R writes tables
        return True, False
    raise DataError(
        f"The rows of '{path}' have {len(body[0])} fields, its header names {len(header)}: {rows[1][:60]!r}. Where "
        "rows begin with a name or number of their own, say --data.row_names true; where a decimal comma cut a "
        "number in two, write the file anew with points or quotes."
    )


def _refuse_blanks(rows: list[str], path: Path) -> None:
    counts = {len(line.split()) for line in rows[1:50]}
    if len(counts) == 1 and counts.pop() == len(rows[0].split()) > 1:
        target = path.with_name(path.stem + "_commas.csv")
        raise DataError(
            f"File '{path}' seems to be separated by blanks; commas, semicolons, tabs and '|' are read. Convert it "
            f'(and give header=None and names=[...] where it has no header): python -c "import pandas as pd; '
            f"pd.read_csv({str(path)!r}, sep=r'\\s+').to_csv({str(target)!r}, index=False)\""
        )


def _refuse_preamble(rows: list[str], path: Path) -> None:
    """Refuse a file whose first lines tell of it, and whose header comes further down.

    Raises:
        DataError: most lines have the same number of fields, above one; the first line has one.
    """
    for delimiter, words in DELIMITERS.items():
        counts = _fields(rows[:LINES], delimiter)
        usual = max(set(counts), key=counts.count)
        if usual > 1 and 2 * counts.count(usual) > len(counts) > 2:
            raise DataError(
                f"File '{path}' begins with {rows[0][:60]!r}, which is no header: most of its lines have {usual} "
                f"fields between {words}, the first of them is {rows[counts.index(usual)][:60]!r}. Take out the lines "
                "before the header, or write '#' in front of each."
            )


def is_number(text: str) -> bool:
    """Whether Python reads a text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
