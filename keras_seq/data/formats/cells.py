"""Cells of a sheet as typed Arrow columns: what kinds of values a column holds, and its values as one of them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Cell = Any  # None or "" where empty; str, bool, int, float, date, time, datetime, timedelta
WHOLE = 2**53  # whole numbers below it are exact


def is_empty(cell: Cell) -> bool:
    """Whether a cell holds nothing, or blanks only."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def cell_kind(cell: Cell) -> str:
    """Kind of a filled cell: text, flag, whole, number, moment, day, time, span."""
    if isinstance(cell, int) and abs(cell) >= 2**63:
        return "text"
    if isinstance(cell, float):
        return "whole" if cell.is_integer() and abs(cell) < WHOLE else "number"
    kinds = {str: "text", bool: "flag", int: "whole", datetime.datetime: "moment", datetime.date: "day"}
    return (kinds | {datetime.time: "time", datetime.timedelta: "span"}).get(type(cell), "text")


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

    columns = zip(*rows, strict=True)
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


def _as_kind(cells: Iterable[Cell], kind: str) -> list[Any]:
    if kind in ("text", "time"):
        return [None if is_empty(cell) else cell_text(cell) for cell in cells]
    if kind == "whole":
        return [None if is_empty(cell) else int(cell) for cell in cells]
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
