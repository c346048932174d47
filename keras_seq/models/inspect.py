"""Look into a model and reuse its parts: attention weights, layer outputs, freezing, warm start."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import keras
import numpy as np

from keras_seq.errors import ModelError, nearest
from keras_seq.models.attention import SelfAttention
from keras_seq.models.tensor import Tensor


def get_attention_weights(model: keras.Model, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """Attention weights of every self-attention layer.

    Args:
        model: as built by ``build_model``.
        inputs: ``{"values": (batch, time, features)[, "lengths": (batch,)]}``.

    Returns:
        Layer name to float32 ``(batch, heads, time, time)``: row = asking step, column = step looked
        at; rows sum to 1 over real steps. Empty if the model has no attention.
    """
    layers = [layer for layer in model.layers if isinstance(layer, SelfAttention)]
    if not layers:
        return {}
    tensors = {layer.name: _arguments(layer) for layer in layers}
    read = _evaluate(model, tensors, inputs)
    return {layer.name: keras.ops.convert_to_numpy(layer.scores(*read[layer.name])) for layer in layers}


def layer_outputs(model: keras.Model, names: Iterable[str], inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """Outputs of layers by name for ``inputs``.

    Raises:
        ModelError: no such layer; names the nearest.
    """
    tensors = {name: _layer(model, name).output for name in names}
    return {name: keras.ops.convert_to_numpy(value) for name, value in _evaluate(model, tensors, inputs).items()}


def freeze(model: keras.Model, patterns: Iterable[str]) -> list[str]:
    """Stop layers from training whose names match shell patterns (``lstm_*``).

    Returns:
        Names of the frozen layers, in model order.

    Raises:
        ModelError: a pattern matches no layer with weights; names the nearest.
    """
    known = [layer.name for layer in model.layers if layer.weights]
    frozen: set[str] = set()
    for pattern in patterns:
        matched = [name for name in known if fnmatchcase(name, pattern)]
        if not matched:
            raise ModelError(
                f"Option 'training.freeze': no layer with weights matches '{pattern}'{nearest(pattern, known)}"
            )
        frozen.update(matched)
    for name in frozen:
        model.get_layer(name).trainable = False
    return [name for name in known if name in frozen]


def warm_start(model: keras.Model, source_model: keras.Model) -> list[str]:
    """Copy weights from another model's layers of the same name and shapes.

    Returns:
        Names of the copied layers, in model order; layers of other shapes keep their own weights.

    Raises:
        ModelError: not one layer fits.
    """
    source = {layer.name: layer for layer in source_model.layers if layer.weights}
    copied = []
    for layer in model.layers:
        other = source.get(layer.name)
        if other is not None and layer.weights and _shapes(layer) == _shapes(other):
            layer.set_weights(other.get_weights())
            if hasattr(layer, "epsilon"):  # of a normalisation; imported ones have another than Keras' default
                layer.epsilon = other.epsilon
            copied.append(layer.name)
    if not copied:
        raise ModelError(
            f"No layer of the warm start's source fits this model by name and shape: it has {', '.join(source)}; "
            f"this model has {', '.join(layer.name for layer in model.layers if layer.weights)}. Use a source of "
            "the same family and sizes."
        )
    return copied


def parameter_count(model: keras.Model, *, trainable_only: bool = False) -> int:
    """Number of weights."""
    weights = model.trainable_weights if trainable_only else model.weights
    return int(sum(np.prod(weight.shape) for weight in weights))


def _shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def _layer(model: keras.Model, name: str) -> keras.layers.Layer:
    known = [layer.name for layer in model.layers]
    if name not in known:
        raise ModelError(f"The model has no layer '{name}'{nearest(name, known)}")
    return model.get_layer(name)


def _arguments(layer: keras.layers.Layer) -> list[Tensor]:
    tensors = layer.input
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def _evaluate(model: keras.Model, tensors: Tensor, inputs: dict[str, Any]) -> Tensor:
    symbolic = {tensor.name: tensor for tensor in model.inputs}
    values = {name: keras.ops.convert_to_tensor(inputs[name], dtype=tensor.dtype) for name, tensor in symbolic.items()}
    return keras.Model(symbolic, tensors)(values, training=False)
