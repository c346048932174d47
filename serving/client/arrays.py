"""Arrays and sequences of different lengths as the named inputs of a signature; batches, and answers joined again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_seq.errors import DataError, ServingError, nearest
from serving.contract.signatures import NUMPY, Signature, TensorInfo

Arrays = dict[str, np.ndarray]
Inputs = ArrayLike | Mapping[str, ArrayLike]
LENGTHS = "lengths"
SENT = {name: kind for name, kind in NUMPY.items() if not kind.startswith(("bfloat", "complex"))}


def named_inputs(values: Inputs, lengths: ArrayLike | None, signature: Signature) -> Arrays:
    """The inputs of a signature by alias, in its types.

    Args:
        values: a mapping of named arrays; or the one input beside ``lengths``: an array with the batch axis, or a
            list of ``(time, features)`` of different lengths, which are padded on the right.
        lengths: real steps of each row ``(batch,)``, where the signature takes them; None: all of them.
        signature: what the server says it takes.

    Raises:
        DataError: names that the signature does not have, shapes or types it cannot take.
    """
    inputs = dict(values) if isinstance(values, Mapping) else _only_input(values, signature)
    if not isinstance(values, Mapping) and LENGTHS in signature.inputs:
        name = next(iter(inputs))
        windows, real = _padded(inputs[name])
        if real is not None and lengths is not None:
            raise DataError("lengths was given beside a list of sequences, which have their own lengths; leave it out.")
        chosen = real if lengths is None else lengths
        inputs |= {name: windows, LENGTHS: np.full(len(windows), windows.shape[1]) if chosen is None else chosen}
    elif lengths is not None:
        if LENGTHS not in signature.inputs:
            raise DataError("lengths was given, but the model takes windows of one length; leave it out.")
        inputs[LENGTHS] = lengths
    _check_names(inputs, signature)
    return {name: _typed(name, value, signature.inputs[name]) for name, value in inputs.items()}


def _only_input(values: ArrayLike, signature: Signature) -> dict[str, ArrayLike]:
    names = [name for name in signature.inputs if name != LENGTHS]
    if len(names) != 1:
        raise DataError(
            f"The model takes {len(names)} inputs ({', '.join(names)}): give values as a mapping of these names to "
            "arrays."
        )
    return {names[0]: values}


def _padded(values: ArrayLike) -> tuple[np.ndarray, np.ndarray | None]:
    """A list of ``(time, features)`` as one float32 array, zeros after each end, with their lengths; else as it is."""
    if not isinstance(values, (list, tuple)):
        return np.asarray(values), None
    rows = [np.asarray(row, np.float32) for row in values]
    if not rows or any(row.ndim != 2 for row in rows):
        shapes = sorted({str(row.shape) for row in rows})
        raise DataError(f"values is a list of shapes {', '.join(shapes) or '()'}; expected (time, features) each.")
    if len({row.shape[1] for row in rows}) > 1:
        raise DataError(
            f"values holds sequences of {sorted({row.shape[1] for row in rows})} features; expected one number."
        )
    joined = np.zeros((len(rows), max(len(row) for row in rows), rows[0].shape[1]), np.float32)
    for place, row in zip(joined, rows, strict=True):
        place[: len(row)] = row
    return joined, np.array([len(row) for row in rows], np.int32)


def _check_names(inputs: Mapping[str, Any], signature: Signature) -> None:
    for name in inputs:
        if name not in signature.inputs:
            raise DataError(f"The model has no input '{name}'{nearest(name, signature.inputs)}")
    absent = [name for name in signature.inputs if name not in inputs]
    if absent:
        raise DataError(f"Input '{absent[0]}' is missing; the model takes {', '.join(signature.inputs)}.")


def _typed(name: str, value: ArrayLike, info: TensorInfo) -> np.ndarray:
    kind = SENT.get(info.dtype)
    if kind is None:
        raise DataError(f"Input '{name}' is of type {info.dtype}, which this client does not send.")
    try:
        array = np.asarray(value, object if kind == "object" else None)  # text as it is, zeros at its end too
        if kind != "object" and array.dtype.kind not in "fiub":
            array = array.astype(np.float64)
        if array.dtype.kind == "f" and np.dtype(kind).kind in "iu" and not np.equal(array, np.round(array)).all():
            raise DataError(
                f"Input '{name}' takes whole numbers ({kind}), got {array[array != np.round(array)].flat[0]}."
            )
        array = array.astype(kind, copy=False)
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"Input '{name}' is not an array of {kind}: rows of unequal length, or text among numbers."
        ) from None
    _check_shape(name, array.shape, info.shape)
    return array


def _check_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    if expected is None:
        return
    fits = len(shape) == len(expected) and all(want in (-1, got) for got, want in zip(shape, expected, strict=True))
    if not fits:
        shown = ", ".join("any" if size < 0 else str(size) for size in expected)
        raise DataError(f"Input '{name}' has shape {shape}, the model takes ({shown}).")


def batches(inputs: Arrays, rows: int, size: int) -> Iterator[Arrays]:
    """Inputs cut along the batch axis so that a part has at most ``rows`` rows and about ``size`` bytes.

    Raises:
        DataError: the inputs have different numbers of rows.
    """
    counts = {name: len(value) if value.ndim else 1 for name, value in inputs.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise DataError(f"The inputs have different numbers of rows ({shown}).")
    total = next(iter(counts.values()), 0)
    if any(not value.ndim for value in inputs.values()) or total <= 1:
        yield inputs
        return
    heaviest = sum(value.nbytes for value in inputs.values()) / total
    step = max(1, min(rows, int(size // max(heaviest, 1))))
    for low in range(0, total, step):
        yield {name: value[low : low + step] for name, value in inputs.items()}


def joined(parts: Sequence[Arrays], rows: Sequence[int]) -> Arrays:
    """Answers of several calls concatenated along the batch axis.

    Raises:
        ServingError: an answer has no batch axis, so that parts cannot be put together.
    """
    if len(parts) == 1:
        return parts[0]
    for name in parts[0]:
        if any(part[name].ndim == 0 or len(part[name]) != count for part, count in zip(parts, rows, strict=True)):
            raise ServingError(
                f"Output '{name}' has shape {parts[0][name].shape} for {rows[0]} rows, so the answers "
                "of several requests cannot be joined by rows; raise rows_per_request above the number of rows."
            )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def typed_answers(decoded: Mapping[str, Any], signature: Signature) -> Arrays:
    """Decoded answers in the types that the signature names."""
    typed = {}
    for name, value in decoded.items():
        info = signature.outputs.get(name)
        typed[name] = np.asarray(value, SENT.get(info.dtype) if info else None)
    return typed
