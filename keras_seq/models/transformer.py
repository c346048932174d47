"""Transformer encoder, pre-norm (Vaswani et al., 2017; Xiong et al., 2020), tanh-gelu."""

from __future__ import annotations

import keras

from keras_seq.config import ModelConfig
from keras_seq.models.attention import add_positions, attend, check_heads
from keras_seq.models.blocks import dropout, gelu_tanh
from keras_seq.models.body import Encoded, Space, Steps, Variants
from keras_seq.models.registry import register
from keras_seq.models.tensor import Tensor

SPACE: Space = {
    "model.units": [32, 64, 96, 128],
    "model.layers": {"low": 1, "high": 4},
    "model.heads": [2, 4, 8],
    "model.ff_dim": [64, 128, 256],
}
VARIANTS: Variants = {
    "standard": {"pooling": "mean"},
    "bidirectional": {"pooling": "mean"},  # attention sees both ways already
    "deep": {"layers": 4, "units": 128, "heads": 8, "ff_dim": 256, "pooling": "mean", "hidden_dims": (64, 32)},
    "lightweight": {"layers": 1, "units": 32, "ff_dim": 64, "pooling": "mean", "hidden_dims": (16,)},
}


def check(config: ModelConfig, steps: Steps) -> None:
    """Refuse a width that heads do not divide."""
    check_heads(config.units, config, "model.units")


@register("transformer", variants=VARIANTS, space=SPACE, check=check)
def transformer(x: Tensor, lengths: Tensor, config: ModelConfig, steps: Steps) -> Encoded:
    """``config.layers`` encoder blocks of width ``config.units``; causal where answers are per step."""
    x = keras.layers.Dense(config.units, name="projection")(x)
    x = add_positions(x, config, steps.time)
    return Encoded(encode(x, lengths, config, causal=steps.per_step), lengths)


def encode(x: Tensor, lengths: Tensor, config: ModelConfig, *, causal: bool = False) -> Tensor:
    """``config.layers`` pre-norm encoder blocks on ``(batch, tokens, config.units)``, normalised at the end."""
    for i in range(1, config.layers + 1):
        y = keras.layers.LayerNormalization(name=f"attention_norm_{i}")(x)
        y = attend(y, lengths, config, causal=causal, name=f"attention_{i}")
        y = dropout(y, config.dropout, name=f"attention_dropout_{i}")
        x = keras.layers.Add(name=f"attention_residual_{i}")([x, y])
        y = keras.layers.LayerNormalization(name=f"feed_norm_{i}")(x)
        y = keras.layers.Dense(config.ff_dim, activation=gelu_tanh, name=f"feed_in_{i}")(y)
        y = dropout(y, config.dropout, name=f"feed_dropout_{i}")
        y = keras.layers.Dense(config.units, name=f"feed_out_{i}")(y)
        x = keras.layers.Add(name=f"feed_residual_{i}")([x, y])
    return keras.layers.LayerNormalization(name="final_norm")(x)
