"""The graph that every format serves: raw units in, final answers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_seq.data.spec import DataSpec

if TYPE_CHECKING:
    import keras

    from keras_seq.models.tensor import Tensor


@dataclass(frozen=True)
class ServingGraph:
    """What a version serves.

    Attributes:
        model: the Keras model behind it, one answer a sample.
        function: takes the tensors of ``signature`` and returns named answers.
        signature: ``values (batch, time, features)`` float32 [and ``lengths (batch,)`` int32].
    """

    model: Any
    function: Callable[..., dict[str, Any]]
    signature: list[Any]

    @property
    def takes_lengths(self) -> bool:
        """Whether windows are shorter than their tensor."""
        return len(self.signature) > 1


def served(
    model: keras.Model, spec: DataSpec, *, decision: Mapping[str, Any] | None = None, quantiles: Sequence[float] = ()
) -> ServingGraph:
    """The served graph: raw units in, final answers out.

    Models with an answer at every step are reduced to each sample's last real step.

    Args:
        model: takes raw units.
        spec: of the model.
        decision: of the bundle: calibration, threshold, intervals; see ``keras_seq.models.decision.decide`` for the
            answers that come of it. None: the model's own answers.
        quantiles: levels of a quantile model.
    """
    import tensorflow as tf

    from keras_seq.models.decision import decide
    from keras_seq.models.views import last_step

    single = last_step(model) if spec.per_step else model
    signature = [tf.TensorSpec((None, None, len(spec.features)), tf.float32, name="values")]
    if spec.variable_length:
        signature.append(tf.TensorSpec((None,), tf.int32, name="lengths"))

    def answer(**inputs: Tensor) -> dict[str, Any]:
        return decide(single(inputs, training=False), spec, decision or {}, quantiles)

    def with_lengths(values: Tensor, lengths: Tensor) -> dict[str, Any]:
        return answer(values=values, lengths=lengths)

    def whole_windows(values: Tensor) -> dict[str, Any]:
        return answer(values=values)

    return ServingGraph(single, with_lengths if spec.variable_length else whole_windows, signature)
