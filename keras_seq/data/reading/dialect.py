"""CSV dialect sniffed from a file's head: encoding, delimiter, lines before the rows, names of rows."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_seq.config import DataConfig
from keras_seq.data.reading.encoding import decode_head, head_encoding
from keras_seq.data.reading.first_lines import (
    BLANK,
    DELIMITERS,
    LINES,
    between_blanks,
    cuts_numbers,
    is_units,
    judge_first,
    names_numbers,
    preamble,
    split_rows,
)
from keras_seq.data.reading.lines import numbered_lines
from keras_seq.data.reading.reading import UNNAMED, Reading
from keras_seq.data.reading.stream import header_line, read_head
from keras_seq.data.reading.values import is_number
from keras_seq.errors import ConfigError, DataError

HEAD = 2**18  # bytes looked at
Row = tuple[int, str]  # number of its line in the file, text


@dataclass(frozen=True)
class Dialect:
    """How a file's text becomes rows.

    Attributes:
        reading: the dialect's part of it.
        remarks: what is not usual.
        choices: what two readings fit, and which was taken.
    """

    reading: Reading
    remarks: tuple[str, ...]
    choices: tuple[str, ...]


def sniff_dialect(path: Path, config: DataConfig) -> Dialect:
    """How a file is written, as far as ``data.encoding``, ``data.delimiter`` ... leave it open.

    Raises:
        ConfigError: an option that does not fit the file.
        DataError: the file is no text, has another encoding than the one given, or its delimiter cannot be told.
    """
    return _Sniffer(path, config).sniff()


class _Sniffer:
    """The head of a file, and what is known of it so far."""

    def __init__(self, path: Path, config: DataConfig) -> None:
        self.path, self.config = path, config
        self.remarks: list[str] = []
        self.choices: list[str] = []
        self._last_comment = ""  # before the rows, without its mark
        self._inner: list[Row] = []  # lines of '#' below the first row
        self.known: dict[str, Any] = {"member": config.member, "skip_footer": config.skip_footer or 0}

    def sniff(self) -> Dialect:
        """All of it, each step on the rows that the one before left."""
        rows = self._comments(self._lines())
        delimiter, rows = self._delimiter(rows)
        rows = self._inner_comments(rows, delimiter)
        fields = split_rows([text for _, text in rows[:LINES]], delimiter)
        self._header(rows, fields, delimiter)
        row_names, open_ends = self._longer_rows(rows, fields, delimiter)
        if self.known["comment"]:
            self.remarks.append(f"begins with lines of '{self.known['comment']}', which are passed over")
        if delimiter != ",":
            self.remarks.append(
                f"is separated by {'blanks' if delimiter == BLANK else DELIMITERS.get(delimiter, repr(delimiter))}"
            )
        if row_names:
            self.remarks.append("has rows that begin with a field without a name in the header, which is left out")
        if open_ends:
            self.remarks.append("has a delimiter at the ends of its rows, which is passed over")
        reading = Reading(delimiter=delimiter, row_names=row_names, open_ends=open_ends, **self.known)
        return Dialect(reading, tuple(self.remarks), tuple(self.choices))

    def _lines(self) -> list[Row]:
        """The filled lines of the head; quoted line ends make no lines where rows fit only so."""
        config = self.config
        head = read_head(self.path, HEAD, config.member)
        encoding, remark = head_encoding(head, self.path, config.encoding)
        self.known["encoding"] = encoding
        self.remarks += [remark] if remark else []
        text = decode_head(head, encoding, self.path)
        lines = self._numbered(text, quoted=False, cut=len(head) >= HEAD)
        together = self._numbered(text, quoted=True, cut=len(head) >= HEAD) if '"' in text else lines
        quoted = config.quoted_lines
        if quoted is None and _fits_quoted(lines, together):
            quoted = any("\n" in row[1] for row in together[1:])
            lines = together
            if quoted:
                self.remarks.append("has quoted texts with line ends in them")
        self.known["quoted_lines"] = bool(quoted)
        lines = together if quoted else lines
        skip = config.skip_lines or 0
        self.known["skip_lines"] = skip
        return [row for row in lines if row[0] > skip]

    def _numbered(self, text: str, *, quoted: bool, cut: bool) -> list[Row]:
        lines = list(numbered_lines(io.StringIO(text, newline=None), self.path, quoted=quoted))
        if cut:
            lines = lines[:-1] or lines
        return [row for row in lines if row[1].strip()]

    def _comments(self, lines: list[Row]) -> list[Row]:
        """The lines without those that the file begins with and that begin with '#' or 'sep='."""
        config = self.config
        told = config.comment
        mark = next((mark for mark in ("#", "sep=") if lines and lines[0][1].startswith(mark)), "")
        mark = mark if told is None else told
        rows = [row for row in lines if not (mark and row[1].startswith(mark))]
        if mark == "#" and not told and (not rows or _names_columns(lines[0][1], rows, config.delimiter)):
            mark, rows = "", lines
        self.known |= {"comment": mark, "comments": "all" if told else "head"}
        if mark and rows:
            above = [text for number, text in lines if number < rows[0][0] and text.startswith(mark)]
            self._last_comment = above[-1].removeprefix(mark).strip(" \t") if above else ""
            self._inner = [row for row in lines if row[0] > rows[0][0] and row[1].startswith("#")]
        return rows

    def _inner_comments(self, rows: list[Row], delimiter: str) -> list[Row]:
        """The rows without lines of '#' that have another number of fields."""
        if self.known["comments"] == "all" or not rows:
            return rows
        columns = len(split_rows([rows[0][1]], delimiter)[0])
        inner = self._inner or [row for row in rows[1:] if row[1].startswith("#")]
        unlike = [row for row in inner if columns < 2 or len(split_rows([row[1]], delimiter)[0]) != columns]
        if not unlike or (self.known["comment"] not in ("", "#")):
            return rows
        self.known |= {"comment": "#", "comments": "other"}
        self.remarks.append(f"has lines of '#' among its rows (line {unlike[0][0]}), which are passed over")
        return [row for row in rows if row not in unlike]

    def _delimiter(self, rows: list[Row]) -> tuple[str, list[Row]]:
        """The delimiter, and the rows without what comes before the header.

        It is the one by which most of the first lines have the first one's number of fields, and that above one.
        """
        texts = [text for _, text in rows]
        asked = self.config.delimiter
        if not texts:
            return asked or ",", rows
        choices = [asked] if asked else list(DELIMITERS)
        scores = {}
        for delimiter in choices:
            counts = [len(fields) for fields in split_rows(texts[:LINES], delimiter)]
            fitting = sum(count in (counts[0], counts[0] + 1) for count in counts) / len(counts)
            scores[delimiter] = (counts[0] > 1, fitting > 0.9, counts[0] * fitting)
        best = max(scores, key=lambda one: scores[one])
        if scores[best][:2] == (True, True):
            if self.config.skip_lines is None and (place := _longer_below(texts, best)):
                return self._below_preamble(rows, place, best)
            return (BLANK if not asked and cuts_numbers(texts, best) else best), rows
        if self.config.skip_lines is None and self.config.header is not False:
            found = preamble(texts, choices)
            blanks = not asked and between_blanks(texts)
            if found and blanks and (cuts_numbers(texts, found[1]) or _fewer(texts, *found)):
                return BLANK, rows
            if not (found or asked or blanks):
                found = preamble(texts, [BLANK])
            if found:
                return self._below_preamble(rows, *found)
        if not asked and not scores[best][0] and between_blanks(texts):
            return BLANK, rows
        return asked or (best if scores[best][0] else ","), rows

    def _below_preamble(self, rows: list[Row], place: int, delimiter: str) -> tuple[str, list[Row]]:
        """The rows from the header on.

        Raises:
            DataError: the first line with as many fields as the others is a row: nothing names the columns.
        """
        fields = split_rows([text for _, text in rows[place : place + LINES]], delimiter)
        if self.config.header is None and judge_first(fields[0], fields[1:]) != "header":
            words = "blanks" if delimiter == BLANK else DELIMITERS.get(delimiter, repr(delimiter))
            raise DataError(
                f"File '{self.path}' begins with {rows[0][1][:60]!r}, which is no header: most of its lines have "
                f"{len(fields[0])} fields between {words}, the first of them is {rows[place][1][:60]!r}. Say how many "
                "lines come before the rows, and that no header is among them "
                f"(--data.skip_lines {rows[place][0] - 1} --data.header false)."
            )
        skip = rows[place][0] - 1
        self.known["skip_lines"] = skip
        lines = "a line" if skip == 1 else f"{skip} lines"
        self.remarks.append(f"has {lines} before its header, line {skip + 1}: {rows[0][1][:40]!r}; passed over")
        return delimiter, rows[place:]

    def _header(self, rows: list[Row], fields: list[list[str]], delimiter: str) -> None:
        """Whether the first row names the columns, and what names them else."""
        config = self.config
        if not fields:
            return
        judged = judge_first(fields[0], fields[1:]) if len(fields) > 1 else "header"
        asked = config.header
        if asked is None and config.names and judged == "header":
            raise ConfigError(
                f"data.names names the columns of a file without a header, but '{self.path}' begins with "
                f"{rows[0][1][:60]!r}. Leave data.names out, or say --data.header false where that is a row."
            )
        if asked is None and judged == "either":
            self.choices.append(
                f"line {rows[0][0]}, {rows[0][1][:40]!r}, can name the columns or be a row; it is taken for names, "
                "data.header says otherwise"
            )
        if asked is True or (asked is None and judged != "row"):
            numbers = all(is_number(name) for name in fields[0])
            self.known["header"] = "numbers" if numbers and (asked or judged == "either") else "line"
            self._units(fields, rows)
            return
        self._without_header(fields, delimiter)

    def _without_header(self, fields: list[list[str]], delimiter: str) -> None:
        config = self.config
        counts = [len(row) for row in fields]
        width = max(set(counts), key=counts.count)
        last = split_rows([self._last_comment], delimiter)[0] if self._last_comment else []
        if not config.names and len(last) == width and len(set(last)) == width and not any(map(is_number, last)):
            self.known["header"] = "comment"
            self.remarks.append(f"names its columns in a comment, {self._last_comment[:40]!r}")
            return
        if config.names and len(config.names) != width:
            raise ConfigError(
                f"data.names holds {len(config.names)} names, but '{self.path}' has {width} columns; give each a name."
            )
        empty = 0
        while empty < width and not any(row[width - 1 - empty].strip() for row in fields if len(row) == width):
            empty += 1
        told = [f"column_{place}" if place <= width - empty else f"{UNNAMED}{place}" for place in range(1, width + 1)]
        self.known |= {"header": "none", "names": config.names or tuple(told)}
        if not config.names:
            called = "its column is" if width == 1 + empty else f"its {width - empty} columns are"
            self.remarks.append(f"has no header: {called} called 'column_1'{' ...' * (width > 1)} (data.names)")

    def _units(self, fields: list[list[str]], rows: list[Row]) -> None:
        if len(fields) > 2 and is_units(fields[1], fields[2:], self.config.missing_texts):
            self.known["units_line"] = True
            self.remarks.append(f"has a line of units below its header, {rows[1][1][:40]!r}, which is passed over")

    def _longer_rows(self, rows: list[Row], fields: list[list[str]], delimiter: str) -> tuple[bool, bool]:
        """Whether rows with one field more than the header begin with a name, or end with a delimiter.

        Raises:
            DataError: neither is certain: a decimal comma may have cut a number in two.
        """
        asked = self.config.row_names
        if not fields or self.known["header"] in ("none", "comment"):
            return False, False
        header, body = fields[0], fields[2 if self.known.get("units_line") else 1 :]
        longer = bool(body) and all(len(row) == len(header) + 1 for row in body)
        if not longer or asked is False:
            return False, False
        if not any(row[-1].strip() for row in body):
            return False, True
        texts = [text for _, text in rows[:LINES]]
        names_quoted = texts[0].count('"') == 2 * len(header)
        if asked or (names_quoted and all(text.lstrip().startswith('"') for text in texts[1:])):  # as R writes tables
            return True, False
        raise DataError(
            f"The rows of '{self.path}' have {len(body[0])} fields, its header names {len(header)}: "
            f"{texts[1][:60]!r}. Where rows begin with a name or number of their own, say --data.row_names true; where "
            "a decimal comma cut a number in two, write the file anew with points or quotes."
        )


def csv_names(path: Path, reading: Reading) -> list[str]:
    """Names of the columns in file order; one without a name is called ``unnamed_<position>``.

    Names of rows are not among them. A file whose delimiter is not the reading's is refused by its header.

    Raises:
        DataError: the file cannot be decoded, is empty or has no header.
    """
    try:
        before = header_line(path, reading)
    except (UnicodeDecodeError, LookupError, OSError, EOFError) as error:
        raise DataError(
            f"File '{path}' cannot be read as text in {reading.encoding} ({error}); convert it, or name its encoding "
            "(--data.encoding cp1252)."
        ) from None
    if not before.names or (reading.header != "none" and not before.text.strip()):
        raise DataError(f"File '{path}' is empty; it needs a header line and rows.")
    names = list(before.names)
    if reading.header == "line" and all(is_number(name) for name in names):
        raise DataError(
            f"File '{path}' seems to have no header: its first line is {before.text.strip()[:60]!r}. Put a line of "
            "column names in front."
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


def _fits_quoted(lines: list[Row], together: list[Row]) -> bool:
    """Whether lines are rows of one length only where a line end in quotes is part of a text."""
    if len(lines) == len(together) or together[-1][1].count('"') % 2:  # the last one: a quote that never ends
        return False
    for delimiter in (*DELIMITERS, BLANK):
        counts = [len(fields) for fields in split_rows([text for _, text in together[:LINES]], delimiter)]
        joined = [counts[at] for at, (_, text) in enumerate(together[:LINES]) if at and "\n" in text]
        if counts[0] > 1 and set(joined) <= {counts[0], counts[0] + 1}:
            usual = max(counts.count(counts[0]), counts.count(counts[0] + 1) + 1)  # with names of rows
            if usual >= 0.95 * len(counts):
                return True
    return False


def _fewer(texts: list[str], place: int, delimiter: str) -> bool:
    """Whether a delimiter that fits from some line on makes fewer fields than blanks do from the first one on."""
    (fields,), (blanks,) = split_rows([texts[place]], delimiter), split_rows([texts[0]], BLANK)
    return len(fields) < len(blanks)


def _longer_below(texts: list[str], delimiter: str) -> int:
    """How many lines come before a header of one field more than the first line has; 0 where there is none."""
    found = preamble(texts, [delimiter])
    fields = split_rows(texts[:LINES], delimiter)
    if found is None or len(fields[found[0]]) != len(fields[0]) + 1:
        return 0
    return found[0] if names_numbers(fields[found[0]], fields[found[0] + 1 :]) else 0


def _names_columns(line: str, rows: list[Row], delimiter: str | None) -> bool:
    """Whether a line that begins with '#' names the columns: it has as many fields as every row below."""
    delimiter = delimiter or max(DELIMITERS, key=line.count)
    wanted = line.count(delimiter)
    return wanted > 0 and all(text.count(delimiter) == wanted for _, text in rows[:LINES])
