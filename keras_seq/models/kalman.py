"""The Kalman filter of a fitted linear model over a window, as matrix products.

The gains of a Kalman filter do not depend on the data, so everything it says after ``n`` rows of a window
is linear in these rows. The weights are worked out once, when the model is fitted
(``keras_seq.baselines.statespace.filter_weights``); the graph only multiplies: no loop, the same in every
format, and exact for any window length. What the window does not hold the filter does not know: its prior
at the first row is the model's own (diffuse for levels and seasons), not the end of the training series.
"""

from __future__ import annotations

from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_seq.models.blocks import mask_of, real_steps, reverse, shift
from keras_seq.models.layer import ConfiguredLayer, Float32Layer, SameShape, package
from keras_seq.models.preprocess import finite
from keras_seq.models.tensor import LayerOptions, Shape, Tensor

TINY = 1e-12  # a gap that is filled exactly leaves nothing to divide by


def _fitted(layer: keras.layers.Layer, name: str, *shape: int) -> keras.Variable:
    """A weight that is set after fitting, not trained; zeros at first."""
    return layer.add_weight(shape=shape, name=name, initializer="zeros", trainable=False)


@package
class TargetWindow(Float32Layer):
    """The targets' past out of raw values: scaled, missing rows filled, zeros at padding.

    A missing row first repeats the last one seen. With ``repairs`` the missing rows then become what the
    model expects there given all observed rows of the window: they minimise the weighted squares of the
    innovations, found by so many steps of conjugate gradients (exact for up to ``repairs`` missing rows).
    The forecast from rows filled so is the Kalman filter's with gaps, since it is linear in them.

    Args:
        index: positions of the targets among the features.
        center: per target, raw units.
        scale: per target, raw units.
        time: longest window (rows); of longer fixed windows the last rows are read.
        repairs: steps of conjugate gradients.
    """

    def __init__(
        self,
        index: list[int],
        center: list[float],
        scale: list[float],
        time: int,
        repairs: int = 0,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.index, self.center, self.scale = list(index), list(center), list(scale)
        self.time, self.repairs = time, repairs

    def build(self, *shapes: Shape, **_: Shape) -> None:
        """One-step weights ``(targets, time, time)``, levels and precisions ``(targets, time)``, if gaps are filled."""
        if self.repairs:
            targets = len(self.index)
            self.weight = _fitted(self, "one_step", targets, self.time, self.time)
            self.level = _fitted(self, "level", targets, self.time)
            self.precision = _fitted(self, "precision", targets, self.time)

    def call(self, values: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, features)`` raw to ``(batch, time, targets)`` scaled."""
        values = values[:, -self.time :] if lengths is None else values[:, : self.time]
        y, seen = finite(ops.take(values, self.index, axis=2))
        real = ops.ones_like(y) if lengths is None else mask_of(y, lengths) * ops.ones_like(y)
        known = ops.cast(seen, "float32") * real
        center, scale = np.asarray(self.center, np.float32), np.asarray(self.scale, np.float32)
        y = self._carry_forward((y - center) / scale * known, known) * real
        if not self.repairs:
            return y
        filled = [self._expected(y[:, :, k], (real - known)[:, :, k], real[:, :, k], k) for k in range(len(self.index))]
        return ops.stack(filled, axis=-1)

    def _carry_forward(self, y: Tensor, known: Tensor) -> Tensor:
        """The last value seen stands in for missing ones (0, the centre, before the first)."""
        distance = 1
        while distance < self.time:
            take = (1.0 - known) * shift(known, distance)
            y, known = y + take * shift(y, distance), known + take
            distance *= 2
        return y

    def _expected(self, y: Tensor, missing: Tensor, real: Tensor, k: int) -> Tensor:
        """``(batch, time)`` with the missing rows at their conditional mean."""
        rows = ops.shape(y)[1]
        weight, precision = self.weight[k, :rows, :rows], real * self.precision[k, :rows]

        def gradient(x: Tensor, level: Tensor) -> Tensor:
            weighted = precision * (x - ops.matmul(x, ops.transpose(weight)) - level)
            return missing * (weighted - ops.matmul(weighted, weight))

        residual = -gradient(y, self.level[k, :rows])
        direction, norm = residual, ops.sum(residual * residual, axis=1, keepdims=True)
        for _ in range(self.repairs):
            curved = gradient(direction, 0.0)
            step = norm / ops.maximum(ops.sum(direction * curved, axis=1, keepdims=True), TINY)
            y, residual = y + step * direction, residual - step * curved
            new_norm = ops.sum(residual * residual, axis=1, keepdims=True)
            direction, norm = residual + new_norm / ops.maximum(norm, TINY) * direction, new_norm
        return y

    def compute_output_shape(self, values_shape: Shape, lengths_shape: Shape | None = None) -> Shape:
        """One channel a target."""
        return (values_shape[0], None, len(self.index))


@package
class FilterInnovations(SameShape, Float32Layer):
    """One-step-ahead errors of the filter at every row of a window, in their own deviations (Zhang, 2003).

    Row ``t`` is the value minus its forecast from rows ``0..t-1``: causal, no look-ahead. The first
    ``burn`` rows, where the filter does not know the season yet, and padding are 0.

    Args:
        targets: how many.
        time: longest window.
        burn: rows left out at the start.
        deviation: of the innovations per target, in scaled units.
    """

    def __init__(
        self, targets: int, time: int, burn: int, deviation: list[float], **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.targets, self.time, self.burn, self.deviation = targets, time, burn, list(deviation)

    def build(self, *shapes: Shape, **_: Shape) -> None:
        """Weights ``(targets, time, time)`` by row forecast and row read, and levels ``(targets, time)``."""
        self.weight = _fitted(self, "one_step", self.targets, self.time, self.time)
        self.level = _fitted(self, "level", self.targets, self.time)

    def call(self, y: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, targets)`` scaled to the same shape."""
        expected = _causal(y, self.weight) + ops.transpose(self.level[:, : ops.shape(y)[1]])
        error = (y - expected) / np.asarray(self.deviation, np.float32)
        steps = ops.arange(ops.shape(y)[1], dtype="int32")[None, :]
        counted = steps >= self.burn
        if lengths is not None:
            counted = ops.logical_and(counted, real_steps(y, lengths))
        return ops.where(counted[:, :, None], error, 0.0)


@package
class FilterForecast(Float32Layer):
    """Forecasts after the last real row: ``sum_s weight[origin, s, h] y_s + bias[origin, h]``.

    Args:
        targets: how many.
        time: longest window.
        horizon: steps ahead.
        every_origin: keep weights for windows of every length up to ``time``; else only for ``time`` rows.
    """

    def __init__(
        self, targets: int, time: int, horizon: int, every_origin: bool = True, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.targets, self.time, self.horizon, self.every_origin = targets, time, horizon, every_origin

    def build(self, *shapes: Shape, **_: Shape) -> None:
        """Weights ``(targets, origins, time, horizon)`` and ``(targets, origins, horizon)``."""
        origins = self.time if self.every_origin else 1
        self.weight = _fitted(self, "ahead", self.targets, origins, self.time, self.horizon)
        self.bias = _fitted(self, "level", self.targets, origins, self.horizon)

    def call(self, y: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, targets)`` scaled to ``(batch, horizon, targets)`` scaled."""
        parts = [self._forecast_target(y[:, :, k], self.weight[k], self.bias[k], lengths) for k in range(self.targets)]
        return ops.stack(parts, axis=-1)

    def _forecast_target(self, y: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor) -> Tensor:
        rows = ops.shape(y)[1]
        if lengths is None:
            origin = rows - 1 if self.every_origin else 0
            return ops.matmul(y, weight[origin][:rows]) + bias[origin]
        if not self.every_origin:
            return ops.matmul(y, weight[0][:rows]) + bias[0]
        origin = ops.clip(ops.cast(lengths, "int32") - 1, 0, self.time - 1)
        chosen = ops.take(weight, origin, axis=0)[:, :rows]
        return ops.sum(y[:, :, None] * chosen, axis=1) + ops.take(bias, origin, axis=0)

    def compute_output_shape(self, y_shape: Shape, lengths_shape: Shape | None = None) -> Shape:
        """One forecast a step ahead and target."""
        return (y_shape[0], self.horizon, self.targets)


def _causal(y: Tensor, weight: Tensor) -> Tensor:
    """``(batch, time, targets)`` times ``weight (targets, time, time)``, each target by its own."""
    rows = ops.shape(y)[1]
    parts = [ops.matmul(y[:, :, k], ops.transpose(weight[k, :rows, :rows])) for k in range(y.shape[-1])]
    return ops.stack(parts, axis=-1)


@package
class Recent(ConfiguredLayer):
    """The last ``steps`` real rows, oldest first; zeros in front where a window is shorter.

    Args:
        steps: rows kept.
    """

    def __init__(self, steps: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.steps = steps

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)``, zero at padding, to ``(batch, steps, channels)``."""
        newest_first = reverse(x, lengths)[:, : self.steps]
        filled = ops.pad(newest_first, [[0, 0], [0, self.steps], [0, 0]])[:, : self.steps]
        return ops.flip(filled, axis=1)

    def compute_output_shape(self, x_shape: Shape, lengths_shape: Shape | None = None) -> Shape:
        """A fixed number of steps."""
        return (x_shape[0], self.steps, x_shape[-1])


@package
class HybridMembers(Float32Layer):
    """A filter's forecast, and how far others move from it: network, last value, last season.

    Args:
        deviation: of the innovations per target, scaled units; what a correction of 1 means.
        season: steps.
    """

    def __init__(self, deviation: list[float], season: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.deviation, self.season = list(deviation), season

    def call(self, y: Tensor, forecast: Tensor, correction: Tensor, lengths: Tensor = None) -> Tensor:
        """``y (batch, time, targets)``, two ``(batch, horizon, targets)`` to ``(batch, horizon, targets, 4)``."""
        horizon = forecast.shape[1]
        newest_first = reverse(y, lengths)
        reach = max(self.season, 1)
        filled = ops.concatenate([newest_first, ops.repeat(newest_first[:, -1:], reach, axis=1)], axis=1)
        back = [reach - 1 - h % reach for h in range(horizon)]
        seasonal = ops.stack([filled[:, b] for b in back], axis=1)
        moves = [
            correction * np.asarray(self.deviation, np.float32),
            newest_first[:, :1] - forecast,
            seasonal - forecast,
        ]
        return ops.stack([forecast, *moves], axis=-1)

    def compute_output_shape(self, y_shape: Shape, forecast_shape: Shape, *others: Shape) -> Shape:
        """Four numbers a forecast."""
        return (*forecast_shape, 4)


@package
class MixMembers(keras.layers.Layer):
    """The filter's forecast plus a share of every move; shares ``(targets, 3)`` start at the whole correction."""

    def build(self, input_shape: Shape) -> None:
        """Shares, set after training from validation windows."""
        self.share = _fitted(self, "share", input_shape[-2], 3)
        self.share.assign(np.tile(np.array([1.0, 0.0, 0.0], np.float32), (input_shape[-2], 1)))

    def call(self, members: Tensor) -> Tensor:
        """``(batch, horizon, targets, 4)`` to ``(batch, horizon, targets)``."""
        return members[..., 0] + ops.sum(members[..., 1:] * self.share, axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """One forecast."""
        return tuple(input_shape[:-1])
