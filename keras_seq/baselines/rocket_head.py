"""The head of MiniRocket: linear, of classes with probabilities learnt from rows that were left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.fitted import FitRequest, Grown
from keras_seq.baselines.grown import IMPOSSIBLE
from keras_seq.baselines.held_out_ridge import PENALTIES, fit_held_out, held_out_groups
from keras_seq.baselines.iterated_ridge import solve_iterated
from keras_seq.models.rocket_features import Standardise
from keras_seq.tasks import TASKS

Array = NDArray[np.float64]
SMALLEST = 1e-6  # deviation below which a column tells nothing
UNBOUNDED = 1e9
MOST_DEVIATIONS = 3.0  # of a level: shares lie between 0 and 1, a level of a new day may lie anywhere
MOST_SOLVED = 3000  # rows of ridge in closed form: its time grows with their third power
MOST_TRIED = 1000  # rows that tell whether levels help
STEEPEST = 100.0  # largest factor from an answer to a logit


@dataclass(frozen=True)
class Scaled:
    """Features of training rows and how they are standardised.

    Attributes:
        features: ``(rows, columns)``.
        mean: of each column.
        deviation: of each column; 1 where it tells nothing.
        limit: largest number of deviations.
        constant: whether a column tells nothing.
    """

    features: NDArray[np.float32]
    mean: Array
    deviation: Array
    limit: Array
    constant: NDArray[np.bool_]

    @classmethod
    def fit(cls, features: NDArray[np.float32], shares: int) -> Scaled:
        """Measure the columns, a thousand rows at a time."""
        blocks = [slice(low, low + 1000) for low in range(0, len(features), 1000)]
        mean = sum(features[block].sum(0, dtype=np.float64) for block in blocks) / len(features)
        squares = sum(((features[block] - mean) ** 2).sum(0) for block in blocks)
        deviation = np.sqrt(squares / len(features))
        constant = deviation < SMALLEST
        deviation[constant] = 1.0
        limit = np.where(np.arange(features.shape[1]) < shares, UNBOUNDED, MOST_DEVIATIONS)
        return cls(features, mean, deviation, limit, constant)

    def apply(self, rows: NDArray[Any]) -> Array:
        """Standardised rows, as the graph does it; ``(rows, columns)``."""
        return np.clip((rows - self.mean) / self.deviation, -self.limit, self.limit)

    def rows(self, chosen: NDArray[np.int64] | slice, dtype: type[np.floating[Any]] = np.float64) -> NDArray[Any]:
        """Standardised training rows; 0 where a column tells nothing."""
        features = self.features[chosen]
        found = np.empty(features.shape, dtype)
        for low in range(0, len(features), 1000):
            block = slice(low, low + 1000)
            found[block] = np.where(self.constant, 0.0, self.apply(features[block]))
        return found


@dataclass(frozen=True)
class Linear:
    """A linear head before calibration.

    Attributes:
        name: for the user.
        kernel: ``(columns, outputs)``.
        bias: ``(outputs,)``.
        left: numbers of rows that were left out.
        held_out: their answers, ``(left, outputs)``.
    """

    name: str
    kernel: Array
    bias: Array
    left: NDArray[np.int64]
    held_out: Array


def grow_head(job: FitRequest, shares: int, class_weights: list[float] | None = None) -> Grown:
    """Fit a linear head on standardised features; calibration is folded into the weights of a ``Dense`` layer.

    Up to ``MOST_SOLVED`` rows ridge is solved in closed form, beyond them by conjugate gradients.

    Args:
        job: table and settings.
        shares: columns of kernels; those behind them are levels of channels.
        class_weights: weight of each class's rows; None: all alike.
    """
    scaled = Scaled.fit(job.table.features, shares)
    targets, level, spread = _targets(job)
    weights = np.ones(len(targets)) if class_weights is None else np.asarray(class_weights)[job.table.answers]
    found = _fitted(job, scaled, shares, targets, weights)
    kernel, bias = found.kernel, found.bias
    if job.classes:
        slope, offset = calibrated(found.held_out, targets[found.left], weights[found.left])
        kernel, bias = kernel * slope, bias * slope + offset
    else:
        kernel, bias = kernel * spread, bias * spread + level
    if job.classes > 1:
        kernel, bias = _all_classes(job, kernel, bias)

    def oracle(rows: NDArray[Any]) -> NDArray[Any]:
        return _answers(scaled.apply(rows.astype(np.float64)) @ kernel + bias, job.classes)

    scale = Standardise(name="scale")
    linear = keras.layers.Dense(job.outputs, activation=TASKS[job.spec.task].activation, dtype="float32", name="linear")
    layers: list[tuple[keras.layers.Layer, list[NDArray[Any]] | None]] = [
        (scale, [scaled.mean, scaled.deviation, scaled.limit]),
        (linear, [kernel, bias]),
    ]
    return Grown(found.name, layers, oracle)


def _fitted(job: FitRequest, scaled: Scaled, shares: int, targets: Array, weights: Array) -> Linear:
    """Ridge with the penalty and the part of levels that left-out rows like best.

    Of more than ``MOST_SOLVED`` rows every n-th one decides on both; the penalty is the ratio of two variances, so it
    holds for all of them.
    """
    few = np.arange(0, len(targets), -(-len(targets) // MOST_SOLVED))
    inputs, groups = scaled.rows(few), held_out_groups(job.table.unit[few])
    factor = level_factor(inputs, shares, targets[few], groups, weights[few])
    inputs[:, shares:] *= factor
    penalties = PENALTIES if job.model.penalty is None else (max(job.model.penalty, 1e-9),)
    ridge = fit_held_out(inputs, targets[few], groups, weights[few], penalties)
    kernel, bias = ridge.coefficients, ridge.intercept
    if len(few) < len(targets):
        every = scaled.rows(slice(None), np.float32)
        every[:, shares:] *= factor
        kernel, bias = solve_iterated(every, targets, weights, ridge.penalty, kernel, bias)
    kernel[shares:] *= factor
    name = f"ridge with penalty {ridge.penalty:.3g}{f', levels counting {factor:.3g} times' if factor else ''}"
    return Linear(name, kernel, bias, few, ridge.held_out)


def level_factor(inputs: Array, shares: int, targets: Array, groups: NDArray[np.int64], weights: Array) -> float:
    """How often levels count as much as a kernel: 0, 4, or as much as all kernels together, by left-out rows."""
    levels = inputs.shape[1] - shares
    if not levels:
        return 0.0
    step = max(1, len(inputs) // MOST_TRIED)
    inputs, targets, groups, weights = inputs[::step], targets[::step], groups[::step], weights[::step]
    factors = (0.0, 4.0, float(np.sqrt(shares / levels)))

    def error(factor: float) -> float:
        tried = np.concatenate([inputs[:, :shares], inputs[:, shares:] * factor], 1)
        return fit_held_out(tried, targets, groups, weights).error

    return min(factors, key=error)


def _targets(job: FitRequest) -> tuple[Array, Array, Array]:
    """What ridge learns ``(rows, outputs)``, and the level and spread that were taken out of it."""
    answers = job.table.answers
    if not job.classes:
        level, spread = answers.mean(0), np.maximum(answers.std(0), 1e-12)
        return (answers - level) / spread, level, spread
    known = np.array([1]) if job.classes == 1 else np.unique(answers)
    return np.where(answers[:, None] == known, 1.0, -1.0), np.zeros(1), np.ones(1)


def calibrated(decisions: Array, targets: Array, weights: Array) -> tuple[float, Array]:
    """From answers to logits: one slope, and of two classes an offset (Platt, 1999, with his softened targets).

    Args:
        decisions: for rows that were left out, ``(rows, 1)``, or of every class ``(rows, classes)``.
        targets: 1 of the class, else -1; of the same shape.
        weights: of rows.

    Returns:
        Slope and offsets ``(1,)``.
    """
    from scipy.optimize import minimize

    members = (targets > 0).sum(0)
    sure, others = (members + 1) / (members + 2), max(targets.shape[1] - 1, 1)
    if targets.shape[1] == 1:
        wanted = np.where(targets > 0, sure, 1 / (len(targets) - members + 2))
        wanted = np.concatenate([1 - wanted, wanted], 1)
    else:
        of_row = sure[targets.argmax(1)][:, None]
        wanted = np.where(targets > 0, of_row, (1 - of_row) / others)
    share = weights / weights.sum()

    def loss(numbers: Array) -> float:
        logits = decisions * np.exp(numbers[0])
        if targets.shape[1] == 1:
            logits = np.concatenate([np.zeros_like(logits), logits + numbers[1]], 1)
        return float(share @ (np.logaddexp.reduce(logits, axis=1) - (wanted * logits).sum(1)))

    start = np.array([1.0, 0.0] if targets.shape[1] == 1 else [1.0])
    bounds = [(-np.log(STEEPEST), np.log(STEEPEST)), (-STEEPEST, STEEPEST)][: len(start)]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(found[0])), found[1:] if len(found) > 1 else np.zeros(1)


def _all_classes(job: FitRequest, kernel: Array, bias: Array) -> tuple[Array, Array]:
    """Classes that training never saw get a logit that makes them impossible."""
    known = np.unique(job.table.answers)
    full, start = np.zeros((len(kernel), job.outputs)), np.full(job.outputs, IMPOSSIBLE)
    full[:, known], start[known] = kernel, bias
    return full, start


def _answers(scores: Array, classes: int) -> Array:
    if not classes:
        return scores
    if classes == 1:
        return 1 / (1 + np.exp(-scores))
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
