"""TCN: residual blocks of dilated convolutions (Bai, Kolter & Koltun, 2018)."""

from __future__ import annotations

import keras

from keras_seq.config import ModelConfig
from keras_seq.models.blocks import activation, dropout, with_lengths
from keras_seq.models.body import Encoded, Space, Steps, Variants
from keras_seq.models.cnn_lstm import CONVOLUTION, check_pooling, convolve
from keras_seq.models.convolution import MaskedConv1D
from keras_seq.models.lstm import check_one_way
from keras_seq.models.registry import register
from keras_seq.models.tensor import Tensor

SPACE: Space = {**CONVOLUTION, "model.layers": {"low": 2, "high": 5}}
VARIANTS: Variants = {
    "standard": {"layers": 6},
    "bidirectional": {"layers": 6, "bidirectional": True, "pooling": "max"},
    "deep": {"layers": 8, "filters": 128, "hidden_dims": (64, 32)},
    "lightweight": {"layers": 5, "filters": 32, "hidden_dims": (16,)},
}


def check(config: ModelConfig, steps: Steps) -> None:
    """Refuse shortened or two-way steps where an answer at every step is wanted.

    Raises:
        ConfigError: says why and what to set.
    """
    check_one_way(config, steps)
    if config.stem:
        check_pooling(config, steps)


@register("tcn", variants=VARIANTS, space=SPACE, check=check)
def tcn(x: Tensor, lengths: Tensor, config: ModelConfig, steps: Steps) -> Encoded:
    """``config.layers`` blocks of two convolutions, dilation 1, 2, 4, ...; causal unless bidirectional.

    ``config.stem`` convolutions with pooling may go before them: long sequences become short ones, and
    the blocks look further.
    """
    padding = "same" if config.bidirectional else "causal"
    x, lengths = convolve(x, lengths, config, config.stem, causal=not config.bidirectional)
    for i in range(1, config.layers + 1):
        y = x
        for half in "ab":
            conv = MaskedConv1D(
                config.filters, config.kernel_size, padding=padding, dilation_rate=2 ** (i - 1), name=f"conv_{i}{half}"
            )
            y = with_lengths(conv, y, lengths)
            y = keras.layers.LayerNormalization(name=f"norm_{i}{half}")(y)
            y = keras.layers.Activation(activation(config.activation), name=f"activation_{i}{half}")(y)
            y = dropout(y, config.dropout, name=f"dropout_{i}{half}")
        if x.shape[-1] != config.filters:
            x = keras.layers.Dense(config.filters, name=f"match_{i}")(x)
        x = keras.layers.Add(name=f"residual_{i}")([x, y])
    return Encoded(x, lengths)
