"""Channels of known-ahead columns for training: each row told of the rows after it, rows of a mere plan removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.plans.marks import Leads, channel, channels, leads_of, marked
from keras_seq.data.series import Column, Float, Int, Schema, Series
from keras_seq.errors import ConfigError


def with_plans(series: Series, config: DataConfig) -> Series:
    """The series with a channel for each known-ahead column and step ahead; NaN where the unit has no such row.

    Rows at a unit's end that hold a plan only are read by the rows before them and are no rows of the series.

    Raises:
        ConfigError: as ``marked``; a column has the name of a channel.
    """
    schema = marked(series.schema, config)
    names = known_ahead(schema)
    if not names:
        return series
    series = dataclasses.replace(series, schema=schema)
    leads = leads_of(config)
    taken = [channel(name, lead) for name in names for lead in leads if channel(name, lead) in schema.features]
    if taken:
        raise ConfigError(
            f"Column '{taken[0]}' of '{schema.name}' has the name of a channel of the known-ahead column "
            f"'{taken[0].rpartition('+')[0]}'; rename it."
        )
    ends = _ends_with_rows(series)
    told = {name: series.values[:, schema.features.index(name)] for name in names}
    ahead = [rows_ahead(values, series.offsets, lead) for values in told.values() for lead in leads]
    joined = np.stack(ahead, axis=1) if ahead else np.zeros((len(series.values), 0), np.float32)
    return take_rows(append(series, dict.fromkeys(names, leads), joined), ends)


def without_plan_rows(series: Series, config: DataConfig) -> Series:
    """The series without rows at a unit's end that hold a plan only; columns unchanged."""
    schema = marked(series.schema, config)
    if not known_ahead(schema):
        return series
    return take_rows(series, _ends_with_rows(dataclasses.replace(series, schema=schema)))


def without_channels(series: Series) -> Series:
    """The series without the channels of known-ahead columns, which repeat what their columns hold."""
    made = channels(series.schema)
    if not made:
        return series
    positions = [i for i, column in enumerate(series.schema.columns) if column.name not in made]
    columns = tuple(series.schema.columns[i] for i in positions)
    schema = series.schema.model_copy(update={"columns": columns})
    return dataclasses.replace(series, schema=schema, values=np.ascontiguousarray(series.values[:, positions]))


def known_ahead(schema: Schema) -> list[str]:
    """Names of the columns that are marked."""
    return [column.name for column in schema.columns if column.known_ahead]


def append(series: Series, leads: Leads, values: Float) -> Series:
    """The series with the channels ``values (rows, columns x leads)``, NaN where not known; of words codes, then 0."""
    base = {column.name: column for column in series.schema.columns}
    columns = [_channel(base[name], lead) for name, steps in leads.items() for lead in steps]
    words = [column.kind == "category" for column in columns]
    filled = np.where(np.isnan(values) & np.array(words, bool), np.float32(0), values)
    return dataclasses.replace(
        series,
        schema=series.schema.model_copy(update={"columns": (*series.schema.columns, *columns)}),
        values=np.ascontiguousarray(np.concatenate([series.values, filled.astype(np.float32)], axis=1)),
    )


def _channel(column: Column, lead: int) -> Column:
    """A column some steps ahead; its setting does not tell the operating condition of now."""
    kind = "feature" if column.kind == "condition" else column.kind
    changes = {"name": channel(column.name, lead), "known_ahead": True, "missing": True, "kind": kind}
    return column.model_copy(update=changes)


def rows_ahead(values: Float, offsets: Int, lead: int) -> Float:
    """Values ``lead`` rows later in the same unit ``(rows,)``; NaN where the unit has ended."""
    rows = np.arange(len(values)) + lead
    inside = rows < np.repeat(offsets[1:], np.diff(offsets))
    return np.where(inside, values[np.minimum(rows, len(values) - 1)], np.float32(np.nan))


def observed_ends(series: Series) -> Int:
    """Row after each unit's last observed one, int64 ``(units,)``; the unit's first row where none is observed.

    A row is observed if it holds a column that is not known ahead. One that has a single value in its unit (the size of
    a shop) does not count, unless it is a target: plan rows may repeat it.
    """
    columns, targets = series.schema.columns, series.schema.targets
    others = [i for i, column in enumerate(columns) if not column.known_ahead]
    values, begins = with_gaps(series.values[:, others], [columns[i] for i in others]), series.offsets[:-1]
    target = np.array([columns[i].name in targets for i in others])
    still = (np.fmin.reduceat(values, begins) == np.fmax.reduceat(values, begins)) & ~target
    held = ~np.isnan(values) & ~np.repeat(still, series.lengths, axis=0)
    last = np.where(held.any(axis=1), np.arange(1, len(values) + 1), 0)
    return np.maximum(np.maximum.reduceat(last, begins), begins)


def with_gaps(values: Float, columns: Sequence[Column]) -> Float:
    """Values ``(rows, columns)`` with NaN for missing and unknown words, too, whose code is 0."""
    words = np.array([column.kind == "category" for column in columns], bool)
    return np.where(words & (values == 0), np.float32(np.nan), values) if words.any() else values


def take_rows(series: Series, ends: Int) -> Series:
    """The rows of each unit before ``ends (units,)``."""
    if (ends == series.offsets[1:]).all():
        return series
    rows = kept_rows(series, ends)
    return dataclasses.replace(
        series,
        values=series.values[rows],
        targets=series.targets[rows],
        time=series.time[rows],
        offsets=np.concatenate([[0], np.cumsum(ends - series.offsets[:-1])]).astype(np.int64),
    )


def kept_rows(series: Series, ends: Int) -> NDArray[np.bool_]:
    """Which rows lie before the ``ends (units,)`` of their units, ``(rows,)``."""
    kept: NDArray[np.bool_] = np.arange(len(series.values)) < np.repeat(ends, series.lengths)
    return kept


def _ends_with_rows(series: Series) -> Int:
    """As ``observed_ends``; a unit in which nothing is observed keeps its rows, for the quality check to name it."""
    ends = observed_ends(series)
    return np.where(ends > series.offsets[:-1], ends, series.offsets[1:])
