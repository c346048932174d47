"""Ridge regression of forecasts on the past of their own targets and on a plan, all horizons at once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.fitted import FitRequest, Grown
from keras_seq.baselines.inputs import Inputs, Kind
from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec
from keras_seq.models import window_scale
from keras_seq.models.blocks import LastStep, with_lengths
from keras_seq.models.heads import target_scale
from keras_seq.models.preprocess import Preprocess, Rescale, raw_inputs
from keras_seq.models.window_features import Channels, LagLinear, Lags

PENALTIES = (1e-1, 1e1, 1e3, 1e4)  # tried where model.penalty is left open; targets in deviations
CENTRES = ("last", "mean")  # what is taken away before and added after: forecasts follow a level that moves
MOST_LAGS = 336
ROUNDS = 5  # of reweighting towards least absolute errors
BLOCKS = 4  # of the horizon, each with weights of its own
SMALLEST = 0.02  # error below which a window counts no more; in deviations
JUDGED = 0.2  # latest share of the training windows, which choose penalty and centre

Solution = tuple[NDArray[Any], NDArray[Any]]  # kernel (lags, horizon), bias (horizon,)


def lag_inputs(model: ModelConfig, spec: DataSpec, kind: Kind, plan: tuple[int, ...] = ()) -> Inputs:
    """Raw windows to the last rows of the targets, latest first, scaled and filled: ``(batch, targets, lags)``.

    ``plan``: positions of channels of known-ahead columns; those of the last row stand behind the lags.
    """
    tensors = raw_inputs(spec)
    values, lengths = tensors["values"], tensors.get("lengths")
    level = spread = None
    if window_scale.by_window(model, spec):
        moments = window_scale.moments(values, lengths, spec)
        filled = spec.model_copy(update={"impute": "forward", "missing_indicator": False, "words": ()})
        channels = window_scale.scaled_channels(values, lengths, moments, filled)
        level = window_scale.WindowLevel(spec.target_index, name="target_level")(moments)
        spread = window_scale.WindowSpread(spec.target_index, name="target_spread")(moments)
    else:
        scale = Preprocess(spec.scaling.model_dump(mode="json"), "forward", False, spec.time, name="preprocess")
        channels = with_lengths(scale, values, lengths)
    targets = Channels(spec.target_index, name="targets")(channels)
    lags = with_lengths(Lags(_lags(spec), name="lags"), targets, lengths)
    if not plan:
        return Inputs(tensors, lags, level, spread)
    told = with_lengths(LastStep(name="last_row"), Channels(plan, name="plan")(channels), lengths)
    told = keras.layers.RepeatVector(len(spec.targets), name="plan_by_target")(told)
    return Inputs(tensors, keras.layers.Concatenate(name="lags_and_plan")([lags, told]), level, spread)


def _lags(spec: DataSpec) -> int:
    return min(spec.time, MOST_LAGS)


def grow_lags(job: FitRequest) -> Grown:
    """Every target from its own lags and the plan; penalty and centre are chosen on the latest training windows."""
    spec, lags = job.spec, job.table.features.astype(np.float64)
    own = window_scale.by_window(job.model, spec)  # answers are in their window's deviations already
    center, scale = (np.array(numbers) for numbers in target_scale(spec, restored=True))
    center, scale = (0.0 * center, scale**0.0) if own else (center, scale)
    future = job.table.answers.reshape(len(lags), spec.horizon, len(spec.targets))
    future = np.swapaxes((future - center) / scale, 1, 2)  # (windows, targets, horizon)
    count = _lags(spec)
    weight = None if job.weight is None else job.table.weight
    centre, penalty = choose(lags, future, job.model.penalty, count, weight, absolute=job.absolute)
    solve = fit_absolute if job.absolute else fit_squared
    solutions = [
        solve(lags[:, i], future[:, i], centre, penalty, count, weight=weight) for i in range(len(spec.targets))
    ]
    kernel, bias = (np.stack(part) for part in zip(*solutions, strict=True))
    beside = lags.shape[2] - count
    linear = LagLinear(spec.horizon, centre, count if beside else None, name="linear")
    rescale = Rescale(center.tolist(), scale.tolist(), name="raw_units")

    def oracle(rows: NDArray[Any]) -> NDArray[Any]:
        return np.swapaxes(apply_lags(rows.astype(np.float64), kernel, bias, centre, count), 1, 2) * scale + center

    plan = f" and {beside} channels of a plan" if beside else ""
    least = ", least absolute errors" if job.absolute else ""
    name = f"ridge on {count} lags less their {centre}{plan}, penalty {penalty:g}{least}"
    return Grown(name, [(linear, [kernel, bias]), *([] if own else [(rescale, None)])], oracle)


def choose(
    lags: NDArray[Any],
    future: NDArray[Any],
    penalty: float | None,
    count: int,
    weight: NDArray[Any] | None = None,
    *,
    absolute: bool = False,
) -> tuple[str, float]:
    """Centre and penalty with the least error on the latest training windows.

    Args:
        lags: scaled past of every target, latest first, ``(windows, targets, lags)``; a plan may stand behind it.
        future: scaled answers ``(windows, targets, horizon)``.
        penalty: fixed already; None: choose one.
        count: how many lags there are.
        weight: of each window's error, ``(windows,)``; None: all alike.
        absolute: absolute errors are to be least, not squares.
    """
    penalties = PENALTIES if penalty is None else (penalty,)
    cut = max(1, round(len(lags) * (1 - JUDGED)))
    gap = min(cut - 1, lags.shape[2] + future.shape[2])  # windows that overlap the judged ones teach nothing here
    teach, judge = slice(0, cut - gap), slice(cut, None)
    weight = np.ones(len(lags)) if weight is None else weight

    def solve(centre: str, target: int) -> list[Solution]:
        past, seen, own = lags[teach, target], future[teach, target], weight[teach] ** 2
        if absolute:  # windows count alike for every penalty, as the least one finds them
            own = _robust(past, seen, centre, penalties[0], count, weight[teach])
        return fit_lags(past, seen, centre, penalties, count, own)

    def error(centre: str, place: int) -> float:
        kernel, bias = (np.stack(part) for part in zip(*(s[place] for s in solved[centre]), strict=True))
        misses = (
            np.abs(apply_lags(lags[judge], kernel, bias, centre, count) - future[judge]) * weight[judge, None, None]
        )
        return float(np.mean(misses if absolute else misses**2))

    solved = {centre: [solve(centre, i) for i in range(lags.shape[1])] for centre in CENTRES}
    _, centre, place = min((error(c, p), c, p) for c in CENTRES for p in range(len(penalties)))
    return centre, penalties[place]


def level(lags: NDArray[Any], centre: str, count: int) -> NDArray[Any]:
    """What is taken away, ``(..., 1)``; the latest value comes first, ``count`` are lags."""
    return lags[..., :1] if centre == "last" else lags[..., :count].mean(-1, keepdims=True)


def _moves(lags: NDArray[Any], taken: NDArray[Any], count: int) -> NDArray[Any]:
    """Lags less their level; what stands behind them as it is."""
    return np.concatenate([lags[..., :count] - taken, lags[..., count:]], axis=-1)


def apply_lags(lags: NDArray[Any], kernel: NDArray[Any], bias: NDArray[Any], centre: str, count: int) -> NDArray[Any]:
    """``(windows, targets, lags)`` to ``(windows, targets, horizon)``."""
    taken = level(lags, centre, count)
    answer: NDArray[Any] = np.einsum("ntl,tlh->nth", _moves(lags, taken, count), kernel) + bias + taken
    return answer


def fit_lags(
    lags: NDArray[Any],
    future: NDArray[Any],
    centre: str,
    penalties: tuple[float, ...],
    count: int,
    weight: NDArray[Any] | None = None,
) -> list[Solution]:
    """Ridge weights per penalty with a free intercept, from one eigendecomposition; ``weight`` of each window."""
    taken = level(lags, centre, count)
    inputs, outputs = _moves(lags, taken, count), future - taken
    middle, average = (np.average(part, axis=0, weights=weight) for part in (inputs, outputs))
    centred = inputs - middle
    weighted = centred if weight is None else centred * (weight / weight.mean())[:, None]
    values, vectors = np.linalg.eigh(weighted.T @ centred)
    projected = vectors.T @ (weighted.T @ (outputs - average))
    solutions = []
    for penalty in penalties:
        size = np.maximum(values, 0.0) + penalty
        inverse = np.where(size > 1e-9 * max(values[-1], 1e-9), 1.0 / np.where(size > 0, size, 1.0), 0.0)
        kernel = vectors @ (projected * inverse[:, None])
        solutions.append((kernel, average - middle @ kernel))
    return solutions


def fit_squared(
    lags: NDArray[Any],
    future: NDArray[Any],
    centre: str,
    penalty: float,
    count: int,
    *,
    weight: NDArray[Any] | None = None,
) -> Solution:
    """Weights with the least squared errors; a window's error counts ``weight`` times."""
    return fit_lags(lags, future, centre, (penalty,), count, None if weight is None else weight**2)[0]


