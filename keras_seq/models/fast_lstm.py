"""An LSTM layer that trains faster on a CPU: the stock weights and results, another loop.

The stock loop multiplies the input and the recurrent kernel at every step, and its automatic
gradient accumulates the weight gradients step by step. :func:`lstm_sequence` instead

* computes ``x W + b`` of all steps in one matrix product before the loop;
* keeps the gates of every step, so that the reverse loop only computes ``dz``;
* computes ``dU``, ``dW``, ``db`` and ``dx`` of all steps in one matrix product each, afterwards.

The equations are those of Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000),
gates in Keras' order i, f, g, o::

    z_t = x_t W + h_{t-1} U + b        i, f, o = sigmoid(z)   g = tanh(z)
    c_t = f * c_{t-1} + i * g          h_t = o * tanh(c_t)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_seq.models import own_loop
from keras_seq.models.own_loop import array, flat, per_step, turned, unstacked
from keras_seq.models.tensor import Tensor

__all__ = ["FastLSTM", "lstm_sequence"]


def _forward(z: Tensor, h0: Tensor, c0: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Run the steps forward; see :func:`lstm_sequence`.

    Args:
        z: ``(time, batch, 4 * units)``, ``x W + b``.
        h0: ``(batch, units)``.
        c0: ``(batch, units)``.
        recurrent: ``(units, 4 * units)``.

    Returns:
        Last h and c ``(batch, units)``, and i, f, g, o, c, h of all steps, each ``(time, batch, units)``.
    """
    steps = tf.shape(z)[0]
    inputs = unstacked(z, steps)

    def body(t: Tensor, h: Tensor, c: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
        zi, zf, zg, zo = tf.split(inputs.read(t) + tf.matmul(h, recurrent), 4, axis=1)
        i, f, g, o = tf.sigmoid(zi), tf.sigmoid(zf), tf.tanh(zg), tf.sigmoid(zo)
        c = f * c + i * g
        h = o * tf.tanh(c)
        saved = tuple(array.write(t, value) for array, value in zip(saved, (i, f, g, o, c, h), strict=True))
        return t + 1, h, c, *saved

    arrays = [array(steps, h0) for _ in range(6)]
    _, h, c, *saved = tf.while_loop(lambda t, *_: t < steps, body, (0, h0, c0, *arrays), maximum_iterations=steps)
    return h, c, [array.stack() for array in saved]


def _backward(
    saved: list[Tensor], c0: Tensor, recurrent: Tensor, dh_all: Tensor, dh: Tensor, dc: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the steps in reverse.

    Args:
        saved: what :func:`_forward` saved, ``(time, batch, units)`` each.
        c0: ``(batch, units)``.
        recurrent: ``(units, 4 * units)``.
        dh_all: gradient of every h ``(time, batch, units)``, or None where only the last h was used.
        dh: gradient of the last h ``(batch, units)``.
        dc: gradient of the last c ``(batch, units)``.

    Returns:
        Gradients of z ``(time, batch, 4 * units)``, h0 and c0.
    """
    i_all, f_all, g_all, o_all, c_all, _ = saved
    steps = tf.shape(c_all)[0]
    c_before = tf.concat([c0[None], c_all[:-1]], axis=0)
    stacked = [i_all, f_all, g_all, o_all, c_all, c_before] + ([] if dh_all is None else [dh_all])
    sources = [unstacked(v, steps) for v in stacked]
    transposed = tf.transpose(recurrent)

    def body(t: Tensor, dh: Tensor, dc: Tensor, dz_all: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o, c, c_prev, *dh_here = (source.read(t) for source in sources)
        dh = dh + dh_here[0] if dh_here else dh
        tanh_c = tf.tanh(c)
        dc = dc + dh * o * (1.0 - tanh_c * tanh_c)
        dz = tf.concat(
            [
                dc * g * i * (1.0 - i),
                dc * c_prev * f * (1.0 - f),
                dc * i * (1.0 - g * g),
                dh * tanh_c * o * (1.0 - o),
            ],
            axis=1,
        )
        return t - 1, tf.matmul(dz, transposed), dc * f, dz_all.write(t, dz)

    dz_array = tf.TensorArray(
        c0.dtype, size=steps, element_shape=[c0.shape[0], recurrent.shape[1]], clear_after_read=False
    )
    _, dh, dc, dz_array = tf.while_loop(
        lambda t, *_: t >= 0, body, (steps - 1, dh, dc, dz_array), maximum_iterations=steps
    )
    return dz_array.stack(), dh, dc


def _run(x: Tensor, h0: Tensor, c0: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    """All steps of :func:`lstm_sequence`: last h and c, and what :func:`_forward` keeps."""
    x = turned(x)
    z = per_step(tf.matmul(flat(x), kernel) + bias, tf.shape(x)[0], tf.shape(x)[1])
    h, c, saved = _forward(z, h0, c0, recurrent)
    return h, c, *saved


def _gradients(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    kernel: Tensor,
    recurrent: Tensor,
    saved: list[Tensor],
    dh_all: Tensor,
    dh: Tensor,
    dc: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients of the arguments of :func:`_run`; ``dh_all`` is ``(batch, time, units)`` or None."""
    x = turned(x)
    dz, dh0, dc0 = _backward(saved, c0, recurrent, None if dh_all is None else turned(dh_all), dh, dc)
    dz = flat(dz)
    h_before = tf.concat([h0[None], saved[-1][:-1]], axis=0)
    return (
        turned(per_step(tf.matmul(dz, kernel, transpose_b=True), tf.shape(x)[0], tf.shape(x)[1])),
        dh0,
        dc0,
        tf.matmul(flat(x), dz, transpose_a=True),
        tf.matmul(flat(h_before), dz, transpose_a=True),
        tf.reduce_sum(dz, axis=0),
    )


def lstm_sequence(
    x: Tensor, h0: Tensor, c0: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor, *, return_sequences: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Run an LSTM over all steps, with its own gradient; inside a ``tf.function`` only.

    Args:
        x: ``(batch, time, features)`` float; batch and time may be unknown.
        h0: initial h ``(batch, units)``.
        c0: initial c ``(batch, units)``.
        kernel: W ``(features, 4 * units)``, gates i, f, g, o.
        recurrent: U ``(units, 4 * units)``.
        bias: b ``(4 * units,)``.
        return_sequences: False leaves the gradient of the single steps out of the reverse loop.

    Returns:
        h of all steps ``(batch, time, units)`` (None unless ``return_sequences``), last h, last c ``(batch, units)``.
    """
    run, gradients = own_loop.maybe_compiled(_run), own_loop.maybe_compiled(_gradients)

    @tf.custom_gradient
    def sequence(
        x: Tensor, h0: Tensor, c0: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor
    ) -> tuple[Tensor, Callable[..., Any]]:
        h, c, *saved = run(x, h0, c0, kernel, recurrent, bias)

        def gradient(*upstream: Tensor) -> tuple[Tensor, ...]:
            dh_all = upstream[0] if return_sequences else None
            return gradients(x, h0, c0, kernel, recurrent, saved, dh_all, *upstream[-2:])

        return ((turned(saved[-1]), h, c) if return_sequences else (h, c)), gradient

    out = sequence(x, h0, c0, kernel, recurrent, bias)
    return out if return_sequences else (None, *out)


@keras.saving.register_keras_serializable("keras_seq")
class FastLSTM(keras.layers.LSTM):
    """Drop-in ``keras.layers.LSTM`` whose training step on a CPU is faster: same weights, config and results.

    Takes dense ``(batch, time, features)`` inputs of any batch and time. The own loop runs only where it is
    both right and faster: TensorFlow backend, inside a graph (``fit``, ``tf.function``, with or without XLA),
    ``training=True``, float32 or float64, tanh and sigmoid, a bias, no mask, no recurrent dropout, not unrolled,
    not stateful, no GPU (cuDNN is faster there). Everything else, so inference and every export too, is the
    stock layer, which ONNX converters fuse into one LSTM node.
    """

    def inner_loop(self, sequences: Tensor, initial_state: Tensor, mask: Tensor, training: bool = False) -> Tensor:
        """Run all steps; ``sequences`` is ``(batch, time, features)``; returns last output, outputs, states."""
        if not self._own_loop_fits(sequences, mask, training):
            return super().inner_loop(sequences, initial_state, mask=mask, training=training)
        return own_loop.run_layer(self, lstm_sequence, sequences, initial_state)

    def _own_loop_fits(self, sequences: Tensor, mask: Tensor, training: bool | None) -> bool:
        """Whether the own loop covers this call."""
        return own_loop.fits(self, sequences, mask, training)
