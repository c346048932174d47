"""Answers of all candidates at the same points, beside one truth."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.errors import DataError, KerasSeqError
from keras_seq.evaluation.candidates import Candidates, Failure, ScoredPart
from keras_seq.evaluation.postprocessed import Postprocessed, answer_part, score_postprocessed
from keras_seq.evaluation.scores import score
from keras_seq.figures import Say, silent
from keras_seq.training.metrics import THRESHOLDED, deviations
from keras_seq.training.predictions import Points

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.series import Series
    from keras_seq.data.spec import DataSpec

OF_ONE_RUN = THRESHOLDED | {"coverage", "interval_width", "mase"}


@dataclass(frozen=True)
class Replicate:
    """Answers of one seed of a candidate.

    Attributes:
        points: scored, with capped truth; quantile models by their middle.
        metrics: everything ``score`` knows of them.
    """

    points: Points
    metrics: dict[str, float]


@dataclass(frozen=True)
class CandidateAnswers:
    """Answers of all candidates at the same points.

    Attributes:
        truth: ``(points,)`` class numbers, or ``(points, values)``, capped.
        predictions: by candidate ``(replicates, points[, values])``.
        unit: unit number of each point.
        row: absolute row of the last step seen.
        metrics: by candidate, one dictionary a replicate (over all points it answers).
        left_out: points that not every candidate answers.
        series: the data.
        failures: runs that could not answer.
    """

    truth: np.ndarray
    predictions: dict[str, np.ndarray]
    unit: np.ndarray
    row: np.ndarray
    metrics: dict[str, list[dict[str, float]]]
    left_out: int
    series: Series
    failures: list[Failure] = field(default_factory=list)


class Preparer:
    """Prepared data of many bundles; the series is read once, each split prepared once."""

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}
        self._prepared: dict[str, Prepared] = {}

    def __call__(self, data: DataConfig) -> Prepared:
        """Prepared data of a configuration; the last few are kept."""
        from keras_seq.data.prepare import NOT_OF_THE_SOURCE, prepare, prepare_series, read_series
        from keras_seq.data.sources.registry import is_streamed

        key = data.model_dump_json(exclude={"augment", "balance", "shuffle", "prefetch"})
        if key not in self._prepared:
            if len(self._prepared) >= 16:
                self._prepared.clear()
            if is_streamed(data):
                self._prepared[key] = prepare(data)
            else:
                source = data.model_dump_json(exclude=NOT_OF_THE_SOURCE)
                if source not in self._series:
                    self._series = {source: read_series(data)}
                self._prepared[key] = prepare_series(self._series[source], data)
        return self._prepared[key]


def collect(candidates: Candidates, say: Say = silent) -> CandidateAnswers:
    """Predict with every run and keep the points that all candidates answer.

    Raises:
        DataError: data or split are no longer those of the training, no common points, or fewer than two
            candidates could answer.
    """
    prepare, failures = Preparer(), list(candidates.failures)
    by_name: dict[str, list[Replicate]] = {}
    series: Series | None = None
    for candidate in candidates.models:
        say(f"predicting {candidates.part} with {candidate.name} ({len(candidate.bundles)} run(s))")
        replicates = []
        for pieces in candidate.replicates(union=candidates.union):
            answered = []
            for bundle in pieces:
                try:
                    prepared = prepare(bundle.experiment.data)
                    series = prepared.series
                    answered.append((bundle, run_answers(bundle, prepared, candidates.part)))
                except (KerasSeqError, OSError, ValueError) as error:
                    if isinstance(error, DataError):
                        raise
                    failures.append(Failure(candidate.name, str(bundle.folder), str(error).splitlines()[0]))
            if answered:
                replicates.append(replicate(answered, candidates.part))
        if replicates:
            by_name[candidate.name] = replicates
    if len(by_name) < 2 or series is None:
        reasons = " ".join(f"{failure.folder}: {failure.reason}" for failure in failures)
        raise DataError(f"Fewer than two contenders could answer. {reasons}")
    return align(by_name, series, failures)


def run_answers(bundle: Bundle, prepared: Prepared, part: ScoredPart) -> Postprocessed:
    """A bundle's answers on a part of its data, calibrated as it serves them: those that metrics are of.

    Raises:
        DataError: the split is no longer the one it was trained with.
    """
    bundle.check_data(prepared)
    return answer_part(bundle, prepared, bundle.experiment, part).scored(bundle.experiment, part)


def in_deviations(answers: CandidateAnswers, spec: DataSpec) -> CandidateAnswers:
    """Answers of several targets in each target's deviation on the train part, so that none outweighs the others."""
    if len(spec.target_std) < 2:
        return answers
    unit = np.tile(deviations(spec.target_std), max(spec.horizon, 1))
    predictions = {name: values / unit for name, values in answers.predictions.items()}
    return dataclasses.replace(answers, truth=answers.truth / unit, predictions=predictions)


