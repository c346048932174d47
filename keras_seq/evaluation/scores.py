"""Metrics of points, the same for networks and baselines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import Experiment
from keras_seq.data.spec import DataSpec
from keras_seq.evaluation.naive_error import scaled_errors
from keras_seq.training import metrics, value_metrics
from keras_seq.training.predictions import Points, has_quantiles, middle

Array = NDArray[np.float64]


def score(
    points: Points,
    spec: DataSpec,
    experiment: Experiment,
    *,
    part: str,
    threshold: float = 0.5,
    naive: Array | None = None,
) -> dict[str, float]:
    """Metrics of the points of one part.

    Regression and forecasts are scored in raw units against capped truth (``data.target_cap``);
    ``rmse_uncapped`` and ``phm08_uncapped`` say what the cap hides. Forecasts also get ``mse_scaled``
    and ``mae_scaled``, in deviations of the training targets, as papers report them, and ``mase``, in errors of
    the seasonal naive forecast inside each unit. Several targets: see ``metrics.score_values``; whatever is in the
    targets' units is overall in their deviations, and ``<metric>/<target>`` is each target's own.

    Args:
        points: of the part.
        spec: of the model.
        experiment: tells the cap, the points scored and the quantiles.
        part: "train", "validation" or "test"; ``evaluation.at`` concerns the test part.
        threshold: of a binary answer.
        naive: ``naive_errors`` ``(units, targets)`` of a forecast; without them no ``mase``.
    """
    points = points.select(points.scored(experiment.evaluation, part))
    if spec.classifies:
        return metrics.score(spec.task, points.truth, points.prediction, threshold=threshold)
    return _score_values(points, spec, experiment, naive)


def _score_values(points: Points, spec: DataSpec, experiment: Experiment, naive: Array | None) -> dict[str, float]:
    quantiles, names = experiment.model.quantiles, spec.targets
    is_quantiles = has_quantiles(points.prediction, points.truth, quantiles)
    value = middle(points.prediction, quantiles) if is_quantiles else points.prediction
    truth, value = (np.asarray(part).reshape(len(points.truth), -1, len(names)) for part in (points.truth, value))
    cap = experiment.data.target_cap
    capped = truth if cap is None else np.minimum(truth, cap)
    result = metrics.score_values(capped, value, scale=spec.target_std, names=names)
    if cap is not None:
        uncapped = metrics.score_values(truth, value, scale=spec.target_std, names=names)
        result["phm08"] = value_metrics.phm08(capped.ravel(), value.ravel())
        result |= {renamed(name, "_uncapped"): v for name, v in uncapped.items() if name.split("/")[0] == "rmse"}
        result["phm08_uncapped"] = value_metrics.phm08(truth.ravel(), value.ravel())
    if spec.task == "forecast":
        error = (value.astype(np.float64) - truth) / metrics.deviations(spec.target_std)
        result |= metrics.over_targets("mse_scaled", (error**2).mean((0, 1)).tolist(), names)
        result |= metrics.over_targets("mae_scaled", np.abs(error).mean((0, 1)).tolist(), names)
        if naive is not None:
            scaled = scaled_errors(value.astype(np.float64) - truth, points.unit, naive)
            result |= metrics.over_targets("mase", scaled, names) if np.isfinite(scaled).any() else {}
    return result | _score_quantiles(points, spec, quantiles) if is_quantiles else result


def _score_quantiles(points: Points, spec: DataSpec, quantiles: tuple[float, ...]) -> dict[str, float]:
    """Pinball loss, and how well the outermost quantiles hold."""
    names, count = spec.targets, len(points.truth)
    answers = points.prediction.reshape(count, -1, len(names), len(quantiles))
    truth = np.asarray(points.truth).reshape(count, -1, len(names))
    losses = [value_metrics.pinball(truth[..., k, None], answers[..., k, :], quantiles) for k in range(len(names))]
    unit = metrics.deviations(spec.target_std) if len(names) > 1 else np.ones(1)
    result = {"pinball": float(np.mean(losses / unit))} | metrics.by_target("pinball", losses, names)
    return result | interval_metrics(truth, answers[..., 0], answers[..., -1], spec)


def interval_metrics(truth: Array, lower: Array, upper: Array, spec: DataSpec) -> dict[str, float]:
    """``coverage`` and ``interval_width``; of several targets also each one's, the overall width in deviations.

    Args:
        truth: ``(points, targets)`` or ``(points, horizon, targets)``.
        lower: same shape.
        upper: same shape.
        spec: names the targets and their deviations.
    """
    names = spec.targets
    truth, lower, upper = (np.asarray(part).reshape(-1, len(names)) for part in (truth, lower, upper))
    inside = [value_metrics.coverage(truth[:, k], lower[:, k], upper[:, k]) for k in range(len(names))]
    width = [value_metrics.interval_width(lower[:, k], upper[:, k]) for k in range(len(names))]
    unit = metrics.deviations(spec.target_std) if len(names) > 1 else np.ones(1)
    overall = {"interval_width": float(np.mean(width / unit))} | metrics.by_target("interval_width", width, names)
    return metrics.over_targets("coverage", inside, names) | overall


def renamed(name: str, ending: str) -> str:
    """``rmse/a`` as ``rmse_uncapped/a``."""
    metric, slash, target = name.partition("/")
    return f"{metric}{ending}{slash}{target}"
