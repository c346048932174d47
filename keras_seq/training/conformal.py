"""Prediction intervals that hold a stated share of truths, whatever the model (conformal prediction).

A score says how far an answer is off; a quantile of the validation scores is how far an interval must
reach. With ``n`` exchangeable scores, the ``ceil((n + 1)(1 - a))``-th smallest covers the next truth with
probability at least ``1 - a`` (Vovk, Gammerman & Shafer 2005; Lei et al. 2018).

What is exchangeable are *units* (engines, heats, blocks of time), never the windows or steps of one unit.
``reach`` therefore draws one random point of every unit, takes that order statistic, and repeats: the
"subsampling" of Dunn, Wasserman & Ramdas (2022). For a unit that is cut at an unknown moment, as test engines are,
each draw is a validation part that looks like the test part: one random cut of every engine. One draw has the
exact guarantee but is noisy; we average over draws the *probability* that lies below the order statistic, which
keeps the coverage (tests simulate it) without the noise. With one point a unit it is plain split conformal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
DRAWS = 200
FOLDS = 5
KNOTS = 8  # levels of a normalised interval's table
POINTS_PER_KNOT = 50
LEAST_SPREAD = 0.25  # of the mean absolute error: a band of lucky answers does not get a spread near 0


def needed(coverage: float) -> int:
    """The fewest units with which ``coverage`` can be kept: ``n >= 1/a - 1`` with ``a = 1 - coverage``."""
    return int(np.ceil(1 / (1 - coverage) - 1 - 1e-9))


def reach(scores: ArrayLike, cluster: ArrayLike, coverage: float, *, draws: int = DRAWS) -> Array:
    """Conformal quantile of scores: how far intervals must reach.

    Args:
        scores: ``(n, ...)`` of the validation part; each trailing position is treated on its own.
        cluster: ``(n,)``, what is exchangeable.
        coverage: wanted share ``1 - a``.
        draws: random choices of one point a cluster.

    Returns:
        ``(...)``, one number a trailing position.

    Raises:
        ValueError: fewer than ``needed(coverage)`` clusters.
    """
    values = np.asarray(scores, np.float64)
    names, inverse, size = np.unique(np.asarray(cluster), return_inverse=True, return_counts=True)
    if len(names) < needed(coverage):
        raise ValueError(f"coverage {coverage} needs {needed(coverage)} clusters, got {len(names)}")
    position = (len(names) + 1) * coverage
    if len(names) == len(values):  # one point a cluster: the order statistic itself
        return np.sort(values, axis=0)[min(_whole(position, math.ceil), len(names)) - 1]
    chosen = _draw(inverse, size, draws)
    flat = values.reshape(len(values), -1)
    reaches = [_reach_of(column, inverse, size, chosen, position) for column in flat.T]
    return np.array(reaches).reshape(values.shape[1:])


def fit_split(residual: Array, cluster: ArrayLike, coverage: float) -> dict[str, Any]:
    """Equal intervals: score ``|y - f(x)|``; one width for each horizon and target.

    Args:
        residual: ``(n, targets)`` or ``(n, horizon, targets)``.
        cluster: ``(n,)``.
        coverage: wanted share.
    """
    return {"method": "split", "width": reach(np.abs(residual), cluster, coverage).tolist()}


def fit_normalised(residual: Array, prediction: Array, cluster: ArrayLike, coverage: float) -> dict[str, Any]:
    """Intervals as wide as errors are at the predicted level: score ``|y - f(x)| / s(f(x))`` (Lei et al. 2018, 5.2).

    ``s`` is a table over bands of the predicted value (the smooth relative of Mondrian bins, Bostrom & Johansson
    2020): errors of a remaining life are small near its end and large far from it. Scores come from tables
    fitted without their own units (5 folds), so that the table's own fit does not flatter them. Where a band
    would hold fewer than 50 points, intervals are equal.

    Args:
        residual: ``(n, targets)`` or ``(n, horizon, targets)``.
        prediction: same shape.
        cluster: ``(n,)``.
        coverage: wanted share.
    """
    names, inverse = np.unique(np.asarray(cluster), return_inverse=True)
    knots = min(KNOTS, len(residual) // POINTS_PER_KNOT)
    if knots < 2 or len(names) < 2:
        return fit_split(residual, cluster, coverage)
    fold = np.random.default_rng(0).permutation(len(names))[inverse] % min(FOLDS, len(names))
    scores = np.empty(residual.shape)
    for held_out in np.unique(fold):
        rest = fold != held_out
        table = _spread(residual[rest], prediction[rest], inverse[rest], knots)
        scores[~rest] = np.abs(residual[~rest]) / _read(table, prediction[~rest])
    x, y = _spread(residual, prediction, inverse, knots)
    width = reach(scores, cluster, coverage)
    return {"method": "normalised", "width": width.tolist(), "knots": x.tolist(), "spread": y.tolist()}


def fit_quantile(
    truth: Array, quantiles: Array, levels: Sequence[float], cluster: ArrayLike, coverage: float
) -> dict[str, Any]:
    """Conformalised quantile regression: score ``max(q_low - y, y - q_high)`` (Romano, Patterson & Candes 2019).

    Args:
        truth: ``(n, ...)``.
        quantiles: ``(n, ..., q)``.
        levels: of the last axis, rising; those nearest to ``a/2`` and ``1 - a/2`` are used.
        cluster: ``(n,)``.
        coverage: wanted share ``1 - a``.
    """
    known, tail = np.asarray(levels), (1 - coverage) / 2
    low, high = int(np.argmin(np.abs(known - tail))), int(np.argmin(np.abs(known - 1 + tail)))
    actual = np.asarray(truth, np.float64).reshape(quantiles.shape[:-1])
    scores = np.maximum(quantiles[..., low] - actual, actual - quantiles[..., high])
    return {"method": "cqr", "low": low, "high": high, "margin": reach(scores, cluster, coverage).tolist()}


def _reach_of(
    score: Array, inverse: NDArray[np.int64], size: NDArray[np.int64], chosen: NDArray[np.int64], position: float
) -> float:
    """One column of ``reach``: the score whose probability is that of the averaged order statistic.

    A point's probability is the share of scores up to it, every unit counting equally and its own unit in
    full: where scores differ between units only, the result is the order statistic of units itself.
    """
    order = np.argsort(score, kind="stable")
    weight = 1 / (len(size) * size[inverse])
    below = np.empty(len(score))
    below[order] = np.cumsum(weight[order])
    within = np.empty(len(score))
    by_unit = order[np.argsort(inverse[order], kind="stable")]
    within[by_unit] = (np.arange(len(score)) - np.repeat(np.cumsum(size) - size, size) + 1) * weight[by_unit]
    drawn = np.sort((below + 1 / len(size) - within)[chosen], axis=1)
    first, last = _whole(position, math.floor), min(_whole(position, math.ceil), len(size))
    share = position - first if last > first else 0.0
    level = float(np.mean((1 - share) * drawn[:, max(first, 1) - 1] + share * drawn[:, last - 1]))
    place = np.searchsorted(below[order], level - 1e-9)
    return float(score[order[min(int(place), len(score) - 1)]])


def _draw(inverse: NDArray[np.int64], size: NDArray[np.int64], draws: int) -> NDArray[np.int64]:
    """Point numbers ``(draws, clusters)``: a random one of every cluster."""
    order, start = np.argsort(inverse, kind="stable"), np.cumsum(size) - size
    picks = np.random.default_rng(0).random((draws, len(size)))
    return order[start + (picks * size).astype(np.int64)]


def _whole(position: float, rounded: Callable[[float], int]) -> int:
    return rounded(round(position, 9))  # 0.9 * 20 is 18.000000000000004 for a computer


def _spread(residual: Array, prediction: Array, inverse: NDArray[np.int64], knots: int) -> tuple[Array, Array]:
    """Mean absolute residual in bands of the prediction, units counting equally: knots and values ``(..., knots)``."""
    size = np.bincount(inverse)
    weight = 1 / np.maximum(size, 1)[inverse]
    columns = zip(residual.reshape(len(residual), -1).T, prediction.reshape(len(residual), -1).T, strict=True)
    tables = [_bands(np.abs(error), level, weight, knots) for error, level in columns]
    shape = (*residual.shape[1:], knots)
    return tuple(np.array(part).reshape(shape) for part in zip(*tables, strict=True))  # type: ignore[return-value]


def _bands(error: Array, level: Array, weight: Array, knots: int) -> tuple[Array, Array]:
    order = np.argsort(level, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    band = np.empty(len(order), np.int64)
    band[order] = np.minimum((share - share[0] / 2) * knots, knots - 1).astype(np.int64)
    mass = np.maximum(np.bincount(band, weight, minlength=knots), 1e-12)
    x = np.bincount(band, weight * level, minlength=knots) / mass
    y = np.bincount(band, weight * error, minlength=knots) / mass
    floor = max(LEAST_SPREAD * float(np.average(error, weights=weight)), 1e-12)
    return np.maximum.accumulate(x), np.maximum(y, floor)


def _read(table: tuple[Array, Array], prediction: Array) -> Array:
    x, y = (part.reshape(-1, part.shape[-1]) for part in table)
    flat = prediction.reshape(len(prediction), -1)
    return np.stack([np.interp(flat[:, k], x[k], y[k]) for k in range(len(x))], 1).reshape(prediction.shape)