def join(pieces: list[Points]) -> Points:
    """Points of several runs as one."""
    names = ("truth", "prediction", "unit", "row", "steps")
    return Points(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in names))


def comparable(answers: Postprocessed, cap: float | None) -> Points:
    """Capped truth ``(points[, values])`` and answers of the same shape (classes keep their axis)."""
    own = answers.points
    if answers.value is None:
        return own
    truth = np.asarray(own.truth, np.float64).reshape(len(own.truth), -1)
    capped = truth if cap is None else np.minimum(truth, cap)
    return dataclasses.replace(own, truth=capped, prediction=answers.value.reshape(len(truth), -1))


def replicate(runs: list[tuple[Bundle, Postprocessed]], part: ScoredPart) -> Replicate:
    """Put the runs of one seed together; numbers that hang on each piece's own threshold or intervals are means."""
    bundle = runs[0][0]
    own = [score_postprocessed(answers, run.spec, run.experiment, run.decision, part=part) for run, answers in runs]
    metrics = {
        key: float(np.mean([numbers[key] for numbers in own]))
        for key in own[0]
        if all(key in numbers for numbers in own)
    }
    if len(runs) > 1:
        together = score(join([answers.points for _, answers in runs]), bundle.spec, bundle.experiment, part=part)
        metrics |= {key: value for key, value in together.items() if key.split("/")[0] not in OF_ONE_RUN}
    return Replicate(join([comparable(answers, run.experiment.data.target_cap) for run, answers in runs]), metrics)


def align(by_name: dict[str, list[Replicate]], series: Series, failures: list[Failure]) -> CandidateAnswers:
    """The answers at the rows that every replicate answers; rows are absolute, so they tell the unit too.

    Raises:
        DataError: no row is answered by all, or their truths differ.
    """
    rows = [np.unique(replicate.points.row) for replicates in by_name.values() for replicate in replicates]
    common = functools.reduce(np.intersect1d, rows)
    if not len(common):
        raise DataError(
            "No point is answered by all contenders: their windows end at different rows. Compare models whose "
            "data.windows.* options judge the same rows."
        )
    placed = {name: [_at(replicate.points, common) for replicate in of] for name, of in by_name.items()}
    first = next(iter(placed.values()))[0]
    _check_truth(placed, first)
    return CandidateAnswers(
        truth=np.asarray(first.truth, np.float64),
        predictions={
            name: np.stack([np.asarray(found.prediction, np.float64) for found in of]) for name, of in placed.items()
        },
        unit=first.unit,
        row=first.row,
        metrics={name: [replicate.metrics for replicate in of] for name, of in by_name.items()},
        left_out=max(map(len, rows)) - len(common),
        series=series,
        failures=failures,
    )


def _check_truth(placed: dict[str, list[Points]], first: Points) -> None:
    """Refuse candidates whose truths differ; other inputs may be compared."""
    reference = next(iter(placed))
    for name, replicates in placed.items():
        for points in replicates:
            differing = ~np.isclose(points.truth, first.truth, rtol=1e-5, atol=0).reshape(len(first.row), -1).all(
                axis=1
            )
            if differing.any():
                at = int(np.flatnonzero(differing)[0])
                raise DataError(
                    f"'{reference}' and '{name}' were trained on different data: the truth at row {first.row[at]} is "
                    f"{np.ravel(first.truth[at])[0]:g} for the first and {np.ravel(points.truth[at])[0]:g} for the "
                    f"second ({int(differing.sum())} points differ). Train both on the same file."
                )


def _at(points: Points, rows: np.ndarray) -> Points:
    """The points at ``rows``; of a row answered in several windows, the one that saw most before it."""
    order = np.argsort(points.row, kind="stable")
    return points.select(order[np.searchsorted(points.row[order], rows)])
