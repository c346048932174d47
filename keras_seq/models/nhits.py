"""N-HiTS: stacks that read the past at several rates and answer by interpolation (Challu et al., 2023)."""

from __future__ import annotations

from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_seq.config import ModelConfig
from keras_seq.models.blocks import activation, dropout
from keras_seq.models.body import Ahead, Horizon, Space, Variants
from keras_seq.models.layer import Float32Layer, package
from keras_seq.models.registry import register
from keras_seq.models.target_past import JoinTargets, SplitTargets, ahead, target_past
from keras_seq.models.tensor import LayerOptions, Shape, Tensor

SPACE: Space = {"model.units": [64, 128, 256, 512], "model.layers": {"low": 2, "high": 4}}
VARIANTS: Variants = {
    "standard": {"units": 256, "layers": 3},
    "bidirectional": {"units": 256, "layers": 3},  # dense layers see both ways already
    "deep": {"units": 512, "layers": 5},
    "lightweight": {"units": 64, "layers": 2},
}


@register("nhits", forecasts=True, variants=VARIANTS, space=SPACE)
def nhits(x: Tensor, lengths: Tensor, config: ModelConfig, horizon: Horizon) -> Ahead:
    """``config.layers`` blocks from slow to fast, each of two dense layers of ``config.units``, on each target's past.

    Block ``i`` of ``n`` sees maxima of ``2 ** (n - i)`` steps, and gives ``1 / 2 ** (n - i)`` of the steps of past and
    horizon, between which is interpolated; its past is taken off before the next block. What else the last row tells
    (other columns, plans) is added by a linear map of its own.
    """
    rest = SplitTargets(name="split_targets")(target_past(x, lengths, horizon))
    answers = []
    for i in range(1, config.layers + 1):
        rate = 2 ** (config.layers - i)
        y = PooledPast(rate, name=f"pooled_{i}")(rest) if rate > 1 else rest
        for half in "ab":
            y = keras.layers.Dense(config.units, activation=activation(config.activation), name=f"dense_{i}{half}")(y)
            y = dropout(y, config.dropout, name=f"dropout_{i}{half}")
        knots = max(1, horizon.steps // rate)
        forecast = keras.layers.Dense(knots * horizon.levels, dtype="float32", name=f"forecast_{i}")(y)
        answers.append(Interpolate(knots, horizon.steps, name=f"ahead_{i}")(forecast))
        if i < config.layers:
            knots = max(1, horizon.time // rate)
            back = keras.layers.Dense(knots, dtype="float32", name=f"backcast_{i}")(y)
            back = Interpolate(knots, horizon.time, name=f"back_{i}")(back)
            rest = keras.layers.Subtract(dtype="float32", name=f"rest_{i}")([rest, back])
    y = keras.layers.Add(dtype="float32", name="ahead")(answers) if len(answers) > 1 else answers[0]
    y = JoinTargets(len(horizon.targets), name="join_targets")(y)
    return ahead(y, x, lengths, horizon)


@package
class PooledPast(Float32Layer):
    """Maxima of ``rate`` steps, counted from the end: ``(batch, time)`` to ``(batch, ceil(time / rate))``.

    Args:
        rate: steps that become one.
    """

    def __init__(self, rate: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, past: Tensor) -> Tensor:
        """The first value stands in for what is missing in front."""
        missing = -past.shape[1] % self.rate
        if missing:
            past = ops.concatenate([*[past[:, :1]] * missing, past], axis=1)
        return ops.max(ops.reshape(past, (-1, past.shape[1] // self.rate, self.rate)), axis=2)

    def compute_output_shape(self, past_shape: Shape) -> Shape:
        """Fewer steps."""
        return (past_shape[0], -(-past_shape[1] // self.rate))


@package
class Interpolate(Float32Layer):
    """Linear interpolation from knots to steps: ``(batch, knots * levels)`` to ``(batch, steps * levels)``.

    Args:
        knots: points at equal distances, the last one on the last step.
        steps: what they become.
    """

    def __init__(self, knots: int, steps: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.knots, self.steps = knots, steps

    def weights_of_knots(self) -> np.ndarray:
        """Share of each knot in each step, float32 ``(steps, knots)``; rows add up to 1."""
        place = np.clip((np.arange(self.steps) + 1) * self.knots / self.steps - 1, 0, self.knots - 1)
        return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(self.knots))).astype(np.float32)

    def call(self, y: Tensor) -> Tensor:
        """One product with fixed numbers."""
        levels = y.shape[1] // self.knots
        y = ops.matmul(self.weights_of_knots(), ops.reshape(y, (-1, self.knots, levels)))
        return ops.reshape(y, (-1, self.steps * levels))

    def compute_output_shape(self, y_shape: Shape) -> Shape:
        """More steps."""
        return (y_shape[0], y_shape[1] // self.knots * self.steps)
