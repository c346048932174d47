"""Paired tests of two candidates at the same points: is their difference more than chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.spec import DataSpec
from keras_seq.evaluation.answers import CandidateAnswers
from keras_seq.evaluation.dependence import FEWEST_TERMS, cosine_terms, cosines, sum_variance
from keras_seq.evaluation.measures import AUC_ROC, MAE, RMSE, Measure
from keras_seq.evaluation.plan import ResamplingPlan, instants
from keras_seq.evaluation.significance import Test, delong_test, paired_bootstrap, student_interval, student_test

Array = NDArray[np.float64]
NOTHING = float("nan")
FEWEST_TIMES = 20  # times that units must share before what they have in common can be told
TOO_SHORT = "none: too few independent blocks of time"


@dataclass(frozen=True)
class Pair:
    """Two candidates: ``difference = first - second`` of the deciding metric, and how sure it is.

    Attributes:
        first: candidate.
        second: candidate.
        difference: of the deciding metric.
        low: lower bound of the interval that inverts the test: it holds 0 exactly where ``adjusted`` is not below the
            level, so with many pairs it is wider than that of a single one.
        high: upper bound.
        p_value: of this pair alone, two-sided; NaN: nothing can be told.
        adjusted: after Holm's correction for the number of pairs.
        test: its name, or why there is none.
        error: standard error of the difference.
        degrees: of Student's t.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    adjusted: float
    test: str
    error: float = NOTHING
    degrees: float = float("inf")

    @property
    def told(self) -> bool:
        """The data suffice for a test."""
        return bool(np.isfinite(self.adjusted))

    @property
    def equal(self) -> bool:
        """The two answer alike as far as the metric sees."""
        return self.difference == 0 and self.error == 0

    def at(self, level: float) -> Pair:
        """The same with the interval of another level."""
        if not self.told:
            return self
        share = self.p_value / self.adjusted if self.adjusted > 0 else 1.0
        low, high = student_interval(self.difference, self.error, self.degrees, level * share)
        return replace(self, low=low, high=high)

    def significant(self, level: float) -> bool:
        """The two differ at the level, after correction."""
        return bool(self.adjusted < level)


def compare_pair(
    answers: CandidateAnswers,
    spec: DataSpec,
    measure: Measure,
    names: tuple[str, str],
    plan: ResamplingPlan,
    drawn: dict[str, Array],
) -> Test:
    """Test of a pair, chosen by metric and by what is independent.

    Args:
        answers: of all candidates.
        spec: task.
        measure: that decides.
        names: of the two.
        plan: which points belong together.
        drawn: the metric of each candidate in every resample, mean over its seeds; empty where times are judged.
    """
    sides = [answers.predictions[name] for name in names]
    values = [[measure.of(answers.truth, prediction) for prediction in side] for side in sides]
    difference = float(np.mean(values[0]) - np.mean(values[1]))
    if plan.serial:
        forecast = spec.task == "forecast" and measure in (RMSE, MAE)
        series = influence(answers, measure, sides[0], plan) - influence(answers, measure, sides[1], plan)
        error, degrees = serial_error(series, plan, len(answers.truth))
        name = ("Diebold-Mariano" if forecast else "Student's t over time") if np.isfinite(error) else TOO_SHORT
        scale = float(np.abs(np.concatenate(values)).max())
        return with_seeds(student_test(name, difference, error, degrees, scale=scale), values)
    few = fewest_of_a_class(answers, plan) if measure.sums is None else plan.clusters
    if few < 2:
        reason = f"none: a class lies in {few} of {plan.clusters} {plan.kind}"
        return Test(reason, difference, NOTHING, NOTHING, NOTHING)
    if measure is AUC_ROC:
        test = delong_test(answers.truth, sides[0], sides[1], plan.cluster, degrees=few - 1)
    else:
        test = paired_bootstrap(drawn[names[0]], drawn[names[1]], difference, plan.effective)
    return with_seeds(with_shared_times(test, answers, measure, sides, plan), values)


