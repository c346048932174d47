"""Rows that are the sum of the others: totals below or above a table, of a unit, or of all units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.quality.report import Finding
from keras_seq.data.quality.rows import columns_of
from keras_seq.data.series import Series

FEWEST = 5  # rows that are added up
CLOSE = 1e-4  # of the sum: totals are rounded
MOST_COLUMNS, MOST_UNITS = 64, 1000  # looked at


def check_totals(series: Series) -> list[Finding]:
    """First and last rows of units, and units of one row, whose values are the sums of all the other rows.

    Only columns whose sum is larger than any of the added values count: of them at least half must be sums.
    """
    rows = len(series.values)
    columns = [values for values in columns_of(series).values() if len(values) == rows][:MOST_COLUMNS]
    lengths = np.diff(series.offsets)
    found: list[Finding] = []
    for place, at in (("last", series.offsets[1:] - 1), ("first", series.offsets[:-1])):
        units = [
            unit
            for unit in _likely(columns, series.offsets, at)
            if lengths[unit] > FEWEST and _is_sum(columns, int(at[unit]), series.offsets[unit : unit + 2])
        ]
        if units:
            row = int(at[units[0]] - series.offsets[units[0]]) + 1
            found.append(_finding(series, units[0], row, f"the {place} row holds the sums of the others", len(units)))
    everything = np.array([0, rows])
    for unit in {series.n_units - 1, 0} if series.n_units > 1 and rows > FEWEST else ():
        if lengths[unit] == 1 and _is_sum(columns, int(series.offsets[unit]), everything):
            found.append(_finding(series, unit, 1, "its one row holds the sums of all the other units' rows", 1))
    return found


def _likely(columns: list[NDArray[np.float32]], offsets: NDArray[np.int64], at: NDArray[np.int64]) -> list[int]:
    """Units of which the row ``at (units,)`` is half the sum of all in some column, as a total is; in one pass."""
    filled = np.flatnonzero(np.diff(offsets))
    likely = np.zeros(len(filled), bool)
    for values in columns if len(filled) else ():
        own = values[at[filled]].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            sums = np.add.reduceat(values, offsets[:-1][filled], dtype=np.float64)
            likely |= (own != 0) & ((np.abs(sums - 2 * own) <= CLOSE * np.abs(own)) | np.isnan(sums))
    return [int(unit) for unit in filled[likely][:MOST_UNITS]]


def _is_sum(columns: list[NDArray[np.float32]], row: int, span: NDArray[np.int64]) -> bool:
    """Whether a row is the sum of the others of ``span``, in at least half of the columns that tell it."""
    counted = same = 0
    low, high = int(span[0]), int(span[1])
    for values in columns:
        own = float(values[row])
        others = np.concatenate([values[low:row], values[row + 1 : high]])
        others = others[np.isfinite(others)]
        total, peak = others.sum(dtype=np.float64), float(np.abs(others).max(initial=0))
        if np.isfinite(own) and len(others) >= FEWEST and peak > 0 and abs(total) > 1.5 * peak:
            counted += 1
            same += bool(abs(own - total) <= CLOSE * abs(total))
    return same > 0 and 2 * same >= counted


def _finding(series: Series, unit: int, row: int, what: str, count: int) -> Finding:
    message = (
        f"{what}, as a row of totals does; it would be learnt from as if it were a step. Leave it out "
        "(data.skip_footer 1 where it ends the file), or mend the file"
    )
    return Finding("warning", "total", message, unit=str(series.unit_ids[unit]), row=row, count=count)