def fit_absolute(
    lags: NDArray[Any],
    future: NDArray[Any],
    centre: str,
    penalty: float,
    count: int,
    *,
    weight: NDArray[Any] | None = None,
) -> Solution:
    """Weights with the least absolute errors, by iteratively reweighted least squares (Holland and Welsch, 1977).

    A window counts by the inverse of its mean error over a quarter of the horizon, so that few windows after which
    everything changed do not rule.
    """
    weight = np.ones(len(lags)) if weight is None else weight
    kernels, biases = [], []
    for steps in np.array_split(np.arange(future.shape[1]), min(BLOCKS, future.shape[1])):
        own = _robust(lags, future[:, steps], centre, penalty, count, weight)
        kernel, bias = fit_lags(lags, future[:, steps], centre, (penalty,), count, own)[0]
        kernels.append(kernel)
        biases.append(bias)
    return np.concatenate(kernels, axis=1), np.concatenate(biases)


def _robust(
    lags: NDArray[Any], future: NDArray[Any], centre: str, penalty: float, count: int, weight: NDArray[Any]
) -> NDArray[Any]:
    """What each window's squared error counts, so that the sum of all is that of absolute errors, ``(windows,)``."""
    own = weight**2
    taken = level(lags, centre, count)
    moves = _moves(lags, taken, count)
    for _ in range(ROUNDS):
        kernel, bias = fit_lags(lags, future, centre, (penalty,), count, own)[0]
        error = np.abs(moves @ kernel + bias + taken - future).mean(axis=1)
        own = weight / np.maximum(error * weight, SMALLEST) * weight
    return own
