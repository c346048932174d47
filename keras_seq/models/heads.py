"""Heads: from encoded steps or a pooled vector to the named answer in raw target units.

``prediction`` (regression, forecast), ``probability`` (binary), ``probabilities`` (multiclass),
``quantiles``. The last layers compute in float32 also under mixed precision.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError
from keras_seq.models.blocks import activation, dropout
from keras_seq.models.body import Ahead
from keras_seq.models.forecast_wrappers import FromColumns
from keras_seq.models.layer import Float32Layer, SameShape, package
from keras_seq.models.preprocess import Rescale
from keras_seq.models.tensor import LayerOptions, Tensor
from keras_seq.models.window_scale import WindowRestore

MIDDLE = float(np.log(np.e - 1))  # softplus of it is 1


def check_head(config: ModelConfig, spec: DataSpec) -> None:
    """Refuse what no head can answer.

    Raises:
        ConfigError: names the option and what to set instead.
    """
    if spec.task == "forecast" and spec.per_step:
        raise ConfigError(
            "Option 'data.windows.per_step': a forecast answers once per window; set data.windows.per_step to false."
        )
    if spec.task == "forecast" and spec.horizon < 1:
        raise ConfigError(
            f"Option 'data.windows.horizon': task forecast needs at least 1 step ahead, got {spec.horizon}."
        )
    if config.quantiles and spec.task not in ("regression", "forecast"):
        raise ConfigError(
            f"Option 'model.quantiles': quantiles are for regression and forecast, not task '{spec.task}'."
        )
    if config.quantiles and spec.task == "regression" and len(spec.targets) != 1:
        raise ConfigError(
            f"Option 'model.quantiles': a regression on quantiles takes one target, got {len(spec.targets)} "
            f"({', '.join(spec.targets)}); name one in data.targets."
        )
    if spec.task == "binary" and len(spec.targets) != 1:
        raise ConfigError(f"Option 'data.targets': task binary takes one target, got {len(spec.targets)}.")
    if spec.task == "multiclass" and len(spec.classes) < 2:
        raise ConfigError(f"Task multiclass needs at least 2 classes in the schema, got {len(spec.classes)}.")


@package
class MonotoneQuantiles(SameShape, Float32Layer):
    """Free numbers to rising quantiles: the first one plus cumulated softplus gaps.

    Gaps are scaled so that zeros in give the quantiles of a standard normal: training starts from
    a sensible width. Quantiles never cross.

    Args:
        levels: rising, within (0, 1); the last axis.
    """

    def __init__(self, levels: tuple[float, ...], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.levels = list(levels)
        normal = np.array([NormalDist().inv_cdf(level) for level in levels], np.float32)
        self.start, self.gaps = normal[:1], np.diff(normal)

    def call(self, y: Tensor) -> Tensor:
        """``(..., quantiles)`` to the same shape."""
        first = y[..., :1] + self.start
        if len(self.levels) == 1:
            return first
        rest = ops.cumsum(ops.softplus(y[..., 1:] + MIDDLE) * self.gaps, axis=-1)
        return ops.concatenate([first, first + rest], axis=-1)


@package
class AddBase(SameShape, Float32Layer):
    """A forecast plus what it starts from; not Keras' ``Add``, which takes one number a window for a bias."""

    def call(self, y: Tensor, base: Tensor) -> Tensor:
        """``y (batch, horizon, targets[, quantiles])``, ``base (batch, horizon or 1, targets)``."""
        return y + (base[..., None] if len(y.shape) == 4 else base)


def dense_layers(x: Tensor, config: ModelConfig) -> Tensor:
    """The configured dense layers ``head_1``, ``head_2``, ... with dropout after each."""
    for i, units in enumerate(config.hidden_dims, 1):
        x = keras.layers.Dense(units, activation=activation(config.activation), name=f"head_{i}")(x)
        x = dropout(x, config.head_dropout, name=f"head_dropout_{i}")
    return x


