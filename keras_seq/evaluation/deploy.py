"""Which of a model, its baseline and the naive reference to deploy: a sentence at the end of every training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.data.spec import DataSpec
from keras_seq.errors import DataError
from keras_seq.evaluation.answers import Replicate, align
from keras_seq.evaluation.naive_reference import KNOWN
from keras_seq.evaluation.paired_error import MetricScore, metric_scores
from keras_seq.figures import figure
from keras_seq.tasks import deciding
from keras_seq.training.predictions import Points

if TYPE_CHECKING:
    from keras_seq.data.series import Series

MODEL = "this model"
REFERENCES = ("mean", "naive", "seasonal_naive")
LINEAR = ("ridge",)


@dataclass(frozen=True)
class Contender:
    """One that could be deployed.

    Attributes:
        name: in words: "this model", "the baseline ridge", "the naive reference (the last value)".
        family: that it is of; "" of the naive reference.
        points: its scored answers on the test part.
    """

    name: str
    family: str
    points: Points

    @property
    def cost(self) -> int:
        """Rank by what it takes to train and serve: reference, linear, trees, network, ensemble."""
        from keras_seq.models.registry import get_family, names

        if self.family in ("", *REFERENCES):
            return 0
        if self.family in LINEAR:
            return 1
        if self.family not in names():  # an ensemble, which is built of bundles
            return 4
        return 2 if get_family(self.family).fit is not None else 3


@dataclass(frozen=True)
class Deployment:
    """What to deploy.

    Attributes:
        choice: name of a contender.
        text: why, in one sentence.
        metric: that decides.
        scores: by contender.
    """

    choice: str
    text: str
    metric: str
    scores: Mapping[str, MetricScore]

    def to_dict(self) -> dict[str, Any]:
        """As ``metrics.json`` keeps it."""
        numbers = {
            name: {
                "value": score.value,
                "error": score.error,
                "behind": score.behind,
                "behind_error": score.behind_error,
            }
            for name, score in self.scores.items()
        }
        return {"choice": self.choice, "text": self.text, "metric": self.metric, "contenders": numbers}


def choose_deployment(contenders: list[Contender], series: Series, spec: DataSpec) -> Deployment | None:
    """The cheapest contender that is level with the best by the deciding metric, on rows that all answer.

    Level is what is not behind by more than one standard error of the paired difference, or by more than 1 %. A naive
    answer that must know the target by then cannot be deployed and is left out.

    Returns:
        None where there is nothing to compare with, or the metric is not defined on the part.
    """
    possible = [own for own in contenders if not own.name.endswith(f"{KNOWN})")]
    possible = sorted(possible, key=lambda own: own.cost)
    possible = [own for k, own in enumerate(possible) if not any(_same(own, other) for other in possible[:k])]
    if len(possible) < 2:
        return None
    try:
        answers = align({own.name: [Replicate(own.points, {})] for own in possible}, series, [])
    except DataError:
        return None
    scores = metric_scores(answers, spec)
    if not all(np.isfinite(score.value) for score in scores.values()):
        return None
    chosen = next(score for score in scores.values() if score.level)
    metric = deciding(spec.task)
    return Deployment(chosen.name, _sentence(chosen, scores, metric), metric, scores)


def _same(first: Contender, second: Contender) -> bool:
    """Whether the two give the same answers, as a baseline does that is the naive reference."""
    ours, theirs = first.points.prediction, second.points.prediction
    return ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=1e-5)


def _sentence(chosen: MetricScore, scores: Mapping[str, MetricScore], metric: str) -> str:
    best = min(scores.values(), key=lambda score: score.behind)
    start = f"Deploy {chosen.name}: {metric} {figure(chosen.value)} on the test part"
    if chosen.name != best.name:
        return (
            f"{start}, level with {best.name} ({figure(best.value)}; {_gap(chosen)} behind), and the cheaper one of "
            "the two."
        )
    others = [score for score in scores.values() if score.name != chosen.name]
    against = " and ".join(f"{figure(score.value)} of {score.name}" for score in others)
    nearest = min(others, key=lambda score: score.behind)
    if nearest.level:
        return f"{start} against {against}; {nearest.name} is level ({_gap(nearest)} behind) and not cheaper."
    return f"{start} against {against}; {nearest.name}, the nearest, is {_gap(nearest)} behind."


def _gap(score: MetricScore) -> str:
    """How far behind, with one standard error of the difference."""
    error = f" +- {figure(score.behind_error, 2)}" if np.isfinite(score.behind_error) else ""
    return f"{figure(score.behind, 3)}{error}"
