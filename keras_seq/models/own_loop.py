"""What the own training loops of LSTM and GRU share, and how they are compiled.

A training step that is compiled as a whole (``jit_compile=True``) contains the loops. Where the rest of a model is
faster without XLA (convolutions, attention), :func:`compiled_loops` compiles the loops alone; then it can also cut
the batch in parts that run side by side on several cores, as parts of the batch never meet within a layer.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

from keras_seq.models.tensor import Tensor

__all__ = [
    "array",
    "compiled_loops",
    "fits",
    "flat",
    "in_parts",
    "maybe_compiled",
    "per_step",
    "run_layer",
    "unstacked",
]

SMALLEST_PART = 16  # samples; products of fewer rows leave vectors empty
_parts: ContextVar[int] = ContextVar("parts", default=0)


@contextlib.contextmanager
def compiled_loops(parts: int = 1) -> Iterator[None]:
    """Compile own loops traced in here with XLA, each by itself; wrap what a ``tf.function`` traces.

    Args:
        parts: the batch is cut in so many parts (fewer for small batches), which TensorFlow runs on as many of its
            inter-op threads. Results differ from those of one part by rounding only.
    """
    token = _parts.set(parts)
    try:
        yield
    finally:
        _parts.reset(token)


def maybe_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` of tensors, compiled with XLA inside of :func:`compiled_loops`."""
    return _compiled(function) if _parts.get() else function


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(function, jit_compile=True, autograph=False)


def in_parts(run: Callable[..., tuple[Tensor, ...]], tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """``run(*tensors)``, in as many parts of the batch as :func:`compiled_loops` says.

    Args:
        run: takes and returns tensors with the batch in front; Nones are passed on.
        tensors: of equal, possibly unknown batch size, which is cut where it is known only.
    """
    size = tensors[0].shape[0]
    parts = 1 if size is None else min(_parts.get(), size // SMALLEST_PART)
    if parts < 2:
        return run(*tensors)
    sizes = [size // parts + (k < size % parts) for k in range(parts)]
    pieces = zip(*(tf.split(tensor, sizes) for tensor in tensors), strict=True)
    results = zip(*(run(*piece) for piece in pieces), strict=True)
    return tuple(None if some[0] is None else tf.concat(some, axis=0) for some in results)


def run_layer(
    layer: keras.layers.RNN, sequence: Callable[..., tuple[Tensor, ...]], sequences: Tensor, states: Sequence[Tensor]
) -> Tensor:
    """What ``inner_loop`` of a Keras LSTM or GRU returns, by a loop of our own.

    Args:
        layer: whose dropout, direction and weights count.
        sequence: ``lstm_sequence`` or ``gru_sequence``.
        sequences: ``(batch, time, features)``.
        states: initial ones, ``(batch, units)`` each.

    Returns:
        Last output ``(batch, units)``, outputs ``(batch, time or 1, units)``, last states.
    """
    cell = layer.cell
    if layer.dropout:
        sequences = sequences * cell.get_dropout_mask(sequences[:, 0, :])[:, None, :]
    if layer.go_backwards:
        sequences = tf.reverse(sequences, [1])
    weights = [tf.convert_to_tensor(w) for w in (cell.kernel, cell.recurrent_kernel, cell.bias)]

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        return sequence(*tensors, *weights, return_sequences=layer.return_sequences)

    outputs, h, *others = in_parts(run, [sequences, *states])
    outputs = h[:, None, :] if outputs is None else outputs
    outputs.set_shape([sequences.shape[0], sequences.shape[1] if layer.return_sequences else 1, layer.units])
    return h, outputs, [h, *others]


def array(steps: Tensor, like: Tensor) -> Tensor:
    """TensorArray of ``steps`` entries shaped and typed as ``like``."""
    return tf.TensorArray(like.dtype, size=steps, element_shape=like.shape, clear_after_read=False)


def unstacked(stacked: Tensor, steps: Tensor) -> Tensor:
    """TensorArray of the ``steps`` entries of ``(steps, batch, n)``."""
    entries = tf.TensorArray(stacked.dtype, size=steps, element_shape=stacked.shape[1:], clear_after_read=False)
    return entries.unstack(stacked)


def per_step(flat: Tensor, steps: Tensor, batch: Tensor) -> Tensor:
    """Turn ``(steps * batch, n)`` into ``(steps, batch, n)``."""
    return tf.reshape(flat, [steps, batch, flat.shape[-1]])


def flat(stacked: Tensor) -> Tensor:
    """Turn ``(steps, batch, n)`` into ``(steps * batch, n)``."""
    return tf.reshape(stacked, [-1, stacked.shape[-1]])


def turned(x: Tensor) -> Tensor:
    """Exchange batch and time of ``(batch, time, n)``."""
    return tf.transpose(x, [1, 0, 2])


def fits(layer: keras.layers.RNN, sequences: Tensor, mask: Tensor, training: bool | None) -> bool:
    """Whether a loop of our own covers this call of an LSTM or GRU layer, and pays."""
    return (
        training is True
        and mask is None
        and keras.backend.backend() == "tensorflow"
        and not tf.executing_eagerly()
        and isinstance(sequences, tf.Tensor)
        and layer.compute_dtype == layer.variable_dtype
        and layer.compute_dtype in ("float32", "float64")
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
        and not (layer.recurrent_dropout or layer.unroll or layer.stateful)
        and not (layer.dropout and layer.cell.implementation == 1)
        and layer.use_cudnn is not True
        and not tf.config.list_logical_devices("GPU")
    )
