"""Rows of totals or means around a table: a word such as ``Total`` or ``Summe`` in one of its last rows."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq.data.formats.converted import is_text, parquet_of
from keras_seq.data.reading.lines import split_text
from keras_seq.data.reading.reading import Reading
from keras_seq.data.reading.stream import header_line, is_comment
from keras_seq.data.reading.unpack import open_bytes, packing
from keras_seq.errors import shorten

if TYPE_CHECKING:
    import pyarrow as pa

TAIL = 2**16  # bytes at the end of a text file that are looked at
LAST = 3  # rows among which totals are looked for
COMPARED = 200  # rows before them, in which the word must not stand: there it would be a value like others
_WORDS = (
    "totals?|totale|totaal|totaux|total general|sums?|summe|summen|gesamt|gesamtsumme|gesamtergebnis|insgesamt|somme|"
    "suma|soma|somma|summa|razem|celkem|toplam|итого|всего|сумма|合计|总计|总和|合計|総計|總計|合计数|합계|총계|"
    "averages?|avg|mean|means|mittelwert|mittel|durchschnitt|moyenne|promedio|media|média|średnia|среднее|平均|平均值|평균"
)
_TOTAL = re.compile(
    rf"(?i)\W*(?:(?:grand|sub|over-?all|zwischen|sous|general|column)[\s_-]?)?(?:{_WORDS})(?![\w.])[^\d\w]*"
    r"(?:\([^)]*\)|of .{1,20}|(?:19|20)\d\d)?\W*"
)


def is_total(text: object) -> bool:
    """Whether a text stands for a total or a mean of rows: ``Total``, ``Summe:``, ``Grand total (kWh)``."""
    return isinstance(text, str) and len(text) <= 40 and _TOTAL.fullmatch(text) is not None


def total_remark(path: Path, reading: Reading, names: list[str]) -> str:
    """That one of the last rows of a table holds totals, and how to leave it out; empty: none does.

    Args:
        path: of any format.
        reading: how it is read.
        names: its columns in file order.
    """
    file = path if is_text(path, reading) else parquet_of(path, reading)
    mark = (str(file), file.stat().st_size, file.stat().st_mtime_ns)
    return _remark(path, reading.model_dump_json(), tuple(names), mark)


@lru_cache(maxsize=64)
def _remark(path: Path, written: str, names: tuple[str, ...], mark: tuple[str, int, int]) -> str:
    """The remark, looked for again only where the file ``mark`` or its reading ``written`` changed."""
    reading = Reading.model_validate_json(written)
    rows = _last_rows(path, reading, list(names))
    last, before = rows[-LAST:], rows[-LAST - COMPARED : -LAST]
    for back, row in zip(range(len(last), 0, -1), last, strict=True):
        for place, text in enumerate(row):
            if not is_total(text) or sum(other[place : place + 1] == [text] for other in (*before, *last)) > 1:
                continue
            where = f"column '{names[place]}' of " if place < len(names) else ""
            which = "the last row" if back == 1 else f"row {back} from the end"
            return (
                f"{where}{which} is {shorten(text)}: it holds totals or means of the rows above, and is read as a row "
                f"like them; data.skip_footer {(reading.skip_footer or 0) + back} leaves it out"
            )
    return ""


def _last_rows(path: Path, reading: Reading, names: list[str]) -> list[list[Any]]:
    """Fields of the last rows, as texts; those of files with types only where they hold texts, else None."""
    if not is_text(path, reading):
        return _last_typed(path, reading, names)
    before = header_line(path, reading)
    columns = len(names) + bool(reading.row_names)
    rows = []
    for line in _last_lines(path, reading):
        if not line.strip(reading.blanks) or is_comment(line, reading, columns):
            continue
        try:
            fields = split_text(line.strip() if reading.delimiter == " " else line, reading.delimiter)
        except csv.Error:
            continue
        if line != before.text:
            rows.append(fields[1:] if reading.row_names else fields)
    return rows[: len(rows) - reading.skip_footer] if reading.skip_footer else rows


def _last_lines(path: Path, reading: Reading) -> Iterator[str]:
    """Whole lines at the end of a file."""
    cut = True
    if packing(path):
        tail = b""
        with open_bytes(path, reading.member) as file:
            while block := file.read(2**20):
                tail = (tail + block)[-TAIL:]
    else:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = max(0, size - TAIL)
            file.seek(start - start % 4)  # no character of UTF-16 or UTF-32 is cut
            tail, cut = file.read(), start > 0
    text = tail.decode(reading.encoding, "replace")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    yield from lines[1:] if cut else lines


def _last_typed(path: Path, reading: Reading, names: list[str]) -> list[list[Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(parquet_of(path, reading), pre_buffer=False)
        schema = file.schema_arrow
        texts = [name for name in names if name in schema.names and _holds_text(schema.field(name).type)]
        if not texts or not file.num_row_groups:
            return []
        group = file.read_row_group(file.num_row_groups - 1, columns=texts)
    except (pa.ArrowException, OSError):  # told where the table is read
        return []
    last = group.slice(max(0, group.num_rows - LAST - COMPARED))
    columns = [last.column(name).to_pylist() if name in texts else [None] * last.num_rows for name in names]
    return [list(row) for row in zip(*columns, strict=True)]


def _holds_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
