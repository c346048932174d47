"""The checking predict: strict JSON in, every shape and value looked at, all outputs by name, null for no number.

::

    POST <prefix>/models/NAME:predict    {"inputs": {"values": [[[...]]], "lengths": [50]}}
    POST <prefix>/models/NAME:predict    {"instances": [{"values": [[...]], "lengths": 50}]}
    -> {"model": "fd001", "version": 3, "signature": "serving_default", "outputs": {"prediction": [[112.4]]}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_seq.errors import nearest
from serving.contract.signatures import DEFAULT, Signature
from serving.extras import check, describe
from serving.extras.http import ExtrasHost, ExtrasRequest, Response, answer, bad, parse
from serving.models.servable import Servable

KNOWN = ("inputs", "instances", "signature_name")


def target(request: ExtrasRequest) -> tuple[str, int | None, str | None]:
    """Model, version and label that a path names.

    Raises:
        Refused: the version is no number.
    """
    number = request.params.get("version")
    if number is not None and not (number.isascii() and number.isdigit()):
        raise bad(f"'{number}' is no version; versions are whole numbers.")
    return request.params["name"], int(number) if number is not None else None, request.params.get("label")


def predict(app: ExtrasHost, request: ExtrasRequest) -> Response:
    """Answer a checking predict call.

    Raises:
        Refused: what is wrong with it, or the model refuses.
    """
    name, version, label = target(request)
    body = parse(request.body)
    for key in body:
        if key not in KNOWN:
            raise bad(f"The body has the unknown name '{key}'{nearest(key, KNOWN)}")
    if ("inputs" in body) == ("instances" in body):
        raise bad("The body needs either 'inputs' (arrays by name) or 'instances' (a list of rows), and not both.")
    asked = body.get("signature_name", DEFAULT)
    with app.models.acquire(name, version, label) as servable:
        signature = check.choose(servable.signatures, asked)
        values = body["inputs"] if "inputs" in body else columns(body["instances"], signature)
        arrays = check.inputs(values, signature, description_of(app, servable, asked))
        answered, outputs = app.predict(name, version, label, asked, arrays, request.caller)
    return answer({"model": name, "version": answered, "signature": asked, "outputs": outputs})


def description_of(app: ExtrasHost, servable: Servable, signature: str) -> dict[str, Any] | None:
    """What the version says of its windows; None for signatures that take something else."""
    return describe.metadata(app, servable.name, servable.version) if signature == DEFAULT else None


def columns(rows: object, signature: Signature) -> dict[str, Any]:
    """Instances (rows) as inputs (columns).

    Raises:
        Refused: rows that are not alike; says which.
    """
    if not isinstance(rows, list) or not rows:
        raise bad("'instances' must be a list of at least one row.")
    if not isinstance(rows[0], dict):
        if len(signature.inputs) != 1:
            names = ", ".join(signature.inputs)
            raise bad(f"instances[0] must be an object with {names}, got {type(rows[0]).__name__}.")
        return {next(iter(signature.inputs)): rows}
    values: dict[str, list[Any]] = {name: [] for name in rows[0]}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or set(row) != set(values):
            raise bad(f"instances[{number}] does not have the names of instances[0]: {', '.join(values)}.")
        for key, value in row.items():
            values[key].append(value)
    return values
