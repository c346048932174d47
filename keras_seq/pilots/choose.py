"""The rule of one standard error: of all that are level with the best, the best of the simplest kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.evaluation.answers import Replicate, align
from keras_seq.evaluation.paired_error import MetricScore, metric_scores
from keras_seq.training.predictions import Points


def judge(points: Mapping[str, Points], series: Series, spec: DataSpec) -> dict[str, MetricScore]:
    """Scores of candidates at the rows that all of them answer.

    Args:
        points: by candidate, the simplest first.
        series: of the inner data; rows are its own.
        spec: task and targets.
    """
    replicates = {name: [Replicate(own, {})] for name, own in points.items()}
    return metric_scores(align(replicates, series, []), spec)


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
