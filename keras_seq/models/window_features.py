"""Statistics of a window inside the graph: what trees and ridge regression read instead of steps.

The numpy twins are ``rich_features`` and ``window_features`` in ``keras_seq.data.features``.
Missing values are skipped or already filled, padding changes nothing, and no operator loops over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Unpack

import numpy as np
import tensorflow as tf

from keras_seq.data.features.window_settings import LAGS, MOST_PAIRED, QUANTILES, RECENT_LAGS, SEGMENTS, THRESHOLDS
from keras_seq.models.blocks import shift, step_mask
from keras_seq.models.layer import ConfiguredLayer, Float32Layer, SameShape, package
from keras_seq.models.preprocess import LARGEST, finite
from keras_seq.models.tensor import LayerOptions, Shape, Tensor


@package
class WindowFeatures(Float32Layer):
    """Level, spread, extremes, quantiles, slope, segments, motion and correlations of whole windows.

    Input are raw values (NaN where missing) of which ``(x - center) / scale`` is measured: trees do not mind the
    shift, and sums of small numbers keep their digits. Per channel: mean, deviation, last value, least and largest
    and their positions, quantiles, slope, means of equal segments and their differences, mean and deviation of
    steps, threshold crossings; per ordered pair of the first channels: correlations at ``LAGS``. Where nothing is
    left to measure the feature is 0.

    Args:
        center: per channel, raw units.
        scale: per channel, raw units.
        length: append the number of steps.
    """

    def __init__(
        self, center: Sequence[float], scale: Sequence[float], length: bool = True, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.center, self.scale, self.length = list(center), list(scale), length

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, features)``, float32."""
        count = _count(x, lengths)
        x, observed = finite(x)
        seen = tf.cast(tf.logical_and(observed, step_mask(x, count)), tf.float32)
        x = x * seen  # before scaling: the largest number over a scale below 1 is infinite, and times 0 no number
        x = (x - np.asarray(self.center, np.float32)) / np.asarray(self.scale, np.float32) * seen
        mean, deviation = _moments(x, seen)
        centred = (x - mean[:, None]) * seen
        constant = deviation <= 1e-6 * tf.maximum(tf.abs(mean), 1e-6)
        scaled = centred / tf.where(constant, tf.ones_like(deviation), deviation)[:, None]
        scaled = scaled * (1.0 - tf.cast(constant, tf.float32))[:, None]
        parts = [mean, deviation, *_levels(x, seen, count), *_segments(x, centred, seen, count)]
        parts += [*_motion(scaled, seen), *_correlations(scaled, seen)]
        if self.length:
            parts.append(tf.cast(count, tf.float32)[:, None])
        return tf.concat(parts, axis=1)

    def compute_output_shape(self, x_shape: Shape, lengths_shape: Shape | None = None) -> Shape:
        """Time is measured away."""
        return (x_shape[0], self.count(x_shape[-1]))

    def count(self, channels: int) -> int:
        """Number of features of so many channels."""
        paired = min(channels, MOST_PAIRED)
        each = 2 + 5 + len(QUANTILES) + 1 + 2 * SEGMENTS - 1 + 2 + len(THRESHOLDS)
        alone = len(LAGS) * channels if channels > MOST_PAIRED else 0
        return each * channels + (1 + len(LAGS)) * paired**2 + alone + int(self.length)


def _count(x: Tensor, lengths: Tensor) -> Tensor:
    """Real steps of each window, int32 ``(batch,)``."""
    shape = tf.shape(x)
    return tf.fill(shape[:1], shape[1]) if lengths is None else tf.minimum(tf.cast(lengths, tf.int32), shape[1])


def _total(x: Tensor) -> Tensor:
    return tf.reduce_sum(x, axis=1)


