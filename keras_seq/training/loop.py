"""The training step and its loop inside one graph.

Why not ``Model.fit``: an execution here takes any number of steps (Keras fixes it when compiling, so
that an epoch whose steps it does not divide runs past its end, and a resumed run would see other
batches), the loss is weighted by what was real in each batch, and nothing is rebuilt between epochs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

from keras_seq.config import TrainingConfig
from keras_seq.data.spec import DataSpec
from keras_seq.models.own_loop import compiled_loops
from keras_seq.models.tensor import Tensor
from keras_seq.training.compiled import XlaPlan
from keras_seq.training.loss_scale import LossScale
from keras_seq.training.schedules import Schedule
from keras_seq.training.single_process import SingleProcess, part
from keras_seq.training.tracing import Tracer

Inputs: TypeAlias = dict[str, Tensor]
Batch: TypeAlias = tuple[Inputs, Tensor, Tensor]  # inputs, targets, weights
GOLDEN = 0x9E3779B9  # an odd number near 2^32 over the golden ratio: far steps between the seeds of parts


def make_optimizer(training: TrainingConfig, model: keras.Model, schedule: Schedule) -> keras.optimizers.Optimizer:
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


def take_part(batch: Batch, rank: int, parts: int) -> Batch:
    """One worker's rows of a batch ``(inputs, targets, weights)``.

    Padding stays that of the whole batch, so that every part has the same time steps.
    """
    sizes = [tensor.shape[0] for tensor in tf.nest.flatten(batch)]
    known = next((int(size) for size in sizes if size is not None), None)
    low, high = part(tf.shape(batch[2])[0] if known is None else known, rank, parts)
    return tf.nest.map_structure(lambda tensor: tensor[low:high], batch)


class Loop:
    """Runs steps over an endless data set.

    Args:
        model: trained in place.
        loss: called with targets, predictions and weights; a mean over the weights.
        optimizer: built for the model.
        dataset: endless; yields ``(inputs, targets, weights)``.
        spec: tells the task.
        plan: what of the step goes through XLA, in how many parts; the update is that of the whole batch.
        class_weights: factor of each class's samples, ``(classes,)``; None: all alike.
        group: workers that share every batch: each trains on its part, and all apply the gradient of the loss's mean
            over the whole batch.
        tracer: told of every batch; None: nothing is traced.
        scale: what errors are counted in; None: as they are.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss,
        optimizer: keras.optimizers.Optimizer,
        dataset: tf.data.Dataset,
        spec: DataSpec,
        *,
        plan: XlaPlan,
        class_weights: Sequence[float] | None = None,
        group: SingleProcess | None = None,
        tracer: Tracer | None = None,
        scale: LossScale | None = None,
    ) -> None:
        self.scale = scale or LossScale("none", spec)
        self.model, self.loss, self.optimizer, self.task = model, loss, optimizer, spec.task
        self.class_weights = None if class_weights is None else tf.constant(class_weights, tf.float32)
        self.group, self.tracer = group or SingleProcess(), tracer or Tracer()
        self.plan = plan
        self._batches = iter(dataset)
        self._step = self._make_step()
        self._execute = tf.function(self._train_steps, autograph=False, reduce_retracing=True)

    def _make_step(self) -> Callable[..., tuple[Tensor, Tensor]]:
        """One update with a whole batch, for a graph; only what is within one process goes through XLA."""
        if self.group.size == 1 and self.plan.parts > 1:
            return self._make_split_step()
        if self.group.size == 1:
            return tf.function(self._train_step, jit_compile=self.plan.jit, autograph=False, reduce_retracing=True)
        sums = tf.function(self._weighted_sums, jit_compile=self.plan.jit, autograph=False, reduce_retracing=True)

        def step(inputs: Inputs, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            mine = take_part((inputs, targets, weights), self.group.rank, self.group.size)
            return self._update(self.group.all_reduce_sum(sums(*mine)))

        return step

    def _make_split_step(self) -> Callable[..., tuple[Tensor, Tensor]]:
        """The same update from parts of the batch, which TensorFlow runs side by side on its inter-op threads.

        XLA keeps a recurrent loop on one core. Parts touch no variable that any of them changes, or TensorFlow would
        run them one after the other: the states of random generators are theirs alone.
        """
        sums = tf.function(self._part_sums, jit_compile=self.plan.jit, autograph=False, reduce_retracing=True)
        update = tf.function(self._update, jit_compile=self.plan.jit, autograph=False)

        def step(inputs: Inputs, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            batch = (inputs, targets, weights)
            results = [
                sums(tf.constant(k, tf.uint32), *take_part(batch, k, self.plan.parts)) for k in range(self.plan.parts)
            ]
            for seed, state in zip(self._seeds(), results[0][1], strict=True):
                seed.assign(state)
            return update(tf.add_n([vector for vector, _ in results]))

        return step

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
            count = self.tracer.next(min(at_once, steps - done))
            loss, weight = self._execute(self._batches, tf.constant(count))
            total, size, done = total + float(loss), size + float(weight), done + count
            self.tracer.done(count)
            advance(done)
        return total / max(size, 1e-12)

    def _train_steps(self, batches: tf.data.Iterator, count: Tensor) -> tuple[Tensor, Tensor]:
        def body(number: Tensor, total: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            loss, weight = self._step(*batches.get_next())
            return number + 1, total + loss * weight, size + weight

        start = (tf.constant(0), tf.constant(0.0), tf.constant(0.0))
        return tf.while_loop(lambda number, *_: number < count, body, start)[1:]

    def _train_step(self, inputs: Inputs, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """One update; returns the loss and the weight behind it."""
        loss, weight, gradients = self._gradients(inputs, targets, weights)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return loss, weight

    def _part_sums(
        self, number: Tensor, inputs: Inputs, targets: Tensor, weights: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Sums of one part of a batch, and the random generators' states after it; no variable is changed."""
        shift = tf.stack([number * tf.constant(GOLDEN, tf.uint32), tf.constant(0, tf.uint32)])
        seeds = self._seeds()
        with keras.StatelessScope([(seed, tf.cast(seed.value, tf.uint32) + shift) for seed in seeds]) as scope:
            sums = self._weighted_sums(inputs, targets, weights)
            return sums, [scope.get_current_value(seed) for seed in seeds]

    def _seeds(self) -> list[keras.Variable]:
        """States of the model's random generators, ``(2,)`` uint32 each: a seed and a count."""
        return [v for v in self.model.non_trainable_variables if v.path.endswith("seed_generator_state")]

    def _update(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """One update from the sums of a whole batch; its loss and weight."""
        loss, weight, gradients = self._means(sums)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return loss, weight

    def _gradients(self, inputs: Inputs, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Loss (mean over the weights), their sum, and the loss's gradients (times the optimiser's loss scale)."""
        weights = self._reweigh(targets, weights)
        loops = compiled_loops(self.plan.loops) if self.plan.loops else contextlib.nullcontext()
        with loops, tf.GradientTape() as tape:
            prediction = self.model(inputs, training=True)
            loss = self.loss(*self.scale(inputs, targets, prediction), sample_weight=weights)
            whole = tf.add_n([loss, *self.model.losses]) if self.model.losses else loss
            whole = self.optimizer.scale_loss(whole)
        return loss, tf.reduce_sum(tf.abs(weights)), tape.gradient(whole, self.model.trainable_variables)

    def _weighted_sums(self, inputs: Inputs, targets: Tensor, weights: Tensor, *, times: float = 1.0) -> Tensor:
        """Weight, weight x loss and weight x gradients of a part in one vector ``(n,)``: one message a step.

        ``times`` undoes what something else has divided loss and gradients by.
        """
        loss, weight, gradients = self._gradients(inputs, targets, weights)
        variables = self.model.trainable_variables
        pairs = zip(gradients, variables, strict=True)
        full = [tf.zeros(v.shape) if g is None else tf.convert_to_tensor(g) for g, v in pairs]
        flat = [tf.reshape(tf.cast(gradient, tf.float32), [-1]) for gradient in full]
        factor = weight * times
        return tf.concat([[weight, factor * loss], *(factor * gradient for gradient in flat)], axis=0)

    def _means(self, sums: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Loss, weight and gradients of the whole batch from the sum of its parts' vectors."""
        variables = self.model.trainable_variables
        weight = sums[0]
        means = tf.math.divide_no_nan(sums[1:], weight)
        loss, *flat = tf.split(means, [1, *(math.prod(v.shape) for v in variables)])
        return loss[0], weight, [tf.reshape(g, v.shape) for g, v in zip(flat, variables, strict=True)]

    def _reweigh(self, targets: Tensor, weights: Tensor) -> Tensor:
        """Multiply weights by their class's factor; a sample between classes (mixup) gets the mean."""
        if self.class_weights is None:
            return weights
        if self.task == "binary":
            negative, positive = self.class_weights[0], self.class_weights[1]
            return weights * (negative + (positive - negative) * targets[..., 0])
        if targets.dtype.is_floating:
            return weights * tf.linalg.matvec(targets, self.class_weights)
        return weights * tf.gather(self.class_weights, targets)
