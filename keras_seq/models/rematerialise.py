"""Layers that keep only their inputs for the backward pass and compute the rest again (Chen et al., 2016).

``keras.RematScope`` cannot be used: ``tf.recompute_grad``, on which it stands, refuses keyword arguments within a graph
(``training=True``), draws another dropout mask when it computes again, and counts moving averages twice. Here a layer
runs as a function of its inputs and all its variables, so that the second run is the first one again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

from keras_seq.models.tensor import Tensor

__all__ = ["rematerialise"]

_active: ContextVar[bool] = ContextVar("active", default=False)


def rematerialise(model: keras.Model, layers: Sequence[keras.layers.Layer]) -> None:
    """Let ``layers`` of a functional model compute their activations again wherever the model trains.

    The model's answers, gradients, weights and what is saved of it stay the same.
    """
    call = model.call

    def call_model(inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        with _activated(bool(training)):
            return call(inputs, training=training, mask=mask)

    model.call = call_model
    model.rematerialised = tuple(layer.name for layer in layers)  # for a twin
    for layer in layers:
        layer.call = _recomputed(layer)


@contextlib.contextmanager
def _activated(active: bool) -> Iterator[None]:
    token = _active.set(active)
    try:
        yield
    finally:
        _active.reset(token)


def _recomputed(layer: keras.layers.Layer) -> Callable[..., Any]:
    """The layer's ``call``, as a function with its own gradient within ``rematerialise``'s model in training."""
    call = layer.call

    def run(*args: Tensor, **kwargs: Tensor) -> Tensor:
        if not _active.get():
            return call(*args, **kwargs)
        leaves = tf.nest.flatten((args, kwargs))
        places = [i for i, leaf in enumerate(leaves) if tf.is_tensor(leaf)]
        variables = list(layer.variables)
        read = [tf.identity(variable.value) for variable in variables]
        traced: list[Tensor] = []  # the answer's form, and which variables the layer has set

        def pure(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
            """Flat answers, then variables that are set, of input tensors and the variables before."""
            filled = list(leaves)
            for place, tensor in zip(places, tensors[: len(places)], strict=True):
                filled[place] = tensor
            again, words = tf.nest.pack_sequence_as((args, kwargs), filled)
            pairs = zip(variables, tensors[len(places) :], strict=True)
            with _activated(False), keras.StatelessScope(state_mapping=list(pairs)) as scope:
                before = [scope.get_current_value(variable) for variable in variables]
                answer = layer(*again, **words)  # not call: weights of half precision are cast in here
                after = [scope.get_current_value(variable) for variable in variables]
            new = [i for i, (one, other) in enumerate(zip(before, after, strict=True)) if one is not other]
            traced[:] = [answer, new]
            return *tf.nest.flatten(answer), *(after[i] for i in new)

        results = _with_recomputed_gradient(pure, [*(leaves[place] for place in places), *read])
        answer, new = traced
        count = len(tf.nest.flatten(answer))
        for i, value in zip(new, results[count:], strict=True):
            variables[i].assign(value)
        return tf.nest.pack_sequence_as(answer, results[:count])

    return run


def _with_recomputed_gradient(
    pure: Callable[[Sequence[Tensor]], tuple[Tensor, ...]], tensors: Sequence[Tensor]
) -> Tensor:
    """``pure(tensors)``, of which the tape keeps ``tensors`` alone."""

    @tf.custom_gradient
    def forward(*tensors: Tensor) -> tuple[Tensor, Callable[..., Any]]:
        def gradient(*upstream: Tensor) -> list[Tensor]:
            later = _after(tensors, upstream)
            moving = [tensor for tensor in later if tensor.dtype.is_floating]
            with tf.GradientTape() as tape:
                tape.watch(moving)
                results = pure(later)
            pairs = [(y, dy) for y, dy in zip(results, upstream, strict=True) if y.dtype.is_floating]
            known = [tf.cast(dy, y.dtype) for y, dy in pairs]
            gradients = iter(tape.gradient([y for y, _ in pairs], moving, output_gradients=known))
            return [next(gradients) if tensor.dtype.is_floating else None for tensor in tensors]

        return pure(tensors), gradient

    return forward(*tensors)


def _after(tensors: Sequence[Tensor], upstream: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors, not before the gradient has come: nothing is computed again too early, or only once."""
    first = next(up for up in upstream if up is not None and up.dtype.is_floating)
    value = tf.reduce_max(tf.reshape(first, [-1])[:1])
    zero = tf.where(tf.cast(value, tf.bool) == tf.cast(value, tf.bool), 0.0, float("nan"))  # XLA cannot tell: always 0
    return [x + tf.cast(zero, x.dtype) if x.dtype.is_floating else tf.identity(x) for x in tensors]
