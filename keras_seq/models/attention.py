"""Length-aware multi-head self-attention and positions."""

from __future__ import annotations

from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_seq.config import ModelConfig
from keras_seq.errors import ConfigError
from keras_seq.models.blocks import real_steps, with_lengths
from keras_seq.models.layer import ConfiguredLayer, SameShape, package
from keras_seq.models.tensor import LayerOptions, Shape, Tensor


def check_heads(width: int, config: ModelConfig, what: str) -> None:
    """Refuse a width that heads do not divide.

    Raises:
        ConfigError: names both numbers and the nearest that fit.
    """
    if width % config.heads:
        fitting = [heads for heads in range(1, width + 1) if width % heads == 0]
        best = min(fitting, key=lambda heads: abs(heads - config.heads))
        raise ConfigError(
            f"Option 'model.heads': {config.heads} heads do not divide {what}={width} of family "
            f"'{config.family}'; set model.heads to {best} or model.units to a multiple of {config.heads}."
        )


@package
class SelfAttention(SameShape, ConfiguredLayer):
    """Multi-head self-attention over real steps (Vaswani et al., 2017).

    Args:
        heads: number of heads; must divide the channels.
        causal: a step attends to itself and earlier steps only.
        dropout: of the attention weights, in training.
    """

    def __init__(self, heads: int, causal: bool = False, dropout: float = 0.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.heads, self.causal, self.dropout = heads, causal, dropout

    def build(self, input_shape: Shape) -> None:
        """Create the stock attention layer, whose four projections are the only weights."""
        self.attention = keras.layers.MultiHeadAttention(
            self.heads,
            input_shape[-1] // self.heads,
            dropout=self.dropout,
            flash_attention=False,
            name="attention",
            dtype=self.dtype_policy,
        )
        self.attention.build(input_shape, input_shape)

    def allowed(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Bool mask ``(batch or 1, time or 1, time)`` of what may be attended to, or None."""
        mask = None if lengths is None else real_steps(x, lengths)[:, None, :]
        if self.causal:
            step = ops.arange(ops.shape(x)[1], dtype="int32")
            past = (step[None, :] <= step[:, None])[None]
            mask = past if mask is None else ops.logical_and(mask, past)
        return mask

    def call(self, x: Tensor, lengths: Tensor = None, training: bool | None = None) -> Tensor:
        """``(batch, time, channels)`` to the same shape."""
        return self.attention(x, x, attention_mask=self.allowed(x, lengths), training=training)

    def scores(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """Attention weights ``(batch, heads, time, time)``; rows sum to 1 over real steps."""
        mask = self.allowed(x, lengths)
        return self.attention(x, x, attention_mask=mask, return_attention_scores=True, training=False)[1]


@package
class Positions(SameShape, ConfiguredLayer):
    """Adds a position code to each step.

    Args:
        kind: ``sinusoidal`` (no weights, any length) or ``learned`` (a table; later steps than it
            holds take its last row).
        time: rows of the learned table.
    """

    def __init__(self, kind: str, time: int = 1, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.kind, self.time = kind, time

    def build(self, input_shape: Shape) -> None:
        """Create the table or the frequencies ``10000^(-2i/channels)``."""
        width = input_shape[-1]
        if self.kind == "learned":
            self.table = self.add_weight(
                name="table", shape=(self.time, width), initializer=keras.initializers.RandomNormal(stddev=0.02)
            )
        channel = np.arange(width)
        frequency = 10000.0 ** (-2.0 * (channel // 2) / width)
        # sin(a + pi/2) = cos(a): one sine gives both halves of the code
        self.frequency = frequency.astype(np.float32)
        self.phase = (channel % 2 * np.pi / 2).astype(np.float32)

    def call(self, x: Tensor) -> Tensor:
        """``(batch, time, channels)`` to the same shape."""
        step = ops.arange(ops.shape(x)[1], dtype="int32")
        if self.kind == "learned":
            code = ops.take(ops.convert_to_tensor(self.table), ops.minimum(step, self.time - 1), axis=0)
        else:
            code = ops.sin(ops.cast(step, "float32")[:, None] * self.frequency + self.phase)
        return x + ops.cast(code, x.dtype)[None]


def add_positions(x: Tensor, config: ModelConfig, time: int) -> Tensor:
    """``x`` with positions as ``model.positional`` says."""
    return x if config.positional == "none" else Positions(config.positional, time, name="positions")(x)


def attend(x: Tensor, lengths: Tensor, config: ModelConfig, *, causal: bool, name: str) -> Tensor:
    """Self-attention with the configured heads and dropout."""
    layer = SelfAttention(config.heads, causal=causal, dropout=config.dropout, name=name)
    return with_lengths(layer, x, lengths)
