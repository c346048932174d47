"""Layers of a Keras model that take weights, each with the shapes of its counterpart in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras

from keras_seq.errors import ModelError
from keras_seq.models.attention import Positions, SelfAttention
from keras_seq.models.blocks import AttentionPooling
from keras_seq.models.forecast_wrappers import LinearSkip
from keras_seq.torch_import.torch_modules import Shapes

BACKWARD = "_backward"  # how blocks.recurrent names the second run of a two-way layer


@dataclass(frozen=True)
class TargetLayer:
    """A Keras layer (or a part of one) that takes the weights of one PyTorch module.

    Attributes:
        name: of the layer; ``pooling/project`` for a part.
        kind: key of ``torch_modules.NAMES``.
        shapes: of PyTorch's tensors, by role.
        variables: in the order of ``convert.to_keras``.
        heads: of attention.
        norm: the layer whose epsilon counts, or None.
    """

    name: str
    kind: str
    shapes: Shapes
    variables: tuple[keras.Variable, ...]
    heads: int = 1
    norm: keras.layers.Layer | None = None


def find_layers(model: keras.Model) -> list[TargetLayer]:
    """The layers with weights of a model, from inputs to outputs.

    Raises:
        ModelError: a layer with weights has no counterpart in PyTorch; names it and its type.
    """
    layers = {layer.name: layer for layer in model.layers}
    twoway = {name for name in layers if name + BACKWARD in layers}
    targets: list[TargetLayer] = []
    for layer in model.layers:
        if layer.name.removesuffix(BACKWARD) not in twoway:
            targets += _parts(layer)
        elif layer.name in twoway:
            targets.append(_recurrent(layer, layers[layer.name + BACKWARD]))
    return targets


def _parts(layer: keras.layers.Layer) -> Iterator[TargetLayer]:
    name = layer.name
    if isinstance(layer, (keras.layers.LSTM, keras.layers.GRU)):
        yield _recurrent(layer, None)
    elif isinstance(layer, keras.layers.Dense):
        yield _linear(name, layer)
    elif isinstance(layer, keras.layers.Conv1D):
        steps, channels, filters = layer.kernel.shape
        shapes = {"weight": (filters, channels, steps), "bias": (filters,)}
        yield TargetLayer(name, "conv", shapes, (layer.kernel, layer.bias))
    elif isinstance(layer, keras.layers.BatchNormalization):
        shapes = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), tuple(layer.gamma.shape))
        variables = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
        yield TargetLayer(name, "batch_norm", shapes, variables, norm=layer)
    elif isinstance(layer, keras.layers.LayerNormalization):
        shapes = dict.fromkeys(("weight", "bias"), tuple(layer.gamma.shape))
        yield TargetLayer(name, "layer_norm", shapes, (layer.gamma, layer.beta), norm=layer)
    elif isinstance(layer, SelfAttention):
        yield _attention(layer)
    elif isinstance(layer, AttentionPooling):
        yield _linear(f"{name}/project", layer.project)
        yield _linear(f"{name}/score", layer.score)
    elif isinstance(layer, LinearSkip):
        yield _linear(name, layer)
    elif isinstance(layer, Positions) and layer.weights:
        yield TargetLayer(name, "table", {"weight": tuple(layer.table.shape)}, (layer.table,))
    elif layer.weights:
        raise ModelError(
            f"Layer '{name}' ({type(layer).__name__}) of the model holds weights and has no counterpart in PyTorch "
            "that is known here; leave out the option that adds it, or build another family."
        )


def _recurrent(layer: keras.layers.RNN, backward: keras.layers.RNN | None) -> TargetLayer:
    kind, gates = ("gru", 3) if isinstance(layer, keras.layers.GRU) else ("lstm", 4)
    shapes: dict[str, tuple[int, ...]] = {}
    variables: list[keras.Variable] = []
    for run, end in ((layer, ""), (backward, "_reverse")):
        if run is None:
            continue
        inputs, rows = run.cell.kernel.shape[0], gates * run.units
        shapes |= {f"weight_ih{end}": (rows, inputs), f"weight_hh{end}": (rows, run.units)}
        shapes |= {f"bias_ih{end}": (rows,), f"bias_hh{end}": (rows,)}
        variables += [run.cell.kernel, run.cell.recurrent_kernel, run.cell.bias]
    return TargetLayer(layer.name, kind if backward is None else f"bi{kind}", shapes, tuple(variables))


def _linear(name: str, layer: keras.layers.Layer) -> TargetLayer:
    """A dense layer; one without bias scores for a softmax, where a constant cancels, so it may be given one."""
    inputs, outputs = layer.kernel.shape
    variables = (layer.kernel,) if layer.bias is None else (layer.kernel, layer.bias)
    return TargetLayer(name, "linear", {"weight": (outputs, inputs), "bias": (outputs,)}, variables)


def _attention(layer: SelfAttention) -> TargetLayer:
    inner = layer.attention
    width = inner.query_dense.kernel.shape[0]
    shapes = {
        "in_proj_weight": (3 * width, width), "in_proj_bias": (3 * width,),
        "out_proj.weight": (width, width), "out_proj.bias": (width,),
    }  # fmt: skip
    parts = (inner.query_dense, inner.key_dense, inner.value_dense, inner.output_dense)
    variables = tuple(variable for part in parts for variable in (part.kernel, part.bias))
    return TargetLayer(layer.name, "attention", shapes, variables, heads=layer.heads)
