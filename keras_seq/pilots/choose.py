"""The rule of one standard error: of all that are level with the best, the best of the simplest kind."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.evaluation.answers import Replicate, align
from keras_seq.evaluation.paired_error import MetricScore, metric_scores
from keras_seq.training.predictions import Points


def judge(
    points: Mapping[str, Points], series: Series, spec: DataSpec, *, unlike: bool = False
) -> dict[str, MetricScore]:
    """Scores of candidates at the rows that all of them answer.

    Args:
        points: by candidate, the simplest first.
        series: of the inner data; rows are its own.
        spec: task and targets.
        unlike: units differ in scale: errors of a forecast are divided by the unit's own change from step to step, so
            that rmse is rmsse (Makridakis et al., 2022), in which every unit counts alike.
    """
    if unlike:
        changes = _changes(series)
        points = {name: _divided(own, changes) for name, own in points.items()}
    replicates = {name: [Replicate(own, {})] for name, own in points.items()}
    return metric_scores(align(replicates, series, []), spec)


def _changes(series: Series) -> NDArray[np.float64]:
    """Root mean square of each unit's changes from step to step, ``(units, targets)``; where 0 the median unit's."""
    pieces = np.split(np.asarray(series.targets, np.float64), series.offsets[1:-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of units without two known steps in a row
        changes = np.sqrt([np.nanmean(np.square(np.diff(piece, axis=0)), axis=0) for piece in pieces])
    known = changes > 0
    usual = [np.median(column[own]) if own.any() else 1.0 for column, own in zip(changes.T, known.T, strict=True)]
    return np.where(known, changes, usual)


def _divided(points: Points, by: NDArray[np.float64]) -> Points:
    """Points whose values, ``(points, steps * targets)``, are divided by their unit's number of each target."""
    scale = np.tile(by[points.unit], (1, points.truth.shape[1] // by.shape[1]))
    return dataclasses.replace(points, truth=points.truth / scale, prediction=points.prediction / scale)


def choose(scores: Sequence[MetricScore], rank: Mapping[str, int]) -> MetricScore:
    """Of the scores that are level with the best those of the simplest kind, and of these the best.

    Args:
        scores: of all candidates.
        rank: kind of those that may be chosen, the simplest first; where none of them is level, the best is taken.
    """
    possible = [score for score in scores if np.isfinite(score.value) and score.name in rank]
    level = [score for score in possible if score.level]
    if not level:
        return min(possible, key=lambda score: score.behind)
    return min(level, key=lambda score: (rank[score.name], score.behind))
