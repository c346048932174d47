"""The statistics of a comparison: estimates with intervals, all pairs tested, corrected for their number."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError, DataError, nearest
from keras_seq.evaluation import significance
from keras_seq.evaluation.answers import Answers, in_deviations
from keras_seq.evaluation.measures import AUC_ROC, MAE, MEASURES, RMSE, Measure
from keras_seq.evaluation.significance import FEWEST, Test

Array = NDArray[np.float64]
BLOCKS = 500  # most pieces left out one after the other for the acceleration of an interval


@dataclass(frozen=True)
class Estimate:
    """A metric of a contender: mean over its replicates, interval, deviation over replicates."""

    value: float
    low: float
    high: float
    deviation: float


@dataclass(frozen=True)
class Pair:
    """Two contenders: ``difference = first - second`` of the deciding metric, and how sure it is."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    adjusted: float
    test: str


@dataclass(frozen=True)
class Comparison:
    """Everything the statistics say.

    Attributes:
        measures: compared, the deciding one first.
        estimates: by contender, by metric name.
        pairs: all pairs of contenders.
        resampled: what was drawn again, in words: "100 units", "blocks of 5 among 104 times".
        percentile: intervals are plain percentiles (blocks of time), not BCa.
        notes: what a reader must know.
    """

    measures: tuple[Measure, ...]
    estimates: dict[str, dict[str, Estimate]]
    pairs: tuple[Pair, ...]
    resampled: str
    percentile: bool
    notes: tuple[str, ...] = ()

    def ranked(self) -> list[str]:
        """Contenders, best first by the deciding metric."""
        deciding = self.measures[0]
        sign = -1 if deciding.higher_is_better else 1
        return sorted(self.estimates, key=lambda name: sign * self.estimates[name][deciding.name].value)

    def pair(self, one: str, other: str) -> Pair:
        """The test of two contenders, in whichever order it was made."""
        return next(pair for pair in self.pairs if {pair.first, pair.second} == {one, other})


@dataclass(frozen=True)
class Resampling:
    """Which points belong together, and how often each resample draws them.

    Attributes:
        kind: "units", "groups" or "times".
        cluster: cluster number of each point ``(points,)``.
        counts: ``(resamples, clusters)``.
        block: neighbouring times drawn together; 0 for units and groups.
    """

    kind: str
    cluster: NDArray[np.int64]
    counts: Array
    block: int = 0

    def __str__(self) -> str:
        blocks = f"blocks of {self.block} among " if self.block else ""
        return f"{blocks}{self.clusters} {self.kind}"

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return self.counts.shape[1]

    def left_out(self) -> Array:
        """Counts with one cluster (or, of many, one of ``BLOCKS`` pieces) missing, ``(pieces, clusters)``."""
        pieces = min(self.clusters, BLOCKS)
        piece = np.arange(self.clusters) * pieces // self.clusters
        return (piece != np.arange(pieces)[:, None]).astype(np.float64)


def measures_of(spec: DataSpec, deciding: str | None = None) -> tuple[Measure, ...]:
    """Metrics of a task, the deciding one first.

    Raises:
        ConfigError: the task has no such metric.
    """
    known = MEASURES[spec.task]
    if deciding is None:
        return known
    found = [measure for measure in known if measure.name == deciding]
    if not found:
        names = [measure.name for measure in known]
        raise ConfigError(
            f"Option '--metric': a {spec.task} comparison has no metric '{deciding}'{nearest(deciding, names)}"
        )
    return (found[0], *(measure for measure in known if measure.name != deciding))


