"""Fit the decision layer on validation: calibration, threshold and intervals as plain numbers for ``decision.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_seq.config import EvaluationConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import DataError
from keras_seq.training import adaptive, conformal
from keras_seq.training.calibration import fit_calibration
from keras_seq.training.thresholds import fit_threshold

Labels: TypeAlias = NDArray[np.generic]  # numbers or names


def clusters(unit: NDArray[np.integer], row: NDArray[np.integer], groups: Labels, *, block: int) -> Labels:
    """Exchangeable clusters: whole groups of units, or in a split by time blocks of one unit's answers.

    Args:
        unit: unit number of each answer, ``(n,)``.
        row: absolute row of its last step seen, ``(n,)``.
        groups: group of each unit, ``(units,)``; a unit without group is its own.
        block: 0: groups; n: blocks of n rows (the horizon: windows that forecast the same rows are one thing).
    """
    if not block:
        return np.unique(groups[unit], return_inverse=True)[1]
    first = np.full(int(unit.max(initial=0)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, unit, row)
    return np.unique(np.stack([unit, (row - first[unit]) // block]), axis=1, return_inverse=True)[1].ravel()


def events(unit: NDArray[np.integer], row: NDArray[np.integer], truth: NDArray[np.number]) -> NDArray[np.int64]:
    """Runs of equal labels: rows of one event are one piece of evidence, however many they are.

    A run of negatives is cut into lengths of the median event, as a false alarm takes a part of it only.

    Args:
        unit: unit number of each answer, ``(n,)``.
        row: absolute row of its last step seen, ``(n,)``.
        truth: 0/1 ``(n,)``.

    Returns:
        ``(n,)`` numbers.
    """
    order = np.lexsort((row, unit))
    label, whose = np.asarray(truth)[order] > 0.5, np.asarray(unit)[order]
    start = np.append(True, (label[1:] != label[:-1]) | (whose[1:] != whose[:-1]))
    number = np.cumsum(start) - 1
    within = np.arange(len(order)) - np.flatnonzero(start)[number]
    lengths = np.bincount(number)
    positive = lengths[label[start]]
    longest = max(int(np.median(positive)), 1) if len(positive) else len(order)
    start |= ~label & (within % longest == 0)
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(start) - 1
    return numbers


def fit_decision(
    evaluation: EvaluationConfig,
    spec: DataSpec,
    truth: ArrayLike,
    prediction: ArrayLike,
    cluster: ArrayLike,
    *,
    quantiles: Sequence[float] = (),
    cap: float | None = None,
    piece: ArrayLike | None = None,
) -> dict[str, Any]:
    """Everything that turns a model's output into answers, from its validation points.

    Args:
        evaluation: threshold, calibration, conformal, coverage.
        spec: of the model.
        truth: class numbers ``(n,)``, or values ``(n, targets)`` or ``(n, horizon, targets)``.
        prediction: ``(n,)``, ``(n, classes)``, the shape of ``truth``, or with quantiles one axis more.
        cluster: ``(n,)``, see ``clusters``.
        quantiles: levels of a quantile model.
        cap: largest value the model was taught; intervals are for the capped truth and end there.
        piece: ``(n,)``, what a threshold's uncertainty is drawn from, see ``events``; None: ``cluster``.

    Returns:
        ``{"calibration", "threshold", "threshold_range", "notes"}`` or
        ``{"coverage", "interval", "adaptive", "notes"}`` as the task has them; ``notes`` say in
        words what was asked for and left out.

    Raises:
        DataError: a prediction is not finite, or no threshold can be chosen.
    """
    answer, actual, cluster = np.asarray(prediction, np.float64), np.asarray(truth), np.asarray(cluster)
    if not np.isfinite(answer).all():
        raise DataError(
            f"{int((~np.isfinite(answer)).sum())} of {answer.size} validation answers are not finite, so no decision "
            "can be fitted. Check the data for values far outside their range and the training for a loss of NaN."
        )
    if spec.task == "binary":
        return _binary(evaluation, spec, actual, answer, cluster, cluster if piece is None else np.asarray(piece))
    if spec.task == "multiclass":
        calibration, notes = fit_calibration(evaluation.calibration, actual, answer, cluster)
        return {"calibration": calibration, "notes": notes}
    actual = actual.astype(np.float64)
    capped = actual if cap is None else np.minimum(actual, cap)
    return _values(evaluation, spec, capped, answer, cluster, quantiles=quantiles, cap=cap)


def _binary(
    evaluation: EvaluationConfig,
    spec: DataSpec,
    truth: Labels,
    probability: NDArray[np.float64],
    cluster: Labels,
    piece: Labels,
) -> dict[str, Any]:
    from keras_seq.models.decision import decide_array

    calibration, notes = fit_calibration(evaluation.calibration, truth, probability, cluster)
    calibrated = decide_array(probability.astype(np.float32), spec, {"calibration": calibration})["probability"]
    threshold = fit_threshold(truth, calibrated, evaluation, piece)
    return {
        "threshold": threshold.value,
        "threshold_range": [threshold.low, threshold.high],
        "calibration": calibration,
        "notes": [*notes, threshold.note] if threshold.note else notes,
    }


def _values(
    evaluation: EvaluationConfig,
    spec: DataSpec,
    truth: NDArray[np.float64],
    answer: NDArray[np.float64],
    cluster: Labels,
    *,
    quantiles: Sequence[float],
    cap: float | None,
) -> dict[str, Any]:
    method, coverage = evaluation.conformal, evaluation.coverage
    none: dict[str, Any] = {"interval": {"method": "none"}, "notes": []}
    if method == "none":
        return none
    count, needed = len(np.unique(cluster)), conformal.needed(coverage)
    if count < needed:
        note = (
            f"intervals left out: evaluation.coverage={coverage:g} needs at least {needed} validation units (or blocks "
            f"of {max(spec.horizon, 1)} rows in a split by time), there are {count}; give data.split.validation more, "
            "or lower the coverage"
        )
        return {**none, "notes": [note]}
    decision: dict[str, Any] = {"coverage": coverage, "notes": []}
    steered = method == "adaptive" and spec.task == "forecast" and not quantiles
    if method == "adaptive" and not steered:
        what = "a quantile model" if quantiles else f"task {spec.task}"
        decision["notes"] = [
            f"adaptive intervals learn from truths that arrive one after the other; {what} got fixed ones instead"
        ]
    if quantiles:
        interval = conformal.fit_quantile(truth, answer, quantiles, cluster, coverage)
    elif method == "normalised":
        interval = conformal.fit_normalised(truth - answer, answer, cluster, coverage)
    else:
        interval = conformal.fit_split(truth - answer, cluster, coverage)
        if steered:
            state = adaptive.start(truth - answer, coverage, delay=max(spec.horizon, 1))
            decision["adaptive"] = state.to_dict()
    return {**decision, "interval": {**interval, "bounds": [None, cap]}}
