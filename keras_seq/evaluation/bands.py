"""Errors of a model by band of the truth, by length of the sequence, by position in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keras_seq.config import TaskName
from keras_seq.figures import figure, markdown_table
from keras_seq.training import class_metrics, value_metrics

RUL_BANDS = (0.0, 25.0, 50.0, 75.0, 100.0, 125.0)  # cycles left; above the last is one more band


@dataclass(frozen=True)
class Band:
    """Error of the points whose key lies in ``[low, high)``.

    Attributes:
        low: lower edge; minus infinity is open.
        high: upper edge; infinity is open.
        points: judged there.
        units: they belong to.
        values: metric name to value: rmse, mae and bias (prediction minus truth), or accuracy and Brier score.
    """

    low: float
    high: float
    points: int
    units: int
    values: dict[str, float]


def error_by_band(
    key: ArrayLike, edges: Sequence[float], truth: ArrayLike, prediction: ArrayLike, unit: ArrayLike, *, task: TaskName
) -> list[Band]:
    """Errors of points grouped by ``key``; empty bands are left out, points below the first edge make a band too.

    Args:
        key: what is banded ``(points,)``: the truth (remaining life), the unit's length, steps seen.
        edges: rising; bands are ``[-inf, e0), [e0, e1), ..., [e_last, inf)``.
        truth: ``(points[, values])``; class numbers for classes.
        prediction: same; a positive's probability; or ``(points, classes)``.
        unit: unit number of each point.
        task: decides the metrics.
    """
    keys, units = np.asarray(key, np.float64).ravel(), np.asarray(unit).ravel()
    actual, answer = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    borders = [-np.inf, *edges, np.inf]
    which = np.searchsorted(np.asarray(edges, np.float64), keys, side="right")
    bands = []
    for number in np.unique(which):
        chosen = which == number
        values = _errors(actual[chosen], answer[chosen], task)
        bands.append(
            Band(borders[number], borders[number + 1], int(chosen.sum()), len(np.unique(units[chosen])), values)
        )
    return bands


def equal_edges(key: ArrayLike, bands: int = 5) -> tuple[float, ...]:
    """Inner edges of about ``bands`` bands of equally many points; ``key (points,)``. Equal edges become one."""
    cuts = np.quantile(np.asarray(key, np.float64), np.linspace(0, 1, bands + 1)[1:-1])
    return tuple(float(cut) for cut in np.unique(cuts))


def to_markdown(bands: Sequence[Band], name: str) -> str:
    """Markdown table: band, points, units, errors."""
    columns = list(bands[0].values)
    rows = [
        [label(band.low, band.high), band.points, band.units, *(figure(band.values[column]) for column in columns)]
        for band in bands
    ]
    return "\n".join(markdown_table([name, "points", "units", *columns], rows)) + "\n"


def label(low: float, high: float) -> str:
    """A band's name: ``0 - 25``, ``< 10`` or ``>= 125``."""
    if np.isinf(low):
        return "all" if np.isinf(high) else f"< {high:g}"
    return f">= {low:g}" if np.isinf(high) else f"{low:g} - {high:g}"


def _errors(truth: np.ndarray, prediction: np.ndarray, task: TaskName) -> dict[str, float]:
    if task == "binary":
        predicted = prediction.ravel() >= 0.5
        return {
            "brier": class_metrics.brier(truth, prediction),
            "accuracy": class_metrics.accuracy(truth.ravel() > 0.5, predicted),
            "bias": float(np.mean(prediction) - np.mean(truth)),
        }
    if task == "multiclass":
        predicted = prediction.argmax(-1)
        return {
            "accuracy": class_metrics.accuracy(truth, predicted),
            "log_loss": class_metrics.log_loss(truth, prediction),
        }
    error = prediction.ravel() - truth.ravel()
    return {
        "rmse": value_metrics.rmse(truth, prediction),
        "mae": value_metrics.mae(truth, prediction),
        "bias": float(error.mean()),
    }
