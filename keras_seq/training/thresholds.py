"""Decision thresholds: from which probability on a positive is called; chosen on validation, never on test.

Thresholds are for calibrated probabilities, the ones a bundle answers with. The best threshold of a validation part is
often the edge of a wide plateau, there because of a handful of rows. ``fit_threshold`` therefore asks by a bootstrap of
whole units or events which thresholds are as good as the best, and takes the middle of them: those within one standard
error of the difference, or so near the best that nobody would miss it. Few events may all be alike in what others are
not (their first rows, say), which no draw of them shows: the fewer they are, the more counts as near.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_seq.config import EvaluationConfig
from keras_seq.errors import DataError
from keras_seq.figures import figure
from keras_seq.training.class_metrics import ranked_counts

Array = NDArray[np.float64]
Gain = Callable[[Array, Array, Array], Array]  # from true positives, called and positives; the larger the better
DRAWS = 300
CANDIDATES = 1000  # thresholds looked at
PIECES = 1000  # most pieces drawn again; more are joined at random
TOLERANCE = 0.01  # share of the best gain that nobody would miss, ...
TOLERANCE_FEW = 0.1  # ... and this divided by the number of pieces with positives
ALLOWANCE = 1.1  # of a standard error: so much 300 draws may miss it by, and one piece's error lies just above it
FEW = 10  # pieces with positives: below it the choice is said to hang on few


@dataclass(frozen=True)
class ChosenThreshold:
    """A chosen threshold.

    Attributes:
        value: a probability at or above it is called positive.
        low: smallest threshold that is as good within the uncertainty of the validation part.
        high: largest one.
        pieces: units or events with positives that the choice was made on; None: it needed none.
        positives: rows of them.
    """

    value: float
    low: float
    high: float
    pieces: int | None = None
    positives: int | None = None

    @property
    def note(self) -> str:
        """Warning about a threshold chosen on few pieces; else empty."""
        if self.pieces is None or self.pieces >= FEW:
            return ""
        pieces = "unit or event" if self.pieces == 1 else "units or events"
        return (
            f"the threshold {figure(self.value, 3)} hangs on {self.pieces} {pieces} with positives ({self.positives} "
            f"rows) of the validation part: anything from {figure(self.low, 3)} to {figure(self.high, 3)} is as good "
            "within their uncertainty. Give data.split.validation more of them, or set evaluation.threshold=half"
        )


def fit_threshold(
    truth: ArrayLike, probability: ArrayLike, evaluation: EvaluationConfig, piece: ArrayLike
) -> ChosenThreshold:
    """The threshold that ``evaluation.threshold`` asks for, with its uncertainty.

    Args:
        truth: 0/1 ``(n,)`` of the validation part.
        probability: calibrated, ``(n,)``.
        evaluation: the rule and its numbers.
        piece: number of the unit or event that each answer belongs to, ``(n,)``; what is drawn again.

    Raises:
        DataError: no positive among ``truth``, or a probability that is not finite.
    """
    rule, cost = evaluation.threshold, evaluation.cost
    if rule == "half":
        return ChosenThreshold(0.5, 0.5, 0.5)
    actual, values = np.asarray(truth).ravel() > 0.5, np.asarray(probability, np.float64).ravel()
    _ranked(actual, values)  # refuses what has no answer
    if rule == "cost":
        gain = cost_gain(cost.false_negative, cost.false_positive)
    else:
        gain = f_gain(evaluation.beta if rule == "fbeta" else 1.0)
    numbers = np.unique(np.asarray(piece), return_inverse=True)[1].reshape(-1)
    edges, counts = _drawn(actual, values, numbers)
    pieces, positives = len(np.unique(numbers[actual])), int(actual.sum())
    if rule == "recall":
        value = recall_threshold(truth, probability, recall=evaluation.recall)
        low, high = _recall_range(edges, counts, evaluation.recall, value)
        return ChosenThreshold(value, low, high, pieces, positives)
    gains = gain(*counts)
    best, first, last = _plateau(gains, tolerance=TOLERANCE + TOLERANCE_FEW / pieces, nothing=rule == "cost")
    low, high = float(edges[last + 1]), float(edges[first])
    if first == last == best == 0:  # calling nothing is best
        low = float(edges[1])
        high = float(np.nextafter(np.float32(1), np.float32(2))) if low >= 1 else 1.0
        return ChosenThreshold(high if low >= 1 else (low + high) / 2, low, high, pieces, positives)
    return ChosenThreshold((low + high) / 2, low, high, pieces, positives)


def f_gain(beta: float) -> Gain:
    """``F_beta`` from counts."""

    def gain(hits: Array, called: Array, positives: Array) -> Array:
        size = called + beta**2 * positives
        return np.divide((1 + beta**2) * hits, size, out=np.zeros(np.broadcast(hits, size).shape), where=size > 0)

    return gain


def cost_gain(false_negative: float, false_positive: float) -> Gain:
    """Negative cost of calls, from counts."""
    return lambda hits, called, positives: -(false_negative * (positives - hits) + false_positive * (called - hits))


def _drawn(actual: NDArray[np.bool_], values: Array, piece: NDArray[np.int64]) -> tuple[Array, tuple[Array, ...]]:
    """Edges between thresholds from 1 down to 0, and counts of the whole part (first) and of every draw.

    A threshold in ``(edges[k + 1], edges[k]]`` calls what is at or above ``edges[k]``; of ``k = 0`` nothing.

    Returns:
        ``(thresholds + 1,)``; true positives and called ``(1 + draws, thresholds)``, positives ``(1 + draws, 1)``.
    """
    distinct = np.unique(values)[::-1]
    if len(distinct) > CANDIDATES:
        ranked = np.sort(values)[::-1]
        distinct = np.unique(ranked[np.linspace(0, len(ranked) - 1, CANDIDATES).astype(int)])[::-1]
    rng, count = np.random.default_rng(0), int(piece.max()) + 1
    if count > PIECES:
        piece, count = rng.permutation(np.arange(count) % PIECES)[piece], PIECES
    place = 1 + np.searchsorted(-distinct, -values, side="left").clip(max=len(distinct) - 1)
    width = len(distinct) + 1
    cell = piece * width + place
    tables = [np.bincount(cell, weight, count * width).reshape(count, width) for weight in (actual, np.ones(len(cell)))]
    weights = np.concatenate([np.ones((1, count)), _weights(tables[0].sum(1) > 0, rng)])
    hits, called = (np.cumsum(weights @ table, axis=1, dtype=np.float64) for table in tables)
    return np.concatenate([[max(1.0, distinct[0])], distinct, [0.0]]), (hits, called, hits[:, -1:])


def _weights(positive: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """Times that every draw holds a piece ``(draws, pieces)``; those with positives are drawn among themselves."""
    weights = np.zeros((DRAWS, len(positive)))
    for chosen in (positive, ~positive):
        count = int(chosen.sum())
        if count:
            weights[:, chosen] = rng.multinomial(count, np.full(count, 1 / count), DRAWS)
    return weights


def _plateau(gains: Array, *, tolerance: float, nothing: bool) -> tuple[int, int, int]:
    """The best position, and the first and last of those around it that are as good.

    Around it reaches as far as nothing is worse by twice as much: beyond a valley another hill is no part of the
    plateau.

    Args:
        gains: of the part (first) and its draws at every threshold, ``(1 + draws, thresholds)``.
        tolerance: share of the best gain, against calling nothing or all, that is no difference.
        nothing: calling nothing, position 0, may be chosen.
    """
    start, whole = 0 if nothing else 1, gains[0]
    best = start + int(np.argmax(whole[start:]))
    apart = (gains[1:, best : best + 1] - gains[1:]).std(axis=0)
    spread = whole[best] - max(float(whole[0]), float(whole[-1]))  # against calling nothing, or all
    worse, unit = whole[best] - whole, np.maximum(ALLOWANCE * apart, tolerance * spread) + 1e-12
    clearly = np.flatnonzero(worse > 2 * unit)
    low, high = (
        max(start, 1 + max(clearly[clearly < best], default=-1)),
        min(clearly[clearly > best], default=len(worse)),
    )
    near = low + np.flatnonzero(worse[low:high] <= unit[low:high])
    return best, int(near[0]), int(near[-1])


def _recall_range(edges: Array, counts: tuple[Array, ...], recall: float, value: float) -> tuple[float, float]:
    """5 % and 95 % quantile of the thresholds that draws would have chosen by their recall."""
    hits, _, positives = counts
    known = positives[1:, 0] > 0
    reached = hits[1:][known] >= recall * positives[1:][known] - 1e-9
    chosen = edges[np.argmax(reached, axis=1) + 1] if known.any() else np.array([value])
    low, high = np.quantile(np.append(chosen, value), [0.05, 0.95])
    return min(float(low), value), max(float(high), value)


def choose_threshold(truth: ArrayLike, probability: ArrayLike, evaluation: EvaluationConfig) -> float:
    """The threshold that ``evaluation.threshold`` asks for; a probability at or above it is called positive.

    Args:
        truth: 0/1 ``(n,)`` of the validation part.
        probability: calibrated, ``(n,)``.
        evaluation: the rule and its numbers.

    Raises:
        DataError: no positive among ``truth``, or a probability that is not finite.
    """
    rule = evaluation.threshold
    if rule == "half":
        return 0.5
    if rule == "cost":
        cost = evaluation.cost
        return cheapest_threshold(
            truth, probability, false_negative=cost.false_negative, false_positive=cost.false_positive
        )
    if rule == "recall":
        return recall_threshold(truth, probability, recall=evaluation.recall)
    return best_f_threshold(truth, probability, beta=evaluation.beta if rule == "fbeta" else 1.0)


def best_f_threshold(truth: ArrayLike, probability: ArrayLike, *, beta: float = 1.0) -> float:
    """Threshold of the best ``F_beta = (1 + b^2) TP / (called + b^2 positives)`` (van Rijsbergen 1979).

    Among equal F the higher threshold wins, which does not depend on the order of the samples.

    Args:
        truth: 0/1 ``(n,)`` of the validation part.
        probability: ``(n,)``.
        beta: above 1 weighs recall more than precision.

    Raises:
        DataError: no positive among ``truth``, or a probability that is not finite.
    """
    distinct, true_positives, called, n_positive = _ranked(truth, probability)
    return _below(distinct, int(np.argmax((1 + beta**2) * true_positives / (called + beta**2 * n_positive))))


def cheapest_threshold(
    truth: ArrayLike, probability: ArrayLike, *, false_negative: float, false_positive: float
) -> float:
    """Threshold of the least ``false_negative * FN + false_positive * FP`` on validation (Elkan 2001).

    For perfectly calibrated probabilities and endless data it is ``false_positive / (false_positive +
    false_negative)``; calling nothing (a threshold above every probability) counts as a choice.

    Raises:
        DataError: no positive among ``truth``, or a probability that is not finite.
    """
    distinct, true_positives, called, n_positive = _ranked(truth, probability)
    costs = false_negative * (n_positive - true_positives) + false_positive * (called - true_positives)
    if false_negative * n_positive < costs.min():
        return float((distinct[0] + 1) / 2) if distinct[0] < 1 else float(np.nextafter(np.float32(1), np.float32(2)))
    return _below(distinct, int(np.argmin(costs)))


def recall_threshold(truth: ArrayLike, probability: ArrayLike, *, recall: float) -> float:
    """The highest threshold whose recall on validation is at least ``recall``.

    Args:
        truth: 0/1 ``(n,)`` of the validation part.
        probability: ``(n,)``.
        recall: the least share of positives that is called, in (0, 1].

    Raises:
        DataError: no positive among ``truth``, or a probability that is not finite.
    """
    distinct, true_positives, _, n_positive = _ranked(truth, probability)
    return _below(distinct, int(np.argmax(true_positives >= recall * n_positive - 1e-9)))


def _ranked(truth: ArrayLike, probability: ArrayLike) -> tuple[Array, Array, Array, int]:
    """Distinct probabilities from the highest down, true positives and calls at each, and the positives."""
    actual = np.asarray(truth, np.float64).ravel()
    values = np.asarray(probability, np.float64).ravel()
    if not np.isfinite(values).all():
        raise DataError(
            f"The threshold needs finite probabilities; {int((~np.isfinite(values)).sum())} of {len(values)} are not. "
            "Check the model's training for a loss of NaN."
        )
    true_positives, called, n_positive = ranked_counts(actual, values)
    if not n_positive:
        raise DataError(
            f"The validation part has no positive among its {len(actual)} samples, so no threshold can be chosen. "
            "Use data.split.by=stratified, a larger data.split.validation, or evaluation.threshold=half."
        )
    return np.unique(values)[::-1], true_positives, called, n_positive


def _below(distinct: Array, last_called: int) -> float:
    """Midway to the next lower probability, so that rounding in another format of the model changes no call."""
    lower = distinct[last_called + 1] if last_called + 1 < len(distinct) else 0.0
    return float((distinct[last_called] + lower) / 2)
