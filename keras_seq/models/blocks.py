"""Length-aware building blocks: padding never changes a result, whatever its amount or content.

Sequences are right-padded ``(batch, time, channels)`` with int32 ``lengths (batch,)``; ``None``
means that every step is real. Keras masks are not used: they turn fused LSTM kernels into loops
in ONNX and off on cuDNN. All ops convert to ONNX and TFLite without Loop or Flex ops.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Unpack

import keras
from keras import ops

from keras_seq.models.body import Steps
from keras_seq.models.layer import ConfiguredLayer, SameShape, package
from keras_seq.models.tensor import LayerOptions, Shape, Tensor

RECURRENT: dict[str, type[keras.layers.Layer]] = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
FAST = dict(RECURRENT)
with contextlib.suppress(ImportError):  # no TensorFlow
    from keras_seq.models import fast_gru, fast_lstm

    FAST = {"gru": fast_gru.FastGRU, "lstm": fast_lstm.FastLSTM}


def real_steps(x: Tensor, lengths: Tensor) -> Tensor:
    """Bool ``(batch, time)``: True at the first ``lengths`` steps of ``x (batch, time, ...)``."""
    steps = ops.arange(ops.shape(x)[1], dtype="int32")
    return ops.expand_dims(steps, 0) < ops.expand_dims(ops.cast(lengths, "int32"), 1)


def step_mask(x: Tensor, lengths: Tensor) -> Tensor:
    """``real_steps`` as ``(batch, time, 1)``.

    Written without ``[:, None]``, which is two operations where this is one: in small models served one window at a
    time, masks are a third of the latency.
    """
    steps = ops.arange(ops.shape(x)[1], dtype="int32")
    return ops.reshape(steps, (1, -1, 1)) < ops.reshape(ops.cast(lengths, "int32"), (-1, 1, 1))


def mask_of(x: Tensor, lengths: Tensor) -> Tensor:
    """``step_mask`` as 0/1 in the type of ``x``, ``(batch, time, 1)``."""
    return ops.cast(step_mask(x, lengths), x.dtype)


def zero_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """``x`` with exact zeros at padded steps (even where they hold NaN)."""
    return x if lengths is None else ops.where(step_mask(x, lengths), x, ops.zeros((), x.dtype))


def shift(x: Tensor, steps: int) -> Tensor:
    """``x (batch, time, channels)`` moved ``steps`` later (negative: earlier), zeros moved in; any time."""
    time = ops.shape(x)[1]
    if steps >= 0:
        return ops.pad(x, [[0, 0], [steps, 0], [0, 0]])[:, :time]
    return ops.pad(x, [[0, 0], [0, -steps], [0, 0]])[:, -steps:]


def last_step(x: Tensor, lengths: Tensor = None) -> Tensor:
    """Step ``lengths - 1`` of each sequence, ``(batch, channels)``; zeros where the length is 0.

    A masked sum rather than a gather: its gradient is a product, not a scatter.
    """
    if lengths is None:
        return x[:, -1]
    time = ops.shape(x)[1]
    last = ops.minimum(ops.cast(lengths, "int32"), time) - 1
    chosen = ops.arange(time, dtype="int32")[None, :] == last[:, None]
    return ops.sum(x * ops.cast(chosen, x.dtype)[:, :, None], axis=1)


def reverse(x: Tensor, lengths: Tensor = None) -> Tensor:
    """Turn the real steps of each sequence around; padding stays where it is.

    Gathers with indices ``where(t < n, n - 1 - t, t)``. The permutation is its own inverse, so its
    gradient is the same gather. (``tf.reverse_sequence`` converts wrongly to ONNX.)
    """
    shape = ops.shape(x)
    step = ops.arange(shape[1], dtype="int32")
    if lengths is None:
        index = shape[1] - 1 - step
        return _involution(x, lambda v: ops.take(v, index, axis=1))
    real = ops.minimum(ops.cast(lengths, "int32"), shape[1])[:, None]
    index = ops.where(step[None, :] < real, real - 1 - step[None, :], step[None, :])
    flat = ops.reshape(index + ops.arange(shape[0], dtype="int32")[:, None] * shape[1], (-1,))

    def gather(v: Tensor) -> Tensor:
        rows = ops.take(ops.reshape(v, (-1, x.shape[-1])), flat, axis=0)
        return ops.reshape(rows, (shape[0], shape[1], x.shape[-1]))

    return _involution(x, gather)


def _involution(x: Tensor, permute: Callable[[Tensor], Tensor]) -> Tensor:
    @ops.custom_gradient
    def apply(v: Tensor) -> Tensor:
        def grad(*args: Tensor, upstream: Tensor = None) -> Tensor:
            return permute(args[0] if upstream is None else upstream)

        return permute(v), grad

    return apply(x)


def masked_mean(x: Tensor, lengths: Tensor = None) -> Tensor:
    """Mean over real steps, ``(batch, channels)``; zeros where the length is 0."""
    if lengths is None:
        return ops.mean(x, axis=1)
    mask = mask_of(x, lengths)
    return ops.sum(x * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1)


def masked_max(x: Tensor, lengths: Tensor = None) -> Tensor:
    """Largest value over real steps, ``(batch, channels)``; zeros where the length is 0."""
    if lengths is None:
        return ops.max(x, axis=1)
    real = step_mask(x, lengths)
    lowest = ops.cast(lowest_of(x.dtype), x.dtype)
    largest = ops.max(ops.where(real, x, lowest), axis=1)
    return ops.where(ops.cast(lengths, "int32")[:, None] > 0, largest, ops.zeros((), x.dtype))


def lowest_of(dtype: str) -> float:
    """A very negative number that is finite in ``dtype``, also after adding to an activation."""
    return -3e4 if keras.backend.standardize_dtype(dtype) == "float16" else -1e9


@package
class LastStep(ConfiguredLayer):
    """Last real step, ``(batch, channels)``. ``two_way``: second half of the channels from step 0."""

    def __init__(self, two_way: bool = False, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.two_way = two_way

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """Pick the step; see ``last_step``."""
        if not self.two_way:
            return last_step(x, lengths)
        half = x.shape[-1] // 2
        first = x[:, 0, half:]
        if lengths is not None:
            first = first * ops.cast(ops.cast(lengths, "int32") > 0, x.dtype)[:, None]
        return ops.concatenate([last_step(x[:, :, :half], lengths), first], axis=-1)


@package
class MeanOverTime(keras.layers.Layer):
    """Mean over real steps."""

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, channels)``."""
        return masked_mean(x, lengths)


