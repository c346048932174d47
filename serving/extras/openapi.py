"""An OpenAPI 3.1 document of the server as it is now: every loaded model with the shapes of its signatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from keras_seq import __version__
from serving.contract.signatures import DEFAULT, Signature, TensorInfo
from serving.contract.status import Refused
from serving.extras import describe
from serving.extras.http import ExtrasEndpoint, ExtrasHost

TYPES = {"DT_BOOL": {"type": "boolean"}, "DT_STRING": {"type": "string"}}
FLOATS = ("DT_FLOAT", "DT_DOUBLE", "DT_HALF", "DT_BFLOAT16")
REFUSED = {
    "description": "Refused, with the reason",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
STATUSES = {"400": "bad request", "404": "no such model or version", "503": "busy or not ready; see Retry-After"}


def document(app: ExtrasHost, prefix: str, endpoints: Iterable[ExtrasEndpoint]) -> dict[str, Any]:
    """OpenAPI document; models that have no version that answers are left out."""
    described = (endpoint for endpoint in endpoints if endpoint.summary)
    paths: dict[str, Any] = {
        prefix + endpoint.path: {"get": _get(endpoint.summary, *endpoint.statuses)} for endpoint in described
    }
    for name in sorted(app.models.names()):
        try:
            with app.models.acquire(name) as servable:
                signatures, version = dict(servable.signatures), servable.version
        except Refused:
            continue
        if DEFAULT in signatures:
            paths |= _of_model(name, signatures[DEFAULT], describe.metadata(app, name, version), prefix)
    return {
        "openapi": "3.1.0",
        "info": {"title": "keras_seq", "version": __version__, "description": "Models that are served now."},
        "paths": paths,
        "components": {
            "schemas": {"Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}}
        },
    }


def _of_model(name: str, signature: Signature, description: Mapping[str, Any] | None, prefix: str) -> dict[str, Any]:
    quoted = quote(name, safe="")
    strict = {alias: _tensor(info, null=True) for alias, info in signature.inputs.items()}
    answers = {alias: _tensor(info, null=True) for alias, info in signature.outputs.items()}
    features = [column["name"] for column in description["features"]] if description else []
    if features and "values" in strict:
        strict["values"]["description"] = f"(batch, time, features) in raw units; features: {', '.join(features)}"
    inputs = {"type": "object", "required": list(strict), "properties": strict, "additionalProperties": False}
    body = {"type": "object", "properties": {"inputs": inputs, "signature_name": {"type": "string"}}}
    outputs = {"type": "object", "properties": {"outputs": {"type": "object", "properties": answers}}}
    contract = {"type": "object", "properties": {"outputs": {}, "predictions": {"type": "array"}}}
    return {
        f"{prefix}/models/{quoted}:predict": {"post": _post(f"Ask {name}; every shape is checked", body, outputs)},
        f"{prefix}/models/{quoted}": {"get": _get(f"What {name} takes and gives")},
        f"/v1/models/{quoted}:predict": {"post": _post(f"Ask {name}, TensorFlow Serving's contract", body, contract)},
        f"/v1/models/{quoted}": {"get": _get(f"Versions of {name} and their states", "404")},
        f"{prefix}/v2/models/{quoted}/infer": {"post": _post(f"Ask {name}, Open Inference Protocol", _infer(), {})},
    }


def _tensor(info: TensorInfo, *, null: bool = False) -> dict[str, Any]:
    """Nested arrays; open sizes are free."""
    leaf: dict[str, Any] = dict(TYPES.get(info.dtype, {"type": "number" if info.dtype in FLOATS else "integer"}))
    if null and info.dtype in FLOATS:
        leaf["type"] = ["number", "null"]
    schema: dict[str, Any] = leaf
    for size in reversed(info.shape or ()):
        schema = {"type": "array", "items": schema}
        if size >= 0:
            schema |= {"minItems": size, "maxItems": size}
    return schema if info.shape is not None else {}


def _infer() -> dict[str, Any]:
    keys = ("name", "shape", "datatype", "data")
    tensor = {"type": "object", "required": list(keys), "properties": {key: {} for key in keys}}
    return {"type": "object", "required": ["inputs"], "properties": {"inputs": {"type": "array", "items": tensor}}}


def _get(summary: str, *statuses: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "OK"}, **_refusals(statuses)}}


def _post(summary: str, body: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": answer}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": {"description": "Answers", "content": content}, **_refusals(tuple(STATUSES))},
    }


def _refusals(statuses: tuple[str, ...]) -> dict[str, Any]:
    return {status: {**REFUSED, "description": STATUSES[status]} for status in statuses}
