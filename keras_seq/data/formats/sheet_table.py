"""Where the table lies on a sheet: its row of names, its columns, and what stands around it and is passed over."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from keras_seq.data.formats.cells import Cell, cell_kind, cell_text, column_kind, is_empty
from keras_seq.data.reading.reading import UNNAMED
from keras_seq.errors import DataError

LOOKED_AT = 100  # rows in which the names are looked for
NAMED = 0.8  # share of the columns with values that the names must cover
_DIGITS = re.compile(r"\s*[-+(]?\s*[.,]?\d")  # how numbers and dates begin
MOST_UNITS = 3  # rows of words between names and values, such as units of measure


@dataclass
class SheetTable:
    """Place of a table on a sheet.

    Attributes:
        first: index of its first row of values.
        columns: indices of its columns.
        names, kinds: of these columns.
        notes: indices of rows that are remarks, not values.
        remarks: what was passed over, in words.
    """

    first: int
    columns: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    notes: set[int] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)


def find_table(rows: Callable[[], Iterator[Sequence[Cell]]], header_row: int | None, where: str) -> SheetTable:
    """The table of a sheet.

    Args:
        rows: goes through the sheet's rows from its first one.
        header_row: number of the row of names, from 1; None: told from the first rows.
        where: file and sheet, for messages.

    Raises:
        DataError: no row holds names above rows of values, or a name stands twice.
    """
    head = list(itertools.islice(rows(), max(LOOKED_AT, header_row or 0)))
    header = _header(head, where) if header_row is None else header_row - 1
    if header >= len(head) or not any(not is_empty(cell) for cell in head[header]):
        raise DataError(f"{where} has nothing in row {header_row} (data.header_row), which must hold the column names.")
    table = SheetTable(_first_values(head, header))
    if header_row is None and header > 0 and any(not is_empty(cell) for row in head[:header] for cell in row):
        table.remarks.append(f"has its column names in row {header + 1} (data.header_row)")
    if table.first > header + 1:
        table.remarks.append(f"has words in row {header + 2} between names and values, passed over")
    kinds, filled, table.notes = _kinds(rows(), table.first)
    if table.notes:
        table.remarks.append(f"has notes in {len(table.notes)} rows (first: {min(table.notes) + 1}), passed over")
    above = head[header - 1] if header else ()
    names = {i: " ".join(cell_text(cell).split()) for i, cell in enumerate(head[header]) if not is_empty(cell)}
    columns = _without_side_tables(sorted({*names, *kinds}), names, filled, table)
    names = _apart(names, columns, above, where)
    table.columns = columns
    table.names = [names.get(i) or f"{UNNAMED}{i + 1}" for i in columns]
    table.kinds = [column_kind(kinds.get(i, set())) for i in columns]
    return table


def _header(head: list[Sequence[Cell]], where: str) -> int:
    """Index of the first row that names (nearly) all columns in which the rows under it have values."""
    for i, row in enumerate(head[:LOOKED_AT]):
        texts, values = {j for j, cell in enumerate(row) if isinstance(cell, str) and cell.strip()}, _values(row)
        below = [own for under in head[i + 1 : i + 31] if (own := _values(under))]
        if not below or len(values) >= len(texts - values):
            continue
        valued = Counter(j for own in below for j in own)
        wide = {j for j, count in valued.items() if 2 * count >= len(below)}
        if wide and len(wide & texts) >= NAMED * len(wide):
            return i
    raise DataError(
        f"{where} has no row of column names above rows of numbers in its first {LOOKED_AT} rows. Name it by "
        "--data.header_row NUMBER, or another sheet by --data.sheet NAME."
    )


def _values(row: Sequence[Cell]) -> set[int]:
    """Columns in which a row holds numbers, dates or flags, maybe as text."""
    return {
        j for j, cell in enumerate(row) if not is_empty(cell) and (not isinstance(cell, str) or _DIGITS.match(cell))
    }


def _first_values(head: list[Sequence[Cell]], header: int) -> int:
    """Index of the first row of values: rows of words over columns of numbers belong to the names."""
    first = header + 1
    valued = Counter(j for row in head[first:] for j in _values(row))
    numeric = {j for j, count in valued.items() if count > (len(head) - first) / 2}
    while numeric and first < min(len(head), header + 1 + MOST_UNITS):
        words = {j for j in numeric - _values(head[first]) if not is_empty(head[first][j])}
        if 2 * len(words) <= len(numeric):
            break
        first += 1
    return first


def _kinds(rows: Iterator[Sequence[Cell]], first: int) -> tuple[dict[int, set[str]], Counter[int], set[int]]:
    """Kinds of values and filled cells by column, and rows with one word in a column of values, which are notes."""
    kinds: dict[int, set[str]] = {}
    filled: Counter[int] = Counter()
    lonely: dict[int, int] = {}
    for number, row in enumerate(rows):
        if number < first:
            continue
        own = [j for j, cell in enumerate(row) if not is_empty(cell)]
        if len(own) == 1 and isinstance(row[own[0]], str):
            lonely[number] = own[0]
            continue
        filled.update(own)
        for j in own:
            kinds.setdefault(j, set()).add(cell_kind(row[j]))
    notes = {number for number, j in lonely.items() if len(kinds) > 1 and "text" not in kinds.get(j, {"text"})}
    for number, j in lonely.items():
        if number not in notes:
            kinds.setdefault(j, set()).add("text")
            filled[j] += 1
    return kinds, filled, notes


def _without_side_tables(
    columns: list[int], names: dict[int, str], filled: Counter[int], table: SheetTable
) -> list[int]:
    """The columns without those beyond an empty one that repeat names, lack them or are much shorter."""
    blocks: list[list[int]] = []
    for i in columns:
        if blocks and i == blocks[-1][-1] + 1:
            blocks[-1].append(i)
        else:
            blocks.append([i])
    main = max(blocks, key=lambda block: sum(filled[i] for i in block), default=[])
    own, depth = {names.get(i) for i in main}, max((filled[i] for i in main), default=0)
    kept = [
        block
        for block in blocks
        if block is main
        or (all(i in names and names[i] not in own for i in block) and 2 * max(filled[i] for i in block) > depth)
    ]
    lost = len(columns) - sum(map(len, kept))
    if lost:
        table.remarks.append(f"has {lost} columns of another table beside it, left out")
    return [i for block in kept for i in block]


def _apart(names: dict[int, str], columns: list[int], above: Sequence[Cell], where: str) -> dict[int, str]:
    """Names by column; where some are equal, with the title over them in front."""

    def doubled() -> str | None:
        return next(
            (name for name, count in Counter(names[i] for i in columns if i in names).items() if count > 1), None
        )

    if doubled() and any(not is_empty(cell) for cell in above):
        title = ""
        for i in range(max(columns) + 1):
            title = title if i >= len(above) or is_empty(above[i]) else " ".join(cell_text(above[i]).split())
            if i in names and title:
                names[i] = f"{title} {names[i]}"
    twice = doubled()
    if twice:
        raise DataError(f"{where} names column '{twice}' twice; rename one of them.")
    return names
