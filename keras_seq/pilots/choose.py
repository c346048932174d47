"""The rule of one standard error: of all that are level with the best, the simplest."""

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


def choose(scores: Sequence[MetricScore], allowed: Sequence[str] | None = None) -> MetricScore:
    """The first score, simplest first, that is level with the best; only among ``allowed``, then the best of these.

    Args:
        scores: of all candidates, the simplest first.
        allowed: names that may be chosen; None: all.
    """
    possible = [score for score in scores if np.isfinite(score.value) and (allowed is None or score.name in allowed)]
    level = [score for score in possible if score.level]
    return level[0] if level else min(possible, key=lambda score: score.behind)
