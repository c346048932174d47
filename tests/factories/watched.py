"""Real engines as requests: rows of C-MAPSS, remaining life by least squares on them, and the reference of both."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from keras_seq import config
from keras_seq.export.reference import ROLLING, TrainingReference, describe_columns, errors_of, part_rows
from serving.observers import ObservedCall


@functools.cache
def engines(subset: str = "FD001") -> Any:
    """A prepared data set: each engine one window, a target at every step, life capped at 125 cycles."""
    from keras_seq.data.prepare import prepare

    data = {"source": "cmapss", "subset": subset, "target_cap": 125.0, "split": {"by": "official", "validation": 0.1}}
    windows = {"mode": "whole", "length": 600, "per_step": True, "pad_short": True}
    return prepare(config.from_dict({"data": data | {"windows": windows}}).data)


@functools.cache
def rows(part: str, subset: str = "FD001") -> tuple[np.ndarray, np.ndarray]:
    """Rows and engine of each."""
    return part_rows(engines(subset), part, ROLLING)


@functools.cache
def life(part: str) -> np.ndarray:
    """Cycles left at every row of ``rows(part)``, capped."""
    prepared = engines()
    found, unit = rows(part)
    series = prepared.series
    left = np.concatenate(
        [series.targets[series.offsets[u] : series.offsets[u + 1], 0] for u in dict.fromkeys(unit.tolist())]
    )[: len(found)]
    return np.minimum(left, 125.0)


@functools.cache
def _weights() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found, _ = rows("train")
    mean, std = found.mean(axis=0), np.maximum(found.std(axis=0), 1e-3)
    scaled = np.c_[(found - mean) / std, np.ones(len(found))]
    return mean, std, np.linalg.lstsq(scaled, life("train"), rcond=None)[0]


def predict(given: np.ndarray) -> np.ndarray:
    """Cycles left, ``(rows, 1)``."""
    mean, std, weights = _weights()
    return (np.c_[(given - mean) / std, np.ones(len(given))] @ weights)[:, None].astype(np.float32)


@functools.cache
def reference() -> TrainingReference:
    """Of the least-squares model: rows of training engines, answers to validation engines."""
    train, unit = rows("train")
    held, held_unit = rows("validation")
    answers = predict(held)
    errors = errors_of(answers, life("validation"), "regression", cap=125.0)
    features = tuple(engines().spec.features)
    facts = {
        "format": 1,
        "task": "regression",
        "classes": [],
        "target_cap": 125.0,
        "features": list(features),
        "views": list(ROLLING),
        "answer": "prediction",
        "picked": [0],
        "width": 1,
        "columns": describe_columns(train, features),
        "errors": describe_columns(errors[:, None], ["error"])[0],
    }
    return TrainingReference(
        features, ROLLING, train, unit, "prediction", (0,), answers, held_unit, errors.astype(np.float32), facts
    )


def calls(given: np.ndarray, *, version: int = 1, history: int = 5, first: int = 0) -> list[ObservedCall]:
    """Requests one after another, each a window of the last rows, answered by the least-squares model."""
    answers, found = predict(given), []
    for k in range(len(given)):
        window = given[max(0, k + 1 - history) : k + 1]
        inputs = {"values": window[None], "lengths": np.array([len(window)], np.int32)}
        outputs = {"prediction": answers[k : k + 1]}
        found.append(
            ObservedCall("engines", version, "serving_default", inputs, outputs, 1e-3, 1e9 + k, f"r{first + k}")
        )
    return found
