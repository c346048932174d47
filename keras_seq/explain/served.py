"""Explanations inside the served graph: a signature ``explain`` beside the answers.

Integrated gradients with a fixed number of nodes from a few stored windows (or the scaler's centre), all as constants
of the graph: raw windows in, attributions in raw time and features out. Backgrounds are laid beside a window as
``keras_seq.explain.background`` does it: same steps from the start, continued by reflection, in the sample's operating
condition; missing values get 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_seq.errors import ConfigError
from keras_seq.explain.background import Background
from keras_seq.explain.explained_model import ExplainedModel
from keras_seq.explain.methods.gradients import gauss_legendre
from keras_seq.explain.output_target import OutputTarget
from keras_seq.models.preprocess import Preprocess

if TYPE_CHECKING:
    from keras_seq.data.spec import DataSpec
    from keras_seq.models.tensor import Tensor

NODES = 8


@dataclass(frozen=True)
class ServedExplanation:
    """The signature ``explain``.

    Attributes:
        function: takes the tensors of ``signature``; returns ``attributions (batch, time, features)``, ``base
            (batch, 1)``, ``explained (batch, 1)`` and ``error (batch, 1)``: what base and attributions miss.
        signature: ``values`` [and ``lengths``].
        model: the Keras model whose weights it uses.
        about: for people.
    """

    function: Callable[..., dict[str, Any]]
    signature: list[Any]
    model: Any
    about: str


def make_explain(
    model: keras.Model, target: OutputTarget, background: Background, *, nodes: int = NODES
) -> ServedExplanation:
    """The signature ``explain`` of a model.

    Args:
        model: as served: takes raw units, one answer a sample (or one a step, of which the last is taken).
        target: which number.
        background: stored windows, a few of them: each costs ``nodes`` gradients a sample.
        nodes: of every path.

    Raises:
        ModelError: the model's answer moves in steps.
        ConfigError: less than one node.
    """
    if nodes < 1:
        raise ConfigError(f"'nodes' is {nodes}; a path needs at least 1.")
    explained = _Plain(model, background.spec, target)
    explained.require_gradient("integrated_gradients (served)")
    spec, windows = background.spec, _Windows(background)
    places, weights = (array.astype(np.float32).ravel() for array in gauss_legendre(nodes))

    def explain(values: Tensor, lengths: Tensor = None) -> dict[str, Any]:
        count, steps = tf.shape(values)[0], tf.shape(values)[1]
        real_length = tf.fill((count,), steps) if lengths is None else tf.minimum(lengths, steps)
        real = (tf.range(steps)[None] < real_length[:, None])[:, :, None]
        known = tf.logical_and(tf.math.is_finite(values), real)
        sample = tf.where(known, values, tf.where(real, np.float32(np.nan), 0.0))
        outputs = explained.raw(explained.inputs(sample, real_length))
        select = _select(target, outputs)
        answer = explained.number(outputs, select)
        others = [tf.broadcast_to(windows.beside(n, sample, steps), tf.shape(values)) for n in range(windows.count)]
        hidden = tf.where(known, tf.stack(others), sample)  # (backgrounds, batch, time, features)
        change = tf.where(known, sample - hidden, 0.0)
        points = hidden + places[:, None, None, None, None] * change  # all nodes of all paths in one batch: one graph

        def at(rows: Tensor) -> Any:
            """Answers ``(..., batch)`` at ``rows (..., batch, time, features)``."""
            flat = tf.reshape(rows, (-1, steps, len(spec.features)))
            times = tf.shape(flat)[0] // count
            chosen = tf.tile(select, [times, *[1] * (len(select.shape) - 1)])
            answers = explained.number(explained.raw(explained.inputs(flat, tf.tile(real_length, [times]))), chosen)
            return tf.reshape(answers, tf.shape(rows)[:-2])

        base = tf.reduce_mean(at(hidden), axis=0)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            total_answer = tf.reduce_sum(at(points))
        slope = tape.gradient(total_answer, points, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        mean_slope = tf.tensordot(weights, tf.where(known, slope, 0.0), axes=1)
        total = tf.reduce_mean(mean_slope * change, axis=0)
        error = answer - base - tf.reduce_sum(total, axis=(1, 2))
        named = {"base": base, "explained": answer, "error": error}
        return {"attributions": total} | {name: value[:, None] for name, value in named.items()}

    signature = [tf.TensorSpec((None, None, len(spec.features)), tf.float32, name="values")]
    if spec.variable_length:
        signature.append(tf.TensorSpec((None,), tf.int32, name="lengths"))
        function: Callable[..., dict[str, Any]] = lambda values, lengths: explain(values, lengths)  # noqa: E731
    else:
        function = lambda values: explain(values)  # noqa: E731
    about = (
        f"integrated gradients of {target.name}: {nodes} nodes from {windows.count} stored windows; base + sum of "
        "attributions = explained - error"
    )
    return ServedExplanation(function, signature, explained.model, about)


class _Plain(ExplainedModel):
    """The model explained on the very layers that are exported."""

    def __init__(self, model: keras.Model, spec: DataSpec, target: OutputTarget) -> None:
        super().__init__(model, spec, target, own_kernel=False)
        from keras_seq.models.views import last_step

        self.model = last_step(model) if spec.per_step else model


class _Windows:
    """Stored backgrounds as constants."""

    def __init__(self, background: Background) -> None:
        scaling = background.spec.scaling
        self.conditions = len(scaling.center)
        self.mean = background.kind == "mean"
        self.values = background.values[: background.count]
        self.lengths = background.lengths[: background.count]
        self.count = 1 if self.mean else len(self.values)
        self.centre, self.scale = np.asarray(scaling.center, np.float32), np.asarray(scaling.scale, np.float32)
        if self.conditions > 1:
            self.fill = Preprocess.from_spec(background.spec)
            self.where = list(scaling.condition_features)
            self.centroids = np.asarray(scaling.centroids, np.float32)
            self.width = np.asarray(scaling.condition_scale, np.float32)

    def beside(self, number: int, sample: Tensor, steps: Tensor) -> Any:
        """One background for every sample: ``(batch or 1, steps, features)``, raw units."""
        if self.mean:
            window = tf.zeros_like(sample)
        else:
            length = int(self.lengths[number])
            turn = max(2 * length - 2, 1)
            step = tf.range(steps) % turn
            index = tf.where(step < length, step, turn - step) if length > 1 else tf.zeros_like(step)
            window = tf.gather(tf.constant(self.values[number, :length]), index)[None]
        if self.conditions == 1:
            return window + self.centre[0] if self.mean else window
        nearest = self._condition(sample)
        return tf.gather(self.centre, nearest) + window * tf.gather(self.scale, nearest)

    def _condition(self, sample: Tensor) -> Any:
        """Operating condition of every step ``(batch, steps)``, of values filled as the model fills them."""
        missing = tf.math.is_nan(sample)
        seen = tf.cast(tf.logical_not(missing), tf.float32)
        filled = self.fill._imputed(tf.where(missing, 0.0, sample), seen)
        place = tf.gather(filled, self.where, axis=-1)[:, :, None, :]
        distance = tf.reduce_sum(tf.square((place - self.centroids) / self.width), axis=-1)
        return tf.argmin(distance, axis=-1, output_type=tf.int32)


def _select(target: OutputTarget, outputs: Tensor) -> Any:
    if target.weights is None:
        return tf.one_hot(tf.argmax(outputs, axis=1), outputs.shape[1])
    return tf.ones_like(outputs) * np.asarray(target.weights, np.float32)


def add_to(archive: keras.export.ExportArchive, served: ServedExplanation, name: str = "explain") -> None:
    """Add the signature to an archive whose model is tracked already."""
    archive.add_endpoint(name, served.function, input_signature=served.signature)
