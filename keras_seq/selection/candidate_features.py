"""Columns that feature selection scores: hand-made features of the training windows, each owned by input channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.features.causal import history_features, window_features, window_rows
from keras_seq.data.features.window_statistics import rich_features
from keras_seq.data.split_assignment import fold_blocks

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.series import Series

MOST_ROWS = 8000  # rows that are enough to rank channels
INNER = 3  # folds inside the training part
SETTLED = 30  # steps of a unit after which its rows teach
UNITS_TO_SWAP = 5  # training units from which their values change places; fewer: stretches of time do
STRETCHES = 20  # of a unit whose stretches change places


def probe_name(channel: str) -> str:
    """Name of the noise that stands beside a channel."""
    return f"(noise) {channel}"


@dataclass(frozen=True)
class FeatureTable:
    """Columns of training samples.

    Attributes:
        columns: float32 ``(samples, columns)``.
        owners: by column, the channels it was made of; empty for the number of steps.
        target: ``(samples,)`` values (capped, deviations of train) or class numbers.
        folds: inner fold of each sample, by unit or group, else by time.
        classes: whether the target is a class.
        shadow: from a seed to the same table of inputs that tell nothing, made through the same history columns.
    """

    columns: NDArray[np.float32]
    owners: tuple[tuple[str, ...], ...]
    target: NDArray[Any]
    folds: NDArray[np.int64]
    classes: bool
    shadow: Callable[[int], FeatureTable] | None = field(default=None, compare=False, repr=False)

    def shadowed(self, seed: int) -> FeatureTable:
        """The table with as many channels again, ``(noise) NAME``, that stand to the target as noise does.

        Args:
            seed: of the draw.
        """
        if self.shadow is None:  # a table made by hand: rows change places
            order = np.random.default_rng(seed).permutation(len(self.target))
            columns = self.columns[order]
        else:
            columns = self.shadow(seed).columns
        names = tuple(tuple(probe_name(name) for name in owner) for owner in self.owners)
        return replace(self, columns=np.concatenate([self.columns, columns], 1), owners=(*self.owners, *names))

    def of(self, channels: set[str]) -> NDArray[np.int64]:
        """Numbers of the columns made of these channels only."""
        return np.array([i for i, owner in enumerate(self.owners) if set(owner) <= channels], np.int64)

    def owned_by(self, channel: str, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places within ``chosen`` of the columns that a channel had a part in."""
        return np.array([place for place, i in enumerate(chosen) if channel in self.owners[i]], np.int64)


def train_table(prepared: Prepared, *, target_cap: float | None = None, seed: int = 0) -> FeatureTable:
    """Columns, owners and targets of at most ``MOST_ROWS`` training samples; nothing of another part is read.

    Its ``shadow`` makes the same table of values that have changed places between units (see ``_shuffled``).

    Targets per unit: statistics of each whole window; per step: history channels of each row; forecasts: changes
    and means of each window, against the mean of the horizon.

    Args:
        prepared: series, splits and windows.
        target_cap: largest target value.
        seed: draws the samples and the inner folds.
    """

    def shadow(draw: int) -> FeatureTable:
        return _table(_shuffled(prepared, np.random.default_rng([seed, draw])), target_cap, seed)

    return replace(_table(prepared, target_cap, seed), shadow=shadow)


def _shuffled(prepared: Prepared, rng: np.random.Generator) -> Prepared:
    """The data with training values that keep their likeness in time and to each other, but not to the target.

    Of ``UNITS_TO_SWAP`` training units and more each gets the rows of another, turned by a random number of steps; of
    fewer, stretches of rows change places within each.
    """
    series, part = prepared.series, prepared.splits.train
    spans = [(int(first), int(last)) for first, last in zip(part.first, part.last, strict=True)]
    spans = list(dict.fromkeys(spans))  # units drawn twice
    values = np.array(series.values, copy=True)
    for (first, last), (low, high) in zip(spans, _derangement(spans, rng), strict=True):
        rows = np.asarray(series.values[low:high])
        if len(spans) >= UNITS_TO_SWAP:
            rows = np.roll(rows, rng.integers(len(rows)), axis=0)
        else:
            pieces = np.array_split(np.arange(len(rows)), min(STRETCHES, len(rows)))
            rows = rows[np.concatenate([pieces[i] for i in rng.permutation(len(pieces))])]
        values[first:last] = rows[np.arange(last - first) % len(rows)]
    return replace(prepared, series=replace(series, values=values))


