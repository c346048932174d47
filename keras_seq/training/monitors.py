"""The validation pass: predictions, loss and metrics once an epoch, and which of them is watched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_seq.config import TaskName
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError, DataError, nearest
from keras_seq.models.tensor import Tensor
from keras_seq.tasks import TASKS
from keras_seq.training import metrics
from keras_seq.training.loss_scale import LossScale
from keras_seq.training.predictions import middle
from keras_seq.training.single_process import SingleProcess

KNOWN = {task: ("loss", *names) for task, names in metrics.METRICS.items()}


@dataclass(frozen=True)
class MetricMonitor:
    """The validation number that decides about the best epoch.

    Attributes:
        name: of the metric, without "val_".
        higher: larger is better.
    """

    name: str
    higher: bool

    def better(self, value: float, best: float | None) -> bool:
        """Whether ``value`` beats ``best``; NaN never does, anything finite beats None."""
        if not np.isfinite(value):
            return False
        return best is None or (value > best if self.higher else value < best)

    @classmethod
    def choose(cls, name: str, task: TaskName) -> MetricMonitor:
        """Resolve ``training.monitor``.

        "auto" is what ``keras_seq.tasks`` says: the deciding metric of binary tasks, else the validation loss.

        Raises:
            ConfigError: a metric that the task does not have.
        """
        plain = name.removeprefix("val_")
        if plain == "auto":
            plain = TASKS[task].monitor
        if plain not in KNOWN[task]:
            raise ConfigError(
                f"Option 'training.monitor' is '{name}', which a {task} task does not have{nearest(plain, KNOWN[task])}"
            )
        return cls(plain, plain in metrics.HIGHER_IS_BETTER)

    def check(self, measured: dict[str, float]) -> None:
        """Refuse a monitor that the validation part leaves undefined.

        Raises:
            DataError: the metric is NaN although the loss is finite.
        """
        if np.isfinite(measured["loss"]) and not np.isfinite(measured[self.name]):
            raise DataError(
                f"The monitored metric '{self.name}' is not defined on the validation part (for {self.name} it must "
                "hold every class, or values that differ). Use data.split.by=stratified, a larger "
                "data.split.validation, or training.monitor=loss."
            )


class Validation:
    """One pass over the validation part with a graph traced once.

    Args:
        model: to be judged; its weights are read anew at every call.
        loss: as in training.
        dataset: finite; yields ``(inputs, targets, weights)``.
        spec: tells the task.
        quantiles: of the head; the one nearest the median is judged as a value.
        jit: compile with XLA; only worth it where all batches have one shape.
        group: workers that share the batches; each gets the answers of all.
        scale: what the loss counts errors in; None: as they are.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss,
        dataset: tf.data.Dataset,
        spec: DataSpec,
        *,
        quantiles: tuple[float, ...] = (),
        jit: bool = False,
        group: SingleProcess | None = None,
        scale: LossScale | None = None,
    ) -> None:
        own = scale or LossScale("none", spec)
        self.dataset, self.task, self.group = dataset, spec.task, group or SingleProcess()
        self.scale = spec.target_std
        self.quantiles = quantiles

        def forward(inputs: dict[str, Tensor], targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            prediction = tf.cast(model(inputs, training=False), tf.float32)
            return prediction, loss(*own(inputs, targets, prediction), sample_weight=weights)

        self._forward = tf.function(forward, input_signature=dataset.element_spec, jit_compile=jit)

    def __call__(self) -> dict[str, float]:
        """Loss and metrics of the part."""
        truths, answers, sums, sizes = [], [], [], []
        for (inputs, targets, weights), mine in self._batches():
            prediction, loss = self._forward(inputs, targets, weights)
            real = (weights.numpy() > 0) & mine
            truths.append(targets.numpy()[real])
            answers.append(prediction.numpy()[real])
            sizes.append(float(tf.reduce_sum(tf.abs(weights))) * mine)
            sums.append(float(loss) * sizes[-1])
        truth, answer = (self.group.all_gather(np.concatenate(parts)) for parts in (truths, answers))
        sum_of_all, size_of_all = (self.group.all_gather(np.asarray(numbers)).sum() for numbers in (sums, sizes))
        if self.quantiles:
            answer = middle(answer, self.quantiles)
        loss_of_all = {"loss": float(sum_of_all / max(size_of_all, 1e-12))}
        if not np.isfinite(answer).all():
            return loss_of_all | dict.fromkeys(KNOWN[self.task][1:], float("nan"))
        return loss_of_all | metrics.score(self.task, truth, answer, scale=self.scale)

    def _batches(self) -> Iterator[tuple[tuple[dict[str, Tensor], Tensor, Tensor], bool]]:
        """Batches to run, and whether they count: a worker without one of its own runs another's, for the shapes."""
        own = self.dataset if self.group.size == 1 else self.dataset.shard(self.group.size, self.group.rank)
        empty = True
        for batch in own:
            empty = False
            yield batch, True
        if empty:
            yield next(iter(self.dataset)), False
