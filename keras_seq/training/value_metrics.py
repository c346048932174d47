"""How far values and intervals are from the truth: numpy only, one function per number.

Values are compared in the units they come in, in float64. A number that the data do not define (R2 of a constant
truth) is NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ValueMetric:
    """A metric of regression and forecasts.

    Attributes:
        measure: takes truth and prediction of one target.
        higher_is_better: its direction.
        pooled: over several targets, from their errors and centred truths ``(points, targets)`` in deviations; None:
            the mean of the targets' own.
    """

    measure: Callable[[ArrayLike, ArrayLike], float]
    higher_is_better: bool = False
    pooled: Callable[[Array, Array], float] | None = None


def rmse(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Root of the mean squared error over all points, in the target's unit; arrays of one shape ``(...)``."""
    return float(np.sqrt(np.mean(_difference(truth, prediction) ** 2)))


def mae(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean absolute error over all points, in the target's unit; arrays of one shape ``(...)``."""
    return float(np.mean(np.abs(_difference(truth, prediction))))


def mape(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean absolute error over the absolute truth, percent; arrays of one shape ``(...)``.

    Points whose truth is 0 are left out; NaN where none is left.
    """
    actual = to_vector(truth)
    known = actual != 0
    if not known.any():
        return float("nan")
    return float(100 * np.mean(np.abs(_difference(truth, prediction)[known] / actual[known])))


def smape(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Symmetric MAPE of the M4 competition, percent in [0, 200]: ``mean(2|p - t| / (|p| + |t|))``; 0/0 is 0."""
    size = np.abs(to_vector(truth)) + np.abs(to_vector(prediction))
    share = np.divide(2 * np.abs(_difference(truth, prediction)), size, out=np.zeros_like(size), where=size > 0)
    return float(100 * np.mean(share))


def mase(truth: ArrayLike, prediction: ArrayLike, *, train: ArrayLike, season: int = 1) -> float:
    """Mean absolute scaled error (Hyndman & Koehler 2006).

    Args:
        truth: any shape.
        prediction: same shape.
        train: ``(time,)``, the training series whose seasonal naive forecast sets the scale.
        season: steps of a season; 1: the last value is the naive forecast.
    """
    history = to_vector(train)
    scale = float(np.mean(np.abs(history[season:] - history[:-season]))) if len(history) > season else 0.0
    return mae(truth, prediction) / scale if scale > 0 else float("nan")


def r2(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Share of the truth's variance explained; arrays of one shape ``(...)``; NaN where the truth is constant."""
    actual = to_vector(truth)
    spread = float(np.sum((actual - actual.mean()) ** 2))
    return float(1 - np.sum(_difference(truth, prediction) ** 2) / spread) if spread > 0 else float("nan")


def phm08(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Score of the PHM08 challenge, a sum over points: late predictions of a remaining life cost more.

    ``sum(exp(-d / 13) - 1 if d < 0 else exp(d / 10) - 1)`` with ``d = prediction - truth`` in cycles
    (Saxena et al. 2008). Exponents are kept below 700, where float64 ends.
    """
    difference = _difference(truth, prediction)
    exponent = np.where(difference < 0, -difference / 13.0, difference / 10.0)
    with np.errstate(over="ignore"):
        return float(min(np.sum(np.expm1(np.minimum(exponent, 700.0))), np.finfo(np.float64).max))


def pinball(truth: ArrayLike, prediction: ArrayLike, quantiles: ArrayLike) -> float:
    """Mean quantile loss (Koenker & Bassett 1978) over points and quantiles, in the target's unit.

    Args:
        truth: ``(...)``, or ``(..., 1)`` against ``(..., quantiles)``.
        prediction: ``(..., quantiles)``.
        quantiles: ``(quantiles,)`` in (0, 1).
    """
    answers, levels = np.asarray(prediction, np.float64), np.asarray(quantiles, np.float64)
    difference = np.asarray(truth, np.float64).reshape(*answers.shape[:-1], 1) - answers
    return float(np.mean(np.maximum(levels * difference, (levels - 1) * difference)))


def coverage(truth: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Share of truths within ``[low, high]``, bounds included; arrays of one shape ``(...)``."""
    actual = to_vector(truth)
    return float(np.mean((actual >= to_vector(low)) & (actual <= to_vector(high))))


def interval_width(low: ArrayLike, high: ArrayLike) -> float:
    """Mean width of the intervals, in the target's unit; arrays of one shape ``(...)``."""
    return float(np.mean(_difference(low, high)))


def _pooled_r2(error: Array, centred: Array) -> float:
    spread = float(np.sum(centred**2))
    return float(1 - np.sum(error**2) / spread) if spread > 0 else float("nan")


def to_vector(values: ArrayLike) -> Array:
    """All values in float64, ``(n,)``."""
    return np.asarray(values, np.float64).ravel()


def _difference(truth: ArrayLike, prediction: ArrayLike) -> Array:
    actual, answer = to_vector(truth), to_vector(prediction)
    if actual.size != answer.size:  # else numpy would broadcast one against the other
        raise ValueError(f"truth and prediction must hold as many values, got {actual.size} and {answer.size}")
    return answer - actual


VALUE_METRICS = {
    "rmse": ValueMetric(rmse, pooled=lambda error, _: float(np.sqrt(np.mean(error**2)))),
    "mae": ValueMetric(mae, pooled=lambda error, _: float(np.mean(np.abs(error)))),
    "smape": ValueMetric(smape),
    "r2": ValueMetric(r2, higher_is_better=True, pooled=_pooled_r2),
}