@package
class MaxOverTime(keras.layers.Layer):
    """Largest value over real steps."""

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, channels)``."""
        return masked_max(x, lengths)


@package
class SumOverTime(ConfiguredLayer):
    """Sum over real steps in units of ``steps``: how long something lasts counts, which a mean hides."""

    def __init__(self, steps: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.steps = steps

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, channels)``."""
        mask = ops.ones_like(x) if lengths is None else mask_of(x, lengths)
        return ops.sum(x * mask, axis=1) / self.steps

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Time is summed away."""
        return (input_shape[0], input_shape[-1])


@package
class SegmentMeans(ConfiguredLayer):
    """Means over ``segments`` equal parts of the real steps, side by side: what happens in which phase.

    One level of a pyramid pooling (He et al., 2014): sequences of different length line up by relative
    time. A step at the border counts in both parts by its share, so that short sequences fill every part.
    """

    def __init__(self, segments: int = 8, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.segments = segments

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, segments * channels)``."""
        size = ops.shape(x)[1]
        steps = ops.cast(ops.arange(size), "float32")  # half precision cannot count to 5000
        count = ops.cast(size if lengths is None else lengths, "float32")
        count = ops.reshape(ops.maximum(count, 1), (-1, 1, 1))
        part = ops.reshape(ops.arange(self.segments, dtype="float32"), (1, -1, 1))
        first, last = part * count / self.segments, (part + 1) * count / self.segments
        overlap = ops.minimum(steps + 1, last) - ops.maximum(steps, first)  # (batch, segments, time)
        share = ops.cast(ops.maximum(overlap, 0) * self.segments / count, x.dtype)
        if lengths is not None:
            x = x * mask_of(x, lengths)
        means = ops.matmul(share, x)
        return ops.reshape(means, (-1, self.segments * x.shape[-1]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Time becomes ``segments`` parts beside each other."""
        return (input_shape[0], self.segments * input_shape[-1])


@package
class Reverse(SameShape, keras.layers.Layer):
    """Real steps in reverse order, padding left in place."""

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to the same shape."""
        return reverse(x, lengths)


@package
class AttentionPooling(keras.layers.Layer):
    """Weighted mean over real steps with learned weights ``softmax(v . tanh(W x))`` (Yang et al., 2016)."""

    def build(self, input_shape: Shape) -> None:
        """Create the two scoring projections."""
        self.project = keras.layers.Dense(input_shape[-1], activation="tanh", name="project", dtype=self.dtype_policy)
        self.score = keras.layers.Dense(1, use_bias=False, name="score", dtype=self.dtype_policy)
        self.project.build(input_shape)
        self.score.build(input_shape)

    def weights_over_time(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """Weights ``(batch, time, 1)``: 0 at padding, summing to 1 where the length is not 0."""
        # not ops.softmax: it warns of sequences of one step
        logits = self.score(self.project(x))
        mask = ops.ones_like(logits) if lengths is None else mask_of(logits, lengths)
        logits = logits + (1 - mask) * lowest_of(logits.dtype)
        weights = ops.exp(logits - ops.stop_gradient(ops.max(logits, axis=1, keepdims=True))) * mask
        return weights / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1e-6)

    def call(self, x: Tensor, lengths: Tensor = None) -> Tensor:
        """``(batch, time, channels)`` to ``(batch, channels)``."""
        return ops.sum(x * self.weights_over_time(x, lengths), axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Time is summed away."""
        return (input_shape[0], input_shape[-1])


POOLINGS = {"mean": MeanOverTime, "max": MaxOverTime, "attention": AttentionPooling, "segments": SegmentMeans}


def with_lengths(layer: keras.layers.Layer, x: Tensor, lengths: Tensor) -> Tensor:
    """Call a length-aware layer, with lengths where there are any."""
    return layer(x) if lengths is None else layer(x, lengths)


def pool(x: Tensor, lengths: Tensor, pooling: str, *, steps: int, two_way: bool = False) -> Tensor:
    """``(batch, time, channels)`` to ``(batch, channels)`` by ``model.pooling``; ``steps``: the window's length."""
    if pooling == "last":
        layer: keras.layers.Layer = LastStep(two_way, name="pooling")
    elif pooling == "sum":
        layer = SumOverTime(steps, name="pooling")
    else:
        layer = POOLINGS[pooling](name="pooling")
    return with_lengths(layer, x, lengths)


def recurrent_layer(kind: str, units: int, *, name: str, steps: Steps) -> keras.layers.Layer:
    """An LSTM or GRU layer over all steps; with the own CPU kernel where wanted and there."""
    layer = (FAST if steps.fast_lstm else RECURRENT)[kind]
    return layer(units, return_sequences=True, name=name)


def recurrent(
    x: Tensor, lengths: Tensor, kind: str, units: int, *, name: str, steps: Steps, bidirectional: bool = False
) -> Tensor:
    """One recurrent layer over ``x``; two-way: forward and backward runs side by side, ``2 * units`` wide.

    The backward run reads the reversed real steps forwards, so both directions stay fused kernels.
    """
    forward = recurrent_layer(kind, units, name=name, steps=steps)(x)
    if not bidirectional:
        return forward
    reversed_x = with_lengths(Reverse(name=f"{name}_turn"), x, lengths)
    backward = recurrent_layer(kind, units, name=f"{name}_backward", steps=steps)(reversed_x)
    backward = with_lengths(Reverse(name=f"{name}_return"), backward, lengths)
    return keras.layers.Concatenate(name=f"{name}_both")([forward, backward])


def dropout(x: Tensor, rate: float, *, name: str) -> Tensor:
    """Dropout, or ``x`` itself at rate 0."""
    return keras.layers.Dropout(rate, name=name)(x) if rate else x


@package
def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh form of gelu: exact gelu needs ``Erfc``, which tf2onnx cannot write."""
    return ops.gelu(x, approximate=True)


def activation(name: str) -> str | Callable[[Tensor], Tensor]:
    """The activation of a config name."""
    return gelu_tanh if name == "gelu" else name