def answer(x: Tensor, config: ModelConfig, spec: DataSpec, statistics: Tensor = None, beside: Tensor = None) -> Tensor:
    """The output tensor of the task.

    Args:
        x: ``(batch, width)``, or ``(batch, time, width)`` for an answer at every step.
        config: the model section.
        spec: of the data.
        statistics: ``(batch, 3, features)`` of a window that is scaled by itself (``WindowMoments``), else None.
        beside: of a forecast, ``(batch, horizon, targets)`` in scaled units that is added, or None.

    Returns:
        ``(batch[, time], targets)``, ``(batch[, time], 1)``, ``(batch[, time], classes)``,
        ``(batch, horizon, targets)``, with quantiles ``(batch[, time], q)`` or
        ``(batch, horizon, targets, q)``; float32.
    """
    x = dense_layers(x, config)
    if spec.task == "binary":
        logit = keras.layers.Dense(1, dtype="float32", name="head_output")(x)
        return keras.layers.Activation("sigmoid", dtype="float32", name="probability")(logit)
    if spec.task == "multiclass":
        logits = keras.layers.Dense(len(spec.classes), dtype="float32", name="head_output")(x)
        return keras.layers.Softmax(dtype="float32", name="probabilities")(logits)
    return _numbers(x, config, spec, statistics, beside)


def forecast_answer(ahead: Ahead, config: ModelConfig, spec: DataSpec, statistics: Tensor) -> Tensor:
    """The output tensor of a family that only forecasts: ``(batch, horizon, targets[, q])``, float32."""
    shape = _answer_shape(config, spec)
    y = keras.layers.Reshape(shape, dtype="float32", name="head_shape")(ahead.y)
    return _in_raw_units(y, config, spec, statistics, ahead.base, like_inputs=True)


def _answer_shape(config: ModelConfig, spec: DataSpec) -> list[int]:
    shape: list[int] = [len(spec.targets)]
    if spec.task == "forecast":
        shape = [spec.horizon, *shape]
    if config.quantiles:
        shape = [*shape, len(config.quantiles)] if spec.task == "forecast" else [len(config.quantiles)]
    return shape


def _numbers(x: Tensor, config: ModelConfig, spec: DataSpec, statistics: Tensor, beside: Tensor) -> Tensor:
    shape = _answer_shape(config, spec)
    width = spec.horizon if config.channel_independent else int(np.prod(shape))
    y = keras.layers.Dense(width, dtype="float32", name="head_output")(x)
    if config.channel_independent:
        y = FromColumns(len(spec.targets), name="from_columns")(y)
    elif len(shape) > 1:
        y = keras.layers.Reshape(shape, dtype="float32", name="head_shape")(y)
    like_inputs = beside is not None or config.channel_independent
    return _in_raw_units(y, config, spec, statistics, beside, like_inputs=like_inputs)


def _in_raw_units(
    y: Tensor, config: ModelConfig, spec: DataSpec, statistics: Tensor, beside: Tensor, *, like_inputs: bool
) -> Tensor:
    """Free numbers in the answer's shape as the named output; ``like_inputs``: they are in scaled input units."""
    quantiles = bool(config.quantiles)
    if quantiles:
        y = MonotoneQuantiles(config.quantiles, name="head_quantiles")(y)
    if beside is not None:
        y = AddBase(name="with_skip")(y, beside)
    name = "quantiles" if quantiles else "prediction"
    if spec.task == "forecast" and statistics is not None:
        return WindowRestore(spec.target_index, name=name)(y, statistics)
    mean, deviation = target_scale(spec, restored=spec.task == "forecast" and like_inputs)
    return Rescale(mean, deviation, quantiles=quantiles and spec.task == "forecast", name=name)(y)


def target_scale(spec: DataSpec, *, restored: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation that lead back to raw units.

    ``restored``: the forecast is in the scaled units of the input signals, so theirs apply.
    """
    if restored:
        center, scale = spec.scaling.center[0], spec.scaling.scale[0]
        return tuple(center[i] for i in spec.target_index), tuple(scale[i] for i in spec.target_index)
    count = len(spec.targets)
    return spec.target_mean or (0.0,) * count, spec.target_std or (1.0,) * count
