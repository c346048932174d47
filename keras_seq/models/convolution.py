"""Length-aware convolution and pooling along time."""

from __future__ import annotations

from typing import Unpack

import keras
from keras import ops

from keras_seq.models.blocks import lowest_of, step_mask
from keras_seq.models.layer import ConfiguredLayer, package
from keras_seq.models.tensor import LayerOptions, Tensor


@package
class MaskedConv1D(keras.layers.Conv1D):
    """Conv1D that reads padding as zeros and leaves zeros there.

    Stride 1, padding ``same`` or ``causal``: the end of a padded sequence then looks to the kernel
    exactly like the end of an unpadded one.
    """

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, time, filters)``."""
        if lengths is None:
            return super().call(x)
        real = step_mask(x, lengths)  # one mask for both sides: in small models masks are half the time
        nothing = ops.zeros((), x.dtype)
        return ops.where(real, super().call(ops.where(real, x, nothing)), nothing)


@package
class MaskedMaxPool(ConfiguredLayer):
    """Largest of each ``pool_size`` steps from the start; a last incomplete group counts its real steps.

    Length ``n`` becomes ``ceil(n / pool_size)``; groups without a real step become zeros.
    """

    def __init__(self, pool_size: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, ceil(time / pool_size), channels)``."""
        lowest = lowest_of(x.dtype)
        if lengths is not None:
            x = ops.where(step_mask(x, lengths), x, ops.cast(lowest, x.dtype))
        beyond = ops.zeros_like(x[:, :1]) + lowest  # not ops.pad: its fill value fails under rematerialisation
        x = ops.concatenate([x, *[beyond] * (self.pool_size - 1)], axis=1)
        x = ops.max_pool(x, self.pool_size, strides=self.pool_size, padding="valid", data_format="channels_last")
        return x if lengths is None else ops.where(x > lowest, x, ops.zeros((), x.dtype))  # groups without a real step


def pooled_lengths(lengths: Tensor, pool_size: int) -> Tensor:
    """``ceil(lengths / pool_size)`` as int32, or None."""
    return None if lengths is None else (ops.cast(lengths, "int32") + (pool_size - 1)) // pool_size


@package
class PooledLengths(ConfiguredLayer):
    """Lengths after ``MaskedMaxPool``."""

    def __init__(self, pool_size: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(dtype="int32", **{k: v for k, v in kwargs.items() if k != "dtype"})
        self.pool_size = pool_size

    def call(self, lengths: Tensor) -> Tensor:
        """``(batch,)`` to ``(batch,)``."""
        return pooled_lengths(lengths, self.pool_size)
