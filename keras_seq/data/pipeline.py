"""``tf.data`` batches: windows are cut inside the pipeline, one gather per batch, never materialised."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from keras_seq.config import DataConfig
from keras_seq.data.augment import Augmenter
from keras_seq.data.cutter import Batch, WindowCutter, WindowRows, series_rows
from keras_seq.data.epoch_order import epoch_plan, steps_per_epoch
from keras_seq.data.memory import keep_freed_memory
from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.data.store.series import is_stored
from keras_seq.data.stream import BlockReader
from keras_seq.data.windows import WindowIndex
from keras_seq.errors import ConfigError

__all__ = ["make_dataset", "steps_per_epoch"]

ENDLESS = 2**31 - 1


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
      ``(batch, horizon, targets)``; binary ``(batch[, time], 1)`` float32; multiclass ``(batch[, time])`` int32
      (float32 with ``classes`` as last axis when mixup is on, in training). Capped at ``config.target_cap``.
    - weights: float32 ``(batch,)``, per step ``(batch, time)``, of forecasts ``(batch, horizon)``: 0 on padding, on
      missing targets and on steps whose target belongs to an earlier part of a split by time. Below 0: the target is
      a lower bound (``Series.bounds``), and the weight is what is left without the sign.

    Args:
        series: the data, in memory or on disk.
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
        cutter = WindowCutter(spec, config, gaps=True)
        dataset = _streamed(BlockReader(series, index, spec, config, batch_size), cutter, training, seed, first_epoch)
    else:
        cutter = WindowCutter(spec, config, gaps=bool(np.isnan(series.targets).any()))
        rows = series_rows(series, index, spec, config)
        if training:
            numbers = _training_numbers(series, index, spec, config, batch_size, seed, first_epoch)
        else:
            numbers = tf.data.Dataset.range(len(index)).batch(batch_size)
        dataset = numbers.map(lambda chosen: cutter(rows, chosen))
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


def _streamed(
    reader: BlockReader, cutter: WindowCutter, training: bool, seed: int, first_epoch: int
) -> tf.data.Dataset:
    """Batches cut from pools of blocks that a reader brings from disk."""
    series, batch = reader.series, reader.batch_size
    columns, targets = len(series.schema.columns), len(series.schema.targets)
    row = tf.TensorSpec((None,), tf.int64)
    rows = WindowRows(
        tf.TensorSpec((None, columns), tf.float32),
        tf.TensorSpec((None, targets), tf.float32),
        *(row, tf.TensorSpec((None,), tf.int32), row, row),
    )
    pools = tf.data.Dataset.from_generator(
        lambda: reader.training(seed, first_epoch) if training else reader.in_order(),
        output_signature=(rows, tf.TensorSpec((None, batch) if training else (None,), tf.int64)),
    )

    def batches(rows: WindowRows, numbers: tf.Tensor) -> tf.data.Dataset:
        of_pool = tf.data.Dataset.from_tensor_slices(numbers)
        return (of_pool if training else of_pool.batch(batch)).map(lambda chosen: cutter(rows, chosen))

    return pools.prefetch(1).flat_map(batches)


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
        if spec.per_step:
            raise ConfigError(
                "data.augment.minority_only=true changes windows of the rarest class, but with "
                "data.windows.per_step=true every step of a window has a class of its own. Set it to false."
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
