"""PatchTST: patches of each target's own past as tokens of a Transformer (Nie et al., 2023)."""

from __future__ import annotations

from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_seq.config import ModelConfig
from keras_seq.models.attention import add_positions, check_heads
from keras_seq.models.blocks import dropout
from keras_seq.models.body import Ahead, Horizon, Space, Steps, Variants
from keras_seq.models.layer import Float32Layer, package
from keras_seq.models.registry import register
from keras_seq.models.target_past import JoinTargets, ahead, target_past
from keras_seq.models.tensor import LayerOptions, Shape, Tensor
from keras_seq.models.transformer import SPACE as ENCODER
from keras_seq.models.transformer import encode

PATCH = 16  # steps, half of which overlap, as published
SPACE: Space = {**ENCODER, "model.patch": [8, 16, 24, 32]}
VARIANTS: Variants = {
    "standard": {"positional": "learned"},
    "bidirectional": {"positional": "learned"},  # attention sees both ways already
    "deep": {"layers": 3, "units": 128, "heads": 16, "ff_dim": 256, "positional": "learned"},
    "lightweight": {"layers": 1, "units": 16, "ff_dim": 32, "positional": "learned"},
}


def check(config: ModelConfig, steps: Steps) -> None:
    """Refuse a width that heads do not divide."""
    check_heads(config.units, config, "model.units")


@register("patchtst", forecasts=True, variants=VARIANTS, space=SPACE, check=check)
def patchtst(x: Tensor, lengths: Tensor, config: ModelConfig, horizon: Horizon) -> Ahead:
    """Patches of ``model.patch`` steps (0: 16), each half over the one before, one encoder for all targets.

    What else the last row tells (other columns, plans) is added by a linear map of its own.
    """
    past = target_past(x, lengths, horizon)
    patch = min(config.patch or PATCH, horizon.time)
    tokens = Patches(patch, max(1, patch // 2), name="patches")(past)
    tokens = keras.layers.Dense(config.units, name="projection")(tokens)
    tokens = add_positions(tokens, config, tokens.shape[1])
    tokens = encode(tokens, None, config)
    flat = dropout(keras.layers.Flatten(name="tokens")(tokens), config.head_dropout, name="head_dropout")
    y = keras.layers.Dense(horizon.steps * horizon.levels, dtype="float32", name="head_output")(flat)
    y = JoinTargets(len(horizon.targets), name="join_targets")(y)
    return ahead(y, x, lengths, horizon)


@package
class Patches(Float32Layer):
    """Overlapping patches, the last value repeated behind the end: ``(batch * targets, patches, patch)``.

    Args:
        patch: steps of a patch.
        stride: steps between two.
    """

    def __init__(self, patch: int, stride: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.patch, self.stride = patch, stride

    def index(self, time: int) -> np.ndarray:
        """Steps of each patch, int32 ``(patches, patch)``."""
        starts = np.arange(0, time + self.stride - self.patch + 1, self.stride)
        return np.minimum(starts[:, None] + np.arange(self.patch), time - 1).astype(np.int32)

    def call(self, past: Tensor) -> Tensor:
        """``past (batch, targets, time)``."""
        index = self.index(past.shape[2])
        flat = ops.take(ops.reshape(past, (-1, past.shape[2])), index.reshape(-1), axis=1)
        return ops.reshape(flat, (-1, *index.shape))

    def compute_output_shape(self, past_shape: Shape) -> Shape:
        """Every target is a sample."""
        return (None, *self.index(past_shape[2]).shape)
