"""What feature selection reads: hand-made columns of the training windows alone, each owned by input channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.causal import history_features, window_features, window_rows
from keras_seq.baselines.features import rich_features
from keras_seq.data.assign import fold_blocks

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.series import Series

MOST_ROWS = 8000  # rows that are enough to rank channels
INNER = 3  # folds inside the training part
SETTLED = 30  # steps of a unit after which its rows teach


@dataclass(frozen=True)
class Table:
    """Columns of training samples.

    Attributes:
        columns: float32 ``(samples, columns)``.
        owners: by column, the channels it was made of; empty for the number of steps.
        target: ``(samples,)`` values (capped, deviations of train) or class numbers.
        folds: inner fold of each sample, by unit or group, else by time.
        classes: whether the target is a class.
    """

    columns: NDArray[np.float32]
    owners: tuple[tuple[str, ...], ...]
    target: NDArray[Any]
    folds: NDArray[np.int64]
    classes: bool

    def of(self, channels: set[str]) -> NDArray[np.int64]:
        """Numbers of the columns made of these channels only."""
        return np.array([i for i, owner in enumerate(self.owners) if set(owner) <= channels], np.int64)

    def owned_by(self, channel: str, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places within ``chosen`` of the columns that a channel had a part in."""
        return np.array([place for place, i in enumerate(chosen) if channel in self.owners[i]], np.int64)


def train_table(prepared: Prepared, *, target_cap: float | None = None, seed: int = 0) -> Table:
    """Columns, owners and targets of at most ``MOST_ROWS`` training samples; nothing of another part is read.

    Targets per unit: statistics of each whole window; per step: history channels of each row; forecasts: changes
    and means of each window, against the mean of the horizon.

    Args:
        prepared: series, splits and windows.
        target_cap: largest target value.
        seed: draws the samples and the inner folds.
    """
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
    classes = spec.task in ("binary", "multiclass")
    if not classes and target_cap is not None and not spec.horizon:
        target = np.minimum(target, target_cap)
    owners = tuple(_owners(name, series.schema.features) for name in names)
    return Table(
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