def _moments(x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over seen steps, ``(batch, channels)`` each."""
    count = tf.maximum(_total(seen), 1.0)
    mean = _total(x) / count
    return mean, tf.sqrt(_total(tf.square((x - mean[:, None]) * seen)) / count)


def _levels(x: Tensor, seen: Tensor, count: Tensor) -> list[Tensor]:
    """Last seen value, extremes and their places (share of the length), quantiles (nearest ranks)."""
    steps = tf.range(tf.shape(x)[1])
    known = _total(seen)
    any_seen = tf.cast(known > 0, tf.float32)
    clock = tf.cast(steps, tf.float32)[None, :, None]
    latest = tf.reduce_max(clock * seen, axis=1)
    last = _total(x * tf.cast(tf.equal(clock, latest[:, None]), tf.float32) * seen)
    low, high = x + (1.0 - seen) * LARGEST, x - (1.0 - seen) * LARGEST
    length = tf.maximum(tf.cast(count, tf.float32), 1.0)[:, None]
    parts = [last, tf.reduce_min(low, axis=1) * any_seen, tf.reduce_max(high, axis=1) * any_seen]
    parts += [tf.cast(tf.argmin(low, axis=1, output_type=tf.int32), tf.float32) / length]
    parts += [tf.cast(tf.argmax(high, axis=1, output_type=tf.int32), tf.float32) / length]
    ordered = tf.sort(tf.transpose(low, (0, 2, 1)), axis=-1)
    width = tf.shape(ordered)[-1]
    rows = tf.range(tf.reduce_prod(tf.shape(known))) * width  # one gather with plain indices converts everywhere
    flat = tf.reshape(ordered, (-1,))
    for quantile in QUANTILES:
        at = tf.cast(tf.round(quantile * tf.maximum(known - 1.0, 0.0)), tf.int32)
        values = tf.gather(flat, rows + tf.reshape(at, (-1,)))
        parts.append(tf.reshape(values, tf.shape(known)) * any_seen)
    return parts


def _segments(x: Tensor, centred: Tensor, seen: Tensor, count: Tensor) -> list[Tensor]:
    """Slope per step, means of equal segments, and how they change."""
    steps = tf.range(tf.shape(x)[1])
    clock = tf.cast(steps, tf.float32)[None, :, None]
    middle = _total(clock * seen) / tf.maximum(_total(seen), 1.0)
    clock = (clock - middle[:, None]) * seen
    spread = _total(tf.square(clock))
    slope = _total(clock * centred) / tf.where(spread > 0, spread, tf.ones_like(spread))
    segment = steps[None, :] * SEGMENTS // tf.maximum(count, 1)[:, None]
    inside = tf.cast(tf.equal(segment[:, None, :], tf.range(SEGMENTS)[None, :, None]), tf.float32)
    amount = tf.matmul(inside, seen)
    filled = tf.cast(amount > 0, tf.float32)
    means = tf.matmul(inside, x) / tf.maximum(amount, 1.0)
    each = [means[:, i] for i in range(SEGMENTS)]
    present = [filled[:, i] for i in range(SEGMENTS)]
    pairs = zip(pairwise(each), pairwise(present), strict=True)
    return [slope, *each, *((late - early) * a * b for (early, late), (a, b) in pairs)]


def _motion(scaled: Tensor, seen: Tensor) -> list[Tensor]:
    """Mean and deviation of steps, and how often thresholds are crossed, per step."""
    both = seen[:, 1:] * seen[:, :-1]
    count = tf.maximum(_total(both), 1.0)
    change = (scaled[:, 1:] - scaled[:, :-1]) * both
    parts = [_total(tf.abs(change)) / count, tf.sqrt(_total(tf.square(change)) / count)]
    for threshold in THRESHOLDS:
        above = tf.cast(scaled > threshold, tf.float32)
        parts.append(_total(tf.abs(above[:, 1:] - above[:, :-1]) * both) / count)
    return parts


def _correlations(scaled: Tensor, seen: Tensor) -> list[Tensor]:
    """Auto- and cross-correlations of the first channels per lag; autocorrelations if there are more."""
    channels, paired = scaled.shape[-1], min(scaled.shape[-1], MOST_PAIRED)
    parts = []
    for lag in (0, *LAGS):
        late, known = (shift(v, -lag) if lag else v for v in (scaled, seen))
        both = tf.matmul(seen[:, :, :paired], known[:, :, :paired], transpose_a=True)
        product = tf.matmul(scaled[:, :, :paired], late[:, :, :paired], transpose_a=True)
        parts.append(tf.reshape(product / tf.maximum(both, 1.0), (-1, paired * paired)))
        if lag and channels > MOST_PAIRED:
            parts.append(_total(scaled * late) / tf.maximum(_total(seen * known), 1.0))
    return parts


@package
class RecentFeatures(Float32Layer):
    """Last value, changes up to it, and how it stands to the window: what sliding windows tell trees.

    Per channel of scaled, filled input: the last value, its change over ``RECENT_LAGS`` steps (beyond the first row:
    since the first row), last value less the mean of 5 steps and of the window, deviation, slope per step.
    """

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, 14 * channels)``, float32."""
        steps = tf.shape(x)[1]
        count = _count(x, lengths)
        last = tf.maximum(count - 1, 0)
        value = _row(x, last)
        clock = tf.range(steps)[None, :]
        recent = tf.cast(tf.logical_and(clock > last[:, None] - 5, clock <= last[:, None]), tf.float32)[:, :, None]
        real = tf.cast(clock < count[:, None], tf.float32)[:, :, None]
        mean, deviation = _moments(x * real, real * tf.ones_like(x))
        centre = (tf.cast(count, tf.float32) - 1.0) / 2.0
        lever = (tf.cast(clock, tf.float32) - centre[:, None])[:, :, None] * real
        spread = _total(tf.square(lever))
        slope = _total(lever * (x - mean[:, None])) / tf.where(spread > 0, spread, tf.ones_like(spread))
        changes = [value - _row(x, tf.maximum(last - lag, 0)) for lag in RECENT_LAGS]
        short = _total(x * recent) / tf.maximum(_total(recent), 1.0)
        return tf.concat([value, *changes, value - short, value - mean, deviation, slope], axis=1)

    def compute_output_shape(self, x_shape: Shape, lengths_shape: Shape | None = None) -> Shape:
        """Time is measured away."""
        return (x_shape[0], (5 + len(RECENT_LAGS)) * x_shape[-1])


@package
class Grid(SameShape, Float32Layer):
    """Features rounded to multiples of a step, for trees.

    Sensors have levels, whose differences vary by what float32 rounds (0 and 1e-8, where nothing has changed). Trees
    find splits within such a cluster, and then answer otherwise wherever a sum is taken in another order.

    Args:
        step: a power of two, so that multiples are exact.
    """

    def __init__(self, step: float, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.step = step

    def call(self, x: Tensor) -> Tensor:
        """``(..., features)`` to the same."""
        return tf.round(x / self.step) * self.step


def _row(x: Tensor, step: Tensor) -> Tensor:
    """Step ``step (batch,)`` of each window, ``(batch, channels)``."""
    shape = tf.shape(x)
    return tf.gather(tf.reshape(x, (-1, x.shape[-1])), tf.range(shape[0]) * shape[1] + step)


@package
class Channels(ConfiguredLayer):
    """Some of the channels.

    Args:
        index: their positions on the last axis.
    """

    def __init__(self, index: tuple[int, ...] | list[int], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.index = list(index)

    def call(self, x: Tensor) -> Tensor:
        """``(..., channels)`` to ``(..., chosen)``."""
        return tf.gather(x, self.index, axis=-1)

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        """As many channels as chosen."""
        return (*x_shape[:-1], len(self.index))


@package
class Lags(ConfiguredLayer):
    """The last steps of each window, latest first; beyond the first step it is repeated.

    Args:
        count: how many.
    """

    def __init__(self, count: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.count = count

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, channels, count)``."""
        shape = tf.shape(x)
        count = _count(x, lengths)
        step = tf.maximum(count[:, None] - 1 - tf.range(self.count)[None, :], 0)
        rows = tf.reshape(tf.range(shape[0])[:, None] * shape[1] + step, (-1,))
        values = tf.gather(tf.reshape(x, (-1, x.shape[-1])), rows)
        return tf.transpose(tf.reshape(values, (-1, self.count, x.shape[-1])), (0, 2, 1))

    def compute_output_shape(self, x_shape: Shape, lengths_shape: Shape | None = None) -> Shape:
        """Channels before lags."""
        return (x_shape[0], x_shape[-1], self.count)


@package
class LagLinear(Float32Layer):
    """A linear map from each channel's lags to its horizon, about the window's level; weights are fitted elsewhere.

    Args:
        horizon: steps ahead.
        centre: the level taken away before and added after: the ``last`` value or the ``mean`` of the lags.
        lags: how many of the inputs are lags; those behind them have no part in the level. None: all.
    """

    def __init__(self, horizon: int, centre: str, lags: int | None = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.horizon, self.centre, self.lags = horizon, centre, lags

    def build(self, input_shape: Shape) -> None:
        """``kernel (channels, lags, horizon)`` and ``bias (channels, horizon)``."""
        _, channels, lags = input_shape
        self.kernel = self.add_weight(shape=(channels, lags, self.horizon), name="kernel", trainable=False)
        self.bias = self.add_weight(shape=(channels, self.horizon), name="bias", trainable=False)

    def call(self, lags: Tensor) -> Tensor:
        """``(batch, channels, lags)`` to ``(batch, horizon, channels)``."""
        past, beside = (lags, None) if self.lags is None else (lags[:, :, : self.lags], lags[:, :, self.lags :])
        level = past[:, :, :1] if self.centre == "last" else tf.reduce_mean(past, axis=-1, keepdims=True)
        moves = past - level if beside is None else tf.concat([past - level, beside], axis=-1)
        by_channel = tf.transpose(moves, (1, 0, 2))
        answer = tf.transpose(tf.matmul(by_channel, self.kernel), (1, 0, 2)) + self.bias + level
        return tf.transpose(answer, (0, 2, 1))

    def compute_output_shape(self, lags_shape: Shape) -> Shape:
        """Horizon before channels, as every forecast."""
        return (lags_shape[0], self.horizon, lags_shape[1])
