"""How good class calls, scores and probabilities are: numpy only, one function per number.

A number that the data do not define (an AUC of one class) is NaN, never 0. Ranking metrics sort once: 1e5 answers take
some ten milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_seq.training.value_metrics import Array, to_vector

EPSILON = 1e-7  # float32's resolution near 1: probabilities are kept this far from 0 and 1 in logarithms


@dataclass(frozen=True)
class ClassAnswers:
    """Answers of a classifier and their truth.

    Attributes:
        truth: class numbers ``(n,)``.
        probability: of the positive class ``(n,)``, or of all classes ``(n, classes)``.
        called: class numbers ``(n,)``.
    """

    truth: Array
    probability: Array
    called: NDArray[np.integer] | NDArray[np.bool_]

    @cached_property
    def table(self) -> NDArray[np.int64]:
        """Counts ``(classes, classes)`` of ``confusion``."""
        return confusion(self.truth, self.called, 2 if self.probability.ndim == 1 else self.probability.shape[1])

    @cached_property
    def one_hot(self) -> Array:
        """Truth ``(n, classes)`` as 0 and 1."""
        return np.eye(len(self.table))[self.truth.astype(np.int64)]


@dataclass(frozen=True)
class ClassMetric:
    """A metric of classifiers.

    Attributes:
        binary: takes answers of two classes.
        multiclass: takes answers of several; None: not defined for them.
        higher_is_better: its direction.
        thresholded: it depends on the threshold from which on a probability is called positive.
    """

    binary: Callable[[ClassAnswers], float]
    multiclass: Callable[[ClassAnswers], float] | None = None
    higher_is_better: bool = False
    thresholded: bool = False


def auc_roc(truth: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties counting half.

    Mann & Whitney's U from mid-ranks. NaN where one class is missing.

    Args:
        truth: 0/1 ``(n,)``.
        score: ``(n,)``, the higher the more likely 1.
    """
    positive, values = _labels(truth), to_vector(score)
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
    positive, values = _labels(truth), to_vector(score)
    order = np.argsort(-values, kind="stable")
    last_of_tie = np.flatnonzero(np.append(np.diff(values[order]) != 0, True)[: len(values)])
    true_positives = np.cumsum(positive[order], dtype=np.float64)[last_of_tie]
    return true_positives, np.asarray(last_of_tie, np.float64) + 1, int(positive.sum())


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


def brier(truth: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared error of a positive's probability (Brier 1950), in [0, 1]."""
    return float(np.mean((to_vector(probability) - _labels(truth)) ** 2))


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


def detection_step(score: ArrayLike, threshold: float) -> float:
    """Detection step: position, from 0, of the answer from which on a unit's call is never taken back.

    Args:
        score: one unit's scores ``(answers,)``, each after more steps than the one before.
        threshold: from which on a score is a call.

    Returns:
        0 for a unit that is called from its first answer on; NaN for one not called at its last.
    """
    below = np.flatnonzero(~(to_vector(score) >= threshold))
    if not len(below):
        return 0.0
    first = int(below[-1]) + 1
    return float(first) if first < np.size(score) else float("nan")


def _precision(answers: ClassAnswers) -> float:
    called = int(answers.table[:, 1].sum())
    return int(answers.table[1, 1]) / called if called else 0.0


def _recall(answers: ClassAnswers) -> float:
    actual = int(answers.table[1].sum())
    return int(answers.table[1, 1]) / actual if actual else float("nan")


def _mean_f1(answers: ClassAnswers) -> float:
    occurs = (answers.table.sum(0) + answers.table.sum(1)) > 0
    return float(np.mean(f1_per_class(answers.table)[occurs]))


def _mean_auc_roc(answers: ClassAnswers) -> float:
    areas = [auc_roc(*columns) for columns in zip(answers.one_hot.T, answers.probability.T, strict=True)]
    known = [area for area in areas if np.isfinite(area)]
    return float(np.mean(known)) if known else float("nan")


def _sum_brier(answers: ClassAnswers) -> float:
    return float(np.mean(np.sum((answers.probability - answers.one_hot) ** 2, 1)))


def _labels(truth: ArrayLike) -> NDArray[np.bool_]:
    return np.asarray(truth).ravel() > 0.5


def _two_columns(probability: ArrayLike) -> Array:
    table = np.asarray(probability, np.float64)
    if table.ndim == 2 and table.shape[1] > 1:
        return table
    return np.stack([1 - table.ravel(), table.ravel()], axis=1)


def _of_table(measure: Callable[[NDArray[np.int64]], float]) -> ClassMetric:
    def both(answers: ClassAnswers) -> float:
        return measure(answers.table)

    return ClassMetric(both, both, higher_is_better=True, thresholded=True)


def _of_probability(measure: Callable[[Array, Array], float]) -> ClassMetric:
    def both(answers: ClassAnswers) -> float:
        return measure(answers.truth, answers.probability)

    return ClassMetric(both, both)


CLASS_METRICS = {
    "auc_roc": ClassMetric(lambda a: auc_roc(a.truth, a.probability), _mean_auc_roc, higher_is_better=True),
    "auc_pr": ClassMetric(lambda a: auc_pr(a.truth, a.probability), higher_is_better=True),
    "accuracy": _of_table(lambda table: float(np.trace(table) / table.sum())),
    "balanced_accuracy": _of_table(balanced_accuracy),
    "precision": ClassMetric(_precision, higher_is_better=True, thresholded=True),
    "recall": ClassMetric(_recall, higher_is_better=True, thresholded=True),
    "f1": ClassMetric(lambda a: float(f1_per_class(a.table)[1]), _mean_f1, higher_is_better=True, thresholded=True),
    "mcc": _of_table(mcc),
    "brier": ClassMetric(lambda a: brier(a.truth, a.probability), _sum_brier),
    "log_loss": _of_probability(log_loss),
    "ece": _of_probability(ece),
}
