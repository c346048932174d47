"""Every metric of a task in one call; a new metric is one entry of ``VALUE_METRICS`` or ``CLASS_METRICS``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from keras_seq.config import TaskName
from keras_seq.tasks import classifies
from keras_seq.training.class_metrics import CLASS_METRICS, ClassAnswers
from keras_seq.training.value_metrics import VALUE_METRICS, Array

THRESHOLDED = frozenset(name for name, metric in CLASS_METRICS.items() if metric.thresholded)
HIGHER_IS_BETTER = frozenset(
    [
        "coverage",
        "concordance",
        *(name for name, metric in (VALUE_METRICS | CLASS_METRICS).items() if metric.higher_is_better),
    ]
)
CLASS_MEASURES = {
    "binary": {name: metric.binary for name, metric in CLASS_METRICS.items()},
    "multiclass": {
        name: metric.multiclass
        for name, metric in sorted(CLASS_METRICS.items(), key=lambda entry: not entry[1].thresholded)
        if metric.multiclass
    },
}
METRICS: dict[str, tuple[str, ...]] = {
    "regression": tuple(VALUE_METRICS),
    "forecast": tuple(VALUE_METRICS),
    **{task: tuple(measures) for task, measures in CLASS_MEASURES.items()},
}


def score(
    task: TaskName,
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    threshold: float = 0.5,
    weights: ArrayLike | None = None,
    scale: Sequence[float] = (),
    names: Sequence[str] = (),
) -> dict[str, float]:
    """Every metric of a task.

    Args:
        task: "regression", "forecast", "binary" or "multiclass".
        truth: values, or class numbers ``(...)``.
        prediction: values of the same size; a positive's probability ``(...)``; or ``(..., classes)``.
        threshold: from which on a probability is called positive.
        weights: shape of the leading axes of ``truth``; points of weight 0 (padding) are left out.
        scale: of several targets the deviation of each, see ``score_values``.
        names: of several targets their names, see ``score_values``.

    Returns:
        Metric name to value.
    """
    actual, answer = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    if weights is not None:
        real = np.asarray(weights) > 0
        actual, answer = actual[real], answer[real]
    if not classifies(task):
        return score_values(actual, answer, scale=scale, names=names)
    if task == "binary":
        answers = ClassAnswers(actual.ravel(), answer.ravel(), answer.ravel() >= threshold)
    else:
        answer = answer.reshape(-1, answer.shape[-1])
        answers = ClassAnswers(actual.ravel(), answer, answer.argmax(1))
    return {name: measure(answers) for name, measure in CLASS_MEASURES[task].items()}


def score_values(
    truth: ArrayLike, prediction: ArrayLike, *, scale: Sequence[float] = (), names: Sequence[str] = ()
) -> dict[str, float]:
    """``rmse``, ``mae``, ``smape`` and ``r2`` of values.

    Of one target they are in its unit. Several targets may differ in scale, so they are never pooled as they are:
    ``rmse``, ``mae`` and ``r2`` are then over all targets in deviations, ``smape`` is the targets' mean, and
    ``rmse/<target>``, ... are each target's own, in its unit.

    Args:
        truth: ``(..., targets)``; any shape for one target.
        prediction: as many values in the same order.
        scale: deviation of each target on the train part ``(targets,)``; one or none: a single target.
        names: of the targets; none: no metrics by target.
    """
    if len(scale) < 2:
        return {name: metric.measure(truth, prediction) for name, metric in VALUE_METRICS.items()}
    deviation = deviations(scale)
    actual, answer = (np.asarray(part, np.float64).reshape(-1, len(deviation)) for part in (truth, prediction))
    error, centred = (answer - actual) / deviation, (actual - actual.mean(0)) / deviation
    overall, own = dict[str, float](), dict[str, float]()
    for name, metric in VALUE_METRICS.items():
        values = [metric.measure(actual[:, k], answer[:, k]) for k in range(len(deviation))]
        overall[name] = metric.pooled(error, centred) if metric.pooled else float(np.mean(values))
        own |= by_target(name, values, names)
    return overall | own


def deviations(scale: Sequence[float]) -> Array:
    """Deviations to divide by: 1 where a target is constant in train."""
    known = np.asarray(scale, np.float64)
    return np.where(np.isfinite(known) & (known > 0), known, 1.0)


def by_target(metric: str, values: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """``{"metric/target": value}`` of several targets; nothing of one."""
    if len(names) < 2:
        return {}
    return {f"{metric}/{name}": float(value) for name, value in zip(names, values, strict=True)}


def over_targets(metric: str, values: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """A metric of one target, or the mean over several that know it and each target's own."""
    known = [value for value in values if np.isfinite(value)]
    return {metric: float(np.mean(known)) if known else float("nan")} | by_target(metric, values, names)