def _derangement(spans: list[tuple[int, int]], rng: np.random.Generator) -> list[tuple[int, int]]:
    """The spans in an order in which none stays at its place; of few, as they are."""
    if len(spans) < UNITS_TO_SWAP:
        return spans
    order = rng.permutation(len(spans))
    source = np.empty(len(spans), np.int64)
    source[order] = np.roll(order, 1)
    return [spans[i] for i in source]


def _table(prepared: Prepared, target_cap: float | None, seed: int) -> FeatureTable:
    series, spec, train = prepared.series, prepared.spec, prepared.index["train"]
    rng = np.random.default_rng(seed)
    if series.schema.target_per == "unit":
        chosen = _sample(np.ones(len(train), bool), rng)
        columns, names = rich_features(series, train.unit[chosen])
        unit, row, target = train.unit[chosen], train.target[chosen], series.targets[train.unit[chosen], 0]
    elif spec.horizon:
        ahead = train.target[:, None] + np.arange(spec.horizon)
        mean = _scaled(prepared, series.targets[ahead]).reshape(len(train), -1).mean(1)
        chosen = _sample(np.isfinite(mean), rng)
        columns, names = window_features(_without_later(prepared), train.take(chosen))
        unit, row, target = train.unit[chosen], train.target[chosen], mean[chosen]
    else:
        rows, units = _rows(prepared)
        known: NDArray[np.bool_] = np.asarray(np.isfinite(series.targets[rows]).all(1))
        settled: NDArray[np.bool_] = known & (rows - series.offsets[units] + 1 >= SETTLED)
        chosen = _sample(settled if settled.any() else known, rng)
        row, unit, target = rows[chosen], units[chosen], series.targets[rows[chosen], 0]
        table, names = history_features(series, spec)
        columns = table[row]
    classes = spec.classifies
    if not classes and target_cap is not None and not spec.horizon:
        target = np.minimum(target, target_cap)
    owners = tuple(_owners(name, series.schema.features) for name in names)
    return FeatureTable(
        np.asarray(columns, np.float32),
        owners,
        np.asarray(target, np.int64 if classes else np.float64),
        _folds(series.groups[unit], row, rng),
        classes,
    )


def _without_later(prepared: Prepared) -> Series:
    """The series with gaps where the training part has ended, as running sums would carry traces of what follows."""
    series, part = prepared.series, prepared.splits.train
    seen = np.zeros(len(series.values), bool)
    for unit, last in zip(part.units, part.last, strict=True):
        seen[series.offsets[unit] : last] = True
    return replace(series, values=np.where(seen[:, None], series.values, np.nan).astype(np.float32))


def _rows(prepared: Prepared) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Absolute training rows with a target, each once, and their units."""
    train = prepared.index["train"]
    rows, units = train.target, train.unit
    if prepared.spec.per_step:
        rows, units = window_rows(train), np.repeat(train.unit, train.length)
        own = rows >= np.repeat(train.first, train.length)  # earlier rows belong to another part
        rows, units = rows[own], units[own]
    rows, place = np.unique(rows, return_index=True)
    return rows, units[place]


def _scaled(prepared: Prepared, targets: NDArray[Any]) -> NDArray[np.float64]:
    """Targets in deviations of the training part, so that several weigh alike."""
    spec = prepared.spec
    return (np.asarray(targets, np.float64) - np.array(spec.target_mean)) / np.array(spec.target_std)


def _sample(usable: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    numbers = np.flatnonzero(usable)
    return numbers if len(numbers) <= MOST_ROWS else np.sort(rng.choice(numbers, MOST_ROWS, replace=False))


def _owners(name: str, features: tuple[str, ...]) -> tuple[str, ...]:
    """Channels behind a column ``kind:channel`` or ``kind:channel>channel``."""
    rest = name.partition(":")[2]
    if rest in features:
        return (rest,)
    return tuple(part for part in rest.split(">") if part in features)


def _folds(groups: NDArray[Any], row: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    names, number = np.unique(groups, return_inverse=True)
    if len(names) >= INNER:
        return fold_blocks(np.arange(len(names)), INNER, rng)[number.reshape(-1)]
    return np.argsort(np.argsort(row, kind="stable"), kind="stable") * INNER // len(row)