def resampling(answers: Answers, spec: DataSpec, *, resamples: int, seed: int) -> Resampling:
    """Whole groups where units come in groups, whole units, or blocks of time where there are few units.

    Args:
        answers: of all contenders.
        spec: its horizon sets the least length of a block.
        resamples: how many.
        seed: decides the draws.
    """
    rng = np.random.default_rng(seed)
    groups = answers.series.groups[answers.unit]
    n_units, n_groups = len(np.unique(answers.unit)), len(np.unique(groups))
    kind, labels = ("groups", groups) if FEWEST <= n_groups < n_units else ("units", answers.unit)
    if n_units >= FEWEST:
        cluster = np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int64)
        return Resampling(kind, cluster, significance.cluster_counts(int(cluster.max()) + 1, resamples, rng))
    instant = instants(answers.series, answers.unit, answers.row)
    steps = int(instant.max()) + 1
    block = min(max(spec.horizon, round(steps ** (1 / 3)), 1), max(1, steps // 4))
    counts = significance.block_counts(steps, resamples, rng, block=block)
    return Resampling("times", instant, counts, block)


def instants(series: Series, unit: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of each point's instant in order of time ``(points,)``; points of several units at one time share it.

    Args:
        series: they are points of.
        unit: number of each point's unit ``(points,)``.
        row: absolute row of its last step ``(points,)``.
    """
    if len(np.unique(unit)) == 1:
        return np.unique(row, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return np.unique(series.time[row], return_inverse=True)[1].reshape(-1).astype(np.int64)


def compare_answers(
    answers: Answers, spec: DataSpec, *, deciding: str | None = None, resamples: int = 2000, seed: int = 0
) -> Comparison:
    """Estimate every metric of every contender and test all pairs by the deciding one.

    Every resample draws clusters (the same for all contenders) and, of a contender with several seeds, seeds.

    Args:
        answers: of all contenders at the same points.
        spec: task, horizon.
        deciding: metric; none: the task's first.
        resamples: of the bootstrap.
        seed: of the draws.
    """
    measures, answers = measures_of(spec, deciding), in_deviations(answers, spec)
    plan = resampling(answers, spec, resamples=resamples, seed=seed)
    rng = np.random.default_rng(seed + 1)
    estimates: dict[str, dict[str, Estimate]] = {name: {} for name in answers.predictions}
    drawn: dict[str, Array] = {}
    for name, predictions in answers.predictions.items():
        weights = significance.cluster_counts(len(predictions), resamples, rng) / len(predictions)
        for measure in measures:
            estimate, samples = _estimate(measure, answers.truth, predictions, plan, weights)
            estimates[name][measure.name] = estimate
            if measure is measures[0]:
                drawn[name] = samples
    pairs = _pairs(answers, spec, measures[0], estimates, drawn, plan)
    return Comparison(measures, estimates, pairs, str(plan), bool(plan.block), _notes(answers, plan))


def _estimate(
    measure: Measure, truth: Array, predictions: Array, plan: Resampling, seed_weights: Array
) -> tuple[Estimate, Array]:
    everyone, left_out = np.ones((1, plan.clusters)), plan.left_out()
    values, jackknife, samples = [], [], []
    for prediction in predictions:
        values.append(float(measure.resampled(truth, prediction, plan.cluster, everyone)[0]))
        jackknife.append(measure.resampled(truth, prediction, plan.cluster, left_out))
        samples.append(measure.resampled(truth, prediction, plan.cluster, plan.counts))
    value = float(np.mean(values))
    mixed = np.einsum("sr,rs->r", np.stack(samples), seed_weights)
    if plan.block:
        low, high = significance.percentile_interval(mixed)
    else:
        low, high = significance.bca_interval(mixed, value, np.mean(jackknife, axis=0))
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Estimate(value, low, high, deviation), mixed


def _pairs(
    answers: Answers,
    spec: DataSpec,
    measure: Measure,
    estimates: dict[str, dict[str, Estimate]],
    drawn: dict[str, Array],
    plan: Resampling,
) -> tuple[Pair, ...]:
    tested = []
    for first, second in itertools.combinations(estimates, 2):
        one, two = estimates[first][measure.name], estimates[second][measure.name]
        bootstrap = significance.paired_bootstrap(drawn[first], drawn[second], one.value - two.value)
        test = _special_test(answers, spec, measure, first, second, plan) or bootstrap
        tested.append((first, second, bootstrap, test))
    adjusted = significance.holm([test.p_value for *_, test in tested])
    pairs = []
    for (first, second, bootstrap, test), corrected in zip(tested, adjusted, strict=True):
        bounds = bootstrap if test.name == "Diebold-Mariano" else test  # its own bounds are of the loss
        pairs.append(
            Pair(first, second, bootstrap.difference, bounds.low, bounds.high, test.p_value, corrected, test.name)
        )
    return tuple(pairs)


def _special_test(
    answers: Answers, spec: DataSpec, measure: Measure, first: str, second: str, plan: Resampling
) -> Test | None:
    """The test made for the case; None where the paired bootstrap is to decide."""
    one, two = answers.predictions[first], answers.predictions[second]
    try:
        if measure is AUC_ROC and not plan.block:
            noise = sum(_seed_variance([AUC_ROC.of(answers.truth, score) for score in side]) for side in (one, two))
            return significance.delong_test(answers.truth, one, two, plan.cluster, seed_variance=noise)
        if spec.task == "forecast" and measure in (RMSE, MAE) and plan.block:
            losses = [_losses(answers, side, measure, plan) for side in (one, two)]
            noise = sum(_seed_variance(loss.mean(1).tolist()) for loss in losses)
            horizon = _overlap(answers, spec)
            return significance.diebold_mariano(
                losses[0].mean(0), losses[1].mean(0), horizon=horizon, seed_variance=noise
            )
    except DataError:  # too few origins, or too few units of a class
        return None
    return None


def _losses(answers: Answers, predictions: Array, measure: Measure, plan: Resampling) -> Array:
    """Loss ``(replicates, instants)``, mean over horizon, targets and units of one instant."""
    error = (predictions - answers.truth).reshape(len(predictions), len(answers.truth), -1)
    loss = (error**2 if measure is RMSE else np.abs(error)).mean(2)
    total = np.zeros((len(loss), plan.clusters))
    np.add.at(total.T, plan.cluster, loss.T)  # a view: adds into total
    return np.asarray(total / np.bincount(plan.cluster, minlength=plan.clusters))


def _overlap(answers: Answers, spec: DataSpec) -> int:
    """Horizon in units of the distance between two origins."""
    same_unit = np.diff(answers.unit) == 0
    gaps = np.diff(answers.row)[same_unit]
    stride = int(gaps[gaps > 0].min()) if (gaps > 0).any() else 1
    return max(1, -(-spec.horizon // stride))


def _seed_variance(values: list[float]) -> float:
    """Variance of a mean over seeds; 0 where there is one seed, whose noise nobody knows."""
    return float(np.var(values, ddof=1) / len(values)) if len(values) > 1 else 0.0


def _notes(answers: Answers, plan: Resampling) -> tuple[str, ...]:
    notes = []
    if plan.block and len(np.unique(answers.unit)) > 1:
        notes.append(
            f"Only {len(np.unique(answers.unit))} units are judged, too few to resample them: intervals speak of other "
            "times of the same units, not of other units."
        )
    elif plan.clusters < 30:
        notes.append(f"Only {plan.clusters} {plan.kind} are judged: intervals are rough.")
    alone = [name for name, predictions in answers.predictions.items() if len(predictions) == 1]
    if alone:
        notes.append(
            f"One training each of {', '.join(alone)}: how much another seed would change them is not in the intervals."
        )
    if answers.left_out:
        notes.append(f"{answers.left_out} points that not every contender answers were left out.")
    return tuple(notes)
