"""Hand-made features of rows and windows that look back only: the past of a unit, never its future."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from keras_seq.data.features.window_settings import RECENT_LAGS
from keras_seq.data.features.window_statistics import Int, Named
from keras_seq.data.scaling import nearest_condition
from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.data.windows import WindowIndex

DECAYS = (0.9, 0.7)  # of the exponentially weighted means
OWN = 20  # first steps of a unit that are its own baseline
MEANS = (5, 30)  # lengths of the moving means, steps


def scaled_rows(values: NDArray, scaling: Scaling) -> NDArray[np.float64]:
    """Scale rows per operating condition; missing values become ``scaling.fill`` first.

    Args:
        values: ``(rows, features)`` in raw units, NaN where missing.
        scaling: fitted on train rows.

    Returns:
        float64 ``(rows, features)``.
    """
    exact = np.asarray(values, np.float64)
    condition = np.zeros(len(exact), np.int64)
    if scaling.centroids:
        settings = exact[:, list(scaling.condition_features)]
        condition = nearest_condition(settings, np.array(scaling.centroids), np.array(scaling.condition_scale))
    exact = np.where(np.isfinite(exact), exact, np.array(scaling.fill))
    return (exact - np.array(scaling.center)[condition]) / np.array(scaling.scale)[condition]


def history_features(series: Series, spec: DataSpec) -> Named:
    """What each row's unit has shown up to that row.

    Per feature, scaled per operating condition: the value, exponentially weighted means (decays
    ``DECAYS``, started at the first value), the first of them minus the unit's own mean over its first ``OWN``
    steps, running mean, means over ``MEANS`` steps; and the number of steps so far.

    Returns:
        float32 ``(rows, k)`` in the order of ``series.values``, and the ``k`` names.
    """
    features = series.schema.features
    kinds = ["value", *(f"ewm{d:g}" for d in DECAYS), "own_change", "running_mean", *(f"mean{n}" for n in MEANS)]
    names = (*(f"{kind}:{name}" for kind in kinds for name in features), "steps")
    table = np.empty((len(series.values), len(names)), np.float32)
    for first, last in zip(series.offsets[:-1], series.offsets[1:], strict=True):
        table[first:last] = _history(scaled_rows(series.values[first:last], spec.scaling))
    return table, names


def _history(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(time, features)`` -> ``(time, k)`` of one unit."""
    steps = np.arange(1, len(scaled) + 1)[:, None]
    total = np.cumsum(scaled, 0)
    weighted = [lfilter([1 - d], [1, -d], scaled, axis=0, zi=d * scaled[:1])[0] for d in DECAYS]
    early = np.minimum(steps[:, 0], OWN)
    own = total[early - 1] / early[:, None]
    before = np.concatenate([np.zeros((1, scaled.shape[1])), total])
    moving = [(total - before[np.maximum(steps[:, 0] - n, 0)]) / np.minimum(steps, n) for n in MEANS]
    return np.concatenate([scaled, *weighted, weighted[0] - own, total / steps, *moving, steps], 1)


def window_features(series: Series, index: WindowIndex) -> Named:
    """What each window shows: last value, changes, means and slope per feature, from its own rows only.

    Changes over ``RECENT_LAGS`` and means are relative to the last value, so that what is learnt holds at other
    levels. Lags beyond the window's first row repeat that row. A missing value is the last one its unit showed.

    Returns:
        float32 ``(windows, k)`` in raw units, and the ``k`` names.
    """
    features = series.schema.features
    kinds = ["value", *(f"change{lag}" for lag in RECENT_LAGS), "above_mean5", "above_mean", "std", "slope"]
    names = [f"{kind}:{name}" for kind in kinds for name in features]
    middle = np.asarray(series.values[0], np.float64)  # sums of small numbers keep digits
    middle = np.where(np.isfinite(middle), middle, 0.0)
    values = forward_filled(series.values, series.offsets) - middle
    last = index.start + index.length - 1
    value = values[last]
    changes = [value - values[np.maximum(last - lag, index.start)] for lag in RECENT_LAGS]
    count = index.length[:, None].astype(np.float64)
    clock = np.arange(len(values))[:, None]
    total, square, timed = (_between(v, index.start, last) for v in (values, values**2, values * clock))
    mean = total / count
    short = np.maximum(last - 4, index.start)
    recent = _between(values, short, last) / (last - short + 1)[:, None]
    deviation = np.sqrt(np.maximum(square / count - mean**2, 0.0))
    centre = (index.start + (index.length - 1) / 2.0)[:, None]
    spread = count * (count**2 - 1.0) / 12.0
    slope = (timed - centre * total) / np.where(spread > 0, spread, 1.0)
    parts = [value + middle, *changes, value - recent, value - mean, deviation, slope]
    return np.concatenate(parts, 1).astype(np.float32), tuple(names)


def forward_filled(values: NDArray, offsets: Int) -> NDArray[np.float64]:
    """Missing values replaced by the unit's last one before them, 0 where there is none; ``(rows, columns)``."""
    exact = np.asarray(values, np.float64)
    known = np.isfinite(exact)
    if known.all():
        return exact
    rows = np.arange(len(exact))[:, None]
    latest = np.maximum.accumulate(np.where(known, rows, -1), 0)
    begin = np.repeat(offsets[:-1], np.diff(offsets))[:, None]
    filled = np.take_along_axis(exact, np.maximum(latest, 0), 0)
    return np.where(latest >= begin, filled, 0.0)


def _between(values: NDArray, first: Int, last: Int) -> NDArray:
    """Sums of rows ``first..last``, both included, ``(windows, features)``."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, 0)])
    return total[last + 1] - total[first]


def window_rows(index: WindowIndex) -> Int:
    """Absolute rows of all windows, joined in their order."""
    before = np.cumsum(index.length) - index.length
    return np.repeat(index.start - before, index.length) + np.arange(index.length.sum())
