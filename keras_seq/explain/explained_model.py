"""The model explained: one number and its gradient for many windows, in bounded chunks, compiled once.

The gradient is taken with respect to the input only. LSTM layers run on the own kernel of
``keras_seq.models.fast_lstm``: under XLA its weight gradients, which nobody reads, are never computed, and the
reverse loop is the shortest there is (measured in docs/explanations.md).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_seq.data.spec import DataSpec
from keras_seq.errors import ModelError
from keras_seq.explain.output_target import SMALLEST, OutputTarget
from keras_seq.models.fast_lstm import FastLSTM
from keras_seq.models.rocket_features import RocketFeatures
from keras_seq.models.tree_ensemble import TreeEnsemble
from keras_seq.models.views import last_step, plain_twin
from keras_seq.models.window_features import WindowFeatures

if TYPE_CHECKING:
    from keras_seq.models.tensor import Tensor

STEPS_AT_ONCE = 32_768  # rows times steps of one call: tens to hundreds of megabytes
MOST_ROWS, FEWEST_ROWS = 256, 8  # more rows at once are no faster, fewer are slower
WORTH_COMPILING = 100_000  # rows times steps from which XLA's compilation (1-2 s) is paid back
STEPPED = (TreeEnsemble, WindowFeatures, RocketFeatures)  # layers whose answers move in steps


class InputGradientLSTM(FastLSTM):
    """The own LSTM loop outside of training too: only its custom gradient is wanted here."""

    def _own_loop_fits(self, sequences: Tensor, mask: Tensor, training: object) -> bool:
        return super()._own_loop_fits(sequences, mask, True)


class ExplainedModel:
    """A model and the one number of its output that is explained.

    Args:
        model: takes raw units; an answer at every step is reduced to the last real step's.
        spec: of the model.
        target: which number.
        own_kernel: LSTM layers on the own kernel.
        jit: compile with XLA; None: where there is enough work.
    """

    def __init__(
        self,
        model: keras.Model,
        spec: DataSpec,
        target: OutputTarget,
        *,
        own_kernel: bool = True,
        jit: bool | None = None,
    ) -> None:
        self.spec, self.target, self.jit = spec, target, jit
        single = last_step(model) if spec.per_step else model
        layers = list(single._flatten_layers())
        self.stepped = tuple(sorted({type(layer).__name__ for layer in layers if isinstance(layer, STEPPED)}))
        recurrent = any(isinstance(layer, keras.layers.LSTM) for layer in layers)
        if recurrent:
            single = plain_twin(single, {keras.layers.LSTM: InputGradientLSTM if own_kernel else keras.layers.LSTM})
        self.model = single
        self._compiled: dict[tuple[str, bool], Any] = {}

    @cached_property
    def width(self) -> int:
        """Numbers in one answer."""
        return int(np.prod(self.model.outputs[0].shape[1:]))

    def require_gradient(self, method: str) -> None:
        """Refuse models that move in steps.

        Raises:
            ModelError: names the layers and methods that work.
        """
        if self.stepped:
            raise ModelError(
                f"Method '{method}' needs a gradient, but this model's answer moves in steps "
                f"({', '.join(self.stepped)}): its gradient is zero or tells nothing. Use --methods tree (trees), "
                "permutation, kernel or occlusion."
            )

    def raw(self, inputs: dict[str, Any]) -> Any:
        """The model's output as it is, ``(batch, outputs)`` tensor."""
        return tf.reshape(tf.cast(self.model(inputs, training=False), tf.float32), (-1, self.width))

    def number(self, outputs: Tensor, select: Tensor) -> Any:
        """The number explained, ``(batch,)`` tensor."""
        chosen = tf.reduce_sum(outputs * select, axis=1)
        if self.target.scale == "logit":
            chosen = tf.clip_by_value(chosen, SMALLEST, 1 - SMALLEST)
            chosen = tf.math.log(chosen) - tf.math.log1p(-chosen)
        return chosen

    def inputs(self, values: Tensor, lengths: Tensor) -> dict[str, Any]:
        """The model's named inputs."""
        return {"values": values, "lengths": lengths} if self.spec.variable_length else {"values": values}

    def outputs(self, values: NDArray[Any], lengths: NDArray[Any], tick: Callable[..., Any] | None = None) -> NDArray:
        """Outputs of the model for many windows, float32 ``(rows, outputs)``.

        Args:
            values: float32 ``(rows, time, features)``, padded.
            lengths: int32 ``(rows,)``.
            tick: told of the rows done.
        """
        rows, steps = values.shape[:2]
        function, size, whole = self._function("outputs", rows, steps)
        outputs = np.empty((rows, self.width), np.float32)
        for low in range(0, rows, size):
            chunk = np.arange(low, min(low + size, rows))
            wide = np.pad(chunk, (0, size - len(chunk)), mode="edge") if whole else chunk
            outputs[chunk] = function(values[wide], lengths[wide]).numpy()[: len(chunk)]
            if tick:
                tick(len(chunk))
        return outputs

    def path_gradients(
        self,
        sample: NDArray[Any],
        other: NDArray[Any],
        share: NDArray[Any],
        lengths: NDArray[Any],
        select: NDArray[Any],
    ) -> NDArray[np.float32]:
        """``(sample - other) * gradient`` at ``other + share * (sample - other)``.

        Integrated gradients, expected gradients and gradient times input differ only in the shares given.

        Args:
            sample: float32 ``(rows, time, features)``, NaN where missing.
            other: the same shape, NaN at the same places.
            share: float32 ``(rows,)``, 1 at the sample.
            lengths: int32 ``(rows,)``.
            select: float32 ``(rows, outputs)``.

        Returns:
            float32 ``(rows, time, features)``; 0 where missing.
        """
        rows, steps = sample.shape[:2]
        function, size, whole = self._function("gradients", rows, steps)
        products = np.empty(sample.shape, np.float32)
        for low in range(0, rows, size):
            chunk = np.arange(low, min(low + size, rows))
            wide = np.pad(chunk, (0, size - len(chunk)), mode="edge") if whole else chunk
            arrays = (array[wide] for array in (sample, other, share, lengths, select))
            products[chunk] = function(*arrays).numpy()[: len(chunk)]
        return products

    def chunk_rows(self, steps: int) -> int:
        """Rows of one call for windows of so many steps."""
        return int(np.clip(STEPS_AT_ONCE // max(steps, 1), FEWEST_ROWS, MOST_ROWS))

    def _function(self, name: str, rows: int, steps: int) -> tuple[Any, int, bool]:
        """The compiled function, rows of a call, and whether calls must be full."""
        jit = self.jit if self.jit is not None else rows * steps >= WORTH_COMPILING and not self.stepped
        size = self.chunk_rows(steps)
        if not jit:
            size = min(size, rows)
        if (name, jit) not in self._compiled:
            body = self._outputs if name == "outputs" else self._gradients
            self._compiled[name, jit] = tf.function(body, jit_compile=jit, reduce_retracing=not jit)
        return self._compiled[name, jit], size, jit

    def _outputs(self, values: Tensor, lengths: Tensor) -> Any:
        return self.raw(self.inputs(values, lengths))

    def _gradients(self, sample: Tensor, other: Tensor, share: Tensor, lengths: Tensor, select: Tensor) -> Any:
        change = tf.where(tf.math.is_nan(sample), 0.0, sample - other)
        point = tf.where(tf.math.is_nan(sample), sample, other + share[:, None, None] * change)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(point)
            number = tf.reduce_sum(self.number(self.raw(self.inputs(point, lengths)), select))
        gradient = tape.gradient(number, point, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        # where a missing value is filled, NaN * 0 may come back: it moved nothing
        return tf.where(tf.math.is_finite(gradient), gradient, 0.0) * change
