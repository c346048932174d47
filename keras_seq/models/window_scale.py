"""Scaling of raw windows by themselves: every unit in its own measure, without a table of units.

``WindowMoments`` measures a window's real, observed steps in raw units, ``WindowScale`` scales the steps by it and
``WindowRestore`` leads a forecast back. Nothing is scaled by numbers of the train part before, which would leave a
small unit among large ones without a spread; what counts as constant is told by what float32 holds of the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
from keras import ops

from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.models.blocks import step_mask, with_lengths
from keras_seq.models.layer import Float32Layer, SameShape, package
from keras_seq.models.preprocess import LARGEST, Preprocess, finite
from keras_seq.models.tensor import LayerOptions, Shape, Tensor

INFINITE = 3.3e38  # above LARGEST, below the largest float32
RESOLUTION = 4.8e-7  # of the largest magnitude: four steps of float32; a smaller spread is rounding


@package
class WindowMoments(Float32Layer):
    """Reference, mean less the reference, and deviation of each feature over a window's observed real steps, raw units.

    Mean and reference are kept apart: ``value - reference`` is exact in float32 where the level is far above the
    spread (1,000,000 with a spread of 1). A feature that does not vary within the window has deviation 0, one that the
    window never shows the reference ``fill``.

    Args:
        fill: of each feature, raw units.
        shared: positions that are not measured (0, 0, 1): they are scaled by the train part's numbers later.
    """

    def __init__(self, fill: Sequence[float], shared: Sequence[int] = (), **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.fill, self.shared = list(fill), list(shared)
        own = np.ones(len(self.fill), np.float32)
        own[self.shared] = 0.0
        self.own = own
        self.stand_in = np.asarray(self.fill, np.float32) * own

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, features)`` to ``(batch, 3, features)``."""
        x, observed = finite(x)
        if lengths is not None:
            observed = ops.logical_and(observed, step_mask(x, lengths))
        seen = ops.cast(observed, "float32")
        x = x * seen
        high = ops.max(x - (1.0 - seen) * LARGEST, axis=1, keepdims=True)
        low = ops.min(x + (1.0 - seen) * LARGEST, axis=1, keepdims=True)
        known = ops.max(seen, axis=1, keepdims=True)
        high, low = high * known, low * known
        size = ops.maximum(ops.abs(high), ops.abs(low))
        varies = ops.cast(ops.greater(high - low, RESOLUTION * size), "float32") * self.own
        spread = ops.minimum(high - low, LARGEST) * varies + (1.0 - varies)
        share = (x - high) / spread * seen * varies  # within [-1, 0]: squares neither overflow nor vanish
        count = ops.maximum(ops.sum(seen, axis=1, keepdims=True), 1.0)
        mean = ops.sum(share, axis=1, keepdims=True) / count
        variance = ops.sum(ops.square((share - mean) * seen), axis=1, keepdims=True) / count
        deviation = ops.sqrt(ops.maximum(variance, 1e-12)) * spread * varies + (1.0 - self.own)
        reference = high * self.own + (1.0 - known) * self.stand_in
        return ops.concatenate([reference, mean * spread * varies, deviation], axis=1)

    def compute_output_shape(self, x_shape: Shape, lengths_shape: Shape | None = None) -> Shape:
        """Three rows of numbers in place of time."""
        return (x_shape[0], 3, x_shape[-1])


@package
class WindowScale(SameShape, Float32Layer):
    """``(x - mean) / deviation`` by ``WindowMoments``; 0 where nothing varies; missing values stay missing."""

    def call(self, x: Tensor, moments: Tensor) -> Tensor:
        """``x (batch, time, features)``, ``moments (batch, 3, features)``."""
        reference, offset, deviation = moments[:, :1], moments[:, 1:2], moments[:, 2:]
        varies = ops.cast(ops.greater(deviation, 0.0), "float32")
        scaled = ((x - reference) - offset) * varies / (deviation + (1.0 - varies))
        above = ops.cast(ops.greater_equal(x, LARGEST), "float32")  # TFLite's kernels make inf a finite number
        below = ops.cast(ops.less_equal(x, -LARGEST), "float32")
        return scaled + (above - below) * INFINITE


