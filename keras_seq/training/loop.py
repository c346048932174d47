"""The training step and its loop inside one graph.

Why not ``Model.fit``: an execution here takes any number of steps (Keras fixes it when compiling, so
that an epoch whose steps it does not divide runs past its end, and a resumed run would see other
batches), the loss is weighted by what was real in each batch, and nothing is rebuilt between epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_seq.config import TrainingConfig
from keras_seq.data.spec import DataSpec


def make_optimizer(training: TrainingConfig, model: keras.Model, schedule: Any) -> keras.optimizers.Optimizer:
    """Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019), built for the model.

    Weight decay belongs to AdamW and spares vectors: biases, and scales and shifts of normalisations.
    float16 gets dynamic loss scaling.
    """
    clip = training.clip_norm or None
    if training.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=training.weight_decay, global_clipnorm=clip)
        spared = [variable for variable in model.trainable_variables if len(variable.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=spared)
    else:
        optimizer = keras.optimizers.Adam(schedule, global_clipnorm=clip)
    if training.mixed_precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


class Loop:
    """Runs steps over an endless data set.

    Args:
        model: trained in place.
        loss: called with targets, predictions and weights; a mean over the weights.
        optimizer: built for the model.
        dataset: endless; yields ``(inputs, targets, weights)``.
        spec: tells the task.
        jit: compile the step with XLA.
        class_weights: factor of each class's samples, ``(classes,)``; None: all alike.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss,
        optimizer: keras.optimizers.Optimizer,
        dataset: tf.data.Dataset,
        spec: DataSpec,
        *,
        jit: bool,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        self.model, self.loss, self.optimizer, self.task = model, loss, optimizer, spec.task
        self.class_weights = None if class_weights is None else tf.constant(class_weights, tf.float32)
        self._batches = iter(dataset)
        self._step = tf.function(self._train_step, jit_compile=jit, autograph=False, reduce_retracing=True)
        self._execute = tf.function(self._train_steps, autograph=False, reduce_retracing=True)

    def run(self, steps: int, *, at_once: int, advance: Callable[[int], None] = lambda done: None) -> float:
        """Train ``steps`` steps and return their mean loss.

        Args:
            steps: of the epoch.
            at_once: steps of one execution of the graph.
            advance: told after each execution how many are done.
        """
        total = size = 0.0
        done = 0
        while done < steps:
            count = min(at_once, steps - done)
            part, weight = self._execute(self._batches, tf.constant(count))
            total, size, done = total + float(part), size + float(weight), done + count
            advance(done)
        return total / max(size, 1e-12)

    def _train_steps(self, batches: Any, count: Any) -> tuple[Any, Any]:
        def body(number: Any, total: Any, size: Any) -> tuple[Any, Any, Any]:
            loss, weight = self._step(*batches.get_next())
            return number + 1, total + loss * weight, size + weight

        start = (tf.constant(0), tf.constant(0.0), tf.constant(0.0))
        return tf.while_loop(lambda number, *_: number < count, body, start)[1:]

    def _train_step(self, inputs: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
        """One update; returns the loss and the weight behind it."""
        weights = self._reweigh(targets, weights)
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            prediction = self.model(inputs, training=True)
            loss = self.loss(targets, prediction, sample_weight=weights)
            whole = tf.add_n([loss, *self.model.losses]) if self.model.losses else loss
            whole = self.optimizer.scale_loss(whole)
        self.optimizer.apply(tape.gradient(whole, variables), variables)
        return loss, tf.reduce_sum(weights)

    def _reweigh(self, targets: Any, weights: Any) -> Any:
        """Multiply weights by their class's factor; a sample between classes (mixup) gets the mean."""
        if self.class_weights is None:
            return weights
        if self.task == "binary":
            negative, positive = self.class_weights[0], self.class_weights[1]
            return weights * (negative + (positive - negative) * targets[..., 0])
        if targets.dtype.is_floating:
            return weights * tf.linalg.matvec(targets, self.class_weights)
        return weights * tf.gather(self.class_weights, targets)
