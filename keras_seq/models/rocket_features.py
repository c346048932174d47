"""MiniRocket's features inside the graph (Dempster, Schmidt and Webb, 2021): shares of convolutions above biases.

84 kernels of length 9 with three weights of 2 and six of -1, at several dilations; of each, shares of steps above
biases that are quantiles of training convolutions. Nothing here is learnt by gradients: ``keras_seq.baselines.rocket``
draws channels and biases. No operator loops over time, so every format keeps the layers as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_seq.data.features.rocket_kernels import KERNELS, WIDTH, taps
from keras_seq.models.blocks import last_step, masked_max, masked_mean
from keras_seq.models.layer import Float32Layer, SameShape, package
from keras_seq.models.tensor import LayerOptions, Shape, Tensor

LARGEST = 65_536  # of scaled steps: sums of 9 taps and 9 channels are whole numbers that float32 holds exactly
NEVER = -1e30  # of a convolution at steps that do not count


def inner(dilation: int) -> NDArray[np.bool_]:
    """Kernels that read no zeros beyond the ends at the ``dilation``-th dilation, ``(84,)``: every other one."""
    return (np.arange(KERNELS) + dilation) % 2 == 1


@package
class WholeNumbers(SameShape, Float32Layer):
    """Channels as whole numbers of a unit, at most ``LARGEST`` of them.

    Their sums are exact in every order, so that no format answers otherwise where a signal stands still.

    Args:
        units: of each channel.
    """

    def __init__(self, units: Sequence[float], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.units = list(units)

    def call(self, x: Tensor) -> Tensor:
        """``(batch, time, channels)`` to the same."""
        return tf.clip_by_value(tf.round(x / np.asarray(self.units, np.float32)), -LARGEST, LARGEST)


@package
class ChannelLevels(Float32Layer):
    """Mean, deviation, last, largest and smallest value of each channel: what kernels that sum to 0 do not see.

    Args:
        scale: what all are divided by.
    """

    def __init__(self, scale: float = 1.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, 5 * channels)``; zeros where the length is 0."""
        x = x / self.scale
        mean = masked_mean(x, lengths)
        deviation = tf.sqrt(masked_mean(tf.square(x - mean[:, None]), lengths))
        extremes = [masked_max(x, lengths), -masked_max(-x, lengths)]
        return tf.concat([mean, deviation, last_step(x, lengths), *extremes], axis=1)

    def compute_output_shape(self, x_shape: Shape, lengths_shape: Shape | None = None) -> Shape:
        """Time is measured away."""
        return (x_shape[0], 5 * x_shape[-1])


@package
class Standardise(SameShape, Float32Layer):
    """Features less their means, in deviations, within limits; all three are weights that are fitted elsewhere.

    Sums of ten thousand products keep their digits where each has mean 0.
    """

    def build(self, x_shape: Shape) -> None:
        """``mean``, ``deviation`` and ``limit (features,)``."""
        for name in ("mean", "deviation", "limit"):
            weight = self.add_weight(shape=x_shape[-1:], name=name, initializer="ones", trainable=False)
            setattr(self, name, weight)

    def call(self, x: Tensor) -> Tensor:
        """``(batch, features)`` to the same."""
        return tf.minimum(tf.maximum((x - self.mean) / self.deviation, -self.limit), self.limit)


@package
class RocketFeatures(Float32Layer):
    """Shares of steps at which 84 dilated convolutions are above their biases.

    A convolution reads zeros beyond a sequence's own ends, and counts
    its own steps; with ``alternate`` every other kernel counts only steps at which all its taps lie within the
    sequence, as the authors do it for sequences of one length.

    Args:
        dilations: distances of taps, steps.
        counts: biases of each kernel, per dilation.
        alternate: see above; for sequences of one length.
    """

    def __init__(
        self,
        dilations: Sequence[int],
        counts: Sequence[int],
        alternate: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.dilations, self.counts, self.alternate = list(dilations), list(counts), alternate

    def build(self, x_shape: Shape, lengths_shape: Shape | None = None) -> None:
        """``channels (dilations, channels, 84)``: 1 where a kernel reads a channel; ``bias (sum of counts, 84)``."""
        shapes: dict[str, Any] = {
            "channels": (len(self.dilations), x_shape[-1], KERNELS),
            "bias": (sum(self.counts), KERNELS),
        }
        for name, shape in shapes.items():
            setattr(self, name, self.add_weight(shape=shape, name=name, initializer="zeros", trainable=False))

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)``, zeros at padding, to shares ``(batch, 84 * sum of counts)``.

        In order of dilations, then biases, then kernels; zeros where the length is 0.
        """
        time = tf.shape(x)[1]
        count = time if lengths is None else tf.minimum(tf.cast(lengths, tf.int32), time)
        clock = tf.range(time)
        biases = tf.unstack(self.bias[:, :, None])
        shares: list[Tensor] = []
        for place, dilation in enumerate(self.dilations):
            above = self._convolved(x, place, dilation)
            apart = inner(place) if self.alternate else np.zeros(KERNELS, bool)
            edge = (4 * dilation * apart).astype(np.int32)[:, None]  # steps that do not count at either end
            if lengths is None and not apart.any():
                steps = tf.cast(count, tf.float32)
            else:
                end = tf.reshape(count, (-1, 1, 1)) - edge
                above = tf.where(tf.logical_and(clock >= edge, clock < end), above, NEVER)
                steps = tf.cast(end[:, :, 0] - edge[:, 0], tf.float32)
            steps = tf.maximum(steps, 1.0)
            for _ in range(self.counts[place]):
                bias = biases[len(shares)]
                shares.append(tf.reduce_sum(tf.cast(above > bias, tf.float32), axis=2) / steps)
        return tf.concat(shares, axis=1)

    def _convolved(self, x: Tensor, place: int, dilation: int) -> Tensor:
        """All kernels at one dilation, ``(batch, 84, time)``: one gather, one product."""
        shape, channels = tf.shape(x), x.shape[-1]
        half = WIDTH // 2 * dilation
        padded = tf.pad(x, [[0, 0], [half, half], [0, 0]])
        index = tf.range(shape[1])[:, None] + np.arange(WIDTH, dtype=np.int32) * dilation
        rows = tf.gather(padded, tf.reshape(index, (-1,)), axis=1)
        rows = tf.reshape(rows, (shape[0], shape[1], WIDTH * channels))
        kernel = taps()[:, None, :] * self.channels[place]  # (9, channels, 84)
        convolved = tf.matmul(rows, tf.reshape(kernel, (WIDTH * channels, KERNELS)))
        return tf.transpose(convolved, (0, 2, 1))

    def compute_output_shape(self, x_shape: Shape, lengths_shape: Shape | None = None) -> Shape:
        """Time is counted away."""
        return (x_shape[0], KERNELS * sum(self.counts))