@package
class WindowRestore(SameShape, Float32Layer):
    """A forecast in a window's deviations back to raw units; of a window that does not vary its constant.

    Args:
        target_index: positions of the targets among the features.
    """

    def __init__(self, target_index: Sequence[int], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.target_index = list(target_index)

    def call(self, y: Tensor, moments: Tensor) -> Tensor:
        """``y (batch, horizon, targets[, quantiles])``, ``moments (batch, 3, features)``."""
        chosen = ops.take(moments, self.target_index, axis=2)
        reference, offset, deviation = chosen[:, :1], chosen[:, 1:2], chosen[:, 2:]
        if len(y.shape) == 4:
            reference, offset, deviation = reference[..., None], offset[..., None], deviation[..., None]
        return (y * deviation + offset) + reference


@package
class WindowLevel(Float32Layer):
    """Means of the targets in each window, raw units.

    Args:
        target_index: positions of the targets among the features.
    """

    def __init__(self, target_index: Sequence[int], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.target_index = list(target_index)

    def call(self, moments: Tensor) -> Tensor:
        """``(batch, 3, features)`` to ``(batch, targets)``."""
        chosen = ops.take(moments, self.target_index, axis=2)
        return chosen[:, 0] + chosen[:, 1]

    def compute_output_shape(self, moments_shape: Shape) -> Shape:
        """One number a target."""
        return (moments_shape[0], len(self.target_index))


@package
class WindowSpread(WindowLevel):
    """Deviations of the targets in each window, raw units; arguments as of ``WindowLevel``."""

    def call(self, moments: Tensor) -> Tensor:
        """``(batch, 3, features)`` to ``(batch, targets)``."""
        return ops.take(moments, self.target_index, axis=2)[:, 2]


def by_window(config: ModelConfig, spec: DataSpec) -> bool:
    """Whether raw windows are scaled by themselves; operating conditions are told from raw units, so they are not."""
    return config.normalisation == "instance" and len(spec.scaling.center) == 1


def moments(values: Tensor, lengths: Tensor, spec: DataSpec) -> Tensor:
    """``(batch, 3, features)`` of raw windows."""
    layer = WindowMoments(spec.scaling.fill, _shared(spec), name="window_moments")
    return with_lengths(layer, values, lengths)


def scaled_channels(values: Tensor, lengths: Tensor, of_window: Tensor, spec: DataSpec) -> Tensor:
    """Raw windows scaled by ``of_window``, then mended: the window's mean, or the last value, for what is missing."""
    x = WindowScale(name="window_scale")(values, of_window)
    own = spec.model_copy(update={"scaling": _left(spec)})
    return with_lengths(Preprocess.from_spec(own, name="preprocess"), x, lengths)


def _shared(spec: DataSpec) -> tuple[int, ...]:
    """Features that the train part's numbers scale: those of the scaling, and codes of words."""
    return tuple(sorted({*spec.scaling.shared, *(column.feature for column in spec.words)}))


def _left(spec: DataSpec) -> Scaling:
    """What is left to ``Preprocess``: the train part's numbers of the shared features, nothing for the others."""
    scaling, shared = spec.scaling, _shared(spec)

    def left(row: Sequence[float], plain: float) -> tuple[float, ...]:
        return tuple(number if j in shared else plain for j, number in enumerate(row))

    constant = tuple(tuple(flag and j in shared for j, flag in enumerate(row)) for row in scaling.constant)
    return scaling.model_copy(
        update={
            "center": tuple(left(row, 0.0) for row in scaling.center),
            "scale": tuple(left(row, 1.0) for row in scaling.scale),
            "fill": left(scaling.fill, 0.0),
            "constant": constant if any(map(any, constant)) else (),
        }
    )


def season_error(x: Tensor, of_window: Tensor, lengths: Tensor, season: int) -> Tensor:
    """Mean absolute difference of steps a season apart inside each window, raw units, ``(batch, features)``.

    At least a tenth of the window's deviation, which is what a window without two such steps has.

    Args:
        x: raw windows ``(batch, time, features)``.
        of_window: their moments.
        lengths: real steps, or None.
        season: steps; 1: changes from step to step.
    """
    least = 0.1 * of_window[:, 2]
    x, observed = finite(x)
    if lengths is not None:
        observed = ops.logical_and(observed, step_mask(x, lengths))
    seen = ops.cast(observed, "float32")
    x = (x - of_window[:, :1]) * seen
    both = seen[:, season:] * seen[:, :-season]
    change = ops.sum(ops.abs(x[:, season:] - x[:, :-season]) * both, axis=1)
    count = ops.sum(both, axis=1)
    known = ops.cast(ops.greater(count, 0.0), "float32")
    return ops.maximum(change / ops.maximum(count, 1.0), least) * known + of_window[:, 2] * (1.0 - known)
