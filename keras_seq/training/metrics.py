"""How far answers are from the truth: numpy only, one function per number.

Values are compared in the units they come in, in float64. A number that the data do not define (an
AUC of one class, R2 of a constant truth) is NaN, never 0. Ranking metrics sort once: 1e5 answers
take some ten milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_seq.config import TaskName

Array = NDArray[np.float64]
EPSILON = 1e-7  # float32's resolution near 1: probabilities are kept this far from 0 and 1 in logarithms
HIGHER_IS_BETTER = frozenset(
    {"r2", "auc_roc", "auc_pr", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "mcc", "coverage"}
)


# ---------------------------------------------------------------- values


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
    actual = _float(truth)
    known = actual != 0
    if not known.any():
        return float("nan")
    return float(100 * np.mean(np.abs(_difference(truth, prediction)[known] / actual[known])))


def smape(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Symmetric MAPE of the M4 competition, percent in [0, 200]: ``mean(2|p - t| / (|p| + |t|))``; 0/0 is 0."""
    size = np.abs(_float(truth)) + np.abs(_float(prediction))
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
    history = _float(train)
    scale = float(np.mean(np.abs(history[season:] - history[:-season]))) if len(history) > season else 0.0
    return mae(truth, prediction) / scale if scale > 0 else float("nan")


