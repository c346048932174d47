"""The validation metric of a model whose weights change: predictions through a graph that is traced once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from keras_seq.config import Experiment
from keras_seq.data.pipeline import make_dataset
from keras_seq.evaluation.scores import score
from keras_seq.tasks import deciding
from keras_seq.training.metrics import HIGHER_IS_BETTER
from keras_seq.training.predictions import Points, points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from keras_seq.data.prepare import Prepared

BATCH = 256


class Scorer:
    """Judges the present weights of a model on validation.

    Args:
        model: whose weights are read anew at each call.
        prepared: data and split of its bundle.
        experiment: of its bundle.
    """

    def __init__(self, model: keras.Model, prepared: Prepared, experiment: Experiment) -> None:
        self.prepared, self.experiment = prepared, experiment
        self.metric = deciding(prepared.spec.task)
        index = prepared.index["validation"]
        self._index = index
        data = make_dataset(prepared.series, index, prepared.spec, experiment.data, batch_size=BATCH, training=False)
        self._inputs = [batch[0] for batch in data]
        self._forward = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)

    def __call__(self) -> float:
        """The task's primary metric."""
        spec, position, outputs = self.prepared.spec, 0, []
        for inputs in self._inputs:
            output = self._forward(inputs).numpy()
            if spec.per_step:
                lengths = self._index.length[position : position + len(output)]
                position += len(output)
                output = output[np.arange(output.shape[1]) < lengths[:, None]]
            outputs.append(output)
        answered = points(self.prepared.series, self._index, spec, np.concatenate(outputs).astype(np.float32))
        return primary_metric(answered, self.prepared, self.experiment)


def primary_metric(answered: Points, prepared: Prepared, experiment: Experiment) -> float:
    """The task's primary metric of validation points."""
    return score(answered, prepared.spec, experiment, part="validation")[deciding(prepared.spec.task)]


def relative_loss(metric: str, before: float, after: float) -> float:
    """How much worse ``after`` is, as a share of ``before``; negative: better.

    Of metrics that are better when higher (AUC, accuracy) it is the share of the metric that is lost.
    """
    worse = before - after if metric in HIGHER_IS_BETTER else after - before
    return worse / max(abs(before), 1e-12)


def round_int8(values: ArrayLike) -> np.ndarray:
    """A kernel rounded to int8 and back: symmetric, one scale."""
    array = np.asarray(values, np.float32)
    scale = max(float(np.abs(array).max()), 1e-12) / 127
    return (np.round(array / scale) * scale).astype(np.float32)


def prune_once(kernels: list[np.ndarray], share: float) -> list[np.ndarray]:
    """Kernels with the smallest ``share`` of each set to zero."""
    return [_pruned(kernel, share) for kernel in kernels]


def _pruned(kernel: np.ndarray, share: float) -> np.ndarray:
    count = max(round(kernel.size * (1 - share)), 1)
    smallest = np.sort(np.abs(kernel), axis=None)[-count]
    return np.where(np.abs(kernel) >= smallest, kernel, 0).astype(np.float32)
