"""Hand-made features for the baselines: per unit, per row (causal) and per window; numpy only.

Missing values (NaN) are skipped; where nothing is left to measure the feature is 0. Every function
works on padded blocks of units, so speed does not depend on Python loops over rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.features.window_settings import LAGS, MOST_PAIRED, QUANTILES, SEGMENTS, THRESHOLDS
from keras_seq.data.series import Series

Float = NDArray[np.float32]
Int = NDArray[np.int64]
Named = tuple[Float, tuple[str, ...]]

BLOCK = 4_000_000  # values in a padded block


def summary_features(series: Series, units: Int | None = None, *, length: bool = True) -> Named:
    """Order-free statistics of each unit: mean, deviation, least, largest, last value per channel.

    Args:
        series: the data set.
        units: int64 ``(n,)`` unit numbers; default all.
        length: add the unit's length in steps as a feature.

    Returns:
        float32 ``(n, k)`` and the ``k`` names.
    """
    names = [f"{kind}:{c}" for kind in ("mean", "std", "min", "max", "last") for c in series.schema.features]
    blocks = []
    for _, values, seen, lengths in _blocks(series, units):
        mean, deviation = _moments(values, seen)
        low = np.where(seen, values, np.inf).min(1)
        high = np.where(seen, values, -np.inf).max(1)
        blocks.append(np.concatenate([mean, deviation, low, high, _last(values, seen, lengths)], 1))
    return _finish(series, units, blocks, names, length)


def rich_features(series: Series, units: Int | None = None, *, length: bool = True) -> Named:
    """A generous set of statistics of each unit, for trees that know nothing of time.

    Per channel: mean, deviation, least and largest with their positions, last value, slope, quantiles,
    segment means and their differences, mean and deviation of steps, threshold crossings,
    autocorrelations; per ordered pair of channels: correlations at ``LAGS`` (the second one later). Arguments and
    result are those of ``summary_features``.
    """
    blocks, names = [], list[str]()
    for _, values, seen, lengths in _blocks(series, units):
        parts = [*_levels(values, seen, lengths), *_segments(values, seen, lengths), *_motion(values, seen)]
        parts += _correlations(values, seen)
        blocks.append(np.concatenate([part.reshape(len(values), -1) for _, part in parts], 1))
        if not names:
            channels = series.schema.features
            for kind, part in parts:
                if part.ndim == 2:
                    names += [f"{kind}:{c}" for c in channels]
                else:
                    names += [f"{kind}:{a}>{b}" for a in channels[:MOST_PAIRED] for b in channels[:MOST_PAIRED]]
    return _finish(series, units, blocks, names, length)


def _blocks(series: Series, units: Int | None) -> Iterator[tuple[Int, NDArray, NDArray[np.bool_], Int]]:
    """Units in the order asked for, zero-padded: numbers, float64 ``(n, time, features)``, seen, lengths."""
    units = np.arange(series.n_units) if units is None else np.asarray(units, np.int64)
    lengths = series.lengths[units]
    features = series.values.shape[1]
    first = 0
    while first < len(units):
        last = first + 1
        longest = lengths[first]
        while last < len(units) and (last - first + 1) * max(longest, lengths[last]) * features <= BLOCK:
            longest = max(longest, lengths[last])
            last += 1
        inside = np.arange(longest) < lengths[first:last, None]
        rows = np.where(inside, series.offsets[units[first:last], None] + np.arange(longest), 0)
        values = series.values[rows].astype(np.float32)
        seen = np.isfinite(values) & inside[:, :, None]
        yield units[first:last], np.where(seen, values, 0.0), seen, lengths[first:last]
        first = last


def _finish(series: Series, units: Int | None, blocks: list[NDArray], names: list[str], length: bool) -> Named:
    table = np.concatenate(blocks) if blocks else np.zeros((0, len(names)))
    if length:
        chosen = series.lengths if units is None else series.lengths[np.asarray(units, np.int64)]
        table, names = np.concatenate([table, chosen[:, None]], 1), [*names, "length"]
    finite: Float = np.where(np.isfinite(table), table, 0.0).astype(np.float32)
    return finite, tuple(names)


def _moments(values: NDArray, seen: NDArray[np.bool_]) -> tuple[NDArray, NDArray]:
    """Mean and deviation over the seen steps, ``(units, features)`` each."""
    count = np.maximum(seen.sum(1), 1)
    mean = values.sum(1, dtype=np.float64) / count
    centred = np.where(seen, values - mean[:, None].astype(np.float32), 0.0)
    return mean, np.sqrt(np.einsum("ntd,ntd->nd", centred, centred) / count)


def _last(values: NDArray, seen: NDArray[np.bool_], lengths: Int) -> NDArray:
    """Last seen value, ``(units, features)``."""
    steps = np.arange(values.shape[1])[:, None]
    at = np.where(seen, steps, -1).max(1)
    return np.take_along_axis(values, np.maximum(at, 0)[:, None], 1)[:, 0]


def _standardised(values: NDArray, seen: NDArray[np.bool_]) -> NDArray:
    """Each unit's channels with mean 0 and deviation 1; 0 where not seen or constant."""
    mean, deviation = _moments(values, seen)
    safe = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6), deviation, np.inf)
    centred = np.where(seen, values - mean[:, None].astype(np.float32), 0.0)
    return (centred / safe[:, None]).astype(np.float32)


