"""Cells of a sheet as typed Arrow columns: what kinds of values a column holds, and its values as one of them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Cell = Any  # None or "" where empty; str, bool, int, float, date, time, datetime, timedelta
WHOLE, LARGEST = 2**53, 2**63  # whole numbers below them are exact as float64, as int64
_KINDS = {
    bool: "flag",
    int: "whole",
    float: "number",
    datetime.datetime: "moment",
    datetime.date: "day",
    datetime.time: "time",
    datetime.timedelta: "span",
}


def is_empty(cell: Cell) -> bool:
    """Whether a cell holds nothing, or blanks only."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def cell_kind(cell: Cell) -> str:
    """Kind of a filled cell: text, flag, whole, number, moment, day, time, span."""
    kind = _KINDS.get(type(cell), "text")
    if kind == "number" and cell.is_integer() and abs(cell) < WHOLE:
        return "whole"
    return "text" if kind == "whole" and abs(cell) >= LARGEST else kind


def kinds_of(cells: Sequence[Cell]) -> set[str]:
    """Kinds of the filled ones among a column's cells."""
    kinds: set[str] = set()
    for own in set(map(type, cells)):
        if own is str:
            kinds |= {"text"} if any(map(str.strip, (cell for cell in cells if type(cell) is str))) else set()
        elif own in (int, float):
            kinds |= set(map(cell_kind, (cell for cell in cells if type(cell) is own)))
        elif own is not type(None):
            kinds.add(_KINDS.get(own, "text"))
    return kinds


def column_kind(kinds: set[str]) -> str:
    """The one kind as which a column of several is kept without loss; text where there is none."""
    if len(kinds) < 2:
        return next(iter(kinds), "empty")
    if kinds <= {"whole", "number"}:
        return "number"
    return "moment" if kinds <= {"moment", "day"} else "text"


def arrow_type(kind: str) -> pa.DataType:
    """Arrow type of a column: spans are seconds, times of day are text."""
    import pyarrow as pa

    types = {"flag": pa.bool_(), "whole": pa.int64(), "number": pa.float64(), "span": pa.float64()}
    types |= {"moment": pa.timestamp("ms"), "day": pa.date32(), "empty": pa.null()}
    return types.get(kind, pa.string())


def record_batch(rows: Sequence[Sequence[Cell]], kinds: Sequence[str], schema: pa.Schema) -> pa.RecordBatch:
    """A record batch of rows of cells whose columns are of ``kinds``."""
    import pyarrow as pa

    columns: Iterator[tuple[Cell, ...]] = zip(*rows, strict=True)
    arrays = [
        pa.array(_as_kind(cells, kind), kind_type)
        for cells, kind, kind_type in zip(columns, kinds, schema.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def cell_text(cell: Cell) -> str:
    """A filled cell as text: whole numbers without decimals, dates as ISO 8601 has them."""
    kind = cell_kind(cell)
    if kind in ("text", "time", "day"):
        return str(cell).strip()
    if kind == "flag":
        return str(cell).lower()
    return str(int(cell)) if kind == "whole" else str(cell)


def _as_kind(cells: Sequence[Cell], kind: str) -> Sequence[Any]:
    types = set(map(type, cells))
    if kind in ("number", "flag", "day") and str not in types:
        return cells
    if kind == "text" and types <= {str, type(None)}:
        return [cell and (cell.strip() or None) for cell in cells]
    if kind in ("text", "time"):
        return [None if is_empty(cell) else cell_text(cell) for cell in cells]
    if kind == "whole":
        return cells if types <= {int, type(None)} else [None if is_empty(cell) else int(cell) for cell in cells]
    if kind == "span":
        return [None if is_empty(cell) else cell.total_seconds() for cell in cells]
    if kind == "moment":
        midnight = datetime.time()
        return [
            None
            if is_empty(cell)
            else cell
            if isinstance(cell, datetime.datetime)
            else datetime.datetime.combine(cell, midnight)
            for cell in cells
        ]
    return [None if is_empty(cell) else cell for cell in cells]
