"""TSMixer: dense layers in turn over time and over columns (Chen et al., 2023)."""

from __future__ import annotations

import keras

from keras_seq.config import ModelConfig
from keras_seq.models.blocks import activation, dropout
from keras_seq.models.body import Ahead, Horizon, Space, Variants
from keras_seq.models.nlinear import LastValue
from keras_seq.models.registry import register
from keras_seq.models.target_past import TakeTargets, ahead, recent
from keras_seq.models.tensor import Tensor

SPACE: Space = {"model.ff_dim": [16, 32, 64, 128], "model.layers": {"low": 1, "high": 6}}
VARIANTS: Variants = {
    "standard": {"ff_dim": 64},
    "bidirectional": {"ff_dim": 64},  # a dense layer over time sees both ways already
    "deep": {"layers": 6, "ff_dim": 128},
    "lightweight": {"layers": 1, "ff_dim": 16},
}


@register("tsmixer", forecasts=True, variants=VARIANTS, space=SPACE)
def tsmixer(x: Tensor, lengths: Tensor, config: ModelConfig, horizon: Horizon) -> Ahead:
    """``config.layers`` blocks, each a dense layer over time and two of width ``config.ff_dim`` over columns.

    Layers are normalised over columns, not over the batch as published: a window's answer is then its own. Training
    starts from the last value, to which the blocks add. What the last row tells (plans) is added by a linear map of
    its own.
    """
    x_now, x = x, recent(x, lengths, horizon)
    last = LastValue(name="last_value")(TakeTargets(horizon.targets, name="targets")(x))
    channels = x.shape[2]
    for i in range(1, config.layers + 1):
        y = keras.layers.LayerNormalization(name=f"time_norm_{i}")(x)
        y = keras.layers.Permute((2, 1), name=f"time_last_{i}")(y)
        y = keras.layers.Dense(horizon.time, activation=activation(config.activation), name=f"time_mix_{i}")(y)
        y = dropout(keras.layers.Permute((2, 1), name=f"time_first_{i}")(y), config.dropout, name=f"time_dropout_{i}")
        x = keras.layers.Add(name=f"time_residual_{i}")([x, y])
        y = keras.layers.LayerNormalization(name=f"column_norm_{i}")(x)
        y = keras.layers.Dense(config.ff_dim, activation=activation(config.activation), name=f"column_in_{i}")(y)
        y = dropout(y, config.dropout, name=f"column_dropout_{i}")
        y = keras.layers.Dense(channels, name=f"column_out_{i}")(y)
        x = keras.layers.Add(name=f"column_residual_{i}")([x, y])
    past = TakeTargets(horizon.targets, name="target_past")(x)
    width = horizon.steps * horizon.levels
    y = keras.layers.Dense(width, kernel_initializer="zeros", dtype="float32", name="head_output")(past)
    return ahead(y, x_now, lengths, horizon, last)
