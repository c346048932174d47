"""Metrics as functions of weights, so that thousands of resamples cost a few matrix products.

A metric of many resamples needs each point's weight (how often its cluster was drawn), not the points
again. Most metrics are functions of sums over points: their sums are added up by cluster once and every
resample is one row of a matrix product. Ranking metrics keep all points, sorted once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import TaskName
from keras_seq.tasks import TASKS
from keras_seq.training.class_metrics import EPSILON
from keras_seq.training.metrics import HIGHER_IS_BETTER

Array = NDArray[np.float64]
CHUNK = 4_000_000  # weights held at a time by ranking metrics


@dataclass(frozen=True)
class Measure:
    """One number that models are compared by.

    Attributes:
        name: as in ``keras_seq.training.metrics``.
        tasks: that it is a measure of.
        sums: ``(truth, prediction) -> (points, k)`` whose weighted sums determine the number; None for
            ranking metrics.
        value: from sums ``(..., k)`` to numbers ``(...)``; of ranking metrics from
            ``(truth, score, weights (resamples, points))`` to ``(resamples,)``.
    """

    name: str
    tasks: tuple[TaskName, ...]
    sums: Callable[[Array, Array], Array] | None
    value: Callable[..., Array]

    @property
    def higher_is_better(self) -> bool:
        """Direction."""
        return self.name in HIGHER_IS_BETTER

    def of(self, truth: Array, prediction: Array) -> float:
        """The number over all points, each counting once."""
        everyone = np.zeros(len(truth), np.int64)
        return float(self.resampled(truth, prediction, everyone, np.ones((1, 1)))[0])

    def resampled(self, truth: Array, prediction: Array, cluster: NDArray[np.int64], counts: Array) -> Array:
        """The number of every resample.

        Args:
            truth: ``(points,)`` or ``(points, values)``; class numbers for classes.
            prediction: same, or ``(points, classes)``.
            cluster: cluster number of each point, ``(points,)``.
            counts: how often a resample drew a cluster, ``(resamples, clusters)``.

        Returns:
            ``(resamples,)``; NaN where a resample does not define it (one class only).
        """
        if self.sums is None:
            rows = max(1, CHUNK // max(len(truth), 1))
            chunks = [counts[low : low + rows, cluster] for low in range(0, len(counts), rows)]
            return np.concatenate([self.value(truth, prediction, weights) for weights in chunks])
        by_point = self.sums(truth, prediction)
        by_cluster = np.zeros((counts.shape[1], by_point.shape[1]))
        np.add.at(by_cluster, cluster, by_point)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.value(counts @ by_cluster)

    def left_out(self, truth: Array, prediction: Array, cluster: NDArray[np.int64], clusters: int) -> Array:
        """The number with each cluster left out, ``(clusters,)``; NaN where what is left does not define it."""
        if self.sums is None:
            return self.resampled(truth, prediction, cluster, 1 - np.eye(clusters))
        by_point = self.sums(truth, prediction)
        by_cluster = np.zeros((clusters, by_point.shape[1]))
        np.add.at(by_cluster, cluster, by_point)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.value(np.maximum(by_cluster.sum(0) - by_cluster, 0.0))

    def influence(self, truth: Array, prediction: Array, cluster: NDArray[np.int64], clusters: int) -> Array:
        """What each cluster adds to the number, times the points: their sum varies as ``points * number`` does.

        Returns:
            ``(clusters,)``, by the jackknife; NaN where a cluster alone holds a class.
        """
        sizes = np.bincount(cluster, minlength=clusters)
        left = self.left_out(truth, prediction, cluster, clusters)
        return (self.of(truth, prediction) - left) * (len(truth) - sizes)


# ---------------------------------------------------------------- sums


def _errors(truth: Array, prediction: Array) -> Array:
    return (prediction - truth).reshape(len(truth), -1)


def _squares(truth: Array, prediction: Array) -> Array:
    return _with_count((_errors(truth, prediction) ** 2).mean(1))


def _absolutes(truth: Array, prediction: Array) -> Array:
    return _with_count(np.abs(_errors(truth, prediction)).mean(1))


def _hits(truth: Array, prediction: Array) -> Array:
    return _with_count((prediction.argmax(1) == truth).astype(np.float64))


def _surprise(truth: Array, prediction: Array) -> Array:
    chosen = prediction[np.arange(len(truth)), truth.astype(np.int64)]
    return _with_count(-np.log(np.clip(chosen, EPSILON, 1 - EPSILON)))


def _with_count(numbers: Array) -> Array:
    return np.stack([numbers, np.ones(len(numbers))], axis=1)


def _mean(sums: Array) -> Array:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _root_mean(sums: Array) -> Array:
    return np.sqrt(_mean(sums))


# ---------------------------------------------------------------- ranking


def weighted_auc(truth: Array, score: Array, weights: Array) -> Array:
    """Area under the ROC curve of weighted points, ties counting half.

    Args:
        truth: 0/1 ``(points,)``.
        score: ``(points,)``.
        weights: ``(resamples, points)``.

    Returns:
        ``(resamples,)``; NaN where a class has no weight.
    """
    positive, negative = _tied(truth, score, weights, descending=False)
    below = np.cumsum(negative, axis=1) - negative
    won = (positive * (below + negative / 2)).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(won / (positive.sum(1) * negative.sum(1)))


def weighted_average_precision(truth: Array, score: Array, weights: Array) -> Array:
    """Average precision of weighted points, ties taken together.

    Args:
        truth: 0/1 ``(points,)``.
        score: ``(points,)``.
        weights: ``(resamples, points)``.

    Returns:
        ``(resamples,)``; NaN where no positive has a weight.
    """
    positive, negative = _tied(truth, score, weights, descending=True)
    hits = np.cumsum(positive, axis=1)
    predicted = hits + np.cumsum(negative, axis=1)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((positive * precision).sum(1) / positive.sum(1))


def _tied(truth: Array, score: Array, weights: Array, *, descending: bool) -> tuple[Array, Array]:
    """Weight of positives and negatives at every distinct score, ``(resamples, scores)`` each."""
    order = np.argsort(-score if descending else score, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(score[order]) != 0))
    positive = truth[order] > 0.5
    ordered = weights[:, order]
    return np.add.reduceat(ordered * positive, starts, axis=1), np.add.reduceat(ordered * ~positive, starts, axis=1)


VALUES: tuple[TaskName, ...] = ("regression", "forecast")
RMSE = Measure("rmse", VALUES, _squares, _root_mean)
MAE = Measure("mae", VALUES, _absolutes, _mean)
AUC_PR = Measure("auc_pr", ("binary",), None, weighted_average_precision)
AUC_ROC = Measure("auc_roc", ("binary",), None, weighted_auc)
BRIER = Measure("brier", ("binary",), _squares, _mean)
ACCURACY = Measure("accuracy", ("multiclass",), _hits, _mean)
LOG_LOSS = Measure("log_loss", ("multiclass",), _surprise, _mean)

_KNOWN = (RMSE, MAE, AUC_PR, AUC_ROC, BRIER, ACCURACY, LOG_LOSS)
# by task; the first decides
MEASURES = {
    name: tuple(sorted((own for own in _KNOWN if name in own.tasks), key=lambda own: own.name != task.metric))
    for name, task in TASKS.items()
}
