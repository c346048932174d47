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
from keras_seq.models.blocks import LastStep, with_lengths
from keras_seq.models.heads import target_scale
from keras_seq.models.preprocess import Preprocess, Rescale, raw_inputs
from keras_seq.models.window_features import Channels, LagLinear, Lags

PENALTIES = (1e-1, 1e1, 1e3, 1e4)  # tried where model.penalty is left open; targets in deviations
CENTRES = ("last", "mean")  # what is taken away before and added after: forecasts follow a level that moves
MOST_LAGS = 336
JUDGED = 0.2  # latest share of the training windows, which choose penalty and centre

Solution = tuple[NDArray[Any], NDArray[Any]]  # kernel (lags, horizon), bias (horizon,)


def lag_inputs(model: ModelConfig, spec: DataSpec, kind: Kind, plan: tuple[int, ...] = ()) -> Inputs:
    """Raw windows to the last rows of the targets, latest first, scaled and filled: ``(batch, targets, lags)``.

    ``plan``: positions of channels of known-ahead columns; those of the last row stand behind the lags.
    """
    tensors = raw_inputs(spec)
    values, lengths = tensors["values"], tensors.get("lengths")
    scale = Preprocess(spec.scaling.model_dump(mode="json"), "forward", False, spec.time, name="preprocess")
    channels = with_lengths(scale, values, lengths)
    targets = Channels(spec.target_index, name="targets")(channels)
    lags = with_lengths(Lags(_lags(spec), name="lags"), targets, lengths)
    if not plan:
        return Inputs(tensors, lags)
    told = with_lengths(LastStep(name="last_row"), Channels(plan, name="plan")(channels), lengths)
    told = keras.layers.RepeatVector(len(spec.targets), name="plan_by_target")(told)
    return Inputs(tensors, keras.layers.Concatenate(name="lags_and_plan")([lags, told]))


def _lags(spec: DataSpec) -> int:
    return min(spec.time, MOST_LAGS)


def grow_lags(job: FitRequest) -> Grown:
    """Every target from its own lags and the plan; penalty and centre are chosen on the latest training windows."""
    spec, lags = job.spec, job.table.features.astype(np.float64)
    center, scale = (np.array(numbers) for numbers in target_scale(spec, restored=True))
    future = job.table.answers.reshape(len(lags), spec.horizon, len(spec.targets))
    future = np.swapaxes((future - center) / scale, 1, 2)  # (windows, targets, horizon)
    count = _lags(spec)
    centre, penalty = choose(lags, future, job.model.penalty, count)
    solutions = [fit_lags(lags[:, i], future[:, i], centre, (penalty,), count)[0] for i in range(len(spec.targets))]
    kernel, bias = (np.stack(part) for part in zip(*solutions, strict=True))
    beside = lags.shape[2] - count
    linear = LagLinear(spec.horizon, centre, count if beside else None, name="linear")
    rescale = Rescale(center.tolist(), scale.tolist(), name="raw_units")

    def oracle(rows: NDArray[Any]) -> NDArray[Any]:
        return np.swapaxes(apply_lags(rows.astype(np.float64), kernel, bias, centre, count), 1, 2) * scale + center

    plan = f" and {beside} channels of a plan" if beside else ""
    name = f"ridge on {count} lags less their {centre}{plan}, penalty {penalty:g}"
    return Grown(name, [(linear, [kernel, bias]), (rescale, None)], oracle)


def choose(lags: NDArray[Any], future: NDArray[Any], penalty: float | None, count: int) -> tuple[str, float]:
    """Centre and penalty with the least squared error on the latest training windows.

    Args:
        lags: scaled past of every target, latest first, ``(windows, targets, lags)``; a plan may stand behind it.
        future: scaled answers ``(windows, targets, horizon)``.
        penalty: fixed already; None: choose one.
        count: how many lags there are.
    """
    penalties = PENALTIES if penalty is None else (penalty,)
    cut = max(1, round(len(lags) * (1 - JUDGED)))
    gap = min(cut - 1, lags.shape[2] + future.shape[2])  # windows that overlap the judged ones teach nothing here
    teach, judge = slice(0, cut - gap), slice(cut, None)

    def error(centre: str, place: int) -> float:
        kernel, bias = (np.stack(part) for part in zip(*(s[place] for s in solved[centre]), strict=True))
        return float(np.mean((apply_lags(lags[judge], kernel, bias, centre, count) - future[judge]) ** 2))

    solved = {
        centre: [fit_lags(lags[teach, i], future[teach, i], centre, penalties, count) for i in range(lags.shape[1])]
        for centre in CENTRES
    }
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
    lags: NDArray[Any], future: NDArray[Any], centre: str, penalties: tuple[float, ...], count: int
) -> list[Solution]:
    """Ridge weights per penalty with a free intercept, from one eigendecomposition."""
    taken = level(lags, centre, count)
    inputs, outputs = _moves(lags, taken, count), future - taken
    middle, average = inputs.mean(0), outputs.mean(0)
    centred = inputs - middle
    values, vectors = np.linalg.eigh(centred.T @ centred)
    projected = vectors.T @ (centred.T @ (outputs - average))
    solutions = []
    for penalty in penalties:
        size = np.maximum(values, 0.0) + penalty
        inverse = np.where(size > 1e-9 * max(values[-1], 1e-9), 1.0 / np.where(size > 0, size, 1.0), 0.0)
        kernel = vectors @ (projected * inverse[:, None])
        solutions.append((kernel, average - middle @ kernel))
    return solutions
