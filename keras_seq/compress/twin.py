"""A tf_keras twin of a whole Keras 3 model, since TF-MOT takes only tf_keras layers.

The twin has the model's graph. Layers with kernels (LSTM, GRU, dense, convolution, attention) become tf_keras layers
with the same weights; a two-way layer is a forward and a backward one already. Everything else (scaling, history,
pooling by lengths, normalisation, ...) is run by the Keras 3 layer itself inside a thin tf_keras layer, so that nothing
is written twice and no result can differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

from keras_seq.compress.kernels import compressible
from keras_seq.models.attention import SelfAttention
from keras_seq.models.blocks import zero_padding

if TYPE_CHECKING:
    from keras_seq.models.tensor import Tensor

Wrap = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Twin:
    """A twin beside its model.

    Attributes:
        model: the ``tf_keras.Model``; same inputs and output.
        original: the Keras 3 model; layers that are not replaced are shared with it.
        variables: of each replaced layer, in the order of the original layer's weights.
    """

    model: Any
    original: keras.Model
    variables: dict[str, list[tf.Variable]]

    def give_back(self) -> None:
        """Write the replaced layers' weights into the Keras 3 model."""
        for name, variables in self.variables.items():
            self.original.get_layer(name).set_weights([variable.numpy() for variable in variables])


class Keras3Layer(tf_keras.layers.Layer):
    """Runs a Keras 3 layer, or a function of tensors, as a tf_keras layer and trains its weights.

    Args:
        run: the Keras 3 layer, or the function.
        name: of the layer.
    """

    def __init__(self, run: keras.layers.Layer | Callable[..., Tensor], name: str) -> None:
        super().__init__(name=name, autocast=False)
        layer: Any = run if isinstance(run, keras.layers.Layer) else None
        self._run = [run]  # in a list of no tracked type: tf_keras must not look into it
        self._takes_training = layer is not None and layer._call_has_training_arg
        if layer is not None:
            self.trained = [variable.value for variable in layer.trainable_variables]
            self.untrained = [variable.value for variable in layer.non_trainable_variables]

    @tf.autograph.experimental.do_not_convert
    def call(self, *args: Tensor, training: bool | None = None, **named: Tensor) -> Any:
        """As the Keras 3 layer."""
        if self._takes_training:
            named["training"] = bool(training)
        return self._run[0](*args, **named)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_run":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


def make_twin(model: keras.Model, wrap: Wrap = lambda name, layer: layer) -> Twin:
    """Build the twin.

    Args:
        model: float32, see ``keras_seq.models.views.plain_twin``; its layers are shared, not copied.
        wrap: called with the name and the tf_keras layer of each compressible layer, built and with its weights;
            returns what takes its place (TF-MOT's wrapper).
    """
    chosen = compressible(model)
    variables: dict[str, list[tf.Variable]] = {}

    def operation(layer: keras.layers.Layer) -> Any:
        call = _replaced(layer, wrap, variables) if layer.name in chosen else Keras3Layer(layer, layer.name)
        # the node keeps what Keras filled in when the model was built; the twin decides for itself
        return lambda *args, training=None, mask=None, **named: call(*args, **named)

    inputs = {
        tensor.name: tf_keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name) for tensor in model.inputs
    }
    output = model._run_through_graph([inputs[tensor.name] for tensor in model.inputs], operation_fn=operation)
    return Twin(tf_keras.Model(inputs, output, name=f"{model.name}_twin"), model, variables)


def _replaced(layer: keras.layers.Layer, wrap: Wrap, variables: dict[str, list[tf.Variable]]) -> Callable[..., Any]:
    """What takes the place of a compressible layer in the graph."""

    def made(twin: tf_keras.layers.Layer, *args: Tensor, **named: Tensor) -> Any:
        """Build on example inputs, take the weights, wrap: centroids and masks are computed from them."""
        twin(*[_example(value) for value in args], **{key: _example(value) for key, value in named.items()})
        twin.set_weights(layer.get_weights())
        variables[layer.name] = list(twin.weights)
        return wrap(layer.name, twin)(*args, **named)

    if isinstance(layer, SelfAttention):

        def attend(x: Tensor, lengths: Tensor = None) -> Any:
            named = {"value": x}
            if lengths is not None or layer.causal:
                allowed = Keras3Layer(layer.allowed, f"{layer.name}_allowed")
                named["attention_mask"] = allowed(x, None) if lengths is None else allowed(x, lengths)
            inner = layer.attention
            twin = tf_keras.layers.MultiHeadAttention(
                layer.heads, inner.key_dim, dropout=layer.dropout, name=layer.name
            )
            return made(twin, x, **named)

        return attend
    if isinstance(layer, keras.layers.Conv1D):

        def convolve(x: Tensor, lengths: Tensor = None) -> Any:
            if lengths is None:
                return made(_convolution(layer), x)
            x = Keras3Layer(zero_padding, f"{layer.name}_before")(x, lengths)
            return Keras3Layer(zero_padding, f"{layer.name}_after")(made(_convolution(layer), x), lengths)

        return convolve
    return lambda x: made(_plain(layer), x)


def _plain(layer: keras.layers.Layer) -> Any:
    """The tf_keras layer of a dense or recurrent layer, with the attributes that ours have."""
    if isinstance(layer, keras.layers.Dense):
        activation = None if layer.activation is None else _as_it_is(layer.activation)
        return tf_keras.layers.Dense(
            layer.units, activation=activation, use_bias=layer.use_bias, name=layer.name, dtype=tf.float32
        )
    if isinstance(layer, keras.layers.GRU):
        return tf_keras.layers.GRU(
            layer.units, return_sequences=layer.return_sequences, reset_after=layer.reset_after, name=layer.name
        )
    return tf_keras.layers.LSTM(layer.units, return_sequences=layer.return_sequences, name=layer.name)


def _convolution(layer: keras.layers.Layer) -> Any:
    return tf_keras.layers.Conv1D(
        layer.filters,
        layer.kernel_size,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        activation=_as_it_is(layer.activation),
        use_bias=layer.use_bias,
        name=layer.name,
    )


def _as_it_is(activation: Callable[[Tensor], Tensor]) -> Any:
    """A Keras 3 activation, called without autograph."""
    return tf.autograph.experimental.do_not_convert(lambda x: activation(x))


def _example(value: Tensor) -> Any:
    """A tensor of the shape of a symbolic one, two samples of two steps where sizes are open."""
    shape = [2 if size is None else size for size in value.shape]
    return tf.constant(np.zeros(shape), value.dtype)
