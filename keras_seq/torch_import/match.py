"""Which PyTorch module goes to which Keras layer: by the map, else by kind and shape, else by order.

Shapes decide alone where one module and one layer have them. Where several have the same, their order decides: by
numbers in names that are alike apart from them (``head.0``, ``head.2``), or by the order of the state dict where the
file keeps it. What remains open is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from keras_seq.errors import ConfigError, ModelError, nearest
from keras_seq.torch_import.layer_weights import TargetLayer
from keras_seq.torch_import.mapping import WeightMap
from keras_seq.torch_import.read import Weights, natural
from keras_seq.torch_import.torch_modules import COUNTER, REQUIRED, Module, describe, find_modules


@dataclass(frozen=True)
class Match:
    """A layer and the tensors that go there.

    Attributes:
        layer: of the Keras model.
        module: name of the PyTorch module, "" where the map names tensors or nothing.
        tensors: names by role; empty: the layer is set to the identity.
        by: "map", "shape", "names" or "order".
    """

    layer: TargetLayer
    module: str
    tensors: dict[str, str]
    by: str


def match(layers: Sequence[TargetLayer], weights: Weights, mapping: WeightMap) -> tuple[list[Match], tuple[str, ...]]:
    """Pair every layer with its module.

    Returns:
        Matches in the order of ``layers``, and the names of the tensors that the map leaves out.

    Raises:
        ConfigError: the map names what is not there.
        ModelError: something is left over on either side, or undecided; lists all of it with shapes.
    """
    modules = find_modules(weights)
    ignored = _ignored(weights, mapping)
    _check_layers(layers, mapping)
    named = [layer for layer in layers if layer.name in mapping.layers]
    matches = [_mapped(layer, mapping.layers[layer.name], modules, weights) for layer in named]
    taken = ignored | {tensor for pair in matches for tensor in pair.tensors.values()}
    free = [m for m in modules if m.kind and not taken & set(m.tensors.values())]
    undecided: list[str] = []
    for alike in _alike(layer for layer in layers if layer.name not in mapping.layers):
        fitting = [m for m in free if _fits(alike[0], m, weights)]
        if len(fitting) != len(alike):
            continue
        ordered, by = in_order(fitting, weights.ordered)
        if by:
            matches += [Match(layer, m.name, _numbers(m), by) for layer, m in zip(alike, ordered, strict=True)]
        else:
            undecided.append(f"{_names(m.name for m in fitting)} for {', '.join(layer.name for layer in alike)}")
    _refuse_rest(layers, matches, modules, ignored, weights, undecided)
    rank = {layer.name: position for position, layer in enumerate(layers)}
    return sorted(matches, key=lambda pair: rank[pair.layer.name]), tuple(sorted(ignored, key=natural))


def in_order(modules: Sequence[Module], ordered: bool) -> tuple[list[Module], str]:
    """Modules of one kind and shape in their order in the network, and what told it ("": nothing did)."""
    if len(modules) == 1:
        return list(modules), "shape"
    numbered = sorted(modules, key=lambda module: natural(module.name))
    alike = len({re.sub(r"\d+", "#", module.name) for module in modules}) == 1
    if alike and (not ordered or numbered == list(modules)):
        return numbered, "names"
    if ordered and not alike:
        return list(modules), "order"
    return [], ""  # numbers and order contradict each other, or there is neither


def _alike(layers: Iterable[TargetLayer]) -> list[list[TargetLayer]]:
    """Places of one kind and shape together."""
    groups: dict[object, list[TargetLayer]] = {}
    for layer in layers:
        groups.setdefault((layer.kind, tuple(layer.shapes.items())), []).append(layer)
    return list(groups.values())


def _fits(layer: TargetLayer, module: Module, weights: Weights) -> bool:
    return module.kind == layer.kind and all(
        layer.shapes.get(role) == weights[tensor].shape for role, tensor in _numbers(module).items()
    )


def _numbers(module: Module) -> dict[str, str]:
    """Tensors that count for an answer."""
    return {role: tensor for role, tensor in module.tensors.items() if role != COUNTER}


def _ignored(weights: Weights, mapping: WeightMap) -> set[str]:
    ignored: set[str] = set()
    for pattern in mapping.ignore:
        fitting = {name for name in weights if fnmatchcase(name, pattern)}
        if not fitting:
            raise ConfigError(f"The map's ignore: no tensor matches '{pattern}'{nearest(pattern, weights)}")
        ignored |= fitting
    return ignored


def _check_layers(layers: Sequence[TargetLayer], mapping: WeightMap) -> None:
    known = [layer.name for layer in layers]
    for name in mapping.layers:
        if name not in known:
            raise ConfigError(f"The map's layers: the model has no layer with weights '{name}'{nearest(name, known)}")


def _mapped(
    layer: TargetLayer, named: str | dict[str, str] | None, modules: Sequence[Module], weights: Weights
) -> Match:
    if named is None:
        if layer.norm is None:
            raise ConfigError(
                f"The map's layers: '{layer.name}' cannot do without weights; only a normalisation can (null)."
            )
        return Match(layer, "", {}, "map")
    if isinstance(named, str):
        module = next((m for m in modules if m.name == named), None)
        if module is None:
            known = [m.name for m in modules]
            raise ConfigError(f"The map's layers: '{layer.name}' is to take '{named}'{nearest(named, known)}")
        tensors, name = _numbers(module), named
    else:
        tensors, name = named, ""
    for role, tensor in tensors.items():
        _check_tensor(layer, role, tensor, weights)
    missing = [role for role in REQUIRED[layer.kind] if role not in tensors]
    if missing:
        raise ConfigError(f"The map's layers: '{layer.name}' needs {', '.join(missing)} too.")
    return Match(layer, name, dict(tensors), "map")


def _check_tensor(layer: TargetLayer, role: str, tensor: str, weights: Weights) -> None:
    if role not in layer.shapes:
        raise ConfigError(f"The map's layers: '{layer.name}' takes no '{role}'{nearest(role, layer.shapes)}")
    if tensor not in weights:
        raise ConfigError(
            f"The map's layers: '{layer.name}' is to take '{tensor}', but there is no such tensor"
            f"{nearest(tensor, weights)}"
        )
    shape, wanted = weights[tensor].shape, layer.shapes[role]
    if shape != wanted and not (layer.kind == "table" and shape == (1, *wanted)):
        raise ModelError(
            f"Layer '{layer.name}' takes '{role}' of shape {wanted} (in PyTorch's layout); '{tensor}', which the map "
            f"names, has {shape}. Nothing was imported. Change the model's options or the map."
        )


def _refuse_rest(
    layers: Sequence[TargetLayer],
    matches: Sequence[Match],
    modules: Sequence[Module],
    ignored: set[str],
    weights: Weights,
    undecided: Sequence[str],
) -> None:
    used = ignored | {tensor for pair in matches for tensor in pair.tensors.values()}
    filled = {pair.layer.name for pair in matches}
    empty = [f"{layer.name} ({describe(layer.kind, layer.shapes)})" for layer in layers if layer.name not in filled]
    over = []
    for module in modules:
        rest = {role: weights[tensor].shape for role, tensor in _numbers(module).items() if tensor not in used}
        if rest:
            over.append(f"'{module.name}' ({describe(module.kind, rest, module.why)})")
    if not over and not empty:
        return
    parts = [f"The tensors of {weights.source} and the layers of the model do not pair; nothing was imported."]
    if over:
        parts.append(f"Tensors without a layer: {', '.join(over)}.")
    if empty:
        parts.append(f"Layers without tensors: {', '.join(empty)}.")
    if undecided:
        parts.append(f"Several fit and neither numbers nor order tell which is first: {'; '.join(undecided)}.")
    parts.append(
        "Set the model's options so that the shapes agree, name pairs under 'layers' of a map file, or list tensors to "
        "leave out under its 'ignore' (docs/migrate_pytorch.md)."
    )
    raise ModelError(" ".join(parts))


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
