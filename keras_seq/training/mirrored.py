"""One process, several devices: a copy of the weights on each, every batch shared among them.

The copies live in a twin of the model that is made within ``tf.distribute.MirroredStrategy``; the model itself stays
plain and gets their values at epoch ends, so that validation, saving and export know nothing of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_seq.config import TrainingConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError, DeviceError
from keras_seq.models.rematerialise import rematerialise
from keras_seq.models.tensor import Tensor
from keras_seq.training import resume
from keras_seq.training.compiled import XlaPlan
from keras_seq.training.device import choose_device
from keras_seq.training.loop import Inputs, Loop, make_optimizer, take_part
from keras_seq.training.loss_scale import LossScale
from keras_seq.training.schedules import Schedule
from keras_seq.training.single_process import SingleProcess, check_parts
from keras_seq.training.tracing import Tracer


def make_mirrored(training: TrainingConfig) -> tf.distribute.MirroredStrategy:
    """A strategy over all GPUs, or where there is none (or ``training.device`` is cpu) all logical CPUs.

    Raises:
        ConfigError: float16, whose loss scaling is not exact here, or one certain device.
        DeviceError: fewer than two devices.
    """
    if training.mixed_precision == "float16":
        raise ConfigError(
            "Option 'training.mixed_precision' is 'float16', which training.strategy=mirrored does not cover; use "
            "bfloat16, or a worker for each GPU (python -m keras_seq.train --workers N)."
        )
    if ":" in training.device:
        raise ConfigError(
            f"Option 'training.device' is '{training.device}', but training.strategy=mirrored uses all of a kind; use "
            "auto, gpu or cpu, and CUDA_VISIBLE_DEVICES to choose among GPUs."
        )
    kind = choose_device(training.device).strip("/").partition(":")[0]
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) < 2:
        raise DeviceError(
            f"Option 'training.strategy' is 'mirrored', which needs at least two devices; TensorFlow sees "
            f"{len(devices)} {kind} here. Use training.strategy=none, or several workers (--workers N)"
            + ("; a CPU can be split in two before TensorFlow starts only." if kind == "CPU" else ".")
        )
    return _strategy(tuple(devices))


@functools.cache
def _strategy(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """One for the whole process: a second one would number its collectives anew and meet the first one's shapes."""
    return tf.distribute.MirroredStrategy(devices)


def check_strategy(training: TrainingConfig, batch: int, group: SingleProcess) -> tf.distribute.MirroredStrategy | None:
    """The strategy of ``mirrored``, None for others.

    Args:
        training: strategy and device.
        batch: samples of a whole batch.
        group: the workers that share it.

    Raises:
        ConfigError: ``multi_worker`` without others, or fewer samples than workers or devices.
        DeviceError: fewer than two devices to mirror.
    """
    if training.strategy == "multi_worker" and group.size == 1:
        raise ConfigError(
            "Option 'training.strategy' is 'multi_worker', but this process has met no others: only 'python -m "
            "keras_seq.train' is run by several workers (from Python: keras_seq.training.distribute.connect). Use "
            "training.strategy=none here."
        )
    check_parts(batch, group.size, what="workers")
    if training.strategy != "mirrored":
        return None
    mirrored = make_mirrored(training)
    check_parts(batch, mirrored.num_replicas_in_sync, what="devices")
    return mirrored


class Replicas:
    """A copy of a model on each device, and their optimiser.

    Args:
        strategy: from ``make_mirrored``.
        training: of the optimiser; the loop clips gradients, since the optimiser sees a share of them.
        schedule: of the learning rate.
        model: plain; every layer must be able to be made again from its configuration.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, training: TrainingConfig, schedule: Schedule, model: keras.Model
    ) -> None:
        self.strategy, self.plain, self.clip = strategy, model, training.clip_norm
        with strategy.scope():
            self.model = keras.models.clone_model(model)
            for layer, original in zip(self.model._flatten_layers(), model._flatten_layers(), strict=True):
                layer.trainable = original.trainable
            if names := getattr(model, "rematerialised", ()):
                rematerialise(self.model, [self.model.get_layer(name) for name in names])
            unclipped = training.model_copy(update={"clip_norm": 0.0})
            self.optimizer = make_optimizer(unclipped, self.model, schedule)
        self.push()

    def push(self) -> None:
        """Give the plain model's values to the copies."""
        resume.assign(self.model.variables, resume.values(self.plain.variables))

    def pull(self) -> None:
        """Give the copies' values to the plain model."""
        resume.assign(self.plain.variables, resume.values(self.model.variables))


class MirroredLoop(Loop):
    """Runs steps on copies of a model.

    Args:
        replicas: the copies.
        loss: as for ``Loop``, and so the others.
        dataset: of whole batches.
        spec: tells the task.
        class_weights: factor of each class's samples.
        tracer: told of every batch.
        scale: what errors are counted in.
    """

    def __init__(
        self,
        replicas: Replicas,
        loss: keras.losses.Loss,
        dataset: tf.data.Dataset,
        spec: DataSpec,
        *,
        class_weights: Sequence[float] | None = None,
        tracer: Tracer | None = None,
        scale: LossScale | None = None,
    ) -> None:
        self.replicas = replicas
        model, optimizer = replicas.model, replicas.optimizer
        super().__init__(
            model,
            loss,
            optimizer,
            dataset,
            spec,
            plan=XlaPlan(),
            class_weights=class_weights,
            tracer=tracer,
            scale=scale,
        )

    def run(self, steps: int, *, at_once: int, advance: Callable[[int], None] = lambda done: None) -> float:
        """Train ``steps`` steps, then carry the weights to the plain model; their mean loss."""
        loss = super().run(steps, at_once=at_once, advance=advance)
        self.replicas.pull()
        return loss

    def _make_step(self) -> Callable[..., tuple[Tensor, Tensor]]:
        strategy = self.replicas.strategy

        def step(inputs: Inputs, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            results = strategy.run(self._replica_step, args=(inputs, targets, weights))
            return tuple(strategy.experimental_local_results(value)[0] for value in results)

        return step

    def _replica_step(self, inputs: Inputs, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """One device's share of an update; all devices apply the same gradients."""
        context = tf.distribute.get_replica_context()
        count = context.num_replicas_in_sync
        rank = int(np.asarray(tf.get_static_value(context.replica_id_in_sync_group)))
        # within a strategy Keras divides every loss by the number of devices
        sums = self._weighted_sums(*take_part((inputs, targets, weights), rank, count), times=count)
        loss, weight, gradients = self._means(context.all_reduce(tf.distribute.ReduceOp.SUM, sums))
        if self.replicas.clip:
            gradients, _ = tf.clip_by_global_norm(gradients, self.replicas.clip)
        # the optimiser adds up what the devices give it, which here is the same everywhere
        self.optimizer.apply([gradient / count for gradient in gradients], self.model.trainable_variables)
        return loss, weight
