"""One row at a time through a model of whole windows: the state is the window's last rows, kept in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_seq.data.spec import DataSpec
from keras_seq.models.window_scale import WindowMoments

if TYPE_CHECKING:
    from keras_seq.models.tensor import Tensor

ROWS = "state_rows"  # the last rows of a unit, oldest first, raw units


def steps_by_window(model: keras.Model, spec: DataSpec) -> bool:
    """Whether a model steps by its window: forecasts whose windows are scaled by themselves."""
    return spec.task == "forecast" and any(isinstance(layer, WindowMoments) for layer in model.layers)


def window_state(spec: DataSpec) -> dict[str, tuple[int, ...]]:
    """Shapes of the state beside the number of steps, without batch."""
    return {ROWS: (spec.time, len(spec.features))}


def step_window(
    model: keras.Model, spec: DataSpec, values: Tensor, state: Mapping[str, Any], count: str
) -> tuple[Tensor, dict[str, Any]]:
    """The answer of the window that ends with a row, and the state after it.

    Until a unit has filled a window, models of varying length read what there is, others its first row repeated.

    Args:
        model: of whole windows.
        spec: of the model.
        values: ``(batch, features)``, raw units.
        state: rows ``(batch, time, features)``, and steps seen before ``(batch, 1)`` under ``count``.
        count: name of the latter.
    """
    rows = tf.concat([state[ROWS][:, 1:], values[:, None]], axis=1)
    seen = state[count] + 1.0
    known = tf.cast(tf.minimum(seen, float(spec.time)), tf.int32)  # (batch, 1)
    place = tf.range(spec.time)[None, :]
    first = spec.time - known
    place = tf.minimum(place + first, spec.time - 1) if spec.variable_length else tf.maximum(place, first)
    batch = tf.shape(values)[0]
    flat = tf.reshape(place + tf.range(batch)[:, None] * spec.time, (-1,))
    window = tf.gather(tf.reshape(rows, (-1, len(spec.features))), flat)
    inputs = {"values": tf.reshape(window, (-1, spec.time, len(spec.features)))}
    if spec.variable_length:
        inputs["lengths"] = known[:, 0]
    return model(inputs, training=False), {count: seen, ROWS: rows}
