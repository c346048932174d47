"""NLinear and DLinear: linear maps from the window to the horizon (Zeng et al., 2023)."""

from __future__ import annotations

from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_seq.config import ModelConfig
from keras_seq.models.body import Ahead, Horizon
from keras_seq.models.layer import Float32Layer, package
from keras_seq.models.registry import register
from keras_seq.models.target_past import ahead, target_past
from keras_seq.models.tensor import LayerOptions, Tensor

KERNEL = 25  # steps of DLinear's moving average, as published


@register("nlinear", forecasts=True)
def nlinear(x: Tensor, lengths: Tensor, config: ModelConfig, horizon: Horizon) -> Ahead:
    """The last value plus a linear map of the window less its last value, one map for all targets.

    What else the last row tells (other columns, plans) is added by a linear map of its own.
    """
    past = target_past(x, lengths, horizon)
    last = LastValue(name="last_value")(past)
    width = horizon.steps * horizon.levels
    y = keras.layers.Dense(width, kernel_initializer="zeros", dtype="float32", name="linear")(past - last)
    return ahead(y, x, lengths, horizon, last)


@register("dlinear", forecasts=True)
def dlinear(x: Tensor, lengths: Tensor, config: ModelConfig, horizon: Horizon) -> Ahead:
    """Linear maps of a moving average over 25 steps and of what is left, one pair for all targets.

    What else the last row tells (other columns, plans) is added by a linear map of its own.
    """
    past = target_past(x, lengths, horizon)
    trend = MovingAverage(KERNEL, name="trend")(past)
    width = horizon.steps * horizon.levels
    start = keras.initializers.Constant(1 / horizon.time)  # as published: the mean of the window
    y = [
        keras.layers.Dense(width, kernel_initializer=start, dtype="float32", name=name)(part)
        for name, part in {"trend_linear": trend, "seasonal_linear": past - trend}.items()
    ]
    return ahead(y[0] + y[1], x, lengths, horizon)


@package
class LastValue(Float32Layer):
    """Last step of ``(batch, targets, time)``: ``(batch, targets, 1)``."""

    def call(self, past: Tensor) -> Tensor:
        """Cut it off."""
        return past[:, :, -1:]


@package
class MovingAverage(Float32Layer):
    """Mean over ``kernel`` steps around each, the ends repeated, along the last axis.

    Args:
        kernel: steps, odd.
    """

    def __init__(self, kernel: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.kernel = kernel

    def call(self, past: Tensor) -> Tensor:
        """``(batch, targets, time)`` to the same shape."""
        time = past.shape[-1]
        reach = self.kernel // 2
        average = np.zeros((time, time), np.float32)  # one product: every converter knows it
        for step in range(time):
            for source in range(step - reach, step + reach + 1):
                average[min(max(source, 0), time - 1), step] += 1 / self.kernel
        return ops.matmul(past, average)
