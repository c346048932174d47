"""JSON values into tensors, as ``json_tensor.cc`` fills them: every dtype, every refusal with its text.

What may surprise: an integer where a float is wanted is taken whatever its size, a float beyond float32 is refused;
1.0 is no integer; int8, int16 and uint8 are read as int32 and wrap; half, bfloat16, uint16 and the rest cannot be sent.
Shapes are those of the JSON; the signature's are not looked at.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from functools import partial
from math import inf, prod
from typing import Any, TypeGuard

import numpy as np

from serving.contract.decimals import FLOAT_MAX, to_float
from serving.contract.pretty import echo
from serving.contract.signatures import NUMPY, TensorInfo, type_name
from serving.contract.status import Code, Refused, invalid
from serving.contract.strict import JsonMembers, JsonValue

NARROW = ("DT_INT32", "DT_INT16", "DT_INT8", "DT_UINT8")
SENT = {  # types that JSON can send
    name: np.dtype(NUMPY[name])
    for name in ("DT_FLOAT", "DT_DOUBLE", *NARROW, "DT_INT64", "DT_UINT32", "DT_UINT64", "DT_BOOL", "DT_STRING")
}
_RANGES = {
    **dict.fromkeys(NARROW, (-(2**31), 2**31)),
    "DT_INT64": (-(2**63), 2**63),
    "DT_UINT32": (0, 2**32),
    "DT_UINT64": (0, 2**64),
}
_MOST_AXES = 64  # numpy's limit; TensorFlow's is 254
_BASE64 = re.compile(rb"([A-Za-z0-9+/]*)([=.]*)")
_BLANK = re.compile(rb"[ \t\n\v\f\r]+")


def json_type(value: JsonValue) -> str:
    """Name of a JSON value's kind in error messages."""
    if value is None or type(value) is bool:
        return "Null" if value is None else str(value)
    names = {int: "Number", float: "Number", bytes: "String", list: "Array", JsonMembers: "Object"}
    return names[type(value)]


def is_base64(value: JsonValue) -> TypeGuard[JsonMembers]:
    """Whether it is ``{"b64": "..."}`` and nothing else."""
    return type(value) is JsonMembers and len(value) == 1 and value[0][0] == b"b64" and type(value[0][1]) is bytes


def decode_base64(value: JsonValue) -> bytes:
    """Bytes of ``{"b64": "..."}``.

    Raises:
        Refused: "... not formatted correctly for base64 data", "Unable to base64 decode".
    """
    if not is_base64(value):
        raise invalid(f"JSON Value: {echo(value)} not formatted correctly for base64 data")
    match = _BASE64.fullmatch(_BLANK.sub(b"", value[0][1]))
    # Padding may be left out, but not be wrong; bits left over need not be zero (absl::Base64Unescape).
    if not match or len(match[1]) % 4 == 1 or (match[2] and len(match[2]) != -len(match[1]) % 4):
        raise invalid("Unable to base64 decode")
    return base64.b64decode(match[1] + b"=" * (-len(match[1]) % 4))


def lossless(value: float) -> float:
    """Float32 of a double.

    Raises:
        Refused: it is finite but beyond float32.
    """
    if FLOAT_MAX < abs(value) < inf:
        raise invalid(f"Cannot convert JSON value: {echo(value)} to float without loss of precision.")
    return to_float(value)


def _wrong_type(value: JsonValue, dtype: str) -> Refused:
    text = f"JSON Value: {echo(value)} Type: {json_type(value)} is not of expected type: {type_name(dtype)}"
    return invalid(text)


def _read_float(dtype: str, value: JsonValue) -> float:
    if type(value) is int:
        return to_float(float(value))
    if type(value) is float:
        return lossless(value)
    raise _wrong_type(value, dtype)


def _read_double(dtype: str, value: JsonValue) -> float:
    if type(value) is int or type(value) is float:
        return float(value)
    raise _wrong_type(value, dtype)


def _read_int(dtype: str, value: JsonValue) -> int:
    low, high = _RANGES[dtype]
    if type(value) is int and low <= value < high:
        return value
    raise _wrong_type(value, dtype)


def _read_bool(dtype: str, value: JsonValue) -> bool:
    if type(value) is bool:
        return value
    raise _wrong_type(value, dtype)


def _read_string(dtype: str, value: JsonValue) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is JsonMembers:
        return decode_base64(value)
    raise _wrong_type(value, dtype)


def _refuse(dtype: str, value: JsonValue) -> None:
    if type(value) is JsonMembers:
        raise _wrong_type(value, dtype)
    text = f"Conversion of JSON Value: {echo(value)} to type: {type_name(dtype)}"
    raise Refused(Code.UNIMPLEMENTED, text)


# How one value of a dtype is read; lists never come here.
_READERS: dict[str, Callable[[str, JsonValue], Any]] = {
    "DT_FLOAT": _read_float,
    "DT_DOUBLE": _read_double,
    "DT_BOOL": _read_bool,
    "DT_STRING": _read_string,
    **dict.fromkeys(_RANGES, _read_int),
}


