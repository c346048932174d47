"""The number explained of one sample as a layer of its windows, for libraries that explain a ``keras.Model``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_seq.explain.explained_model import ExplainedModel

if TYPE_CHECKING:
    from keras_seq.models.tensor import Tensor


class SingleSample(keras.layers.Layer):
    """The number explained of one sample, whose length, missing values and class are variables."""

    def __init__(self, explained: ExplainedModel, shape: tuple[int, ...]) -> None:
        super().__init__(dtype="float32")
        self._explained = explained
        self._length = tf.Variable(0, dtype=tf.int32, trainable=False)
        self._select = tf.Variable(tf.zeros(explained.width), trainable=False)
        self._missing = tf.Variable(tf.zeros(shape, tf.bool), trainable=False)

    def set(self, length: int, select: NDArray[Any], missing: NDArray[Any]) -> None:
        """Take another sample: its length, its class ``(outputs,)`` and where it is missing ``(time, features)``."""
        self._length.assign(length)
        self._select.assign(select)
        self._missing.assign(missing)

    def call(self, values: Tensor) -> Any:
        """Windows ``(batch, time, features)`` to numbers ``(batch, 1)``."""
        values = tf.where(self._missing[None], np.float32(np.nan), values)
        lengths = tf.fill(tf.shape(values)[:1], self._length)
        outputs = self._explained.raw(self._explained.inputs(values, lengths))
        return self._explained.number(outputs, self._select[None])[:, None]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """One number a window."""
        return (shape[0], 1)
