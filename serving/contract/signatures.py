"""Signatures of a version as data, without TensorFlow's ``SignatureDef`` and ``TensorInfo``; names of types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT = "serving_default"
NUMPY = {  # numpy's name of each type that has values
    "DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16", "DT_BFLOAT16": "bfloat16", "DT_BOOL": "bool",
    "DT_INT8": "int8", "DT_INT16": "int16", "DT_INT32": "int32", "DT_INT64": "int64", "DT_UINT8": "uint8",
    "DT_UINT16": "uint16", "DT_UINT32": "uint32", "DT_UINT64": "uint64", "DT_STRING": "object",
    "DT_COMPLEX64": "complex64", "DT_COMPLEX128": "complex128",
}  # fmt: skip
PREDICT, CLASSIFY, REGRESS = (f"tensorflow/serving/{verb}" for verb in ("predict", "classify", "regress"))


@dataclass(frozen=True)
class TensorInfo:
    """One named tensor of a signature.

    Attributes:
        name: of the graph's tensor, such as ``serving_default_x:0``.
        dtype: name of ``tensorflow.DataType``, such as ``DT_FLOAT``.
        shape: sizes, -1 where open; None: unknown rank.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Signature:
    """Signature of a version: method, inputs and outputs.

    Attributes:
        method: ``method_name`` of the SignatureDef.
        inputs, outputs: by alias, in the order of the proto's sorted keys.
        text: debug text of the SignatureDef, which some error messages quote.
    """

    method: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    text: str = field(default="", repr=False, compare=False)


def type_name(dtype: str) -> str:
    """``DataTypeString``: "float" for DT_FLOAT, "half" for DT_HALF, "float_ref" for DT_FLOAT_REF, ..."""
    return "INVALID" if dtype == "DT_INVALID" else dtype.removeprefix("DT_").lower()
