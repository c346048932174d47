"""``TensorProto`` and arrays, both ways, for every dtype that has values."""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes  # noqa: F401  makes "bfloat16" a type of numpy
import numpy as np

from serving.contract import protos
from serving.contract.protos import Message
from serving.contract.signatures import NUMPY
from serving.contract.status import invalid

_DTYPES = {name: np.dtype(kind) for name, kind in NUMPY.items() if kind != "object"}  # ml_dtypes knows bfloat16
_VALUES = {
    "DT_FLOAT": "float_val",
    "DT_DOUBLE": "double_val",
    "DT_INT32": "int_val",
    "DT_UINT8": "int_val",
    "DT_INT16": "int_val",
    "DT_INT8": "int_val",
    "DT_UINT16": "int_val",
    "DT_COMPLEX64": "scomplex_val",
    "DT_COMPLEX128": "dcomplex_val",
    "DT_INT64": "int64_val",
    "DT_BOOL": "bool_val",
    "DT_HALF": "half_val",
    "DT_BFLOAT16": "half_val",
    "DT_UINT32": "uint32_val",
    "DT_UINT64": "uint64_val",
    "DT_STRING": "string_val",
}
MAX_ELEMENTS = 2**31 - 1
MAX_REPEATED = 2**24  # elements that a message may ask for without sending them


@cache
def _types() -> tuple[dict[int, str], dict[str, int], dict[Any, int]]:
    """Names by number, numbers by name, numbers by dtype."""
    kinds = protos.framework("types").DataType
    numbers = dict(kinds.items())
    return (
        {number: name for name, number in numbers.items()},
        numbers,
        {dtype: numbers[name] for name, dtype in _DTYPES.items()},
    )


def to_array(tensor: Message, alias: str) -> np.ndarray:
    """Array of a ``TensorProto``; strings become an object array of bytes.

    Args:
        tensor: ``TensorProto`` with ``tensor_content`` or values; fewer values than elements repeat the last one.
        alias: name of the input, for the message.

    Raises:
        Refused: INVALID_ARGUMENT, the tensor contradicts itself or has a dtype without values.
    """
    name = _types()[0].get(tensor.dtype, "DT_INVALID")
    if name not in _VALUES or tensor.tensor_shape.unknown_rank:
        raise invalid(f"tensor parsing error: {alias}")
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    count = 1
    for size in shape:
        count *= size
    if any(size < 0 for size in shape) or count > MAX_ELEMENTS:
        raise invalid(f"tensor parsing error: {alias}")
    if name == "DT_STRING":
        return _strings(tensor, shape, count, alias)
    dtype = _DTYPES[name]
    if tensor.tensor_content:
        if len(tensor.tensor_content) != count * dtype.itemsize:
            raise invalid(f"tensor parsing error: {alias}")
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    return _repeated(_values(tensor, name, dtype), shape, count, alias)


def _values(tensor: Message, name: str, dtype: np.dtype) -> np.ndarray:
    values = getattr(tensor, _VALUES[name])
    if _VALUES[name] == "half_val":
        return np.array(values, np.uint16).view(dtype)
    if name == "DT_COMPLEX64":
        return np.array(values, np.float32).view(dtype) if len(values) % 2 == 0 else np.empty(0, dtype)
    if name == "DT_COMPLEX128":
        return np.array(values, np.float64).view(dtype) if len(values) % 2 == 0 else np.empty(0, dtype)
    if _VALUES[name] == "int_val":
        return np.array(values, np.int32).astype(dtype)
    return np.array(values, dtype)


def _strings(tensor: Message, shape: tuple[int, ...], count: int, alias: str) -> np.ndarray:
    values = np.empty(len(tensor.string_val), object)
    values[:] = list(tensor.string_val)
    return _repeated(values, shape, count, alias)


def _repeated(values: np.ndarray, shape: tuple[int, ...], count: int, alias: str) -> np.ndarray:
    """Values of a tensor: one of each, or the last one again and again."""
    sent = len(values)
    if sent > count or (sent < count and count > MAX_REPEATED):
        raise invalid(f"tensor parsing error: {alias}")
    if sent == count:
        return values.reshape(shape)
    if not sent:
        if values.dtype == object:
            values = np.array([b""], object)
            return np.broadcast_to(values, shape).copy()
        return np.zeros(shape, values.dtype)
    whole = np.empty(count, values.dtype)
    whole[:sent], whole[sent:] = values, values[-1]
    return whole.reshape(shape)


def to_proto(array: np.ndarray, tensor: Message, *, content: bool = False) -> None:
    """Fill a ``TensorProto`` from an array.

    Args:
        array: values; strings as an object array of bytes.
        tensor: empty.
        content: numbers as bytes in ``tensor_content``, not one by one.
    """
    if array.dtype == object:
        tensor.dtype = _types()[1]["DT_STRING"]
        tensor.string_val.extend(bytes(value) for value in array.ravel())
    else:
        tensor.dtype = _types()[2][array.dtype]
        if content:
            tensor.tensor_content = array.tobytes()
        else:
            _fill(array.ravel(), tensor)
    for size in array.shape:
        tensor.tensor_shape.dim.add().size = size


def _fill(values: np.ndarray, tensor: Message) -> None:
    field = _VALUES[_types()[0][tensor.dtype]]
    if field == "half_val":
        values = values.view(np.uint16)
    elif field == "scomplex_val":
        values = values.view(np.float32)
    elif field == "dcomplex_val":
        values = values.view(np.float64)
    getattr(tensor, field).extend(values.tolist())
