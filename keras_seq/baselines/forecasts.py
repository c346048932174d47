"""Forecasts without a network: last value, last season, mean, and ridge regression on lags."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.causal import forward_filled, window_features
from keras_seq.data.windows import WindowIndex

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

SEASONS = (1, 5, 7, 12, 24, 52, 96, 168)  # 1 repeats the last value
PENALTIES = (1e-1, 1e1, 1e3, 1e4)  # of the ridge, inputs in target deviations
MOST_LAGS = 336
MOST_WINDOWS = 50_000

Forecast = Callable[[WindowIndex], NDArray]


def fit_forecast(prepared: Prepared) -> tuple[str, Forecast]:
    """Choose the candidate with the least squared error on the validation windows.

    Returns:
        Its name and a function from windows to ``(windows, horizon, targets)`` in raw units.
    """
    spec, validation = prepared.spec, prepared.index["validation"]
    truth = _future(prepared, validation)
    deviation = np.array(spec.target_std)

    def error(forecast: Forecast) -> float:
        difference = (forecast(validation) - truth) / deviation
        return float(np.nanmean(difference**2))

    ranked = [
        (error(forecast), number, name, forecast) for number, (name, forecast) in enumerate(_candidates(prepared))
    ]
    _, _, name, forecast = min(ranked)
    return name, forecast


def _candidates(prepared: Prepared) -> list[tuple[str, Forecast]]:
    """Simplest first: a later one must be better to be chosen."""
    spec, train = prepared.spec, prepared.index["train"]
    if len(train) > MOST_WINDOWS:
        train = train.take(np.linspace(0, len(train) - 1, MOST_WINDOWS).astype(np.int64))
    future = _future(prepared, train)
    known = np.flatnonzero(np.isfinite(future).all((1, 2)))
    train, future = train.take(known), future[known]
    mean = future.mean(0)
    candidates: list[tuple[str, Forecast]] = [("training mean", lambda index: np.tile(mean, (len(index), 1, 1)))]
    if not spec.target_index:  # the targets' past is no input: nothing to repeat

        def describe(index: WindowIndex) -> NDArray:
            return window_features(prepared.series, index)[0].astype(np.float64)

        return candidates + [
            (f"ridge on window features (penalty {penalty:g})", _ridge(describe, train, future, penalty))
            for penalty in PENALTIES
        ]
    past = forward_filled(prepared.series.values[:, list(spec.target_index)], prepared.series.offsets)
    shortest = min(int(index.length.min()) for index in prepared.index.values())
    for season in SEASONS:
        if season <= max(shortest, 1):
            name = "naive" if season == 1 else f"seasonal naive ({season} steps)"
            candidates.append((name, _seasonal(past, season, spec.horizon)))
    lags = max(1, min(shortest, spec.time, MOST_LAGS))
    scale = np.array(spec.target_std)
    for centre in ("last", "mean"):
        for penalty, forecast in zip(PENALTIES, _ridges(past, scale, lags, centre, train, future), strict=True):
            candidates.append((f"ridge on {lags} lags (less their {centre}, penalty {penalty:g})", forecast))
    return candidates


def _future(prepared: Prepared, index: WindowIndex) -> NDArray[np.float64]:
    """Targets ahead of each window, ``(windows, horizon, targets)``."""
    ahead = index.target[:, None] + np.arange(prepared.spec.horizon)
    return np.asarray(prepared.series.targets[ahead], np.float64)


def _seasonal(past: NDArray, season: int, horizon: int) -> Forecast:
    back = season - 1 - np.arange(horizon) % season  # steps before the last one seen

    def forecast(index: WindowIndex) -> NDArray:
        last = index.start + index.length - 1
        seen: NDArray = past[np.maximum(last[:, None] - back, index.start[:, None])]
        return seen

    return forecast


def _ridges(
    past: NDArray, scale: NDArray, lags: int, centre: str, train: WindowIndex, future: NDArray
) -> list[Forecast]:
    """One forecast per penalty: every target from its own lags, all horizons at once.

    The level of the window (its last value or its mean) is taken away before and added after, so that
    the forecast follows series whose level moves.
    """

    def describe(index: WindowIndex, target: int) -> tuple[NDArray, NDArray]:
        last = index.start + index.length - 1
        rows = np.maximum(last[:, None] - np.arange(lags), index.start[:, None])
        window = past[rows, target]
        level = window[:, :1] if centre == "last" else window.mean(1, keepdims=True)
        return (window - level) / scale[target], level

    weights: list[list[NDArray]] = [[] for _ in PENALTIES]
    for target in range(past.shape[1]):
        inputs, level = describe(train, target)
        solutions = _solve(inputs, (future[:, :, target] - level) / scale[target])
        for kept, solution in zip(weights, solutions, strict=True):
            kept.append(solution)

    def forecast_with(chosen: list[NDArray]) -> Forecast:
        def forecast(index: WindowIndex) -> NDArray:
            parts = []
            for target, weight in enumerate(chosen):
                inputs, level = describe(index, target)
                parts.append((inputs @ weight[:-1] + weight[-1]) * scale[target] + level)
            return np.stack(parts, 2)

        return forecast

    return [forecast_with(chosen) for chosen in weights]


def _solve(inputs: NDArray, outputs: NDArray) -> list[NDArray]:
    """Ridge weights ``(lags + 1, horizon)`` per penalty, the intercept last and free; one eigendecomposition."""
    middle, level = inputs.mean(0), outputs.mean(0)
    centred = inputs - middle
    values, vectors = np.linalg.eigh(centred.T @ centred)
    projected = vectors.T @ (centred.T @ (outputs - level))
    solutions = []
    for penalty in PENALTIES:
        weight = vectors @ (projected / (np.maximum(values, 0.0) + penalty)[:, None])
        solutions.append(np.concatenate([weight, (level - middle @ weight)[None]]))
    return solutions


def _ridge(describe: Callable[[WindowIndex], NDArray], train: WindowIndex, future: NDArray, penalty: float) -> Forecast:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model: Any = make_pipeline(StandardScaler(), Ridge(penalty)).fit(describe(train), future.reshape(len(future), -1))
    return lambda index: model.predict(describe(index)).reshape(len(index), *future.shape[1:])
