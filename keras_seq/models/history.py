"""Causal channels from a unit's past, computed inside the graph, each with constant-size state.

What decides the accuracy of remaining-life models is the information given (smoothed history, own
baseline, elapsed cycles) more than the cell that reads it.
"""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from keras import ops

from keras_seq.config import HistoryConfig
from keras_seq.models.blocks import shift, zero_padding
from keras_seq.models.layer import Float32Layer, package
from keras_seq.models.tensor import LayerOptions, Shape, Tensor

NEGLIGIBLE = 1e-9  # weight below which the past of a mean no longer shows in float32


def exponential_mean(x: Tensor, decay: float) -> Tensor:
    """``y_0 = x_0, y_t = decay * y_(t-1) + (1 - decay) * x_t`` along axis 1 of ``(batch, time, channels)``.

    A scan by doubling: ``y += decay^s * shift(y, s)`` for s = 1, 2, 4, ... until ``decay^s`` is
    negligible. Any length, no loop, linear in time (a matrix of powers would be quadratic).
    """
    first = ops.cast(ops.arange(ops.shape(x)[1], dtype="int32") == 0, x.dtype)[None, :, None]
    y = x * ((1.0 - decay) + decay * first)
    distance = 1
    while decay**distance > NEGLIGIBLE:
        y = y + decay**distance * shift(y, distance)
        distance *= 2
    return y


def moving_sum(x: Tensor, steps: int) -> Tensor:
    """Sum of the last ``steps`` steps (fewer at the start) along axis 1 of ``(batch, time, channels)``.

    Sums of 1, 2, 4, ... steps by shifting, and those that make up ``steps`` joined: exact at any length, where a
    difference of cumulated sums would lose digits.
    """
    total, reach, power, span = None, 0, x, 1
    while True:
        if steps & span:
            part = shift(power, reach) if reach else power
            total, reach = part if total is None else total + part, reach + span
        if 2 * span > steps:
            return total
        power, span = power + shift(power, span), 2 * span


@package
class History(Float32Layer):
    """Append history channels to scaled channels.

    Output order: the channels themselves, one exponentially weighted mean per decay, running mean,
    baseline deviation, moving means, elapsed. With ``signals`` S and t counted from the window's first step:

    - ewm: ``y_0 = x_0, y_t = a y_(t-1) + (1 - a) x_t`` (S channels each); state: y.
    - running_mean: mean of steps 0..t (S); state: sum, count.
    - baseline n: deviation of the first ewm (of the signal if there is none) from the mean of the
      unit's own first n steps, as far as seen (S); state: sum of the first n, count.
    - means n: mean of the last n steps, as far as there are (S each); state: the last n - 1 steps.
    - elapsed c: ``(t + 1) / c`` (1); state: count.

    Args:
        history: ``HistoryConfig`` as plain values.
        signals: how many of the first channels are signals (indicators are passed on only).
    """

    def __init__(self, history: dict[str, Any], signals: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)  # long sums do not fit half precision
        self.history, self.signals = history, signals
        self.config = HistoryConfig.model_validate(history)

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, time, channels + history)``; 0 at padding."""
        config, signal = self.config, x[:, :, : self.signals]
        count = ops.cast(ops.arange(ops.shape(x)[1], dtype="int32") + 1, "float32")[None, :, None]
        means = [exponential_mean(signal, decay) for decay in config.ewm]
        channels = [x, *means]
        if config.running_mean:
            channels.append(ops.cumsum(signal, axis=1) / count)
        if config.baseline:
            early = ops.cast(count <= config.baseline, "float32")
            own = ops.cumsum(signal * early, axis=1) / ops.minimum(count, float(config.baseline))
            channels.append((means[0] if means else signal) - own)
        channels += [moving_sum(signal, steps) / ops.minimum(count, float(steps)) for steps in config.means]
        if config.elapsed:
            channels.append(ops.ones_like(x[:, :, :1]) * (count / config.elapsed))
        return zero_padding(ops.concatenate(channels, axis=-1), lengths)

    def initial_state(self, batch: int) -> dict[str, Any]:
        """State before the first step: arrays of constant size, float32."""
        zeros = np.zeros((batch, self.signals), np.float32)
        recent = np.zeros((batch, max(self.config.means, default=1) - 1, self.signals), np.float32)
        return ({"recent": recent} if self.config.means else {}) | {
            "count": np.zeros((batch, 1), np.float32),
            "ewm": np.zeros((batch, len(self.config.ewm), self.signals), np.float32),
            "total": zeros,
            "early": zeros.copy(),
        }

    def step(self, x: Tensor, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """One time step: ``(batch, channels)`` and state to ``(batch, channels + history)`` and state."""
        config, signal = self.config, x[:, : self.signals]
        count = state["count"] + 1.0
        ewm, channels = state["ewm"], [x]
        if config.ewm:
            decay = np.asarray(config.ewm, np.float32)[:, None]
            new = signal[:, None]
            ewm = ops.where(count[:, :, None] == 1.0, new + 0.0 * ewm, decay * ewm + (1.0 - decay) * new)
            channels += [ewm[:, i] for i in range(len(config.ewm))]
        total, early = state["total"] + signal, state["early"]
        if config.running_mean:
            channels.append(total / count)
        if config.baseline:
            early = early + signal * ops.cast(count <= config.baseline, "float32")
            own = early / ops.minimum(count, float(config.baseline))
            channels.append((ewm[:, 0] if config.ewm else signal) - own)
        new_state = {"count": count, "ewm": ewm, "total": total, "early": early}
        if config.means:
            recent = ops.concatenate([state["recent"], signal[:, None]], axis=1)
            new_state["recent"] = recent[:, 1:]
            channels += [ops.sum(recent[:, -n:], axis=1) / ops.minimum(count, float(n)) for n in config.means]
        if config.elapsed:
            channels.append(count / config.elapsed)
        return ops.concatenate(channels, axis=-1), new_state

    def added(self) -> int:
        """How many channels are appended."""
        config = self.config
        per_signal = len(config.ewm) + len(config.means) + int(config.running_mean) + int(config.baseline > 0)
        return per_signal * self.signals + int(config.elapsed > 0)

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        """More channels, nothing else."""
        return (*x_shape[:-1], x_shape[-1] + self.added())


def wanted(config: HistoryConfig) -> bool:
    """Whether any history channel is configured."""
    return bool(config.ewm or config.means or config.running_mean or config.baseline or config.elapsed)
