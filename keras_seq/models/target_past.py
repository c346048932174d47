"""What the forecasters share: the targets' own past, what the last row tells besides, and the way to steps ahead."""

from __future__ import annotations

from typing import Unpack

import keras
from keras import ops

from keras_seq.models.blocks import LastStep, with_lengths
from keras_seq.models.body import Ahead, Horizon
from keras_seq.models.kalman import Recent
from keras_seq.models.layer import Float32Layer, package
from keras_seq.models.tensor import LayerOptions, Shape, Tensor


def recent(x: Tensor, lengths: Tensor, horizon: Horizon) -> Tensor:
    """All channels of the last ``horizon.time`` real rows, oldest first; zeros in front of a shorter window."""
    rows = with_lengths(Recent(horizon.time, name="window", dtype="float32"), x, lengths)
    return keras.layers.Reshape((horizon.time, x.shape[2]), dtype="float32", name="window_rows")(rows)  # sizes known


def target_past(x: Tensor, lengths: Tensor, horizon: Horizon) -> Tensor:
    """Past of the targets ``(batch, targets, time)``, oldest first."""
    return TakeTargets(horizon.targets, name="target_past")(recent(x, lengths, horizon))


def known_now(x: Tensor, lengths: Tensor, horizon: Horizon) -> Tensor:
    """A linear map of the last row, zero at first: ``(batch, steps, targets * levels)``; plans stand in that row."""
    width = horizon.steps * len(horizon.targets) * horizon.levels
    row = with_lengths(LastStep(name="last_row"), x, lengths)
    y = keras.layers.Dense(width, kernel_initializer="zeros", dtype="float32", name="known_now")(row)
    return keras.layers.Reshape((horizon.steps, -1), dtype="float32", name="known_now_steps")(y)


def ahead(y: Tensor, x: Tensor, lengths: Tensor, horizon: Horizon, last: Tensor = None) -> Ahead:
    """The answer of a forecaster: ``y (batch, targets, steps * levels)``, and what the last row of ``x`` tells.

    ``last (batch, targets, 1)``: the values that it starts from, or None.
    """
    steps = ToSteps(horizon.steps, name="to_steps")(y)
    base = None if last is None else keras.layers.Permute((2, 1))(last)
    return Ahead(steps + known_now(x, lengths, horizon), base)


@package
class TakeTargets(Float32Layer):
    """Some channels, time last: ``(batch, time, channels)`` to ``(batch, targets, time)``.

    Args:
        index: positions of the targets among the channels.
    """

    def __init__(self, index: tuple[int, ...], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.index = list(index)

    def call(self, x: Tensor) -> Tensor:
        """Take and turn."""
        return ops.transpose(ops.take(x, self.index, axis=2), (0, 2, 1))


@package
class ToSteps(Float32Layer):
    """``(batch, targets, steps * levels)`` to ``(batch, steps, targets * levels)``.

    Args:
        steps: steps ahead.
    """

    def __init__(self, steps: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.steps = steps

    def call(self, y: Tensor) -> Tensor:
        """Turn."""
        targets, width = y.shape[1], y.shape[2]
        y = ops.reshape(y, (-1, targets, self.steps, width // self.steps))
        return ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (-1, self.steps, targets * width // self.steps))

    def compute_output_shape(self, y_shape: Shape) -> Shape:
        """Steps come first."""
        return (y_shape[0], self.steps, y_shape[1] * y_shape[2] // self.steps)


@package
class SplitTargets(Float32Layer):
    """Every target becomes a sample: ``(batch, targets, time)`` to ``(batch * targets, time)``."""

    def call(self, past: Tensor) -> Tensor:
        """Targets of one sample lie side by side."""
        return ops.reshape(past, (-1, past.shape[2]))

    def compute_output_shape(self, past_shape: Shape) -> Shape:
        """More samples."""
        return (None, past_shape[2])


@package
class JoinTargets(Float32Layer):
    """Answers of targets back into samples: ``(batch * targets, width)`` to ``(batch, targets, width)``.

    Args:
        targets: of a sample.
    """

    def __init__(self, targets: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.targets = targets

    def call(self, y: Tensor) -> Tensor:
        """Join."""
        return ops.reshape(y, (-1, self.targets, y.shape[1]))

    def compute_output_shape(self, y_shape: Shape) -> Shape:
        """Fewer samples."""
        return (None, self.targets, y_shape[1])
