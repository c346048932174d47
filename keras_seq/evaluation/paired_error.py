"""Standard errors of a metric and of the difference of two, by whole units or by time, also where little is judged."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.spec import DataSpec
from keras_seq.evaluation.answers import CandidateAnswers, in_deviations
from keras_seq.evaluation.measures import MEASURES
from keras_seq.evaluation.paired import influence, serial_error
from keras_seq.evaluation.plan import ResamplingPlan, make_plan

Array = NDArray[np.float64]
BLOCKS = 8  # of time, where slow cosines tell nothing
MOST = 20_000  # points that standard errors are computed from
NOTHING = 0.01  # of the best error, which is slack


@dataclass(frozen=True)
class MetricScore:
    """A candidate's deciding metric.

    Attributes:
        name: of the candidate.
        value: of the metric.
        error: its standard error; NaN: nothing can be told.
        behind: how much worse than the best, at least 0, in the metric's unit.
        behind_error: standard error of that difference, paired; NaN: nothing can be told.
        slack: difference that nobody would pay for: 1 % of the best error, or of what the best lacks to 1.
    """

    name: str
    value: float
    error: float
    behind: float
    behind_error: float
    slack: float = 0.0

    @property
    def level(self) -> bool:
        """Not worse than the best by more than one standard error of the difference, or by more than the slack."""
        return self.behind <= max(self.behind_error if np.isfinite(self.behind_error) else 0.0, self.slack)


def metric_scores(answers: CandidateAnswers, spec: DataSpec) -> dict[str, MetricScore]:
    """Scores of all candidates by the deciding metric of the task, in the order of ``answers.predictions``.

    Units (or groups) are independent where there are ten of them; else times follow one another (``dependence``), and
    where they are too few for that, blocks of time are held to be independent.
    """
    measure, answers = MEASURES[spec.task][0], in_deviations(answers, spec)
    few = _thinned(answers)
    plan, count = make_plan(few, spec, resamples=1, seed=0), len(few.truth)
    values = {
        name: float(np.mean([measure.of(answers.truth, own) for own in side]))
        for name, side in answers.predictions.items()
    }
    series = {name: influence(few, measure, side, plan) for name, side in few.predictions.items()}
    sign = -1.0 if measure.higher_is_better else 1.0
    best = min(values, key=lambda name: sign * values[name])
    slack = NOTHING * abs((1.0 if measure.higher_is_better else 0.0) - values[best])
    return {
        name: MetricScore(
            name,
            values[name],
            _error(own, plan, count),
            max(0.0, sign * (values[name] - values[best])),
            0.0 if name == best else _error(own - series[best], plan, count),
            slack,
        )
        for name, own in series.items()
    }


def _thinned(answers: CandidateAnswers) -> CandidateAnswers:
    """At most ``MOST`` points at even distances, which tell as much of the errors."""
    step = -(-len(answers.truth) // MOST)
    if step == 1:
        return answers
    return dataclasses.replace(
        answers,
        truth=answers.truth[::step],
        predictions={name: side[:, ::step] for name, side in answers.predictions.items()},
        unit=answers.unit[::step],
        row=answers.row[::step],
    )


def _error(series: Array, plan: ResamplingPlan, points: int) -> float:
    """Standard error from what each unit, or each time in order, adds to the number times the points."""
    if not np.isfinite(series).all():
        return float("nan")
    if not plan.serial:
        return _independent(series) / points
    error, _ = serial_error(series, plan, points)
    if np.isfinite(error):
        return error
    blocks = min(BLOCKS, max(2, len(series) // max(plan.overlap, 1)), len(series))
    return _independent(np.array([part.sum() for part in np.array_split(series, blocks)])) / points


def _independent(sums: Array) -> float:
    """Standard error of the sum of independent numbers."""
    count = len(sums)
    return float(np.sqrt(count / (count - 1) * np.sum((sums - sums.mean()) ** 2))) if count > 1 else float("nan")
