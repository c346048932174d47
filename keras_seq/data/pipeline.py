"""``tf.data`` batches: windows are cut inside the pipeline, one gather per batch, never materialised."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from keras_seq.config import DataConfig
from keras_seq.data.augment import Augmenter
from keras_seq.data.epoch_order import epoch_plan, steps_per_epoch
from keras_seq.data.memory import keep_freed_memory
from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.data.store import is_stored
from keras_seq.data.stream import BlockReader
from keras_seq.data.windows import WindowIndex
from keras_seq.errors import ConfigError

__all__ = ["make_dataset", "steps_per_epoch"]

ENDLESS = 2**31 - 1
Batch = tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]  # inputs, targets, weights


def make_dataset(
    series: Series,
    index: WindowIndex,
    spec: DataSpec,
    config: DataConfig,
    *,
    batch_size: int,
    training: bool,
    seed: int = 0,
    first_epoch: int = 0,
) -> tf.data.Dataset:
    """Batches ``(inputs, targets, weights)`` of windows.

    - inputs: ``{"values": (batch, time, features) float32}`` in raw units, NaN kept, zeros after a window's
      end; if ``spec.variable_length`` also ``"lengths": (batch,) int32``, and time is the batch's longest
      window rounded up to a multiple of ``config.bucket`` (at most ``spec.time``).
    - targets: regression ``(batch, targets)`` or, per step, ``(batch, time, targets)``; forecast
      ``(batch, horizon, targets)``; binary ``(batch, 1)`` float32; multiclass ``(batch,)`` int32 (float32
      ``(batch, classes)`` when mixup is on, in training). Capped at ``config.target_cap``.
    - weights: float32 ``(batch,)``, or per step ``(batch, time)``: 0 on padding, on missing targets and on
      steps whose target belongs to an earlier part of a split by time.

    Args:
        series: the data, in memory or in a store on disk.
        index: windows of one part.
        spec: fitted on the train part.
        config: bucket, shuffle, balance, augment, prefetch.
        batch_size: windows in a batch.
        training: an endless data set of ``steps_per_epoch(index, batch_size, shuffle=config.shuffle)`` equal batches
            per epoch, whose order depends only on ``seed`` and the number of the epoch; otherwise one pass in order,
            the last batch may be smaller.
        seed: of order and augmentation.
        first_epoch: number of the first epoch: a resumed run sees the batches it would have seen.
    """
    keep_freed_memory()
    if is_stored(series):
        dataset = _streamed(BlockReader(series, index, spec, config, batch_size), spec, training, seed, first_epoch)
    else:
        cutter = _Cutter(series, index, spec, config)
        if training:
            numbers = _training_numbers(series, index, spec, config, batch_size, seed, first_epoch)
        else:
            numbers = tf.data.Dataset.range(len(index)).batch(batch_size)
        dataset = numbers.map(cutter)
    if training:
        first_step = first_epoch * steps_per_epoch(index, batch_size, shuffle=config.shuffle)
        dataset = _augmented(dataset, _augmenter(series, index, spec, config), seed, first_step)
    return _with_options(dataset.prefetch(config.prefetch))


def _augmented(dataset: tf.data.Dataset, augmenter: Augmenter, seed: int, first_step: int) -> tf.data.Dataset:
    """Training batches, changed by (seed, number of the step since the run's very first)."""
    if not augmenter.active:
        return dataset

    def change(step: tf.Tensor, batch: Batch) -> Batch:
        inputs, targets, weights = batch
        return augmenter(inputs, targets, weights, tf.stack([tf.constant(seed, tf.int64), step]))

    return tf.data.Dataset.zip(tf.data.Dataset.counter(start=first_step), dataset).map(change)


def _streamed(reader: BlockReader, spec: DataSpec, training: bool, seed: int, first_epoch: int) -> tf.data.Dataset:
    """Batches that a reader cuts from blocks on disk."""
    batch = reader.batch_size if training else None
    time = None if spec.variable_length else spec.time
    inputs = {"values": tf.TensorSpec((batch, time, len(spec.features)), tf.float32)}
    if spec.variable_length:
        inputs["lengths"] = tf.TensorSpec((batch,), tf.int32)
    width = 1 if spec.task == "binary" else len(spec.targets)
    targets = tf.TensorSpec((batch, width), tf.float32)
    if spec.task == "multiclass":
        targets = tf.TensorSpec((batch,), tf.int32)
    elif spec.per_step or spec.horizon:
        targets = tf.TensorSpec((batch, time if spec.per_step else spec.horizon, width), tf.float32)
    weights = tf.TensorSpec((batch, time) if spec.per_step else (batch,), tf.float32)
    return tf.data.Dataset.from_generator(
        lambda: reader.training(seed, first_epoch) if training else reader.in_order(),
        output_signature=(inputs, targets, weights),
    )


def _training_numbers(
    series: Series,
    index: WindowIndex,
    spec: DataSpec,
    config: DataConfig,
    batch_size: int,
    seed: int,
    first_epoch: int,
) -> tf.data.Dataset:
    """Endless data set of window numbers ``(batch,)``; the next epoch is planned while one runs."""
    labels = _window_labels(series, index, spec) if config.balance == "oversample" else None
    batch = min(batch_size, len(index))

    def plans() -> Iterator[np.ndarray]:
        for epoch in range(first_epoch, ENDLESS):
            yield epoch_plan(
                index.length,
                batch if not config.shuffle else batch_size,
                seed=seed,
                epoch=epoch,
                shuffle=config.shuffle,
                group_lengths=spec.variable_length,
                labels=labels,
            )

    shape = tf.TensorSpec((steps_per_epoch(index, batch_size, shuffle=config.shuffle), batch), tf.int64)
    epochs = tf.data.Dataset.from_generator(plans, output_signature=shape).prefetch(1)
    return epochs.unbatch()


def _augmenter(series: Series, index: WindowIndex, spec: DataSpec, config: DataConfig) -> Augmenter:
    rarest = 1
    if config.augment.minority_only:
        if not spec.classifies:
            raise ConfigError(
                f"data.augment.minority_only=true needs classes, but the task is '{spec.task}'. Set it to false."
            )
        classes, counts = np.unique(_window_labels(series, index, spec), return_counts=True)
        rarest = int(classes[counts.argmin()])
    return Augmenter(config.augment, spec, keep_end=series.schema.target_per == "step", rarest=rarest)


def _window_labels(series: Series, index: WindowIndex, spec: DataSpec) -> np.ndarray:
    if not spec.classifies:
        raise ConfigError(
            f"data.balance=oversample needs classes, but the task is '{spec.task}'. Set data.balance=none."
        )
    rows = index.unit if series.schema.target_per == "unit" else index.target
    return np.asarray(series.targets[rows])[:, 0].astype(np.int64)


def _with_options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False  # with it on, fit stalls at each epoch's end
    options.deterministic = True
    return dataset.with_options(options)


class _Cutter:
    """Cuts one batch of windows out of the series, inside the graph."""

    def __init__(self, series: Series, index: WindowIndex, spec: DataSpec, config: DataConfig) -> None:
        self.spec, self.config = spec, config
        targets = series.targets
        if config.target_cap is not None and not spec.classifies:
            targets = np.minimum(targets, np.float32(config.target_cap))
        self.gaps = bool(np.isnan(targets).any())
        self.per_unit = series.schema.target_per == "unit"
        with tf.device("CPU:0"):
            self.values = tf.convert_to_tensor(series.values)
            self.targets = tf.convert_to_tensor(targets)
            self.start = tf.convert_to_tensor(index.start)
            self.length = tf.convert_to_tensor(index.length.astype(np.int32)) if spec.variable_length else None
            self.unit = tf.convert_to_tensor(index.unit.astype(np.int32)) if self.per_unit else None
            self.first = tf.convert_to_tensor(index.first) if spec.per_step else None

    def __call__(self, numbers: tf.Tensor) -> Batch:
        """Inputs, targets and weights of windows ``numbers (batch,)``; one written ``~number`` weighs nothing."""
        inputs, targets, weights = self._cut(tf.where(numbers < 0, -1 - numbers, numbers))
        real = tf.cast(numbers >= 0, tf.float32)
        return inputs, targets, weights * (real[:, None] if self.spec.per_step else real)

    def _cut(self, numbers: tf.Tensor) -> Batch:
        start = tf.gather(self.start, numbers)
        length: tf.Tensor = tf.gather(self.length, numbers) if self.spec.variable_length else self.spec.time
        steps = self._steps(length)
        rows = start[:, None] + tf.cast(steps, tf.int64)
        last = start + tf.cast(length, tf.int64) - 1
        if not self.spec.variable_length:
            inputs, real = {"values": tf.gather(self.values, rows)}, tf.constant(True)
        else:  # padding: read the window's last row, then write zeros
            rows, real = tf.minimum(rows, last[:, None]), steps < length[:, None]
            inputs = {"values": tf.where(real[:, :, None], tf.gather(self.values, rows), 0.0), "lengths": length}
        return (inputs, *self._targets(numbers, rows, real, last))

    def _steps(self, length: tf.Tensor | int) -> tf.Tensor:
        """``(time,)`` numbers of the batch's steps."""
        if not self.spec.variable_length:
            return tf.range(self.spec.time, dtype=tf.int32)
        bucket = self.config.bucket
        time = tf.minimum(-(-tf.reduce_max(length) // bucket) * bucket, self.spec.time)
        return tf.range(time, dtype=tf.int32)

    def _targets(
        self, numbers: tf.Tensor, rows: tf.Tensor, real: tf.Tensor, last: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if self.spec.per_step:
            targets = tf.gather(self.targets, rows)
            owned = rows >= tf.gather(self.first, numbers)[:, None]
            known = real & owned & tf.reduce_all(tf.math.is_finite(targets), axis=-1)
            return tf.where(known[:, :, None], targets, 0.0), tf.cast(known, tf.float32)
        answer = tf.gather(self.unit, numbers) if self.per_unit else last
        weights = tf.ones_like(last, tf.float32)
        if self.spec.horizon:
            answer = last[:, None] + tf.range(1, self.spec.horizon + 1, dtype=tf.int64)
        targets = tf.gather(self.targets, answer)
        if self.gaps:
            known = tf.math.is_finite(targets)
            whole = tf.reduce_all(known, axis=list(range(1, targets.shape.rank)))
            targets, weights = tf.where(known, targets, 0.0), tf.cast(whole, tf.float32)
        if self.spec.task == "multiclass":
            return tf.cast(targets[:, 0], tf.int32), weights
        return targets[:, :1] if self.spec.task == "binary" else targets, weights
