"""Operating conditions: columns that hold a few settings, between which the other columns jump."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.autoconfig.roles import named, words
from keras_seq.autoconfig.table import TableProfile

SETTING_WORDS = words("setting settings condition mode regime recipe gear program setpoint operating op os")
MOST_LEVELS = 10  # settings of one column
MOST_CONDITIONS = 20
GAP = 0.02  # of a column's range: values further apart are different settings
EXPLAINED = 0.5  # share of the variance of the usual other column that the condition must explain
SAMPLE = 20_000


@dataclass(frozen=True)
class Conditions:
    """The columns that tell the operating condition, and how many conditions there are."""

    columns: tuple[str, ...]
    count: int
    explained: float  # median share of the other columns' variance that lies between conditions


def find_conditions(table: TableProfile, features: tuple[str, ...]) -> Conditions | None:
    """Look for columns with few settings which decide the level of most others; None where there are none.

    Quantised sensors have few values, too. What tells a setting from them is its name, or uneven distances between
    its levels; and that the others jump with it: between conditions lies at least half of their variance.
    """
    rows = table.head[list(features)].to_numpy(np.float64)[:SAMPLE]
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) < 100 or len(features) < 3:
        return None
    looked = {name: _levels(rows[:, j], name) for j, name in enumerate(features)}
    levels = {name: labels for name, labels in looked.items() if labels is not None}
    columns = _tellers(levels)
    rest = [j for j, name in enumerate(features) if name not in columns]
    if not columns or not rest:
        return None
    joined = np.stack([levels[name] for name in columns], axis=1)
    label, many = np.unique(joined, axis=0, return_inverse=True, return_counts=True)[1:]
    label = label.reshape(-1)
    count = int((many >= 0.01 * len(rows)).sum())
    explained = float(np.median([_between(rows[:, j], label) for j in rest]))
    common = many[many >= 0.01 * len(rows)].sum() / len(rows)
    if not 2 <= count <= MOST_CONDITIONS or common < 0.99 or explained < EXPLAINED:
        return None
    return Conditions(columns, count, explained)


def _tellers(levels: dict[str, NDArray[np.int64]]) -> tuple[str, ...]:
    """All columns that are named like settings; without such the first one whose levels look like settings.

    Sensors that depend on the condition have levels, too: where a setting is named, it tells.
    """
    return tuple(name for name in levels if named(name, SETTING_WORDS)) or tuple(levels)[:1]


def _levels(values: NDArray[np.float64], name: str) -> NDArray[np.int64] | None:
    """Number of the setting of each row; None where the column is no setting."""
    distinct = np.unique(values)
    spread = float(distinct[-1] - distinct[0])
    if spread == 0:
        return None
    gaps = np.diff(distinct) / spread
    edges = gaps > GAP
    if not 1 <= edges.sum() < MOST_LEVELS:
        return None
    uneven = edges.sum() > 1 and float(gaps[edges].std() / gaps[edges].mean()) > 0.2
    if not (named(name, SETTING_WORDS) or uneven):
        return None
    cuts = ((distinct[:-1] + distinct[1:]) / 2)[edges]
    return np.searchsorted(cuts, values).astype(np.int64)


def _between(values: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    """Share of the variance that lies between the groups of ``label``."""
    total = float(values.var())
    if total == 0:
        return 0.0
    many = np.bincount(label)
    means = np.bincount(label, weights=values) / np.maximum(many, 1)
    return float((many * (means - values.mean()) ** 2).sum() / len(values) / total)
