"""ResNet for time series: residual blocks of three convolutions (Wang, Yan & Oates, 2017)."""

from __future__ import annotations

import keras

from keras_seq.config import ModelConfig
from keras_seq.models.blocks import activation, with_lengths
from keras_seq.models.body import Encoded, Space, Steps, Variants
from keras_seq.models.convolution import MaskedConv1D
from keras_seq.models.lstm import check_one_way
from keras_seq.models.normalise import MaskedBatchNormalization
from keras_seq.models.registry import register
from keras_seq.models.tensor import Tensor

KERNELS = (8, 5, 3)  # steps, as published
SPACE: Space = {"model.filters": {"low": 16, "high": 128, "step": 16}, "model.layers": {"low": 2, "high": 4}}
VARIANTS: Variants = {
    "standard": {"layers": 3, "pooling": "mean", "hidden_dims": ()},
    "bidirectional": {"layers": 3, "pooling": "mean", "hidden_dims": ()},  # convolutions see both ways already
    "deep": {"layers": 4, "filters": 128, "pooling": "mean", "hidden_dims": ()},
    "lightweight": {"layers": 2, "filters": 32, "pooling": "mean", "hidden_dims": ()},
}


@register("resnet", variants=VARIANTS, space=SPACE, check=check_one_way)
def resnet(x: Tensor, lengths: Tensor, config: ModelConfig, steps: Steps) -> Encoded:
    """``config.layers`` blocks of ``config.filters`` (twice as many from the second on); causal where per step."""
    for i in range(1, config.layers + 1):
        filters, y = config.filters * min(i, 2), x
        if x.shape[-1] != filters:
            x = normalised(x, lengths, filters, 1, name=f"{i}_match", causal=False)
        for kernel in KERNELS:
            y = normalised(y, lengths, filters, kernel, name=f"{i}_{kernel}", causal=steps.per_step)
            if kernel != KERNELS[-1]:
                y = keras.layers.Activation(activation(config.activation), name=f"activation_{i}_{kernel}")(y)
        x = keras.layers.Add(name=f"residual_{i}")([x, y])
        x = keras.layers.Activation(activation(config.activation), name=f"activation_{i}")(x)
    return Encoded(x, lengths)


def normalised(x: Tensor, lengths: Tensor, filters: int, kernel: int, *, name: str, causal: bool) -> Tensor:
    """A convolution with batch normalisation; padding stays zero."""
    padding = "causal" if causal else "same"
    conv = MaskedConv1D(filters, kernel, padding=padding, use_bias=False, name=f"conv_{name}")
    return with_lengths(MaskedBatchNormalization(name=f"norm_{name}"), with_lengths(conv, x, lengths), lengths)
