"""Validation of clients' arrays: errors say which value of which input is wrong and what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_seq.errors import KerasSeqError, nearest
from keras_seq.runtime.contract import Contract
from serving.client.arrays import LENGTHS, SENT, Arrays
from serving.contract.signatures import PREDICT, Signature, TensorInfo
from serving.extras.http import bad

VALUES = "values"
DEEPEST = 32  # numpy's own bound is 64


def choose(signatures: Mapping[str, Signature], name: object) -> Signature:
    """Signature of a name, for predict.

    Raises:
        Refused: there is none, or it is for another kind of call.
    """
    if not isinstance(name, str) or name not in signatures:
        raise bad(f"There is no signature {name!r}{nearest(str(name), signatures)}")
    if signatures[name].method not in (PREDICT, ""):
        raise bad(f"Signature '{name}' is for {signatures[name].method}; call /v1/models/NAME:classify or :regress.")
    return signatures[name]


def inputs(values: object, signature: Signature, description: Mapping[str, Any] | None) -> Arrays:
    """Named arrays of JSON values; null stands for a missing number.

    Args:
        values: mapping of input names to nested lists; or the lists of the only input.
        signature: that is asked.
        description: the version's ``metadata.json``; with it, features, window and gaps are checked too.

    Raises:
        Refused: names the input, the value at fault and what was expected.
    """
    if not isinstance(values, dict):
        if len(signature.inputs) != 1:
            raise bad(f"'inputs' must be an object with {_listed(signature.inputs)}, got {type(values).__name__}.")
        values = {next(iter(signature.inputs)): values}
    for name in values:
        if name not in signature.inputs:
            raise bad(f"There is no input '{name}'{nearest(name, signature.inputs)}")
    absent = [name for name in signature.inputs if name not in values]
    if absent:
        raise bad(f"Input '{absent[0]}' is missing; the signature takes {_listed(signature.inputs)}.")
    arrays = {name: array(name, value, signature.inputs[name]) for name, value in values.items()}
    return checked(arrays, signature, description)


def checked(arrays: Arrays, signature: Signature, description: Mapping[str, Any] | None) -> Arrays:
    """Shapes against the signature, rows against one another, windows against what the version says of itself."""
    features = [column["name"] for column in description["features"]] if description else []
    for name, value in arrays.items():
        _check_shape(name, value, signature.inputs[name], features if name == VALUES else [])
    rows = {name: len(value) for name, value in arrays.items() if value.ndim}
    if len(set(rows.values())) > 1:
        raise bad(f"Inputs have different numbers of rows: {', '.join(f'{n} {count}' for n, count in rows.items())}.")
    if description and set(arrays) <= {VALUES, LENGTHS} and VALUES in arrays and arrays[VALUES].ndim == 3:
        try:
            Contract.of(dict(description), "the served version").check(arrays[VALUES], arrays.get(LENGTHS))
        except KerasSeqError as error:
            raise bad(str(error)) from None
    return arrays


def array(name: str, value: object, info: TensorInfo) -> np.ndarray:
    """One input in the type of the signature."""
    kind = SENT.get(info.dtype)
    if kind is None:
        raise bad(f"Input '{name}' is of type {info.dtype}, which JSON cannot carry here.")
    shape = _shape(name, value)
    if len(shape) > DEEPEST:
        raise bad(f"Input '{name}' is nested {len(shape)} deep; no tensor is.")
    leaves = list(_leaves(value))
    numbers = np.empty(len(leaves), kind)
    for position, leaf in enumerate(leaves):
        numbers[position] = _scalar(leaf, kind, name, position, shape)
    return numbers.reshape(shape)


def _shape(name: str, value: object, where: str = "") -> tuple[int, ...]:
    """Shape of nested lists; all of a level are as long."""
    if not isinstance(value, list):
        return ()
    shapes = [_shape(name, item, f"{where}[{number}]") for number, item in enumerate(value)]
    for number, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise bad(
                f"Input '{name}' is ragged: {name}{where}[{number}] has shape {shape}, [0] has {shapes[0]}. "
                "Pad shorter sequences and say their lengths in 'lengths', where the model takes it."
            )
    return (len(value), *(shapes[0] if shapes else ()))


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _scalar(leaf: object, kind: str, name: str, position: int, shape: tuple[int, ...]) -> float | bytes:
    if kind == "object":
        if isinstance(leaf, str):
            return leaf.encode()
    elif kind == "bool":
        if isinstance(leaf, bool):
            return leaf
    elif not isinstance(leaf, bool):
        if leaf is None and kind.startswith("float"):
            return np.nan
        whole = isinstance(leaf, int) or (isinstance(leaf, float) and leaf.is_integer())
        if isinstance(leaf, int | float) and (kind.startswith("float") or whole):
            return _fitting(leaf, kind, _place(name, position, shape))
    wanted = {"object": "text", "bool": "true or false"}.get(kind)
    wanted = wanted or ("a number or null" if kind.startswith("float") else "a whole number")
    raise bad(f"{_place(name, position, shape)} is {str(leaf)[:40]!r}, expected {wanted} ({kind}).")


def _fitting(leaf: float, kind: str, place: str) -> float:
    if kind.startswith("float"):
        limit = float(np.finfo(kind).max)
        if abs(leaf) > limit:
            raise bad(f"{place} is {str(leaf)[:40]}, beyond the largest {kind} ({limit:.3g}).")
        return leaf
    bounds = np.iinfo(kind)
    if not bounds.min <= leaf <= bounds.max:
        raise bad(f"{place} is {str(leaf)[:40]}, outside {kind} ({bounds.min} to {bounds.max}).")
    return int(leaf)


def _place(name: str, position: int, shape: tuple[int, ...]) -> str:
    indices = np.unravel_index(position, shape) if shape else ()
    return name + "".join(f"[{int(index)}]" for index in indices)


def _check_shape(name: str, value: np.ndarray, info: TensorInfo, features: list[str]) -> None:
    if info.shape is None:
        return
    expected = info.shape
    if features and value.ndim == len(expected) == 3 and value.shape[2] != len(features):
        raise bad(
            f"Input '{name}' has {value.shape[2]} features a step, the model takes {len(features)}: "
            f"{', '.join(features)}."
        )
    pairs = zip(value.shape, expected, strict=False)
    if value.ndim != len(expected) or any(want not in (-1, got) for got, want in pairs):
        shown = ", ".join("any" if size < 0 else str(size) for size in expected)
        hint = " (batch, time, features); a single window needs one more pair of brackets" * (
            value.ndim == 2 and len(expected) == 3
        )
        raise bad(f"Input '{name}' has shape {list(value.shape)}, expected [{shown}]{hint}.")


def _listed(tensors: Mapping[str, TensorInfo]) -> str:
    return ", ".join(f"'{name}'" for name in tensors)
