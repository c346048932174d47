"""Windows as serialized ``tf.train.Example`` and ``tf.train.SequenceExample``: parsed in the graph, made from arrays.

Keys are the names of the columns, values raw units as floats, NaN where missing:

* ``Example``: each key holds one float a step, oldest first.
* ``SequenceExample``: each key is a feature list of one float a step.

All columns of an example have as many steps; padding and lengths are derived.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from keras_seq.models.tensor import Tensor


def parse_examples(serialized: Tensor, features: Sequence[str]) -> tuple[Any, Any]:
    """Serialized examples ``(batch,)`` to values ``(batch, time, features)``, zeros at padding, and lengths."""
    columns = {name: tf.io.RaggedFeature(tf.float32) for name in features}
    parsed = tf.io.parse_example(serialized, columns)
    lengths = {name: parsed[name].row_lengths() for name in features}
    return _joined([parsed[name].to_tensor() for name in features], [lengths[name] for name in features])


def parse_windows(serialized: Tensor, features: Sequence[str], time: int) -> Any:
    """Serialized examples of ``time`` steps to values ``(batch, time, features)``; other lengths are refused."""
    parsed = tf.io.parse_example(serialized, {name: tf.io.FixedLenFeature([time], tf.float32) for name in features})
    return tf.stack([parsed[name] for name in features], axis=-1)


def parse_sequences(serialized: Tensor, features: Sequence[str]) -> tuple[Any, Any]:
    """Serialized sequence examples ``(batch,)`` to values ``(batch, time, features)`` and lengths ``(batch,)``."""
    columns = {name: tf.io.FixedLenSequenceFeature([], tf.float32) for name in features}
    _, parsed, lengths = tf.io.parse_sequence_example(serialized, sequence_features=columns)
    return _joined([parsed[name] for name in features], [lengths[name] for name in features])


def _joined(columns: list[Any], lengths: list[Any]) -> tuple[Any, Any]:
    """Columns ``(batch, time)`` side by side, refused where their lengths differ."""
    checks = [
        tf.debugging.assert_equal(other, lengths[0], "all columns of an example must have the same number of steps")
        for other in lengths[1:]
    ]
    with tf.control_dependencies([check for check in checks if check is not None]):  # before the columns are joined
        columns = [tf.identity(column) for column in columns]
    return tf.stack(columns, axis=-1), tf.cast(lengths[0], tf.int32)


def make_example(values: np.ndarray, features: Sequence[str]) -> Any:
    """One window ``(steps, features)`` as a ``tf.train.Example``."""
    columns = {name: _floats(column) for name, column in zip(features, values.T, strict=True)}
    return tf.train.Example(features=tf.train.Features(feature=columns))


def encode_example(values: np.ndarray, features: Sequence[str]) -> bytes:
    """One window ``(steps, features)`` as a serialized ``tf.train.Example``."""
    return make_example(values, features).SerializeToString()


def encode_sequence(values: np.ndarray, features: Sequence[str]) -> bytes:
    """One sequence ``(steps, features)`` as a serialized ``tf.train.SequenceExample``."""
    columns = {
        name: tf.train.FeatureList(feature=[_floats([value]) for value in column])
        for name, column in zip(features, values.T, strict=True)
    }
    return tf.train.SequenceExample(feature_lists=tf.train.FeatureLists(feature_list=columns)).SerializeToString()


def _floats(values: Any) -> Any:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))
