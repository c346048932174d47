"""Length-aware normalisation of scaled inputs."""

from __future__ import annotations

from typing import Unpack

import keras
from keras import ops

from keras_seq.models.blocks import mask_of, real_steps, zero_padding
from keras_seq.models.layer import Float32Layer, SameShape, package
from keras_seq.models.tensor import LayerOptions, Tensor


@package
class MaskedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation whose statistics come from real steps only; padding stays zero."""

    def call(self, x: Tensor, lengths: Tensor = None, training: bool | None = None) -> Tensor:
        """``(batch, time, channels)`` to the same shape."""
        mask = None if lengths is None else real_steps(x, lengths)
        return zero_padding(super().call(x, training=training, mask=mask), lengths)


@package
class WindowStatistics(Float32Layer):
    """Mean and deviation of each channel over a window's real steps (RevIN, Kim et al., 2022).

    Output ``(batch, 2, signals)``: means, then deviations ``sqrt(variance + 1e-5)``, float32.

    Args:
        signals: how many of the first channels.
    """

    def __init__(self, signals: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.signals = signals

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, 2, signals)``."""
        x = x[:, :, : self.signals]
        mask = ops.ones_like(x[:, :, :1]) if lengths is None else mask_of(x, lengths)
        count = ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1.0)
        mean = ops.sum(x * mask, axis=1, keepdims=True) / count
        variance = ops.sum(ops.square((x - mean) * mask), axis=1, keepdims=True) / count
        return ops.concatenate([mean, ops.sqrt(variance + 1e-5)], axis=1)


@package
class InstanceNormalise(SameShape, Float32Layer):
    """``(x - mean) / deviation`` of the first channels by their window's statistics; the rest pass."""

    def call(self, x: Tensor, statistics: Tensor, lengths: Tensor = None) -> Tensor:
        """``x (batch, time, channels)``, ``statistics (batch, 2, signals)``."""
        signals = statistics.shape[-1]
        normal = (x[:, :, :signals] - statistics[:, :1]) / statistics[:, 1:]
        return zero_padding(ops.concatenate([normal, x[:, :, signals:]], axis=-1), lengths)


@package
class InstanceRestore(SameShape, Float32Layer):
    """Undo ``InstanceNormalise`` on a forecast.

    Args:
        target_index: positions of the targets among the signals.
    """

    def __init__(self, target_index: tuple[int, ...], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.target_index = list(target_index)

    def call(self, y: Tensor, statistics: Tensor) -> Tensor:
        """``y (batch, horizon, targets[, quantiles])`` to the same shape in scaled units."""
        chosen = ops.take(statistics, self.target_index, axis=2)
        mean, deviation = chosen[:, :1], chosen[:, 1:]
        if len(y.shape) == 4:
            mean, deviation = mean[..., None], deviation[..., None]
        return y * deviation + mean
