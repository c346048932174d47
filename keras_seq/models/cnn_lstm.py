"""CNN-LSTM: convolutions find local shapes, pooling shortens, an LSTM reads their order."""

from __future__ import annotations

import keras

from keras_seq.config import ModelConfig
from keras_seq.errors import ConfigError
from keras_seq.models.blocks import activation, with_lengths
from keras_seq.models.body import Encoded, Space, Steps, Variants
from keras_seq.models.convolution import MaskedConv1D, MaskedMaxPool, PooledLengths
from keras_seq.models.lstm import UNITS, check_one_way, stack
from keras_seq.models.registry import register
from keras_seq.models.tensor import Tensor

CONVOLUTION: Space = {
    "model.filters": {"low": 16, "high": 96, "step": 16},
    "model.kernel_size": [3, 5, 7, 9],
}
SPACE: Space = {**CONVOLUTION, "model.units": UNITS, "model.conv_layers": {"low": 1, "high": 3}}
VARIANTS: Variants = {
    "standard": {"layers": 1, "pooling": "max"},
    "bidirectional": {"layers": 1, "pooling": "max", "bidirectional": True},
    "deep": {"layers": 2, "conv_layers": 3, "units": 128, "pooling": "max", "hidden_dims": (64, 32)},
    "lightweight": {"layers": 1, "filters": 32, "units": 32, "pooling": "max", "hidden_dims": (16,)},
}


def check(config: ModelConfig, steps: Steps) -> None:
    """Refuse pooled or two-way steps where an answer at every step is wanted.

    Raises:
        ConfigError: says why and what to set.
    """
    check_one_way(config, steps)
    check_pooling(config, steps)


def check_pooling(config: ModelConfig, steps: Steps) -> None:
    """Refuse pooling over time where an answer at every step is wanted."""
    if steps.per_step and config.pool_size > 1:
        raise ConfigError(
            f"Option 'model.pool_size': pooling by {config.pool_size} leaves fewer steps than there are answers to "
            "give (data.windows.per_step); set model.pool_size to 1."
        )


@register("cnn_lstm", variants=VARIANTS, space=SPACE, check=check)
def cnn_lstm(x: Tensor, lengths: Tensor, config: ModelConfig, steps: Steps) -> Encoded:
    """``config.conv_layers`` convolutions (causal if per step) with pooling after each, then LSTM layers."""
    x, lengths = convolve(x, lengths, config, config.conv_layers, causal=steps.per_step)
    return stack(x, lengths, config, steps, kind="lstm", bidirectional=config.bidirectional)


def convolve(x: Tensor, lengths: Tensor, config: ModelConfig, layers: int, *, causal: bool) -> tuple[Tensor, Tensor]:
    """``layers`` convolutions, each followed by pooling: ``(batch, time', filters)`` and the lengths there."""
    for i in range(1, layers + 1):
        padding = "causal" if causal else "same"
        conv = MaskedConv1D(config.filters, config.kernel_size, padding=padding, name=f"conv_{i}")
        x = with_lengths(conv, x, lengths)
        x = keras.layers.Activation(activation(config.activation), name=f"conv_activation_{i}")(x)
        if config.pool_size > 1:
            x = with_lengths(MaskedMaxPool(config.pool_size, name=f"pool_{i}"), x, lengths)
            lengths = None if lengths is None else PooledLengths(config.pool_size, name=f"pool_lengths_{i}")(lengths)
    return x, lengths
