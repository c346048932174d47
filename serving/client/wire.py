"""JSON as TensorFlow Serving's REST API reads and writes it: column format, NaN and Infinity unquoted, bytes as b64."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import orjson

from keras_seq.errors import ServingError
from serving.client.arrays import Arrays, typed_answers
from serving.client.calls import Example
from serving.contract.signatures import Signature, TensorInfo

Json: TypeAlias = Any  # a decoded reply, to be looked at
FINITE = orjson.OPT_SERIALIZE_NUMPY


def predict_body(inputs: Arrays, signature: str) -> bytes:
    """The body of a ``:predict`` request in column format."""
    parts = [json.dumps(name).encode() + b":" + _array(value) for name, value in inputs.items()]
    return b'{"signature_name":%s,"inputs":{%s}}' % (json.dumps(signature).encode(), b",".join(parts))


def _array(value: np.ndarray) -> bytes:
    if value.dtype == object:
        return json.dumps(_strings(value.tolist())).encode()
    if value.dtype == np.float16:
        value = value.astype(np.float32)
    if value.dtype.kind != "f" or not np.isinf(value).any():
        written = orjson.dumps(np.ascontiguousarray(value), option=FINITE)
        return written.replace(b"null", b"NaN")  # orjson writes null for NaN; numbers hold no other null
    return json.dumps(value.tolist()).encode()


def _strings(value: object) -> object:
    if isinstance(value, list):
        return [_strings(item) for item in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else str(value)


def examples_body(examples: Sequence[Example], signature: str, context: Example | None) -> bytes:
    """The body of a ``:classify`` or ``:regress`` request; each example is features by name."""
    body: dict[str, Any] = {"signature_name": signature, "examples": [_example(example) for example in examples]}
    if context:
        body["context"] = _example(context)
    return json.dumps(body).encode()


def _example(example: Example) -> dict[str, Any]:
    return {str(name): _feature(value) for name, value in example.items()}


def _feature(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_feature(item) for item in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def loads(body: bytes) -> Json:
    """JSON with NaN and Infinity; fast where there are none.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)


def predictions(reply: Json, signature: Signature) -> Arrays:
    """Answers by output name of a reply in column format; a single output comes without its name.

    Raises:
        ServingError: the reply is none of TensorFlow Serving's.
    """
    try:
        outputs = reply["outputs"]
    except (KeyError, TypeError):
        raise ServingError(f"The server's answer has no 'outputs': {str(reply)[:200]}.") from None
    if len(signature.outputs) == 1:
        outputs = {next(iter(signature.outputs)): outputs}
    if not isinstance(outputs, dict):
        raise ServingError(
            f"The server's answer has one output where {len(signature.outputs)} are known "
            f"({', '.join(signature.outputs)}); another version may serve now: ask again."
        )
    return typed_answers(
        {name: _bytes(value, signature.outputs.get(name)) for name, value in outputs.items()}, signature
    )


def _bytes(value: Json, info: TensorInfo | None) -> Json:
    if info is None or info.dtype != "DT_STRING":
        return value
    if isinstance(value, list):
        return [_bytes(item, info) for item in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else str(value).encode()


def signatures(reply: Json) -> dict[str, Signature]:
    """The signatures in a reply to ``/metadata``.

    Raises:
        ServingError: the reply is none of TensorFlow Serving's.
    """
    try:
        definitions = reply["metadata"]["signature_def"]["signature_def"]
        return {name: _signature(definition) for name, definition in sorted(definitions.items())}
    except (KeyError, TypeError, ValueError) as error:
        raise ServingError(f"The server's metadata cannot be read ({error!r}): {str(reply)[:200]}.") from None


def _signature(definition: Mapping[str, Any]) -> Signature:
    sides = ({name: _info(info) for name, info in sorted(definition[side].items())} for side in ("inputs", "outputs"))
    inputs, outputs = sides
    return Signature(definition.get("method_name", ""), inputs, outputs)


def _info(info: Mapping[str, Any]) -> TensorInfo:
    shape = info.get("tensor_shape", {})
    sizes = None if shape.get("unknown_rank") else tuple(int(dim["size"]) for dim in shape.get("dim", ()))
    return TensorInfo(info.get("name", ""), info["dtype"], sizes)
