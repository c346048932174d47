"""The window cutter: batches of windows, their targets and weights, gathered inside the graph from rows in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.data.windows import WindowIndex

Batch = tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]  # inputs, targets, weights


class WindowRows(NamedTuple):
    """Rows, and the windows that lie in them: of a whole series, or of the blocks that were read of one.

    Attributes:
        values: float32 ``(rows, features)``.
        targets: float32 ``(rows, targets)``, or ``(units, targets)`` where a unit has one answer.
        start: first row of each window, int64 ``(windows,)``.
        length: its real rows, int32 ``(windows,)``.
        answer: row of its (first) target, int64 ``(windows,)``.
        first: row before which a target per step belongs to another part, int64 ``(windows,)``.
    """

    values: Any
    targets: Any
    start: Any
    length: Any
    answer: Any
    first: Any


def window_rows(
    values: NDArray[np.float32],
    targets: NDArray[np.float32],
    windows: WindowIndex,
    shift: NDArray[np.int64] | int,
    spec: DataSpec,
    config: DataConfig,
    *,
    per_unit: bool,
) -> WindowRows:
    """Rows and the windows in them; ``shift`` is added to the windows' row numbers. Targets are capped."""
    if config.target_cap is not None and not spec.classifies:
        targets = np.minimum(targets, np.float32(config.target_cap))
    answer = windows.unit if per_unit else windows.target + shift
    length = windows.length.astype(np.int32)
    return WindowRows(values, targets, windows.start + shift, length, answer, windows.first + shift)


def series_rows(series: Series, index: WindowIndex, spec: DataSpec, config: DataConfig) -> WindowRows:
    """A series in memory as tensors on the CPU."""
    per_unit = series.schema.target_per == "unit"
    with tf.device("CPU:0"):
        return WindowRows(
            *map(
                tf.convert_to_tensor,
                window_rows(series.values, _with_bounds(series), index, 0, spec, config, per_unit=per_unit),
            )
        )


def _with_bounds(series: Series) -> NDArray[np.float32]:
    """Targets, and behind them their lower bounds where units are censored."""
    return series.targets if series.bounds is None else np.concatenate([series.targets, series.bounds], axis=1)


class WindowCutter:
    """Cuts batches as ``make_dataset`` describes them.

    Args:
        spec: of the model.
        config: bucket of padded lengths.
        gaps: whether a target may be missing.
    """

    def __init__(self, spec: DataSpec, config: DataConfig, *, gaps: bool) -> None:
        self.spec, self.config, self.gaps = spec, config, gaps

    def __call__(self, rows: WindowRows, numbers: tf.Tensor) -> Batch:
        """Inputs, targets and weights of windows ``numbers (batch,)``; one written ``~number`` weighs nothing."""
        inputs, targets, weights = self._cut(rows, tf.where(numbers < 0, -1 - numbers, numbers))
        real = tf.cast(numbers >= 0, tf.float32)
        return inputs, targets, weights * (real[:, None] if self.spec.weighs_steps else real)

    def _cut(self, rows: WindowRows, numbers: tf.Tensor) -> Batch:
        start = tf.gather(rows.start, numbers)
        length: tf.Tensor = tf.gather(rows.length, numbers) if self.spec.variable_length else self.spec.time
        steps = self._steps(length)
        places = start[:, None] + tf.cast(steps, tf.int64)
        if not self.spec.variable_length:
            inputs, real = {"values": tf.gather(rows.values, places)}, tf.constant(True)
        else:  # padding: read the window's last row, then write zeros
            last = start + tf.cast(length, tf.int64) - 1
            places, real = tf.minimum(places, last[:, None]), steps < length[:, None]
            inputs = {"values": tf.where(real[:, :, None], tf.gather(rows.values, places), 0.0), "lengths": length}
        return (inputs, *self._targets(rows, numbers, places, real))

    def _steps(self, length: tf.Tensor | int) -> tf.Tensor:
        """``(time,)`` numbers of the batch's steps."""
        if not self.spec.variable_length:
            return tf.range(self.spec.time, dtype=tf.int32)
        bucket = self.config.bucket
        time = tf.minimum(-(-tf.reduce_max(length) // bucket) * bucket, self.spec.time)
        return tf.range(time, dtype=tf.int32)

    def _targets(
        self, rows: WindowRows, numbers: tf.Tensor, places: tf.Tensor, real: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if self.spec.per_step:
            targets, sign = self._truths(tf.gather(rows.targets, places))
            owned = places >= tf.gather(rows.first, numbers)[:, None]
            known = real & owned & tf.reduce_all(tf.math.is_finite(targets), axis=-1)
            weights = sign * tf.cast(known, tf.float32)
            return _as_task(tf.where(known[:, :, None], targets, 0.0), self.spec.task), weights
        answer = tf.gather(rows.answer, numbers)
        if self.spec.horizon:
            answer = answer[:, None] + tf.range(self.spec.horizon, dtype=tf.int64)
        weights = tf.ones_like(answer, tf.float32)
        targets, sign = self._truths(tf.gather(rows.targets, answer))
        if self.gaps:
            known = tf.math.is_finite(targets)
            weights = sign * tf.cast(tf.reduce_all(known, axis=-1), tf.float32)
            targets = tf.where(known, targets, 0.0)
        return _as_task(targets, self.spec.task), weights

    def _truths(self, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | float]:
        """Targets, a lower bound where only that is known; and the sign of their weights, -1 for a bound."""
        count = len(self.spec.targets)
        if not self.spec.censored or targets.shape[-1] == count:
            return targets, 1.0
        targets, bounds = targets[..., :count], targets[..., count:]
        bound = tf.reduce_all(tf.math.is_finite(bounds), axis=-1)
        return tf.where(bound[..., None], bounds, targets), tf.where(bound, -1.0, 1.0)


def _as_task(targets: tf.Tensor, task: str) -> tf.Tensor:
    """Targets ``(..., targets)`` as losses take them: class numbers ``(...)`` int32, 0/1 ``(..., 1)``, or values."""
    if task == "multiclass":
        return tf.cast(targets[..., 0], tf.int32)
    return targets[..., :1] if task == "binary" else targets
