"""Metadata of versions: signatures from a MetaGraphDef, and the JSON of metadata and status replies.

The JSON is that of protobuf's C++ ``MessageToJsonString``: one space of indent, maps by key, int64 as strings, enums
by name, fields of default value printed, ``<`` and ``>`` escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from serving.contract import protos
from serving.contract.protos import Message
from serving.contract.signatures import Signature, TensorInfo

if TYPE_CHECKING:
    from serving.contract.version_state import VersionState

# The marker that protobuf's C++ DebugString begins with; how many blanks follow it differs between builds.
_DEBUG_MARK = "goo.gle/debugstr   \n"
# internal/writer.cc: kept for text that ends up in HTML or JavaScript, and for invisible characters.
_ESCAPED = re.compile(
    "[<>\x7f-\x9f\xad\u0600-\u0603\u06dd\u070f\u17b4\u17b5\u200b-\u200f\u2028-\u202e\u2060-\u2064\u206a-\u206f"
    "\ufeff\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)


def signatures_of(meta_graph: Message) -> dict[str, Signature]:
    """All signatures, by name, in sorted order; ``__saved_model_init_op`` and the like included.

    Args:
        meta_graph: a ``tensorflow.MetaGraphDef``, or anything with a ``signature_def`` map.
    """
    return {name: signature_from(meta_graph.signature_def[name]) for name in sorted(meta_graph.signature_def)}


def signature_from(proto: Message) -> Signature:
    """A ``tensorflow.SignatureDef`` as data."""
    from google.protobuf import text_format

    return Signature(
        method=proto.method_name,
        inputs={alias: tensor_info_from(proto.inputs[alias]) for alias in sorted(proto.inputs)},
        outputs={alias: tensor_info_from(proto.outputs[alias]) for alias in sorted(proto.outputs)},
        text=_DEBUG_MARK + text_format.MessageToString(proto),  # maps sorted, as in C++
    )


def tensor_info_from(proto: Message) -> TensorInfo:
    """A ``tensorflow.TensorInfo`` as data."""
    types = protos.framework("types").DataType
    dtype = types.Name(proto.dtype) if proto.dtype in types.values() else str(proto.dtype)
    shape = None if proto.tensor_shape.unknown_rank else tuple(dim.size for dim in proto.tensor_shape.dim)
    return TensorInfo(proto.name, dtype, shape)


def signature_map(meta_graph: Message) -> Any:
    """``tensorflow.serving.SignatureDefMap`` of a MetaGraphDef, for gRPC and ``signature_json``."""
    message = protos.apis("get_model_metadata").SignatureDefMap()
    for name, signature in meta_graph.signature_def.items():
        message.signature_def[name].CopyFrom(signature)
    return message


def signature_json(message: Message) -> str:
    """The value of ``metadata.signature_def`` in a metadata reply; compute it once a version.

    Args:
        message: a ``SignatureDefMap``.
    """
    from google.protobuf import json_format

    tree = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _json(_ordered(tree, message.DESCRIPTOR)) + "\n"


def metadata_body(name: str, version: int, signatures: str) -> bytes:
    """Body of a metadata reply.

    Args:
        name: of the model.
        version: that is described.
        signatures: from ``signature_json``.
    """
    spec = _json({"name": name, "version": str(version), "signature_name": ""})
    text = f'{{\n"model_spec":{spec}\n,\n"metadata": {{"signature_def": {signatures}}}\n}}\n'
    return text.encode("utf-8", "surrogateescape")


def status_body(states: Sequence[VersionState]) -> bytes:
    """Body of a status reply: a model's versions in the order given (the highest first)."""
    lines = [
        {
            "version": str(each.version),
            "state": each.state,
            "status": {"error_code": each.error_code, "error_message": each.error_message},
        }
        for each in states
    ]
    return (_json({"model_version_status": lines}) + "\n").encode("utf-8", "surrogateescape")


def _json(tree: object) -> str:
    return _ESCAPED.sub(_escape, json.dumps(tree, indent=1, ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _ordered(tree: Mapping[str, Any], kind: Message) -> dict[str, Any]:
    """A message's tree with fields in the order of their numbers and maps in that of their keys.

    Args:
        tree: from ``MessageToDict``.
        kind: descriptor of the message.
    """
    ordered = {}
    for field in sorted(kind.fields, key=lambda field: field.number):
        if field.name not in tree:
            continue
        value, inner = tree[field.name], field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            entry = inner.fields_by_name["value"].message_type
            value = {key: _ordered(value[key], entry) if entry else value[key] for key in sorted(value)}
        elif inner is not None and isinstance(value, list):
            value = [_ordered(each, inner) for each in value]
        elif inner is not None and isinstance(value, dict):
            value = _ordered(value, inner)
        ordered[field.name] = value
    return ordered
