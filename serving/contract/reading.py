"""A predict request's body: JSON in, named arrays out.

In two steps, because a body is parsed before its model is looked up::

    parsed = parse_predict(body)              # refuses what is not JSON
    try:
        lease = models.acquire(...)
    except Refused:
        parsed.confirm()                      # a body that only looked like JSON is refused first
        raise
    request = parsed.fill(servable.signatures)

The usual body takes a quick way (``quick``); anything doubtful the strict one (``strict``, ``tensors``). Both give the
same answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from serving.contract import quick, strict
from serving.contract.pretty import echo
from serving.contract.signatures import DEFAULT, Signature
from serving.contract.status import Refused, invalid
from serving.contract.tensors import from_inputs, from_instances


@dataclass(frozen=True)
class PredictRequest:
    """Signature and input arrays of a predict call.

    Attributes:
        signature_name: to run; "serving_default" where the body names none or "".
        inputs: by alias; strings are object arrays of bytes. Quick arrays may be read-only.
        row_format: answer with ``predictions`` (one element an instance) or, False, with ``outputs``.
    """

    signature_name: str
    inputs: dict[str, np.ndarray]
    row_format: bool


class ParsedPredict:
    """Predict body that is known to be JSON; its tensors are yet to be read."""

    __slots__ = ("_body", "_document", "_members")

    def __init__(self, body: bytes, document: dict[str, Any] | None, members: strict.JsonMembers | None) -> None:
        self._body, self._document, self._members = body, document, members

    def confirm(self) -> None:
        """Parse strictly if that was not done yet; for replies that refuse the call for another reason.

        Raises:
            Refused: as ``parse_predict``.
        """
        if self._members is None:
            self._members = parse_object(self._body)
            signature_name(self._members)

    def fill(self, signatures: Mapping[str, Signature]) -> PredictRequest:
        """Read the tensors of the body.

        Args:
            signatures: of the version called.

        Raises:
            Refused: INVALID_ARGUMENT or UNIMPLEMENTED, with TensorFlow Serving's texts.
        """
        document = self._document
        if document is not None:
            name = document.get("signature_name") or DEFAULT
            signature = signatures.get(name)
            if signature is not None:
                arrays = quick.read(self._body, document, signature.inputs)
                if arrays is not None:
                    return PredictRequest(name, arrays, "instances" in document)
            self._document = None
        self.confirm()
        assert self._members is not None
        return _fill(self._members, signatures)


def parse_predict(body: bytes) -> ParsedPredict:
    """Parse a predict body.

    Raises:
        Refused: INVALID_ARGUMENT "JSON Parse error: ...", "JSON Value: ... Is not object",
            "... 'signature_name' key must be a string value."
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if type(document) is dict and type(document.get("signature_name", "")) is str:
        return ParsedPredict(body, document, None)
    members = parse_object(body)
    signature_name(members)
    return ParsedPredict(body, None, members)


def read_predict(body: bytes, signatures: Mapping[str, Signature]) -> PredictRequest:
    """Parse and fill at once, where the version is at hand.

    Raises:
        Refused: see ``parse_predict`` and ``ParsedPredict.fill``.
    """
    return parse_predict(body).fill(signatures)


def read_predict_strictly(body: bytes, signatures: Mapping[str, Signature]) -> PredictRequest:
    """``read_predict`` without the quick way: what it must agree with.

    Raises:
        Refused: as ``read_predict``.
    """
    members = parse_object(body)
    signature_name(members)
    return _fill(members, signatures)


def parse_object(body: bytes) -> strict.JsonMembers:
    """Parse a body whose root must be an object.

    Raises:
        Refused: "JSON Parse error: ...", "JSON Value: ... Is not object".
    """
    root = strict.parse(body)
    if type(root) is not strict.JsonMembers:
        raise invalid(f"JSON Value: {echo(root)} Is not object")
    return root


def signature_name(members: strict.JsonMembers) -> str:
    """``signature_name`` of a body, "serving_default" if it is absent or empty.

    Raises:
        Refused: it is not a string.
    """
    member = members.find(b"signature_name")
    if member is None:
        return DEFAULT
    if type(member[1]) is not bytes:
        raise invalid(
            f"JSON Value: {echo(members)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return member[1].decode("utf-8", "surrogateescape") or DEFAULT


def _fill(members: strict.JsonMembers, signatures: Mapping[str, Signature]) -> PredictRequest:
    name = signature_name(members)
    signature = signatures.get(name)
    if signature is None:
        raise invalid(f'Serving signature name: "{name}" not found in signature def')
    if not signature.inputs:
        named = members.find(b"signature_name")
        raise invalid(f"Failed to get input map for signature: {name if named is not None and named[1] else 'DEFAULT'}")
    instances, inputs = members.find(b"instances"), members.find(b"inputs")
    if instances is not None:
        _check_instances(members, instances[1], inputs is not None)
        return PredictRequest(name, from_instances(instances[1], signature.inputs), True)
    if inputs is not None:
        return PredictRequest(name, from_inputs(inputs[1], signature.inputs), False)
    raise invalid("Missing 'inputs' or 'instances' key")


def _check_instances(members: strict.JsonMembers, instances: strict.JsonValue, both: bool) -> None:
    problem: Refused | None = None
    if both:
        problem = _format_error(
            members, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    elif type(instances) is not list:
        problem = _format_error(members, "Expecting 'instances' to be an list/array")
    elif not instances:
        problem = _format_error(members, "No values in 'instances' array")
    if problem is not None:
        raise problem


def _format_error(members: strict.JsonMembers, text: str) -> Refused:
    return invalid(f"JSON Value: {echo(members)} {text}")
