"""Classify and regress requests: JSON examples into serialized ``tf.train.Example``, as ``json_tensor.cc`` does.

A feature is a number, a string, ``{"b64": ...}``, true or false, or a list of one kind of them: doubles make a float
list, integers and booleans an int64 list, strings a bytes list; an empty list is a feature of no kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.contract import protos
from serving.contract.pretty import echo
from serving.contract.protos import Message
from serving.contract.reading import parse_object, signature_name
from serving.contract.signatures import Signature
from serving.contract.status import invalid
from serving.contract.strict import JsonMembers, JsonValue
from serving.contract.tensors import decode_base64, is_base64, json_type, lossless

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


@dataclass(frozen=True)
class ExamplesRequest:
    """Signature and serialized examples of a classify or regress call.

    Attributes:
        signature_name: to run; "serving_default" where the body names none or "".
        examples: serialized ``tf.train.Example``, the shared context already in front of each; at least one.
    """

    signature_name: str
    examples: list[bytes]

    def signature(self, signatures: Mapping[str, Signature]) -> Signature:
        """The signature to run.

        Raises:
            Refused: INVALID_ARGUMENT "No signature was found with the name: ...".
        """
        signature = signatures.get(self.signature_name)
        if signature is None:
            raise invalid(f"No signature was found with the name: {self.signature_name}")
        return signature


def read_examples(body: bytes) -> ExamplesRequest:
    """Read a classify or regress body. It needs no model.

    Raises:
        Refused: INVALID_ARGUMENT, as worded by ``FillClassifyRegressRequestFromJson``.
    """
    members = parse_object(body)
    name = signature_name(members)
    context = members.find(b"context")
    # Protobuf merges messages whose bytes are put end to end: an example's own features win over the context's.
    shared = b"" if context is None else example(context[1])
    listed = members.find(b"examples")
    if listed is None:
        raise invalid(
            f"JSON Value: {echo(members)} When method is classify, key 'examples' is expected and was not found"
        )
    if type(listed[1]) is not list:
        raise invalid(f"JSON Value: {echo(members)} Expecting 'examples' value to be an list/array")
    if not listed[1]:
        raise invalid(f"JSON Value: {echo(members)} 'examples' value is an empty array")
    return ExamplesRequest(name, [shared + example(item) for item in listed[1]])


def example(value: JsonValue) -> bytes:
    """One JSON object as a serialized ``tf.train.Example``.

    Args:
        value: as ``strict.parse`` gives it.

    Raises:
        Refused: it is no object, or a feature of it is of mixed or unusable kinds.
    """
    if type(value) is not JsonMembers:
        raise invalid(f"Example must be JSON object but got JSON {json_type(value)}")
    message = protos.example().Example()
    message.features.SetInParent()
    features = message.features.feature
    for key, content in value:
        name = key.partition(b"\0")[0].decode("utf-8", "replace")
        kind, values = _feature(content if type(content) is list else [content], name)
        feature = features[name]
        feature.Clear()  # the last of duplicate keys wins
        if kind:
            getattr(feature, kind).value.extend(values)
    return message.SerializeToString()


def _feature(items: list[JsonValue], name: str) -> tuple[str, list[Any]]:
    """Field and values of a feature's list; ``""`` for an empty list."""
    kind = ""
    values = []
    for item in items:
        its_kind, value = _element(item, name, kind)
        kind = kind or its_kind
        values.append(value)
    return kind, values


def _element(item: JsonValue, name: str, kind: str) -> tuple[str, Any]:
    unusable = item is None or type(item) is list or (type(item) is JsonMembers and not is_base64(item))
    if unusable:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {json_type(item)}")
    its_kind = {float: "float_list", int: "int64_list", bool: "int64_list"}.get(type(item), "bytes_list")
    if kind and kind != its_kind:
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[kind]}")
    if type(item) is JsonMembers:
        return its_kind, decode_base64(item)
    if type(item) is float:
        return its_kind, lossless(item)
    if type(item) is int and item >= 2**63:
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    return its_kind, int(item) if type(item) is bool else item


def serialized(message: Message) -> list[bytes]:
    """The examples of an ``Input``, serialized, the shared context already in front of each."""
    if message.WhichOneof("kind") == "example_list_with_context":
        listed = message.example_list_with_context
        context = listed.context.SerializeToString()
        return [context + each.SerializeToString() for each in listed.examples]
    return [each.SerializeToString() for each in message.example_list.examples]
