"""The Open Inference Protocol v2 (KServe, Triton, MLServer) with JSON tensors.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keras_seq import __version__
from keras_seq.errors import nearest
from serving.client.arrays import SENT, Arrays
from serving.contract.signatures import DEFAULT, Signature, TensorInfo
from serving.extras import check, describe
from serving.extras.http import ExtrasHost, ExtrasRequest, Response, answer, bad, parse
from serving.extras.predict import description_of, target

PLATFORM = "tensorflow_savedmodel"
_NAMES = {"DT_FLOAT": "FP32", "DT_DOUBLE": "FP64", "DT_HALF": "FP16", "DT_STRING": "BYTES"}
DATATYPES = {name: _NAMES.get(name, name.removeprefix("DT_")) for name in SENT}
_OF_KIND = {np.dtype(kind): DATATYPES[name] for name, kind in SENT.items()}


def server(app: ExtrasHost, request: ExtrasRequest) -> Response:
    """Server metadata."""
    return answer({"name": "keras_seq", "version": __version__, "extensions": []})


def live(app: ExtrasHost, request: ExtrasRequest) -> Response:
    """Liveness: always, while it answers."""
    return answer({"live": True})


def ready(app: ExtrasHost, request: ExtrasRequest) -> Response:
    """Readiness: whether every model has a version that answers."""
    everyone, _ = describe.is_ready(app)
    return answer({"ready": everyone}, 200 if everyone else 503)


def model_ready(app: ExtrasHost, request: ExtrasRequest) -> Response:
    """Whether the model, or one version of it, answers."""
    name, version, _ = target(request)
    app.models.states(name, version)  # refuses what there is none of
    rows = describe.states(app, name)
    there = any(row["state"] == "AVAILABLE" and version in (None, row["version"]) for row in rows)
    return answer({"name": name, "ready": there}, 200 if there else 503)


def model(app: ExtrasHost, request: ExtrasRequest) -> Response:
    """Model metadata: tensors of the default signature."""
    name, version, _ = target(request)
    with app.models.acquire(name, version) as servable:
        signature = servable.signatures.get(DEFAULT)
        numbers = [str(row["version"]) for row in describe.states(app, name) if row["state"] == "AVAILABLE"]
    sides = {"inputs": signature.inputs, "outputs": signature.outputs} if signature else {"inputs": {}, "outputs": {}}
    tensors = {side: [_described(alias, info) for alias, info in infos.items()] for side, infos in sides.items()}
    return answer({"name": name, "versions": numbers, "platform": PLATFORM, **tensors})


def infer(app: ExtrasHost, request: ExtrasRequest) -> Response:
    """Inference: answer one call; ``parameters.signature_name`` chooses another signature.

    Raises:
        Refused: what is wrong with it, or the model refuses.
    """
    name, version, _ = target(request)
    body = parse(request.body)
    parameters = body.get("parameters") or {}
    asked = parameters.get("signature_name", DEFAULT) if isinstance(parameters, dict) else DEFAULT
    with app.models.acquire(name, version) as servable:
        signature = check.choose(servable.signatures, asked)
        values = _inputs(body.get("inputs"), signature)
        wanted = _wanted(body.get("outputs"), signature)
        arrays = check.checked(values, signature, description_of(app, servable, asked))
        answered, outputs = app.predict(name, version, None, asked, arrays, request.caller)
    reply: dict[str, Any] = {"model_name": name, "model_version": str(answered)}
    if "id" in body:
        reply["id"] = body["id"]
    chosen = {alias: value for alias, value in outputs.items() if alias in wanted} if wanted else outputs
    return answer({**reply, "outputs": [_tensor(alias, value) for alias, value in chosen.items()]})


def _inputs(tensors: object, signature: Signature) -> Arrays:
    if not isinstance(tensors, list) or not all(isinstance(tensor, dict) for tensor in tensors):
        raise bad("'inputs' must be a list of tensors: objects with name, shape, datatype and data.")
    arrays: Arrays = {}
    for number, tensor in enumerate(tensors):
        absent = [key for key in ("name", "shape", "datatype", "data") if key not in tensor]
        if absent:
            raise bad(f"inputs[{number}] has no '{absent[0]}'.")
        name = tensor["name"]
        if not isinstance(name, str) or name not in signature.inputs:
            raise bad(f"There is no input {name!r}{nearest(str(name), signature.inputs)}")
        if name in arrays:
            raise bad(f"Input '{name}' is given twice.")
        arrays[name] = _array(name, tensor, signature.inputs[name])
    absent = [name for name in signature.inputs if name not in arrays]
    if absent:
        raise bad(f"Input '{absent[0]}' is missing; the model takes {', '.join(signature.inputs)}.")
    return arrays


def _array(name: str, tensor: dict[str, Any], info: TensorInfo) -> np.ndarray:
    expected = DATATYPES.get(info.dtype)
    if tensor["datatype"] != expected:
        raise bad(f"Input '{name}' has datatype {tensor['datatype']!r}, the model takes '{expected}'.")
    shape, data = tensor["shape"], tensor["data"]
    sizes = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not sizes or not isinstance(data, list):
        raise bad(f"Input '{name}' needs 'shape' (whole numbers, 0 or more) and 'data' (a list).")
    array = check.array(name, data, info)
    if array.size != math.prod(shape) or (array.ndim > 1 and list(array.shape) != shape):
        raise bad(
            f"Input '{name}' has {array.size} values in the shape {list(array.shape)}, but its shape says {shape}."
        )
    return array.reshape(shape)


def _wanted(outputs: object, signature: Signature) -> set[str]:
    if outputs is None:
        return set()
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise bad("'outputs' must be a list of objects with a name.")
    names = [str(output.get("name")) for output in outputs]
    for name in names:
        if name not in signature.outputs:
            raise bad(f"There is no output '{name}'{nearest(name, signature.outputs)}")
    return set(names)


def _tensor(name: str, value: np.ndarray) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(value.shape),
        "datatype": _OF_KIND.get(value.dtype, "BYTES"),
        "data": value.reshape(-1),
    }


def _described(name: str, info: TensorInfo) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": DATATYPES.get(info.dtype, info.dtype),
        "shape": [] if info.shape is None else list(info.shape),
    }