class TensorBuilder:
    """Collects one tensor from one or more JSON values.

    Attributes:
        info: what the signature says; only its dtype counts.
        values: all values so far, flat.
        shape: of the value added last.
    """

    def __init__(self, info: TensorInfo) -> None:
        self.info = info
        self.values: list[Any] = []
        self.shape: list[int] = []
        self._first: tuple[int, list[int]] | None = None
        self._read = partial(_READERS.get(info.dtype, _refuse), info.dtype)

    def add(self, value: JsonValue) -> int:
        """Add a scalar or nested list; how many values it had.

        Raises:
            Refused: INVALID_ARGUMENT or UNIMPLEMENTED, as worded by ``FillTensorProto``.
        """
        self.shape = _dense_shape(value)
        before = len(self.values)
        if len(self.shape) > _MOST_AXES:
            raise invalid(f"tensor parsing error: more than {_MOST_AXES} dimensions")
        self._fill(value, 0)
        return len(self.values) - before

    def add_item(self, value: JsonValue) -> None:
        """Add one instance of a batch, which must look like the first.

        Raises:
            Refused: as ``add``; "Expecting tensor size: 15 but got: 12", "Expecting shape [3,2] but got: [2,3]".
        """
        size = self.add(value)
        if self._first is None:
            self._first = size, self.shape
            return
        first_size, first_shape = self._first
        if size != first_size:
            raise invalid(f"Expecting tensor size: {first_size} but got: {size}")
        if self.shape != first_shape:
            raise invalid(f"Expecting shape {_shape_text(first_shape)} but got: {_shape_text(self.shape)}")

    def array(self, batch: int | None = None) -> np.ndarray:
        """The tensor; with ``batch``, of so many instances of the first one's shape."""
        shape = self.shape if batch is None or self._first is None else [batch, *self._first[1]]
        # Keys given twice in an instance leave values over; TensorFlow takes as many as the shape holds.
        values = self.values[: prod(shape)]
        dtype = SENT.get(self.info.dtype, np.dtype(object))
        if self.info.dtype in NARROW:
            return np.array(values, np.int32).astype(dtype).reshape(shape)
        array: np.ndarray = np.empty(len(values), dtype)
        array[:] = values
        return array.reshape(shape)

    def _fill(self, value: JsonValue, level: int) -> None:
        rank = len(self.shape)
        if type(value) is not list:
            if level != rank:
                raise invalid(
                    f"JSON Value: {echo(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                    f"Expected at level: {rank}"
                )
            self.values.append(self._read(value))
            return
        if level >= rank:
            raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
        if len(value) != self.shape[level]:
            raise invalid(
                f"Encountered list at unexpected size: {len(value)} at level: {level} "
                f"expected size: {self.shape[level]}"
            )
        for item in value:
            self._fill(item, level + 1)


def _dense_shape(value: JsonValue) -> list[int]:
    shape = []
    while type(value) is list:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _shape_text(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def from_instances(instances: list[JsonValue], inputs: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    """Tensors of a body in row format: a batch, instance by instance.

    Raises:
        Refused: INVALID_ARGUMENT, as worded by ``FillTensorMapFromInstancesList``.
    """
    if type(instances[0]) is not JsonMembers and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    fillers: dict[str, TensorBuilder] = {}
    objects = _is_named(instances[0])
    for index, item in enumerate(instances):
        if objects:
            _add_object(index, item, inputs, fillers)
            continue
        if _is_named(item):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        name = next(iter(inputs))
        try:
            fillers.setdefault(name, TensorBuilder(inputs[name])).add_item(item)
        except Refused as error:
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. Error: {error.code.name}: {error.message}"
            ) from None
    return {name: filler.array(len(instances)) for name, filler in fillers.items()}


def _is_named(item: JsonValue) -> TypeGuard[JsonMembers]:
    return type(item) is JsonMembers and not is_base64(item)


def _add_object(
    index: int, item: JsonValue, inputs: Mapping[str, TensorInfo], fillers: dict[str, TensorBuilder]
) -> None:
    if not _is_named(item):
        raise invalid(f"Expecting object but got list at item {index} of input list")
    keys = set()
    for key, value in item:
        name = key.partition(b"\0")[0].decode("utf-8", "surrogateescape")  # a C string in the original
        keys.add(name)
        try:
            if name not in inputs:
                raise invalid(f"JSON object: does not have named input: {name}")
            if name not in fillers:
                fillers[name] = TensorBuilder(inputs[name])
            fillers[name].add_item(value)
        except Refused as error:
            raise invalid(
                f"Failed to process element: {index} key: {name} of 'instances' list. "
                f"Error: {error.code.name}: {error.message}"
            ) from None
    if keys != set(inputs):
        raise invalid(
            f"Failed to process element: {index} of 'instances' list. JSON object: {echo(item)} "
            f"keys must be equal to: {','.join(sorted(inputs))}"
        )


def from_inputs(value: JsonValue, inputs: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    """Tensors of a body in column format.

    Raises:
        Refused: INVALID_ARGUMENT or UNIMPLEMENTED, as worded by ``FillTensorMapFromInputsMap``.
    """
    if not _is_named(value) and len(inputs) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
            "tensorinfo_map"
        )
    tensors = {}
    for name, info in inputs.items():
        member = value.find(name.encode("utf-8", "surrogateescape")) if _is_named(value) else (b"", value)
        if member is None:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        filler = TensorBuilder(info)
        filler.add(member[1])
        tensors[name] = filler.array()
    return tensors
