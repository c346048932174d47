"""Points after the decision layer: calibrated probabilities and intervals, and how well they hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.config import Experiment
from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.evaluation.naive_error import naive_errors
from keras_seq.evaluation.scores import interval_metrics, renamed, score
from keras_seq.training import adaptive, class_metrics
from keras_seq.training.decision import clusters, events, fit_decision
from keras_seq.training.predictions import Points, has_quantiles
from keras_seq.training.thresholds import FEW

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.data.prepare import Prepared

INTERVALS = ("coverage", "interval_width")


@dataclass(frozen=True)
class Postprocessed:
    """Answers as a server gives them.

    Attributes:
        points: truth beside calibrated probabilities, or beside the model's values.
        raw: the model's own predictions, the shape of ``points.prediction``.
        value: point answers, the shape of ``points.truth`` (a quantile model's middle); None for classes.
        lower: ends of the intervals as predict and the server give them, the shape of ``points.truth``; None without.
        upper: likewise.
        followed: lower and upper ends that somebody would get who feeds every truth back as it comes
            (``training.adaptive``); None where nobody can.
        naive: what a forecast's errors are scaled by, see ``naive_errors``.
    """

    points: Points
    raw: np.ndarray
    value: np.ndarray | None = None
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    followed: tuple[np.ndarray, np.ndarray] | None = None
    naive: np.ndarray | None = None

    def select(self, chosen: np.ndarray) -> Postprocessed:
        """The answers where ``chosen`` (mask or numbers) says so."""
        names = ("raw", "value", "lower", "upper")
        cut = {name: part[chosen] for name in names if (part := getattr(self, name)) is not None}
        followed = None if self.followed is None else (self.followed[0][chosen], self.followed[1][chosen])
        return dataclasses.replace(self, points=self.points.select(chosen), followed=followed, **cut)

    def as_taught(self, cap: float | None) -> Postprocessed:
        """Truth and values no higher than the cap of training, where intervals end too: what pictures compare."""
        if cap is None or self.value is None:
            return self
        points = dataclasses.replace(self.points, truth=np.minimum(self.points.truth, cap))
        return dataclasses.replace(self, points=points, value=np.minimum(self.value, cap))

    def scored(self, experiment: Experiment, part: str) -> Postprocessed:
        """The answers that metrics are of; see ``Points.scored``."""
        return self.select(self.points.scored(experiment.evaluation, part))


@dataclass(frozen=True)
class ModelScores:
    """Answers and metrics of one model, and the decision layer that was fitted on its validation answers."""

    parts: dict[str, Postprocessed]
    metrics: dict[str, dict[str, Any]]  # by part; "test_files": by file where the test part comes in several
    decision: dict[str, Any]


def answer_part(bundle: Bundle, prepared: Prepared, experiment: Experiment, part: str) -> Postprocessed:
    """A bundle's answers on a part of prepared data, as it serves them."""
    from keras_seq.training import predictions

    spec, index = bundle.spec, prepared.index[part]
    output = predictions.predict_windows(bundle.model, prepared.series, index, spec, experiment.data)
    points, naive = predictions.points(prepared.series, index, spec, output), naive_errors(prepared, experiment)
    return postprocess(points, spec, experiment, bundle.decision, part=part, naive=naive)


def score_parts(points: Mapping[str, Points], prepared: Prepared, experiment: Experiment) -> ModelScores:
    """Answers and metrics of a model's points by part: the one rule of training, tuning and baselines.

    The decision layer is fitted on ``points["validation"]``; other parts only go through it.
    """
    spec, naive = prepared.spec, naive_errors(prepared, experiment)
    decision = fit_points(points["validation"], prepared.series, spec, experiment)
    parts = {part: postprocess(own, spec, experiment, decision, part=part, naive=naive) for part, own in points.items()}
    metrics = {part: score_postprocessed(own, spec, experiment, decision, part=part) for part, own in parts.items()}
    return ModelScores(parts, metrics, decision)


def fit_points(points: Points, series: Series, spec: DataSpec, experiment: Experiment) -> dict[str, Any]:
    """The decision layer from validation points: numbers for ``decision.json``.

    Steps before ``evaluation.min_steps`` are left out, as they are of metrics.
    """
    chosen = points.select(points.scored(experiment.evaluation, "validation"))
    by_time = experiment.data.split.by == "time" or len(np.unique(chosen.unit)) == 1
    cluster = clusters(chosen.unit, chosen.row, series.groups, block=max(spec.horizon, 1) if by_time else 0)
    few = by_time or len(np.unique(cluster)) < FEW
    piece = events(chosen.unit, chosen.row, chosen.truth) if few and spec.task == "binary" else None
    return fit_decision(
        experiment.evaluation,
        spec,
        chosen.truth,
        chosen.prediction,
        cluster,
        quantiles=_levels(chosen, spec, experiment),
        cap=experiment.data.target_cap,
        piece=piece,
    )


def postprocess(
    points: Points,
    spec: DataSpec,
    experiment: Experiment,
    decision: Mapping[str, Any],
    *,
    part: str,
    naive: np.ndarray | None = None,
) -> Postprocessed:
    """Points through the decision layer, by the same layers as the served graph.

    Beside them, ``followed`` intervals run over the test part in order, learning from each truth once it would be
    known. ``naive``: see ``Postprocessed``.
    """
    from keras_seq.models.decision import decide_array

    raw, truth = points.prediction, points.truth
    outputs = decide_array(raw, spec, decision, _levels(points, spec, experiment))
    if spec.classifies:
        name = "probability" if spec.task == "binary" else "probabilities"
        return Postprocessed(dataclasses.replace(points, prediction=outputs[name]), raw)
    value = outputs["prediction"].reshape(truth.shape)
    answers = Postprocessed(points, raw, value, naive=naive)
    if "lower" in outputs:
        lower, upper = (outputs[name].reshape(truth.shape) for name in ("lower", "upper"))
        answers = dataclasses.replace(answers, lower=lower, upper=upper)
        if "adaptive" in decision and part == "test":
            width = _follow(points, decision["adaptive"], -(-spec.horizon // experiment.data.windows.stride))
            answers = dataclasses.replace(answers, followed=(value - width, value + width))
    return answers


def score_postprocessed(
    answers: Postprocessed, spec: DataSpec, experiment: Experiment, decision: Mapping[str, Any], *, part: str
) -> dict[str, float]:
    """Metrics of one part: those of ``score`` and how well the decision layer holds.

    ``ece`` is of calibrated probabilities, ``ece_raw`` of the model's own. ``coverage`` and
    ``interval_width`` are of the intervals that predict and the server give, against truth capped as in training; with
    ``_raw`` of a quantile model's outermost quantiles, with ``_followed`` of intervals of somebody who feeds every
    truth back. Of the validation part they are the numbers of the fit itself.
    """
    threshold = decision.get("threshold", 0.5)
    result = score(answers.points, spec, experiment, part=part, threshold=threshold, naive=answers.naive)
    chosen = answers.scored(experiment, part)
    truth = chosen.points.truth
    if spec.classifies:
        return {**result, "ece_raw": class_metrics.ece(truth, chosen.raw)}
    if chosen.lower is None or chosen.upper is None:
        return result
    for name in [name for name in result if name.split("/")[0] in INTERVALS]:
        result[renamed(name, "_raw")] = result.pop(name)
    cap = experiment.data.target_cap
    capped = truth if cap is None else np.minimum(truth, cap)
    result |= interval_metrics(capped, chosen.lower, chosen.upper, spec)
    if chosen.followed is not None:
        followed = interval_metrics(capped, *chosen.followed, spec)
        result |= {renamed(name, "_followed"): value for name, value in followed.items() if "/" not in name}
    return result


def _levels(points: Points, spec: DataSpec, experiment: Experiment) -> tuple[float, ...]:
    """Quantile levels of the predictions; a baseline of a quantile model answers with points."""
    levels = experiment.model.quantiles
    if spec.task == "forecast":
        return levels if points.prediction.ndim > points.truth.ndim else ()
    return levels if spec.task == "regression" and has_quantiles(points.prediction, points.truth, levels) else ()


def _follow(points: Points, state: Mapping[str, Any], delay: int) -> np.ndarray:
    """Half widths of every answer; each unit starts from the state after validation."""
    width = np.empty(points.truth.shape, np.float32)
    for unit in np.unique(points.unit):
        own = np.flatnonzero(points.unit == unit)
        own = own[np.argsort(points.row[own], kind="stable")]
        start = adaptive.AdaptiveInterval.from_dict(state)
        width[own] = adaptive.follow(start, points.truth[own], points.prediction[own], delay=delay)
    return width
