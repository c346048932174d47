"""The statistics of a comparison: estimates with intervals, all pairs tested, corrected for their number."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError, nearest
from keras_seq.evaluation import significance
from keras_seq.evaluation.answers import CandidateAnswers, in_deviations
from keras_seq.evaluation.measures import MEASURES, Measure
from keras_seq.evaluation.paired import Pair, compare_pair, influence, serial_error, with_seeds
from keras_seq.evaluation.plan import ResamplingPlan, make_plan

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A metric of a candidate: mean over its replicates, interval (NaN: unknown), deviation over replicates."""

    value: float
    low: float
    high: float
    deviation: float


@dataclass(frozen=True)
class Comparison:
    """Estimates and tests of a comparison.

    Attributes:
        measures: compared, the deciding one first.
        estimates: by candidate, by metric name.
        pairs: all pairs of candidates.
        resampled: what is independent, or follows each other, in words: "100 units", "104 times".
        serial: intervals are of times that depend on their neighbours, not a bootstrap of units.
        level: of the tests and of the pairs' intervals.
        notes: what a reader must know.
    """

    measures: tuple[Measure, ...]
    estimates: dict[str, dict[str, Estimate]]
    pairs: tuple[Pair, ...]
    resampled: str
    serial: bool
    level: float = 0.05
    notes: tuple[str, ...] = ()

    def ranked(self) -> list[str]:
        """Candidates, best first by the deciding metric."""
        deciding = self.measures[0]
        sign = -1 if deciding.higher_is_better else 1
        return sorted(self.estimates, key=lambda name: sign * self.estimates[name][deciding.name].value)

    def pair(self, first: str, second: str) -> Pair:
        """The test of two candidates, in whichever order it was made."""
        return next(pair for pair in self.pairs if {pair.first, pair.second} == {first, second})


def measures_of(spec: DataSpec, deciding: str | None = None) -> tuple[Measure, ...]:
    """Metrics of a task, the deciding one first.

    Raises:
        ConfigError: the task has no such metric.
    """
    known = MEASURES[spec.task]
    if deciding is None:
        return known
    chosen = [measure for measure in known if measure.name == deciding]
    if not chosen:
        names = [measure.name for measure in known]
        raise ConfigError(
            f"Option '--metric': a {spec.task} comparison has no metric '{deciding}'{nearest(deciding, names)}"
        )
    return (chosen[0], *(measure for measure in known if measure.name != deciding))


def compare_answers(
    answers: CandidateAnswers,
    spec: DataSpec,
    *,
    deciding: str | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.05,
) -> Comparison:
    """Estimate every metric of every candidate and test all pairs by the deciding one.

    Every resample draws clusters (the same for all candidates) and, of a candidate with several seeds, seeds. Times of
    few units are not resampled: their intervals come from slow cosines (``dependence``).

    Args:
        answers: of all candidates at the same points.
        spec: task, horizon.
        deciding: metric; none: the task's first.
        resamples: of the bootstrap.
        seed: of the draws.
        level: of the pairs' intervals.
    """
    measures, answers = measures_of(spec, deciding), in_deviations(answers, spec)
    plan = make_plan(answers, spec, resamples=resamples, seed=seed)
    rng = np.random.default_rng(seed + 1)
    estimates: dict[str, dict[str, Estimate]] = {name: {} for name in answers.predictions}
    drawn: dict[str, Array] = {}
    for name, predictions in answers.predictions.items():
        weights = significance.cluster_counts(len(predictions), resamples, rng) / len(predictions)
        for measure in measures:
            if plan.serial:
                estimates[name][measure.name] = _over_time(measure, answers, predictions, plan)
                continue
            estimates[name][measure.name], samples = _estimate(measure, answers.truth, predictions, plan, weights)
            if measure is measures[0]:
                drawn[name] = samples
    pairs = _pairs(answers, spec, measures[0], drawn, plan, level)
    return Comparison(measures, estimates, pairs, str(plan), plan.serial, level, _notes(answers, plan, pairs))


def _estimate(
    measure: Measure, truth: Array, predictions: Array, plan: ResamplingPlan, seed_weights: Array
) -> tuple[Estimate, Array]:
    """Mean over seeds with its bootstrap interval; the number in every resample, mean over seeds ``(resamples,)``."""
    assert plan.counts is not None
    left_out = plan.left_out()
    values, jackknife, samples = [], [], []
    for prediction in predictions:
        values.append(measure.of(truth, prediction))
        jackknife.append(measure.resampled(truth, prediction, plan.cluster, left_out))
        samples.append(measure.resampled(truth, prediction, plan.cluster, plan.counts))
    value = float(np.mean(values))
    mixed = np.einsum("sr,rs->r", np.stack(samples), seed_weights)
    low, high = significance.bca_interval(mixed, value, np.mean(jackknife, axis=0))
    return Estimate(value, low, high, _deviation(values)), np.asarray(np.mean(samples, axis=0))


def _over_time(measure: Measure, answers: CandidateAnswers, predictions: Array, plan: ResamplingPlan) -> Estimate:
    """Mean over seeds; an interval that knows the dependence of neighbouring times, NaN where there is too little."""
    values = [measure.of(answers.truth, prediction) for prediction in predictions]
    value = float(np.mean(values))
    error, degrees = serial_error(influence(answers, measure, predictions, plan), plan, len(answers.truth))
    test = with_seeds(significance.student_test("", value, error, degrees, scale=value), [values])
    most = 1.0 if measure.higher_is_better else np.inf
    low, high = (float(np.clip(bound, 0.0, most)) for bound in (test.low, test.high))
    return Estimate(value, low, high, _deviation(values))


def _deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _pairs(
    answers: CandidateAnswers,
    spec: DataSpec,
    measure: Measure,
    drawn: dict[str, Array],
    plan: ResamplingPlan,
    level: float,
) -> tuple[Pair, ...]:
    names = list(itertools.combinations(answers.predictions, 2))
    tests = [compare_pair(answers, spec, measure, both, plan, drawn) for both in names]
    adjusted = significance.holm([test.p_value for test in tests])
    return tuple(
        Pair(
            *both, test.difference, test.low, test.high, test.p_value, corrected, test.name, test.error, test.degrees
        ).at(level)
        for both, test, corrected in zip(names, tests, adjusted, strict=True)
    )


def _notes(answers: CandidateAnswers, plan: ResamplingPlan, pairs: tuple[Pair, ...]) -> tuple[str, ...]:
    notes = []
    if plan.serial and len(np.unique(answers.unit)) > 1:
        notes.append(
            f"Only {len(np.unique(answers.unit))} units are judged, too few to resample them: intervals speak of other "
            "times of the same units, not of other units."
        )
    elif plan.clusters < 30:
        notes.append(f"Only {plan.clusters} {plan.kind} are judged: intervals are rough.")
    if any(not pair.told for pair in pairs):
        notes.append(
            "Where no p-value stands, the judged part is too short beside the time that errors take to change (or a "
            "class is too rare): judge a longer part, or more units."
        )
    alone = [name for name, predictions in answers.predictions.items() if len(predictions) == 1]
    if alone:
        notes.append(
            f"One training each of {', '.join(alone)}: how much another seed would change them is not in the intervals."
        )
    if answers.left_out:
        notes.append(f"{answers.left_out} points that not every contender answers were left out.")
    return tuple(notes)
