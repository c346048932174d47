"""A GRU layer that trains faster on a CPU: the stock weights and results, another loop.

As :mod:`keras_seq.models.fast_lstm` does for the LSTM, :func:`gru_sequence` computes the input products of all steps
in one matrix product before the loop, keeps the gates of every step, and forms the gradients of weights and inputs of
all steps in one matrix product each after the reverse loop.

The equations are those of Cho et al. (2014) in the form of cuDNN (reset after the product), gates in Keras' order
z, r, n::

    m = h_{t-1} U + b_h     z, r = sigmoid(x_t W + b_x + m)     n = tanh(x_t W + b_x + r * m)
    h_t = z * h_{t-1} + (1 - z) * n
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_seq.models import own_loop
from keras_seq.models.own_loop import array, flat, per_step, turned, unstacked
from keras_seq.models.tensor import Tensor

__all__ = ["FastGRU", "gru_sequence"]


def _forward(x: Tensor, h0: Tensor, recurrent: Tensor, bias: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Run the steps forward; see :func:`gru_sequence`.

    Args:
        x: ``(time, batch, 3 * units)``, ``x W + b_x``.
        h0: ``(batch, units)``.
        recurrent: ``(units, 3 * units)``.
        bias: b_h ``(3 * units,)``.

    Returns:
        Last h ``(batch, units)``, and z, r, n, the third part of m, and h of all steps, ``(time, batch, units)`` each.
    """
    steps = tf.shape(x)[0]
    inputs = unstacked(x, steps)

    def body(t: Tensor, h: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
        xz, xr, xn = tf.split(inputs.read(t), 3, axis=1)
        mz, mr, mn = tf.split(tf.matmul(h, recurrent) + bias, 3, axis=1)
        z, r = tf.sigmoid(xz + mz), tf.sigmoid(xr + mr)
        n = tf.tanh(xn + r * mn)
        h = n + z * (h - n)
        saved = tuple(a.write(t, value) for a, value in zip(saved, (z, r, n, mn, h), strict=True))
        return t + 1, h, *saved

    arrays = [array(steps, h0) for _ in range(5)]
    _, h, *saved = tf.while_loop(lambda t, *_: t < steps, body, (0, h0, *arrays), maximum_iterations=steps)
    return h, [a.stack() for a in saved]


def _backward(
    saved: list[Tensor], h_before: Tensor, recurrent: Tensor, dh_all: Tensor, dh: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the steps in reverse.

    Args:
        saved: what :func:`_forward` saved, ``(time, batch, units)`` each.
        h_before: h before every step, ``(time, batch, units)``.
        recurrent: ``(units, 3 * units)``.
        dh_all: gradient of every h ``(time, batch, units)``, or None where only the last h was used.
        dh: gradient of the last h ``(batch, units)``.

    Returns:
        Gradients of m and of ``x W + b_x``, ``(time, batch, 3 * units)`` each, and of h0.
    """
    z_all, r_all, n_all, mn_all, _ = saved
    steps = tf.shape(z_all)[0]
    stacked = [z_all, r_all, n_all, mn_all, h_before] + ([] if dh_all is None else [dh_all])
    sources = [unstacked(v, steps) for v in stacked]
    transposed = tf.transpose(recurrent)

    def body(t: Tensor, dh: Tensor, dm_all: Tensor, dn_all: Tensor) -> tuple[Tensor, ...]:
        z, r, n, mn, h_prev, *dh_here = (source.read(t) for source in sources)
        dh = dh + dh_here[0] if dh_here else dh
        dn = dh * (1.0 - z) * (1.0 - n * n)
        dm = tf.concat([dh * (h_prev - n) * z * (1.0 - z), dn * mn * r * (1.0 - r), dn * r], axis=1)
        return t - 1, dh * z + tf.matmul(dm, transposed), dm_all.write(t, dm), dn_all.write(t, dn)

    width = recurrent.shape[1]
    dm_array = tf.TensorArray(dh.dtype, size=steps, element_shape=[dh.shape[0], width], clear_after_read=False)
    _, dh, dm_array, dn_array = tf.while_loop(
        lambda t, *_: t >= 0, body, (steps - 1, dh, dm_array, array(steps, dh)), maximum_iterations=steps
    )
    dm = dm_array.stack()
    return dm, tf.concat([dm[..., : width // 3 * 2], dn_array.stack()], axis=-1), dh


def _run(x: Tensor, h0: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    """All steps of :func:`gru_sequence`: last h, and what :func:`_forward` keeps."""
    x = turned(x)
    inputs = per_step(tf.matmul(flat(x), kernel) + bias[0], tf.shape(x)[0], tf.shape(x)[1])
    h, saved = _forward(inputs, h0, recurrent, bias[1])
    return h, *saved


def _gradients(
    x: Tensor, h0: Tensor, kernel: Tensor, recurrent: Tensor, saved: list[Tensor], dh_all: Tensor, dh: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of the arguments of :func:`_run`; ``dh_all`` is ``(batch, time, units)`` or None."""
    x = turned(x)
    h_before = tf.concat([h0[None], saved[-1][:-1]], axis=0)
    dm, dx, dh0 = _backward(saved, h_before, recurrent, None if dh_all is None else turned(dh_all), dh)
    dm, dx = flat(dm), flat(dx)
    return (
        turned(per_step(tf.matmul(dx, kernel, transpose_b=True), tf.shape(x)[0], tf.shape(x)[1])),
        dh0,
        tf.matmul(flat(x), dx, transpose_a=True),
        tf.matmul(flat(h_before), dm, transpose_a=True),
        tf.stack([tf.reduce_sum(dx, axis=0), tf.reduce_sum(dm, axis=0)]),
    )


def gru_sequence(
    x: Tensor, h0: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor, *, return_sequences: bool
) -> tuple[Tensor, Tensor]:
    """Run a GRU over all steps, with its own gradient; inside a ``tf.function`` only.

    Args:
        x: ``(batch, time, features)`` float; batch and time may be unknown.
        h0: initial h ``(batch, units)``.
        kernel: W ``(features, 3 * units)``, gates z, r, n.
        recurrent: U ``(units, 3 * units)``.
        bias: b_x and b_h ``(2, 3 * units)``.
        return_sequences: False leaves the gradient of the single steps out of the reverse loop.

    Returns:
        h of all steps ``(batch, time, units)`` (None unless ``return_sequences``), last h ``(batch, units)``.
    """
    run, gradients = own_loop.maybe_compiled(_run), own_loop.maybe_compiled(_gradients)

    @tf.custom_gradient
    def sequence(
        x: Tensor, h0: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor
    ) -> tuple[Tensor, Callable[..., Any]]:
        h, *saved = run(x, h0, kernel, recurrent, bias)

        def gradient(*upstream: Tensor) -> tuple[Tensor, ...]:
            dh_all = upstream[0] if return_sequences else None
            return gradients(x, h0, kernel, recurrent, saved, dh_all, upstream[-1])

        return ((turned(saved[-1]), h) if return_sequences else (h,)), gradient

    out = sequence(x, h0, kernel, recurrent, bias)
    return (out[0], out[1]) if return_sequences else (None, out[0])


@keras.saving.register_keras_serializable("keras_seq")
class FastGRU(keras.layers.GRU):
    """Drop-in ``keras.layers.GRU`` whose training step on a CPU is faster: same weights, config and results.

    Takes dense ``(batch, time, features)`` inputs of any batch and time. The own loop runs under the conditions of
    :class:`keras_seq.models.fast_lstm.FastLSTM` and with ``reset_after``; everything else, so inference and every
    export too, is the stock layer.
    """

    def inner_loop(self, sequences: Tensor, initial_state: Tensor, mask: Tensor, training: bool = False) -> Tensor:
        """Run all steps; ``sequences`` is ``(batch, time, features)``; returns last output, outputs, states."""
        if not self._own_loop_fits(sequences, mask, training):
            return super().inner_loop(sequences, initial_state, mask=mask, training=training)
        return own_loop.run_layer(self, gru_sequence, sequences, [initial_state[0]])

    def _own_loop_fits(self, sequences: Tensor, mask: Tensor, training: bool | None) -> bool:
        """Whether the own loop covers this call."""
        return self.reset_after and own_loop.fits(self, sequences, mask, training)
