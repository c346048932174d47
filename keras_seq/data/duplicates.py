"""Rows of one stamp in one unit: exact copies are dropped, contradictions merged as asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config.resampling import Duplicates
from keras_seq.data.series import Int, Series


@dataclasses.dataclass(frozen=True)
class Merged:
    """A series with other rows.

    Attributes:
        series: the rows.
        rows: which row of the series before each is, or ends with, int64 ``(rows,)``.
        remarks: what was done, a line each.
    """

    series: Series
    rows: Int
    remarks: tuple[str, ...] = ()


def merge_duplicates(series: Series, how: Duplicates) -> Merged:
    """The series with one row a stamp.

    A copy equals an earlier row of its unit and stamp in all inputs and targets. Where others remain, ``first`` and
    ``last`` take that row in the order of the file, ``mean`` the mean of the different ones (words, classes: the last);
    ``error`` leaves them, to be refused by the check. The row stands where the first of its stamp stood.
    """
    rows = len(series.values)
    whole = Merged(series, np.arange(rows, dtype=np.int64))
    group, heads = _groups(series)
    if group is None:
        return whole
    doubled = np.flatnonzero(np.bincount(group)[group] > 1)
    per_step = len(series.targets) == len(series.values)
    content = np.concatenate(
        [series.values[doubled], series.targets[doubled]] if per_step else [series.values[doubled]], 1
    )
    distinct = doubled[_first_of_each(group[doubled], content)]
    copies = len(doubled) - len(distinct)
    against = np.bincount(group[distinct], minlength=len(heads)) > 1  # groups with contradictions
    keep = np.ones(rows, bool)
    keep[doubled] = False
    keep[distinct] = True
    remarks = [_told_copies(series, np.setdiff1d(doubled, distinct), copies)] if copies else []
    if how == "error" or not against.any():
        return _taken(series, keep, np.arange(rows, dtype=np.int64), {}, tuple(remarks))
    members = distinct[against[group[distinct]]]
    keep[members] = False
    keep[heads[against]] = True
    source = np.arange(rows, dtype=np.int64)
    everything = doubled[against[group[doubled]]]
    last = np.zeros(len(heads), np.int64)
    last[group[everything]] = everything  # the last of a group wins
    if how != "first":
        source[heads[against]] = last[against]
    means = _means(series, members, group, heads, per_step=per_step) if how == "mean" else {}
    remarks.append(
        f"{int(against.sum())} stamps have rows that contradict one another; data.duplicates takes the {how} "
        f"(first: {_place(series, int(heads[against][0]))})"
    )
    return _taken(series, keep, source, means, tuple(remarks))


def _groups(series: Series) -> tuple[Int | None, Int]:
    """Number of each row's unit and stamp, and the first row of each number; None where no stamp comes twice."""
    time, none = series.time, np.zeros(0, np.int64)
    unknown = np.isnat(time) if time.dtype.kind == "M" else ~np.isfinite(time)
    inside = np.ones(max(len(time) - 1, 0), bool)
    inside[series.offsets[1:-1] - 1] = False
    if unknown.any() or ((time[1:] > time[:-1]) | ~inside).all():
        return None, none
    unit = np.repeat(np.arange(series.n_units), series.lengths)
    order = np.lexsort((time, unit))  # stable: the order of the file within a stamp
    new = np.append(True, (np.diff(unit[order]) != 0) | (time[order][1:] != time[order][:-1]))
    if new.all():
        return None, none
    group = np.empty(len(time), np.int64)
    group[order] = np.cumsum(new) - 1
    return group, order[new]


def _first_of_each(group: Int, content: NDArray[np.float32]) -> Int:
    """Positions of the first of all rows that are equal in group and content."""
    joined = np.concatenate([group.astype("<i8")[:, None].view("<f4"), np.ascontiguousarray(content, "<f4")], axis=1)
    joined = np.ascontiguousarray(
        np.where(np.isnan(joined) & (np.arange(joined.shape[1]) > 1), np.float32(np.nan), joined)
    )
    keys = joined.view(np.dtype((np.void, joined.shape[1] * 4)))[:, 0]
    return np.sort(np.unique(keys, return_index=True)[1])


def _means(series: Series, members: Int, group: Int, heads: Int, *, per_step: bool) -> dict[str, Any]:
    """Means of the rows ``members`` at the first row of their group, of numbers only."""
    schema = series.schema
    means: dict[str, Any] = {}
    numeric = np.array([column.kind != "category" for column in schema.columns])
    for name, array, columns in (
        ("values", series.values, numeric),
        ("targets", series.targets, np.full(len(schema.targets), per_step and not schema.classifies)),
    ):
        for j in np.flatnonzero(columns):
            column = array[members, j].astype(np.float64)
            known = ~np.isnan(column)
            count = np.bincount(group[members], weights=known, minlength=len(heads))
            total = np.bincount(group[members], weights=np.where(known, column, 0.0), minlength=len(heads))
            numbers = np.unique(group[members])
            with np.errstate(invalid="ignore"):
                means[f"{name} {j}"] = (heads[numbers], (total[numbers] / count[numbers]).astype(np.float32))
    return means


def _taken(
    series: Series, keep: NDArray[np.bool_], source: Int, means: dict[str, Any], remarks: tuple[str, ...]
) -> Merged:
    """The rows ``keep``, each with the content of row ``source``, and means in place of some."""
    per_step = len(series.targets) == len(series.values)
    arrays = {"values": series.values[source], "targets": series.targets[source] if per_step else series.targets}
    for place, (rows, mean) in means.items():
        name, column = place.split()
        arrays[name][rows, int(column)] = mean
    merged = dataclasses.replace(
        series,
        values=arrays["values"][keep],
        targets=arrays["targets"][keep] if per_step else series.targets,
        offsets=np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)[series.offsets],
        time=series.time[keep],
    )
    return Merged(merged, source[keep], remarks)


def _told_copies(series: Series, rows: Int, count: int) -> str:
    many = "rows are copies of rows" if count > 1 else "row is a copy of a row"
    return f"{count} {many} with the same time and left out (first: {_place(series, int(rows[0]))})"


def _place(series: Series, row: int) -> str:
    unit = int(np.searchsorted(series.offsets, row, side="right")) - 1
    stamp = series.time[row]
    shown = str(stamp.astype("datetime64[s]")) if series.time.dtype.kind == "M" else f"{stamp:g}"
    return f"unit '{series.unit_ids[unit]}', its row {row - int(series.offsets[unit]) + 1}, {shown}"
