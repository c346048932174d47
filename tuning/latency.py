"""Latency of a trial's model at batch 1, for the view of two objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_seq.evaluation.profile import latency_ms

if TYPE_CHECKING:
    import keras

    from keras_seq.data.prepare import Prepared


def latency_at_batch_1(model: keras.Model, prepared: Prepared) -> float:
    """Median ms of one traced call on one validation window ``(1, time, features)``."""
    import tensorflow as tf

    from keras_seq.export.samples import spread, window_arrays

    window = spread(prepared.index["validation"], 1)
    arrays = window_arrays(prepared.series, prepared.spec, window.start, window.length)
    batch = {name: tf.constant(value) for name, value in arrays.items()}
    forward = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)
    return latency_ms(lambda: forward(batch), repeats=30)
