"""Rows brought onto a regular step, unit by unit: the same at training, prediction, evaluation and retraining.

A bin's stamp is its start; its values read the rows from its start up to, not with, its end. Bins that may lack rows,
the last and the first of a unit, are left out, so rows that come later change no bin that is there.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config.resampling import How, ResampleConfig
from keras_seq.data.bins import BinStep, all_starts, bin_starts, calendar_of, count_bins, next_starts, parse_step
from keras_seq.data.calendar import Calendar, shift
from keras_seq.data.duplicates import Merged
from keras_seq.data.observe_calendar import with_calendar
from keras_seq.data.row_rules import RowRules
from keras_seq.data.series import Float, Int, Series
from keras_seq.errors import ConfigError, DataError

MOST = 200  # bins for a row, beyond some thousands


@dataclasses.dataclass(frozen=True)
class _Bins:
    """Bins that hold rows, in order of units and time.

    Attributes:
        unit, start: of each ``(bins,)``.
        first: its first row ``(bins,)``.
        last: its last one.
        end: stamp at which it ends.
    """

    unit: Int
    start: NDArray[Any]
    first: Int
    last: Int
    end: NDArray[Any]

    def keep(self, chosen: NDArray[np.bool_]) -> _Bins:
        """Some of them."""
        return _Bins(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))


def settle_rules(series: Series, rules: RowRules) -> RowRules:
    """The rules with the calendar of the rows before they are resampled, as training read it off."""
    if rules.resample.every is None or rules.rows is not None:
        return rules
    bare = dataclasses.replace(series, schema=series.schema.model_copy(update={"calendar": None}))
    return rules.model_copy(update={"rows": with_calendar(bare).schema.calendar})


def resample(series: Series, rules: RowRules) -> Merged:
    """The series with one row a bin; units without a whole bin are left out.

    Args:
        series: time rises within every unit.
        rules: with the calendar of the rows.

    Raises:
        ConfigError: the step or a way to aggregate does not fit the data.
        DataError: the step is so fine that the rows would become too many, or no unit has a whole bin.
    """
    config, schema = rules.resample, series.schema
    zone = schema.reading.zone if schema.reading else None
    step = _step(series, config, zone)
    whole, unfinished = _whole_bins(series, _bins(series, step), step, rules.rows)
    units = np.unique(whole.unit)
    if not len(units):
        raise DataError(
            f"No unit of '{schema.name}' has rows for a whole bin of data.resample.every={config.every}; choose a "
            "finer step."
        )
    start, place, lengths = _grid(series, whole, units, step)
    values = _spread(_aggregate(series.values, whole, _ways(series, config)), place, len(start))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    _fill(values, offsets, config, [column.kind == "category" for column in schema.columns])
    for j, name in enumerate(schema.features):
        if schema.static is not None and name in schema.static.columns:  # known of empty bins, too
            values[:, j] = np.repeat(series.values[series.offsets[:-1][units], j], lengths)
    per_step = len(series.targets) == len(series.values)  # else one a unit, or none
    if per_step:
        targets = _spread(_aggregate(series.targets, whole, _target_ways(series, config)), place, len(start))
    rows = np.full(len(start), -1, np.int64)
    rows[place] = whole.last
    regular = dataclasses.replace(
        series,
        schema=schema.model_copy(update={"calendar": calendar_of(step)}),
        values=values,
        targets=targets if per_step else series.targets[units],
        offsets=offsets,
        unit_ids=series.unit_ids[units],
        groups=series.groups[units],
        official=series.official[units],
        time=start.astype(series.time.dtype),
        truth={name: part[units] for name, part in series.truth.items()},
    )
    remarks = _told(series, regular, config, unfinished, len(start) - len(place))
    return Merged(regular, np.maximum.accumulate(rows), remarks)


def _step(series: Series, config: ResampleConfig, zone: str | None) -> BinStep:
    if series.schema.time_column is None:
        raise ConfigError("data.resample needs a time column (data.time), but this table counts its rows.")
    return parse_step(str(config.every), numbers=series.time.dtype.kind != "M", zone=zone)


def _bins(series: Series, step: BinStep) -> _Bins:
    unit = np.repeat(np.arange(series.n_units), series.lengths)
    starts = bin_starts(series.time, step)
    new = np.append(True, (unit[1:] != unit[:-1]) | (starts[1:] != starts[:-1]))
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(unit)) - 1
    return _Bins(unit[first], starts[first], first, last, next_starts(starts[first], step))


def _whole_bins(series: Series, bins: _Bins, step: BinStep, rule: Calendar | None) -> tuple[_Bins, dict[str, int]]:
    """Bins in which no row can be lacking, and how many first and last ones were left out."""
    opens = np.append(True, bins.unit[1:] != bins.unit[:-1])
    closes = np.append(opens[1:], True)
    low, high = np.flatnonzero(opens), np.flatnonzero(closes)
    first, last = series.time[bins.first[low]], series.time[bins.last[high]]
    begun, ended = first > bins.start[low], np.ones(len(high), bool)
    for number, unit in enumerate(series.unit_ids[bins.unit[low]].tolist()):
        own = rule.of(unit) if rule else None
        if own is not None and own.regular:
            begun[number] = begun[number] and shift(own, first[number : number + 1], -1)[0] >= bins.start[low[number]]
            ended[number] = shift(own, last[number : number + 1], 1)[0] < bins.end[high[number]]
    keep = np.ones(len(bins.unit), bool)
    keep[low[begun]] = False
    keep[high[ended]] = False
    return bins.keep(keep), {"first": int(begun.sum()), "last": int(ended.sum())}


def _grid(series: Series, bins: _Bins, units: Int, step: BinStep) -> tuple[NDArray[Any], Int, Int]:
    """Starts of all bins of the units, where those with rows lie among them, and how many each unit has."""
    edges = np.append(np.searchsorted(bins.unit, units), len(bins.unit)).tolist()
    spans = [(bins.start[low], bins.start[high - 1]) for low, high in pairwise(edges)]
    many = sum(count_bins(first, last, step) for first, last in spans)
    if many > 10_000 + MOST * len(series.values):
        raise DataError(
            f"data.resample would make {many:.3g} rows of {len(series.values)}, nearly all of them empty; choose a "
            "coarser data.resample.every."
        )
    starts, places, begin = [], [], 0
    for (low, high), (first, last) in zip(pairwise(edges), spans, strict=True):
        own = np.union1d(all_starts(first, last, step), bins.start[low:high])
        starts.append(own)
        places.append(begin + np.searchsorted(own, bins.start[low:high]))
        begin += len(own)
    lengths = np.array([len(own) for own in starts], np.int64)
    return np.concatenate(starts), np.concatenate(places), lengths


def _ways(series: Series, config: ResampleConfig) -> list[How]:
    """How each input gets its value."""
    known = {*series.schema.features, *series.schema.targets}
    lost = [name for name in config.how if name not in known] if isinstance(config.how, dict) else []
    if lost:
        raise ConfigError(
            f"data.resample.how names '{lost[0]}', which is no input or target of '{series.schema.name}'."
        )
    ways: list[How] = []
    for column in series.schema.columns:
        own = config.how_of(column.name)
        if own == "any" or (own is None and config.usual == "any"):
            raise ConfigError(
                f"data.resample.how 'any' is for a target of two classes, not for '{column.name}'; use max."
            )
        if column.kind == "category" and own not in (None, "first", "last"):
            raise ConfigError(f"data.resample.how of '{column.name}', a column of words, is first or last, got {own}.")
        ways.append(own or ("last" if column.kind == "category" else config.usual))
    return ways


def _target_ways(series: Series, config: ResampleConfig) -> list[How]:
    """How each target gets its value; of classes the last one, or whether any is positive."""
    schema = series.schema
    if not schema.classifies:
        return [config.how_of(name) or config.usual for name in schema.targets]
    way = config.how_of(schema.targets[0]) or "last"
    if way not in ("first", "last", "any") or (way == "any" and len(schema.classes) > 2):
        raise ConfigError(
            f"data.resample.how of '{schema.targets[0]}', a class, is last, first or (of two classes) any, got {way}."
        )
    return [way]


def _aggregate(columns: Float, bins: _Bins, ways: list[How]) -> Float:
    """Values of the bins ``(bins, columns)``, NaN where none is known."""
    if not len(bins.unit):
        return np.zeros((0, columns.shape[1]), np.float32)
    result = np.empty((len(bins.unit), columns.shape[1]), np.float32)
    # bins that were left out lie before or after those of a unit: every bin ends with its own last row
    edges = np.stack([bins.first, bins.last + 1], axis=1).reshape(-1)
    for j, how in enumerate(ways):
        result[:, j] = _of_bins(columns[:, j].astype(np.float64), edges, how)
    return result


def _of_bins(column: NDArray[np.float64], edges: Int, how: How) -> NDArray[np.float64]:
    known, rows = ~np.isnan(column), len(column)

    def reduced(function: np.ufunc, numbers: NDArray[Any], neutral: float) -> NDArray[Any]:
        padded = np.append(numbers, np.asarray([neutral], numbers.dtype))  # an edge may be the end
        return np.asarray(function.reduceat(padded, edges)[::2])

    count = reduced(np.add, known.astype(np.int64), 0)
    if how in ("mean", "sum"):
        total = reduced(np.add, np.where(known, column, 0.0), 0.0)
        result = total if how == "sum" else total / np.maximum(count, 1)
    elif how in ("min", "max", "any"):
        worst = np.inf if how == "min" else -np.inf
        result = reduced(np.minimum if how == "min" else np.maximum, np.where(known, column, worst), worst)
    else:
        place = np.arange(rows)
        chosen = (
            reduced(np.minimum, np.where(known, place, rows), rows)
            if how == "first"
            else reduced(np.maximum, np.where(known, place, -1), -1)
        )
        result = column[np.clip(chosen, 0, rows - 1)]
    return np.where(count > 0, result, np.nan)


def _spread(content: Float, place: Int, rows: int) -> Float:
    """Rows in their places among all bins, NaN in the others."""
    spread = np.full((rows, content.shape[1]), np.nan, np.float32)
    spread[place] = content
    return spread


def _fill(values: Float, offsets: Int, config: ResampleConfig, words: list[bool]) -> None:
    """Missing inputs of bins, in place, unit by unit."""
    if config.fill == "none" or not np.isnan(values).any():
        return
    for low, high in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        for j, word in enumerate(words):
            column = values[low:high, j]
            known = np.flatnonzero(~np.isnan(column))
            if not len(known) or len(known) == len(column):
                continue
            places = np.arange(len(column))
            if config.fill == "interpolate" and not word:
                between = (places >= known[0]) & (places <= known[-1])
                column[between] = np.interp(places[between], known, column[known])
            else:
                before = np.searchsorted(known, places, side="right") - 1
                column[before >= 0] = column[known[before[before >= 0]]]


def _told(
    before: Series, after: Series, config: ResampleConfig, unfinished: dict[str, int], missing: int
) -> tuple[str, ...]:
    made = f"{len(before.values)} rows became {len(after.values)} of {config.every} (data.resample)"
    if missing:
        filled = (
            "" if config.fill == "none" else f", filled {'forward' if config.fill == 'forward' else 'between others'}"
        )
        made += f", {missing} of them ({missing / len(after.values):.1%}) without values{filled}"
    left = [f"{count} {end}" for end, count in unfinished.items() if count]
    if left:
        made += f"; bins that may lack rows are left out ({' and '.join(left)} of {before.n_units} units)"
    lost = before.n_units - after.n_units
    if lost:
        named = np.setdiff1d(before.unit_ids, after.unit_ids).tolist()
        made += f"; {lost} units without a whole bin are left out ({', '.join(named[:5])})"
    return (made,)
