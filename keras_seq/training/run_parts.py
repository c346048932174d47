"""The parts of a training that its configuration and data decide: batches, XLA, validation, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_seq.config import Experiment, TrainingConfig
from keras_seq.data.pipeline import make_dataset
from keras_seq.errors import TrainingError
from keras_seq.machine import threads_here
from keras_seq.training.compiled import XlaPlan, plan_step
from keras_seq.training.loss_scale import LossScale
from keras_seq.training.monitors import Validation
from keras_seq.training.single_process import SingleProcess

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from keras_seq.data.prepare import Prepared

VALIDATION_BATCH = 256


def make_batches(experiment: Experiment, prepared: Prepared, *, first_epoch: int) -> tf.data.Dataset:
    """Training batches ``(inputs, targets, weights)`` without end, from the epoch ``first_epoch`` (from 0) on."""
    return make_dataset(
        prepared.series,
        prepared.index["train"],
        prepared.spec,
        experiment.data,
        batch_size=experiment.training.batch_size,
        training=True,
        seed=experiment.seed,
        first_epoch=first_epoch,
    )


def choose_plan(experiment: Experiment, model: keras.Model, prepared: Prepared, *, gpu: bool) -> XlaPlan:
    """Plan of XLA for the training step; see ``plan_step``."""
    lengths, bucket = prepared.index["train"].length, experiment.data.bucket
    return plan_step(experiment.training, model, prepared.spec, lengths, bucket=bucket, gpu=gpu, threads=threads_here())


def make_validation(
    experiment: Experiment,
    model: keras.Model,
    prepared: Prepared,
    loss: keras.losses.Loss,
    group: SingleProcess,
    scale: LossScale,
) -> Validation | None:
    """The validation pass; None where no windows are held back (a last fit on all data): the loss is watched."""
    index, size = prepared.index["validation"], experiment.training.batch_size
    if not len(index):
        return None
    batches = make_dataset(
        prepared.series,
        index,
        prepared.spec,
        experiment.data,
        batch_size=max(size, min(2 * size, VALIDATION_BATCH)),
        training=False,
    )
    quantiles = experiment.model.quantiles
    return Validation(model, loss, batches, prepared.spec, quantiles=quantiles, group=group, scale=scale)


def check_finite(training: TrainingConfig, epoch: int, loss: float, validation: float) -> None:
    """Refuse a loss that is no number (with float16 a single step may overflow and is skipped).

    Raises:
        TrainingError: names what to change.
    """
    scaled = training.mixed_precision == "float16"
    if np.isfinite(validation) and (scaled or np.isfinite(loss)):
        return
    raise TrainingError(
        f"In epoch {epoch} the loss became {loss:g} (validation: {validation:g}). Try a lower "
        f"training.learning_rate (now {training.learning_rate:g}) or training.warmup=1, "
        f"{'a lower' if training.clip_norm else 'a'} training.clip_norm (now {training.clip_norm:g}, 0 is off), "
        f"{'training.mixed_precision=bfloat16, ' if scaled else ''}and look at the data for values far outside "
        "their range (python -m keras_seq.data)."
    )