def _levels(values: NDArray, seen: NDArray[np.bool_], lengths: Int) -> list[tuple[str, NDArray]]:
    mean, deviation = _moments(values, seen)
    ordered = np.where(seen, values, np.inf)
    top = np.where(seen, values, -np.inf)
    parts = [("mean", mean), ("std", deviation), ("last", _last(values, seen, lengths))]
    parts += [("min", ordered.min(1)), ("max", top.max(1))]
    parts += [("argmin", ordered.argmin(1) / lengths[:, None]), ("argmax", top.argmax(1) / lengths[:, None])]
    ordered.sort(axis=1)
    last = np.maximum(seen.sum(1) - 1, 0)
    for quantile in QUANTILES:
        at = np.round(quantile * last).astype(np.int64)
        parts.append((f"q{quantile:g}", np.take_along_axis(ordered, at[:, None], 1)[:, 0]))
    return parts


def _segments(values: NDArray, seen: NDArray[np.bool_], lengths: Int) -> list[tuple[str, NDArray]]:
    """Slope per step, means of equal segments, and how they change."""
    steps = np.arange(values.shape[1])
    count = np.maximum(seen.sum(1), 1)
    clock = np.where(seen, steps[:, None], 0.0).astype(np.float32)
    middle = clock.sum(1, dtype=np.float64) / count
    clock = np.where(seen, clock - middle[:, None].astype(np.float32), 0.0)
    spread = np.einsum("ntd,ntd->nd", clock, clock)
    centred = values - _moments(values, seen)[0][:, None].astype(np.float32)
    slope = np.einsum("ntd,ntd->nd", clock, centred) / np.where(spread > 0, spread, 1.0)
    means = []
    segment = steps * SEGMENTS // np.maximum(lengths[:, None], 1)
    for number in range(SEGMENTS):
        inside = (segment == number).astype(np.float32)[:, None]  # (units, 1, time): a matrix product sums
        amount = (inside @ seen.astype(np.float32))[:, 0]
        means.append((inside @ values)[:, 0] / np.where(amount > 0, amount, np.nan))
    parts = [("slope", slope)] + [(f"segment{i}", part) for i, part in enumerate(means)]
    return parts + [(f"segment{i + 1}-{i}", late - early) for i, (early, late) in enumerate(pairwise(means))]


def _motion(values: NDArray, seen: NDArray[np.bool_]) -> list[tuple[str, NDArray]]:
    """Size of steps (in deviations) and how often thresholds are crossed, per step."""
    scaled = _standardised(values, seen)
    both = seen[:, 1:] & seen[:, :-1]
    count = np.maximum(both.sum(1), 1)
    change = np.where(both, scaled[:, 1:] - scaled[:, :-1], 0.0)
    parts = [("step_mean", np.abs(change).sum(1) / count)]
    parts.append(("step_std", np.sqrt(np.einsum("ntd,ntd->nd", change, change) / count)))
    for threshold in THRESHOLDS:
        above = scaled > threshold
        parts.append((f"crossings{threshold:g}", ((above[:, 1:] != above[:, :-1]) & both).sum(1) / count))
    return parts


def _correlations(values: NDArray, seen: NDArray[np.bool_]) -> list[tuple[str, NDArray]]:
    """Auto- and cross-correlations, ``(units, paired, paired)`` per lag, autocorrelations of the other channels."""
    scaled = _standardised(values, seen)
    known = seen.astype(np.float32)
    parts = []
    for lag in (0, *LAGS):
        stop = max(values.shape[1] - lag, 0)
        early, late = scaled[:, :stop, :MOST_PAIRED], scaled[:, lag:, :MOST_PAIRED]
        count = np.swapaxes(known[:, :stop, :MOST_PAIRED], 1, 2) @ known[:, lag:, :MOST_PAIRED]
        parts.append((f"corr{lag}", (np.swapaxes(early, 1, 2) @ late) / np.maximum(count, 1.0)))
        if lag and values.shape[2] > MOST_PAIRED:
            product = np.einsum("ntd,ntd->nd", scaled[:, :stop], scaled[:, lag:])
            parts.append((f"auto{lag}", product / np.maximum((seen[:, :stop] & seen[:, lag:]).sum(1), 1)))
    return parts
