"""Forecast errors of two models that are equal in law, dependent in the ways that tables have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import signal

from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.evaluation.answers import CandidateAnswers
from tests.factories.series import make_series

WARM_UP = 400


def autoregressive(memory: float, lag: int = 1, *, heavy: bool = False) -> Callable[..., np.ndarray]:
    """Errors that keep ``memory`` of those ``lag`` steps ago; ``heavy``: innovations by Student's t with 3 degrees."""

    def draw(rng: np.random.Generator, steps: int) -> np.ndarray:
        size = steps + WARM_UP
        noise = rng.standard_t(3, size) if heavy else rng.normal(size=size)
        return signal.lfilter([1], [1, *[0] * (lag - 1), -memory], noise)[WARM_UP:]

    return draw


def moving_average(length: int) -> Callable[..., np.ndarray]:
    """Sums of ``length`` neighbouring shocks, as errors of overlapping forecasts are."""
    return lambda rng, steps: np.convolve(rng.normal(size=steps + length - 1), np.ones(length), "valid")


def spec_of(task: str, horizon: int = 0) -> DataSpec:
    scaling = Scaling(center=((0.0,),), scale=((1.0,),), fill=(0.0,))
    return DataSpec(
        task=task, features=("f0",), targets=("y",), time=5, variable_length=False, horizon=horizon, scaling=scaling
    )


def answers_of(series: Series, errors: dict[str, np.ndarray], unit: np.ndarray, row: np.ndarray) -> CandidateAnswers:
    """Answers that err by ``errors`` (points,) from a truth of 0."""
    truth = np.zeros((len(unit), 1))
    predictions = {name: np.asarray(of, float).reshape(1, -1, 1) for name, of in errors.items()}
    return CandidateAnswers(truth, predictions, unit, row, {name: [{}] for name in errors}, 0, series)


def one_unit(errors: dict[str, np.ndarray]) -> CandidateAnswers:
    steps = len(next(iter(errors.values())))
    return answers_of(make_series([steps], task="forecast"), errors, np.zeros(steps, int), np.arange(steps))


def many_units(errors: dict[str, np.ndarray]) -> CandidateAnswers:
    """Errors ``(units, steps)`` at the same calendar days."""
    units, steps = next(iter(errors.values())).shape
    series = make_series([steps] * units, task="forecast")
    days = np.tile(np.datetime64("2024-01-01") + np.arange(steps), units)
    series = dataclasses.replace(series, time=days)
    return answers_of(
        series,
        {name: of.ravel() for name, of in errors.items()},
        np.repeat(np.arange(units), steps),
        np.arange(units * steps),
    )