def influence(answers: CandidateAnswers, measure: Measure, predictions: Array, plan: ResamplingPlan) -> Array:
    """What each time adds to a candidate's metric times the points, mean over its seeds, ``(pieces,)``."""
    piece, pieces = plan.pieces(measure)
    by_seed = [measure.influence(answers.truth, prediction, piece, pieces) for prediction in predictions]
    return np.asarray(np.mean(by_seed, axis=0))


def serial_error(series: Array, plan: ResamplingPlan, points: int) -> tuple[float, float]:
    """Standard error of a number from its influence in order of time, and degrees; NaN: too few independent blocks."""
    if not np.isfinite(series).all():
        return NOTHING, 1.0
    if not series.any():
        return 0.0, 1.0
    terms = cosine_terms(series, plan.overlap * len(series) / plan.clusters)
    return (float(np.sqrt(sum_variance(series, terms))) / points, float(terms)) if terms else (NOTHING, 1.0)


def fewest_of_a_class(answers: CandidateAnswers, plan: ResamplingPlan) -> int:
    """Clusters that hold the class found in fewer of them, of two."""
    positive = answers.truth.ravel() > 0.5
    return min(len(np.unique(plan.cluster[chosen])) for chosen in (positive, ~positive))


def seed_variance(values: Sequence[float]) -> float:
    """Variance of a mean over seeds; 0 where there is one seed, whose noise nobody knows."""
    return float(np.var(values, ddof=1) / len(values)) if len(values) > 1 else 0.0


def with_seeds(test: Test, values: Sequence[Sequence[float]]) -> Test:
    """The test with what another training would change: variance over seeds added.

    Args:
        test: of means over seeds.
        values: the metric of every seed, by candidate.
    """
    noise = [(seed_variance(of), max(len(of) - 1.0, 1.0)) for of in values]
    return _with_variance(test, noise, float(np.abs(np.concatenate([np.asarray(of) for of in values])).max()))


def with_shared_times(
    test: Test, answers: CandidateAnswers, measure: Measure, sides: Sequence[Array], plan: ResamplingPlan
) -> Test:
    """The test with what units judged at the same times have in common: a bad day is bad for all of them.

    The sums over units against slow cosines vary by more than the units' own do together: the surplus is added
    (Driscoll & Kraay 1998; Chiang, Hansen & Sasaki 2024). Ranking metrics and units without a common calendar stay.
    """
    if measure.sums is None or not np.isfinite(test.error) or not shares_times(answers):
        return test
    moment = instants(answers.series, answers.unit, answers.row)
    cell, of_point = np.unique(np.stack([plan.cluster, moment]), axis=1, return_inverse=True)
    of_point, count = of_point.reshape(-1), int(moment.max()) + 1
    first, second = (
        np.mean([measure.influence(answers.truth, prediction, of_point, cell.shape[1]) for prediction in side], axis=0)
        for side in sides
    )
    together = np.bincount(cell[1], first - second, minlength=count)
    terms = cosine_terms(together) or FEWEST_TERMS
    waves = cosines(count, terms)
    parts = np.zeros((plan.clusters, terms))
    np.add.at(parts, cell[0], ((first - second) * waves[:, cell[1]]).T)
    surplus = float(2 * np.mean(parts.sum(0) ** 2 - (parts**2).sum(0))) / len(answers.truth) ** 2
    return _with_variance(test, [(max(surplus, 0.0), float(terms))], test.error)


def shares_times(answers: CandidateAnswers) -> bool:
    """Units are judged at the same calendar times, and at enough of them."""
    if answers.series.time.dtype.kind != "M":
        return False
    times = len(np.unique(answers.series.time[answers.row]))
    return times >= FEWEST_TIMES and len(answers.row) >= 2 * times


def _with_variance(test: Test, parts: Sequence[tuple[float, float]], scale: float) -> Test:
    """The test with further variances and their degrees, which mix by Satterthwaite's rule."""
    parts = [(variance, degrees) for variance, degrees in parts if variance > 0]
    if not parts or not np.isfinite(test.error):
        return test
    total = test.error**2 + sum(variance for variance, _ in parts)
    spread = test.error**4 / test.degrees + sum(variance**2 / degrees for variance, degrees in parts)
    return student_test(test.name, test.difference, float(np.sqrt(total)), total**2 / spread, scale=scale)
