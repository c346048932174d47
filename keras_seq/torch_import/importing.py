"""Weights of a state dict into a Keras model: all of them, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ConfigError, ModelError
from keras_seq.models.preprocess import Rescale
from keras_seq.torch_import.convert import to_keras
from keras_seq.torch_import.layer_weights import TargetLayer, find_layers
from keras_seq.torch_import.mapping import ScalerNumbers, WeightMap, read_map
from keras_seq.torch_import.match import Match, match
from keras_seq.torch_import.read import Weights, read_weights
from keras_seq.torch_import.torch_modules import NAMES

HEAD = "head_output"
BETWEEN = ("head_quantiles", "with_skip", "instance_restore", "from_columns")  # between the head and its way back


@dataclass(frozen=True)
class Row:
    """One layer that was filled.

    Attributes:
        layer: of the Keras model.
        module: of the PyTorch network, or its tensors.
        kind: in PyTorch's words.
        by: what decided: "map", "shape", "names" or "order".
        parameters: numbers written.
    """

    layer: str
    module: str
    kind: str
    by: str
    parameters: int


@dataclass(frozen=True)
class Imported:
    """What was imported.

    Attributes:
        report: one row a layer, from inputs to outputs.
        ignored: tensors the map leaves out.
        source: of the weights.
        epsilon: given to normalisations.
    """

    report: tuple[Row, ...]
    ignored: tuple[str, ...]
    source: str
    epsilon: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)

    def to_markdown(self) -> str:
        """A table, one row a layer."""
        lines = ["| layer | from | module | decided by | parameters |", "|---|---|---|---|---:|"]
        lines += [f"| {r.layer} | {r.module} | {r.kind} | {r.by} | {r.parameters} |" for r in self.report]
        if self.ignored:
            lines += ["", f"Left out by the map: {', '.join(self.ignored)}."]
        return "\n".join(lines)


def import_weights(
    model: keras.Model,
    weights: str | Path | Mapping[str, Any],
    mapping: WeightMap | Mapping[str, Any] | str | Path | None = None,
) -> Imported:
    """Fill ``model`` with the weights of an equivalent PyTorch network.

    Normalisation layers take the map's epsilon (1e-5 as PyTorch's; Keras' own is 1e-3). The map's ``inputs`` concern
    the model's data and are applied before it is built (``mapping.scaled_as``).

    Args:
        model: as ``keras_seq.models.build_model`` gives it; changed in place.
        weights: a ``.safetensors`` or ``.npz`` file, or tensors by name in the order of the state dict.
        mapping: a map, its plain values, or its YAML file; see ``keras_seq.torch_import.mapping``.

    Returns:
        Which layer took which tensors, and what decided it.

    Raises:
        ModelError: a file that cannot be read, tensors or layers left over, numbers that are not finite. The model is
            then as it was.
        ConfigError: the map is wrong.
    """
    weight_map = read_map(mapping)
    if isinstance(weights, (str, Path)):
        tensors = read_weights(weights)
    else:
        tensors = weights if isinstance(weights, Weights) else Weights(weights)
    matches, ignored = match(find_layers(model), tensors, weight_map)
    arrays = {pair.layer.name: _arrays(pair, tensors) for pair in matches}
    if weight_map.targets is not None:
        arrays[HEAD] = _answering(model, arrays, weight_map.targets)
    for pair in matches:
        _check(pair, arrays[pair.layer.name], tensors.source)
    for pair in matches:  # everything is proved; nothing below can fail half way
        for variable, array in zip(pair.layer.variables, arrays[pair.layer.name], strict=True):
            variable.assign(array)
    _set_epsilon(model, [pair.layer for pair in matches], weight_map.epsilon)
    return Imported(tuple(_row(pair) for pair in matches), ignored, tensors.source, weight_map.epsilon)


def _arrays(pair: Match, weights: Weights) -> list[NDArray[Any]]:
    """Weights of the layer in the order of its variables."""
    layer = pair.layer
    if not pair.tensors:  # a normalisation without weights of its own
        if layer.kind == "batch_norm":
            raise ConfigError(
                f"The map's layers: '{layer.name}' is a batch normalisation, which needs running_mean and running_var."
            )
        shape = layer.shapes["weight"]
        return [np.ones(shape, np.float32), np.zeros(shape, np.float32)]
    tensors = {}
    for role, name in pair.tensors.items():
        tensor = weights[name]
        if tensor.dtype.kind != "f":
            raise ModelError(
                f"Tensor '{name}' of {weights.source} holds {tensor.dtype}, expected floating-point numbers. Save the "
                "network before it is quantised. Nothing was imported."
            )
        tensors[role] = tensor.reshape(layer.shapes[role])
    return to_keras(layer.kind, tensors, layer.heads)[: len(layer.variables)]


def _check(pair: Match, arrays: list[NDArray[Any]], source: str) -> None:
    for variable, array in zip(pair.layer.variables, arrays, strict=True):
        if tuple(variable.shape) != array.shape:
            raise ModelError(
                f"Layer '{pair.layer.name}' has weights {tuple(variable.shape)}, the converted ones are {array.shape}. "
                "Nothing was imported."
            )
        if not np.isfinite(array).all():
            raise ModelError(
                f"{', '.join(pair.tensors.values())} of {source} hold numbers that are not finite; layer "
                f"'{pair.layer.name}' would answer with NaN. Nothing was imported. Save the network of an epoch before."
            )


def _answering(model: keras.Model, arrays: dict[str, list[NDArray[Any]]], scaler: ScalerNumbers) -> list[NDArray[Any]]:
    """Head weights so that the model's way back to raw units undoes another scaling of the targets.

    The network says ``y`` for ``y * scale + center``; the model's last layer makes ``z * deviation + mean`` of the
    head's ``z``, so ``z = (y * scale + center - mean) / deviation``, which is linear in the head's weights.
    """
    names = [layer.name for layer in model.layers]
    last = next((layer for layer in model.layers if isinstance(layer, Rescale)), None)
    between = [name for name in BETWEEN if name in names]
    if last is None or between or HEAD not in arrays:
        raise ConfigError(
            "The map's targets are for a regression or forecast whose head answers directly; this model has "
            f"{', '.join(between) or 'no numbers for an answer'}. Leave them out."
        )
    if len(scaler.center) != len(last.mean):
        raise ConfigError(
            f"The map's targets hold {len(scaler.center)} numbers; the data have {len(last.mean)} targets."
        )
    kernel, bias = (np.asarray(array, np.float64) for array in arrays[HEAD])
    times = len(bias) // len(last.mean)  # steps of a forecast, targets side by side
    center, scale, mean, deviation = (
        np.tile(np.asarray(numbers, np.float64), times)
        for numbers in (scaler.center, scaler.scale, last.mean, last.deviation)
    )
    head = [kernel * scale / deviation, (bias * scale + center - mean) / deviation]
    return [array.astype(np.float32) for array in head]


def _set_epsilon(model: keras.Model, layers: list[TargetLayer], epsilon: float) -> None:
    norms = [layer.norm for layer in layers if layer.norm is not None and layer.norm.epsilon != epsilon]
    for norm in norms:
        norm.epsilon = epsilon
    if norms:  # functions compiled before hold the old number
        model.predict_function = model.test_function = model.train_function = None


def _row(pair: Match) -> Row:
    source = pair.module or ", ".join(pair.tensors.values()) or "(none)"
    parameters = sum(int(np.prod(variable.shape)) for variable in pair.layer.variables)
    return Row(pair.layer.name, source, NAMES[pair.layer.kind], pair.by, parameters)
