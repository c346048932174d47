"""Rows of each unit in the order of their time: a table newest first is turned round, others sorted where asked for."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_seq.data.duplicates import Merged
from keras_seq.data.series import Series


def in_time_order(series: Series, *, sort: bool) -> Merged:
    """The series with rows that rise in time, as far as that is certain; of rows of one stamp the later entry is last.

    Args:
        series: rows by unit; times that are missing leave it as it is, for the check to refuse.
        sort: sort units whose rows are in any order; else units are turned round where each has its newest row first
            and its oldest last.
    """
    time = series.time
    rows = np.arange(len(time), dtype=np.int64)
    unknown = np.isnat(time) if time.dtype.kind == "M" else ~np.isfinite(time.astype(np.float64))
    if unknown.any() or len(time) < 2:
        return Merged(series, rows)
    unit = np.repeat(np.arange(series.n_units), series.lengths)
    steps, inside = np.diff(time), unit[1:] == unit[:-1]
    back = np.bincount(unit[1:], weights=inside & (steps < steps.dtype.type(0)), minlength=series.n_units)
    on = np.bincount(unit[1:], weights=inside & (steps > steps.dtype.type(0)), minlength=series.n_units)
    newest_first = not on.any()  # in all units: one that falls among others that rise may be a mistake
    chosen = (back > 0) & (newest_first or sort)
    if not chosen.any():
        return Merged(series, rows)
    rank = -rows if newest_first else np.argsort(np.argsort(time, kind="stable"), kind="stable")
    keys = np.where(chosen[unit], rank, rows)
    order = np.lexsort((keys, unit)).astype(np.int64)
    per_step = len(series.targets) == len(series.values)
    ordered = dataclasses.replace(
        series,
        values=series.values[order],
        targets=series.targets[order] if per_step else series.targets,
        time=time[order],
    )
    turned = "came newest first and were turned round" if (on[chosen] == 0).all() else "were sorted by time"
    first = series.unit_ids[int(np.argmax(chosen))]
    return Merged(ordered, order, (f"the rows of {int(chosen.sum())} unit(s) {turned} (first: '{first}')",))
