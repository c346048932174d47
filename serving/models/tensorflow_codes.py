"""TensorFlow's names of types and its errors, without importing TensorFlow."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from serving.contract import signatures
from serving.contract.signatures import NUMPY
from serving.contract.status import Code, Refused, invalid

_OF_NUMPY = {kind: signatures.type_name(name) for name, kind in NUMPY.items()}
MESSAGE_LIMIT = 4096  # characters of an error that a client sees


@functools.cache
def fits(kind: np.dtype, dtype: str) -> bool:
    """Whether arrays of numpy's ``kind`` are of the ``DT_...``; cached: numpy makes a type's name anew each time."""
    return kind.name == NUMPY.get(dtype) or (dtype == "DT_STRING" and kind.kind == "S")


def type_name(array: np.ndarray) -> str:
    """What TensorFlow calls the type of an array: "float", "double", "string"."""
    return "string" if array.dtype.kind in "OSU" else _OF_NUMPY.get(array.dtype.name, array.dtype.name)


def wrong_type(argument: int, dtype: str, array: np.ndarray) -> Refused:
    """As ``FunctionCallFrame::SetArgs`` words it; arguments are counted in the order of their tensors' names."""
    return invalid(f"Expects arg[{argument}] to be {signatures.type_name(dtype)} but {type_name(array)} is provided")


def refused(error: BaseException) -> Refused:
    """What TensorFlow raised, with its code; anything else is INTERNAL with the first line of its text."""
    number: Any = getattr(error, "error_code", None)
    if isinstance(number, int) and number in Code._value2member_map_ and number != Code.OK:
        return Refused(Code(number), str(getattr(error, "message", error))[:MESSAGE_LIMIT])
    if isinstance(error, MemoryError):
        return Refused(Code.RESOURCE_EXHAUSTED, "The server has no memory left for this call")
    line = next(iter(str(error).strip().splitlines()), "")
    if isinstance(error, TypeError | ValueError):  # raised while arrays are handed over
        return invalid(line[:MESSAGE_LIMIT] or type(error).__name__)
    return Refused(Code.INTERNAL, f"{type(error).__name__}: {line[:MESSAGE_LIMIT]}")
