"""Attention-LSTM: LSTM layers, then multi-head self-attention over their steps, residual and normalised."""

from __future__ import annotations

import keras

from keras_seq.config import ModelConfig
from keras_seq.models import lstm
from keras_seq.models.attention import add_positions, attend, check_heads
from keras_seq.models.blocks import dropout
from keras_seq.models.body import Encoded, Space, Steps, Variants
from keras_seq.models.lstm import check_one_way, stack
from keras_seq.models.registry import register
from keras_seq.models.tensor import Tensor

SPACE: Space = {**lstm.SPACE, "model.heads": [1, 2, 4, 8]}
VARIANTS: Variants = {
    **lstm.VARIANTS,
    "deep": {"layers": 3, "units": 128, "heads": 8, "hidden_dims": (64, 32)},
}


def check(config: ModelConfig, steps: Steps) -> None:
    """Refuse a width that heads do not divide, and answers that would see their future."""
    check_one_way(config, steps)
    width = config.units * (2 if config.bidirectional else 1)
    check_heads(width, config, "model.units" if width == config.units else "2 * model.units")


@register("attention_lstm", variants=VARIANTS, space=SPACE, check=check)
def attention_lstm(x: Tensor, lengths: Tensor, config: ModelConfig, steps: Steps) -> Encoded:
    """LSTM layers and one attention layer; attention looks back only where answers are per step."""
    encoded = stack(x, lengths, config, steps, kind="lstm", bidirectional=config.bidirectional)
    x = add_positions(encoded.x, config, steps.time)
    x = attend(x, lengths, config, causal=steps.per_step, name="attention_1")
    x = dropout(x, config.dropout, name="attention_dropout_1")
    x = keras.layers.Add(name="attention_residual_1")([encoded.x, x])
    x = keras.layers.LayerNormalization(name="attention_norm_1")(x)
    return Encoded(x, lengths, two_way=encoded.two_way)
