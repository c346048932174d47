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
from keras_seq.torch_import.layer_weights import Place
from keras_seq.torch_import.mapping import WeightMap
from keras_seq.torch_import.read import Weights, natural
from keras_seq.torch_import.torch_modules import COUNTER, REQUIRED, Module, describe, find_modules


@dataclass(frozen=True)
class Match:
    """A layer and the tensors that go there.

    Attributes:
        place: in the Keras model.
        module: name of the PyTorch module, "" where the map names tensors or nothing.
        tensors: names by role; empty: the layer is set to the identity.
        by: "map", "shape", "names" or "order".
    """

    place: Place
    module: str
    tensors: dict[str, str]
    by: str


def match(places: Sequence[Place], weights: Weights, given: WeightMap) -> tuple[list[Match], tuple[str, ...]]:
    """Pair every layer with its module.

    Returns:
        Matches in the order of ``places``, and the names of the tensors that the map leaves out.

    Raises:
        ConfigError: the map names what is not there.
        ModelError: something is left over on either side, or undecided; lists all of it with shapes.
    """
    modules = find_modules(weights)
    ignored = _ignored(weights, given)
    _check_layers(places, given)
    found = [_mapped(p, given.layers[p.name], modules, weights) for p in places if p.name in given.layers]
    taken = ignored | {tensor for one in found for tensor in one.tensors.values()}
    free = [m for m in modules if m.kind and not taken & set(m.tensors.values())]
    undecided: list[str] = []
    for alike in _alike([p for p in places if p.name not in given.layers]):
        fitting = [m for m in free if _fits(alike[0], m, weights)]
        if len(fitting) != len(alike):
            continue
        ordered, by = in_order(fitting, weights.ordered)
        if by:
            found += [Match(p, m.name, _numbers(m), by) for p, m in zip(alike, ordered, strict=True)]
        else:
            undecided.append(f"{_names(m.name for m in fitting)} for {', '.join(p.name for p in alike)}")
    _refuse_rest(places, found, modules, ignored, weights, undecided)
    rank = {place.name: position for position, place in enumerate(places)}
    return sorted(found, key=lambda one: rank[one.place.name]), tuple(sorted(ignored, key=natural))


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


def _alike(places: Iterable[Place]) -> list[list[Place]]:
    """Places of one kind and shape together."""
    groups: dict[object, list[Place]] = {}
    for place in places:
        groups.setdefault((place.kind, tuple(place.shapes.items())), []).append(place)
    return list(groups.values())


def _fits(place: Place, module: Module, weights: Weights) -> bool:
    return module.kind == place.kind and all(
        place.shapes.get(role) == weights[tensor].shape for role, tensor in _numbers(module).items()
    )


def _numbers(module: Module) -> dict[str, str]:
    """Tensors that count for an answer."""
    return {role: tensor for role, tensor in module.tensors.items() if role != COUNTER}


def _ignored(weights: Weights, given: WeightMap) -> set[str]:
    ignored: set[str] = set()
    for pattern in given.ignore:
        fitting = {name for name in weights if fnmatchcase(name, pattern)}
        if not fitting:
            raise ConfigError(f"The map's ignore: no tensor matches '{pattern}'{nearest(pattern, weights)}")
        ignored |= fitting
    return ignored


def _check_layers(places: Sequence[Place], given: WeightMap) -> None:
    known = [place.name for place in places]
    for name in given.layers:
        if name not in known:
            raise ConfigError(f"The map's layers: the model has no layer with weights '{name}'{nearest(name, known)}")


def _mapped(place: Place, named: str | dict[str, str] | None, modules: Sequence[Module], weights: Weights) -> Match:
    if named is None:
        if place.norm is None:
            raise ConfigError(
                f"The map's layers: '{place.name}' cannot do without weights; only a normalisation can (null)."
            )
        return Match(place, "", {}, "map")
    if isinstance(named, str):
        module = next((m for m in modules if m.name == named), None)
        if module is None:
            known = [m.name for m in modules]
            raise ConfigError(f"The map's layers: '{place.name}' is to take '{named}'{nearest(named, known)}")
        tensors, name = _numbers(module), named
    else:
        tensors, name = named, ""
    for role, tensor in tensors.items():
        _check_tensor(place, role, tensor, weights)
    missing = [role for role in REQUIRED[place.kind] if role not in tensors]
    if missing:
        raise ConfigError(f"The map's layers: '{place.name}' needs {', '.join(missing)} too.")
    return Match(place, name, dict(tensors), "map")


def _check_tensor(place: Place, role: str, tensor: str, weights: Weights) -> None:
    if role not in place.shapes:
        raise ConfigError(f"The map's layers: '{place.name}' takes no '{role}'{nearest(role, place.shapes)}")
    if tensor not in weights:
        raise ConfigError(
            f"The map's layers: '{place.name}' is to take '{tensor}', but there is no such tensor"
            f"{nearest(tensor, weights)}"
        )
    shape, wanted = weights[tensor].shape, place.shapes[role]
    if shape != wanted and not (place.kind == "table" and shape == (1, *wanted)):
        raise ModelError(
            f"Layer '{place.name}' takes '{role}' of shape {wanted} (in PyTorch's layout); '{tensor}', which the map "
            f"names, has {shape}. Nothing was imported. Change the model's options or the map."
        )


def _refuse_rest(
    places: Sequence[Place],
    found: Sequence[Match],
    modules: Sequence[Module],
    ignored: set[str],
    weights: Weights,
    undecided: Sequence[str],
) -> None:
    used = ignored | {tensor for one in found for tensor in one.tensors.values()}
    filled = {one.place.name for one in found}
    over, empty = [], [f"{p.name} ({describe(p.kind, p.shapes)})" for p in places if p.name not in filled]
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