def r2(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Share of the truth's variance explained; arrays of one shape ``(...)``; NaN where the truth is constant."""
    actual = _float(truth)
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


# ---------------------------------------------------------------- quantiles and intervals


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
    actual = _float(truth)
    return float(np.mean((actual >= _float(low)) & (actual <= _float(high))))


def interval_width(low: ArrayLike, high: ArrayLike) -> float:
    """Mean width of the intervals, in the target's unit; arrays of one shape ``(...)``."""
    return float(np.mean(_difference(low, high)))


# ---------------------------------------------------------------- ranking


def auc_roc(truth: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties counting half.

    Mann & Whitney's U from mid-ranks. NaN where one class is missing.

    Args:
        truth: 0/1 ``(n,)``.
        score: ``(n,)``, the higher the more likely 1.
    """
    positive, values = _labels(truth), _float(score)
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle_rank = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(np.sum(middle_rank[inverse][positive]))
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def auc_pr(truth: ArrayLike, score: ArrayLike) -> float:
    """Average precision ``sum((R_k - R_{k-1}) P_k)`` over thresholds, ties taken together; NaN without positives."""
    true_positives, called, n_positive = ranked_counts(truth, score)
    if not n_positive:
        return float("nan")
    recall_gain = np.diff(true_positives, prepend=0) / n_positive
    return float(np.sum(recall_gain * true_positives / called))


def ranked_counts(truth: ArrayLike, score: ArrayLike) -> tuple[Array, Array, int]:
    """True positives and positives called at every distinct score, from the highest down.

    Returns:
        ``(thresholds,)`` true positives, ``(thresholds,)`` called, and the number of positives.
    """
    positive, values = _labels(truth), _float(score)
    order = np.argsort(-values, kind="stable")
    last_of_tie = np.flatnonzero(np.append(np.diff(values[order]) != 0, True)[: len(values)])
    true_positives = np.cumsum(positive[order], dtype=np.float64)[last_of_tie]
    return true_positives, np.asarray(last_of_tie, np.float64) + 1, int(positive.sum())


# ---------------------------------------------------------------- classes


def confusion(truth: ArrayLike, called: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts ``(classes, classes)``: row the true class, column the one called."""
    actual, answer = np.asarray(truth).astype(np.int64).ravel(), np.asarray(called).astype(np.int64).ravel()
    return np.bincount(actual * classes + answer, minlength=classes * classes).reshape(classes, classes)


def accuracy(truth: ArrayLike, called: ArrayLike) -> float:
    """Share of class numbers ``(n,)`` that agree."""
    return float(np.mean(np.asarray(truth).ravel() == np.asarray(called).ravel()))


def balanced_accuracy(table: NDArray[np.int64]) -> float:
    """Mean recall of the classes that occur; from ``confusion``'s counts ``(classes, classes)``."""
    occurs = table.sum(1) > 0
    return float(np.mean(np.diag(table)[occurs] / table.sum(1)[occurs]))


def f1_per_class(table: NDArray[np.int64]) -> Array:
    """F1 of each class ``(classes,)``; 0 where nothing is true or called; from ``confusion``."""
    size = table.sum(0) + table.sum(1)
    return np.divide(2.0 * np.diag(table), size, out=np.zeros(len(table)), where=size > 0)


def f1(truth: ArrayLike, called: ArrayLike) -> float:
    """F1 of class 1 of two, from class numbers ``(n,)``; 0 where nothing is true or called."""
    return float(f1_per_class(confusion(truth, called, 2))[1])


def mcc(table: NDArray[np.int64]) -> float:
    """Matthews' correlation for any number of classes (Gorodkin 2004); 0 where a side is constant."""
    counts = table.astype(np.float64)
    total, hits = counts.sum(), np.trace(counts)
    true, called = counts.sum(1), counts.sum(0)
    spread = np.sqrt(total**2 - called @ called) * np.sqrt(total**2 - true @ true)
    return float((hits * total - true @ called) / spread) if spread > 0 else 0.0


# ---------------------------------------------------------------- probabilities


def brier(truth: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared error of a positive's probability (Brier 1950), in [0, 1]."""
    return float(np.mean((_float(probability) - _labels(truth)) ** 2))


def log_loss(truth: ArrayLike, probability: ArrayLike) -> float:
    """Mean negative log-likelihood, nats.

    Args:
        truth: class numbers ``(n,)``.
        probability: of the positive class ``(n,)`` or ``(n, 1)``, or of all classes ``(n, classes)``.
    """
    table = _two_columns(probability)
    chosen = table[np.arange(len(table)), np.asarray(truth).astype(np.int64).ravel()]
    return float(-np.mean(np.log(np.clip(chosen, EPSILON, 1 - EPSILON))))


def ece(truth: ArrayLike, probability: ArrayLike, *, bins: int = 15) -> float:
    """Expected calibration error over equal-width bins (Guo et al. 2017), in [0, 1].

    A positive's probability against the share of positives where ``probability`` is ``(n,)`` or
    ``(n, 1)``; the highest class probability against accuracy where it is ``(n, classes)``.
    """
    values = np.asarray(probability, np.float64)
    if values.ndim == 2 and values.shape[1] > 1:
        hit: Array = (values.argmax(1) == np.asarray(truth).ravel()).astype(np.float64)
        values = values.max(1)
    else:
        hit, values = _labels(truth).astype(np.float64), values.ravel()
    which = np.minimum((values * bins).astype(np.int64), bins - 1)
    gap = np.bincount(which, hit - values, minlength=bins)
    return float(np.abs(gap).sum() / len(values))


# ---------------------------------------------------------------- time


def detection_step(score: ArrayLike, threshold: float) -> float:
    """From which answer on a call is never taken back: the position, from 0, in a unit's answers in order of time.

    Args:
        score: one unit's scores ``(answers,)``, each after more steps than the one before.
        threshold: from which on a score is a call.

    Returns:
        0 for a unit that is called from its first answer on; NaN for one not called at its last.
    """
    below = np.flatnonzero(~(_float(score) >= threshold))
    if not len(below):
        return 0.0
    first = int(below[-1]) + 1
    return float(first) if first < np.size(score) else float("nan")


# ---------------------------------------------------------------- all of a task


def score(
    task: TaskName,
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    threshold: float = 0.5,
    weights: ArrayLike | None = None,
    scale: Sequence[float] = (),
    names: Sequence[str] = (),
) -> dict[str, float]:
    """Every metric of a task.

    Args:
        task: "regression", "forecast", "binary" or "multiclass".
        truth: values, or class numbers ``(...)``.
        prediction: values of the same size; a positive's probability ``(...)``; or ``(..., classes)``.
        threshold: from which on a probability is called positive.
        weights: shape of the leading axes of ``truth``; points of weight 0 (padding) are left out.
        scale: of several targets the deviation of each, see ``score_values``.
        names: of several targets their names, see ``score_values``.

    Returns:
        Metric name to value.
    """
    actual, answer = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    if weights is not None:
        real = np.asarray(weights) > 0
        actual, answer = actual[real], answer[real]
    if task == "binary":
        return _score_binary(actual.ravel(), answer.ravel(), threshold)
    if task == "multiclass":
        return _score_classes(actual.ravel(), answer.reshape(-1, answer.shape[-1]))
    return score_values(actual, answer, scale=scale, names=names)


def score_values(
    truth: ArrayLike, prediction: ArrayLike, *, scale: Sequence[float] = (), names: Sequence[str] = ()
) -> dict[str, float]:
    """``rmse``, ``mae``, ``smape`` and ``r2`` of values.

    Of one target they are in its unit. Several targets may differ in scale, so they are never pooled as they are:
    ``rmse``, ``mae`` and ``r2`` are then over all targets in deviations, ``smape`` is the targets' mean, and
    ``rmse/<target>``, ... are each target's own, in its unit.

    Args:
        truth: ``(..., targets)``; any shape for one target.
        prediction: as many values in the same order.
        scale: deviation of each target on the train part ``(targets,)``; one or none: a single target.
        names: of the targets; none: no metrics by target.
    """
    if len(scale) < 2:
        return {measure.__name__: measure(truth, prediction) for measure in (rmse, mae, smape, r2)}
    deviation = deviations(scale)
    actual, answer = (np.asarray(part, np.float64).reshape(-1, len(deviation)) for part in (truth, prediction))
    error = (answer - actual) / deviation
    spread = float(np.sum(((actual - actual.mean(0)) / deviation) ** 2))
    own = {
        measure.__name__: [measure(actual[:, k], answer[:, k]) for k in range(len(deviation))]
        for measure in (rmse, mae, smape, r2)
    }
    overall = {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "smape": float(np.mean(own["smape"])),
        "r2": float(1 - np.sum(error**2) / spread) if spread > 0 else float("nan"),
    }
    for metric, values in own.items():
        overall |= by_target(metric, values, names)
    return overall


def deviations(scale: Sequence[float]) -> Array:
    """Deviations to divide by: 1 where a target is constant in train."""
    known = np.asarray(scale, np.float64)
    return np.where(np.isfinite(known) & (known > 0), known, 1.0)


def by_target(metric: str, values: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """``{"metric/target": value}`` of several targets; nothing of one."""
    if len(names) < 2:
        return {}
    return {f"{metric}/{name}": float(value) for name, value in zip(names, values, strict=True)}


def over_targets(metric: str, values: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """A metric of one target, or the mean over several that know it and each target's own."""
    known = [value for value in values if np.isfinite(value)]
    return {metric: float(np.mean(known)) if known else float("nan")} | by_target(metric, values, names)


def _score_binary(truth: Array, probability: Array, threshold: float) -> dict[str, float]:
    table = confusion(truth, probability >= threshold, 2)
    hits, called, actual = int(table[1, 1]), int(table[:, 1].sum()), int(table[1].sum())
    return {
        "auc_roc": auc_roc(truth, probability),
        "auc_pr": auc_pr(truth, probability),
        "accuracy": float(np.trace(table) / table.sum()),
        "balanced_accuracy": balanced_accuracy(table),
        "precision": hits / called if called else 0.0,
        "recall": hits / actual if actual else float("nan"),
        "f1": float(f1_per_class(table)[1]),
        "mcc": mcc(table),
        "brier": brier(truth, probability),
        "log_loss": log_loss(truth, probability),
        "ece": ece(truth, probability),
    }


def _score_classes(truth: Array, probability: Array) -> dict[str, float]:
    classes = probability.shape[1]
    table = confusion(truth, probability.argmax(1), classes)
    one_hot = np.eye(classes)[truth.astype(np.int64)]
    areas = [auc_roc(one_hot[:, k], probability[:, k]) for k in range(classes)]
    known = [area for area in areas if np.isfinite(area)]
    occurs = (table.sum(0) + table.sum(1)) > 0
    return {
        "accuracy": float(np.trace(table) / table.sum()),
        "balanced_accuracy": balanced_accuracy(table),
        "f1": float(np.mean(f1_per_class(table)[occurs])),
        "mcc": mcc(table),
        "auc_roc": float(np.mean(known)) if known else float("nan"),
        "brier": float(np.mean(np.sum((probability - one_hot) ** 2, 1))),
        "log_loss": log_loss(truth, probability),
        "ece": ece(truth, probability),
    }


def _float(values: ArrayLike) -> Array:
    return np.asarray(values, np.float64).ravel()


def _labels(truth: ArrayLike) -> NDArray[np.bool_]:
    return np.asarray(truth).ravel() > 0.5


def _difference(truth: ArrayLike, prediction: ArrayLike) -> Array:
    actual, answer = _float(truth), _float(prediction)
    if actual.size != answer.size:  # else numpy would broadcast one against the other
        raise ValueError(f"truth and prediction must hold as many values, got {actual.size} and {answer.size}")
    return answer - actual


def _two_columns(probability: ArrayLike) -> Array:
    table: Any = np.asarray(probability, np.float64)
    if table.ndim == 2 and table.shape[1] > 1:
        return table
    return np.stack([1 - table.ravel(), table.ravel()], axis=1)
