"""InceptionTime: convolutions of several widths side by side (Ismail Fawaz et al., 2020)."""

from __future__ import annotations

from typing import Unpack

import keras
from keras import ops

from keras_seq.config import ModelConfig
from keras_seq.models.blocks import activation, lowest_of, step_mask, with_lengths, zero_padding
from keras_seq.models.body import Encoded, Space, Steps, Variants
from keras_seq.models.convolution import MaskedConv1D
from keras_seq.models.layer import ConfiguredLayer, SameShape, package
from keras_seq.models.lstm import check_one_way
from keras_seq.models.normalise import MaskedBatchNormalization
from keras_seq.models.registry import register
from keras_seq.models.resnet import normalised
from keras_seq.models.tensor import LayerOptions, Tensor

WIDTHS = (8, 4, 2)  # times model.kernel_size: 40, 20 and 10 steps at its default of 5, as published
SHORT = 3  # residual connections span so many modules
SPACE: Space = {
    "model.filters": {"low": 8, "high": 48, "step": 8},
    "model.layers": [3, 6],
    "model.kernel_size": [3, 5, 7],
}
VARIANTS: Variants = {
    "standard": {"layers": 6, "filters": 32, "pooling": "mean", "hidden_dims": ()},
    "bidirectional": {"layers": 6, "filters": 32, "pooling": "mean", "hidden_dims": ()},  # sees both ways already
    "deep": {"layers": 9, "filters": 48, "pooling": "mean", "hidden_dims": ()},
    "lightweight": {"layers": 3, "filters": 16, "pooling": "mean", "hidden_dims": ()},
}


@register("inception_time", variants=VARIANTS, space=SPACE, check=check_one_way)
def inception_time(x: Tensor, lengths: Tensor, config: ModelConfig, steps: Steps) -> Encoded:
    """``config.layers`` modules of four branches, each ``config.filters`` wide; causal where per step."""
    causal, before = steps.per_step, x
    for i in range(1, config.layers + 1):
        x = _module(x, lengths, config, i, causal=causal)
        if i % SHORT == 0:
            if before.shape[-1] != x.shape[-1]:
                before = normalised(before, lengths, x.shape[-1], 1, name=f"match_{i}", causal=False)
            x = keras.layers.Add(name=f"residual_{i}")([before, x])
            x = before = keras.layers.Activation(activation(config.activation), name=f"residual_activation_{i}")(x)
    return Encoded(x, lengths)


def _module(x: Tensor, lengths: Tensor, config: ModelConfig, i: int, *, causal: bool) -> Tensor:
    padding = "causal" if causal else "same"

    def conv(x: Tensor, kernel: int, name: str) -> Tensor:
        layer = MaskedConv1D(config.filters, kernel, padding=padding, use_bias=False, name=f"{name}_{i}")
        return with_lengths(layer, x, lengths)

    narrow = conv(x, 1, "bottleneck") if x.shape[-1] > 1 else x
    branches = [conv(narrow, width * config.kernel_size, f"conv_{width}") for width in WIDTHS]
    around = with_lengths(MaxAround(SHORT, causal=causal, name=f"max_{i}"), x, lengths)
    x = keras.layers.Concatenate(name=f"branches_{i}")([*branches, conv(around, 1, "max_conv")])
    x = with_lengths(MaskedBatchNormalization(name=f"norm_{i}"), x, lengths)
    return keras.layers.Activation(activation(config.activation), name=f"activation_{i}")(x)


@package
class MaxAround(SameShape, ConfiguredLayer):
    """Largest of ``steps`` real steps around each, or up to it where causal; padding stays zero.

    Args:
        steps: odd.
        causal: look back only.
    """

    def __init__(self, steps: int, causal: bool = False, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.steps, self.causal = steps, causal

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to the same shape."""
        lowest = ops.cast(lowest_of(x.dtype), x.dtype)
        real = x if lengths is None else ops.where(step_mask(x, lengths), x, lowest)
        beyond = ops.zeros_like(x[:, :1]) + lowest
        before = self.steps - 1 if self.causal else self.steps // 2
        padded = ops.concatenate([*[beyond] * before, real, *[beyond] * (self.steps - 1 - before)], axis=1)
        largest = ops.max_pool(padded, self.steps, strides=1, padding="valid", data_format="channels_last")
        return zero_padding(largest, lengths)
