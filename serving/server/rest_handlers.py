"""Handlers of the REST API's verbs, from a body to a run and from its answers to a body; the contract does the work."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from serving.contract import checks, examples, metadata, reading, writing
from serving.contract.routes import Route
from serving.contract.signatures import Signature
from serving.contract.status import Refused
from serving.models.servable import Arrays, Lease, Models, Servable


class ReadCall(NamedTuple):
    """Parsed call: servable, inputs, outputs, and the writer of its reply.

    Attributes:
        lease: holds the version until the answer is written.
        servable: that answers.
        signature, inputs, outputs: to run.
        write: body of the answers.
        examples: how many ``tf.train.Example`` it has; 0 for predict.
    """

    lease: Lease
    servable: Servable
    signature: str
    inputs: Arrays
    outputs: tuple[str, ...]
    write: Callable[[Arrays], bytes]
    examples: int = 0


def read_call(route: Route, body: bytes, acquire: Callable[[], Lease]) -> ReadCall:
    """Parse the body of a call.

    Args:
        route: where it goes, of a kind in ``CALLS``.
        body: JSON.
        acquire: the version; called once the body is known to be JSON.

    Raises:
        Refused: the body or the model is refused; nothing stays held.
    """
    return CALLS[route.kind](body, acquire)


def _predict(body: bytes, acquire: Callable[[], Lease]) -> ReadCall:
    parsed = reading.parse_predict(body)
    try:
        lease = acquire()
    except Refused:
        parsed.confirm()  # what only looked like JSON is refused first
        raise
    servable = lease.__enter__()
    try:
        request = parsed.fill(servable.signatures)
        outputs = tuple(servable.signatures[request.signature_name].outputs)
    except BaseException:
        lease.__exit__(None, None, None)
        raise
    write = _write_rows if request.row_format else _write_columns
    return ReadCall(lease, servable, request.signature_name, request.inputs, outputs, write)


def _write_rows(answers: Arrays) -> bytes:
    return writing.predict_body(answers, True)


def _write_columns(answers: Arrays) -> bytes:
    return writing.predict_body(answers, False)


def _classify(body: bytes, acquire: Callable[[], Lease]) -> ReadCall:
    return _examples(body, acquire, checks.check_classify, _write_classes)


def _regress(body: bytes, acquire: Callable[[], Lease]) -> ReadCall:
    return _examples(body, acquire, checks.check_regress, _write_values)


def _examples(
    body: bytes,
    acquire: Callable[[], Lease],
    check: Callable[[Signature], None],
    write: Callable[[int, Arrays], bytes],
) -> ReadCall:
    request = examples.read_examples(body)
    lease = acquire()
    servable = lease.__enter__()
    try:
        signature = request.signature(servable.signatures)
        check(signature)
    except BaseException:
        lease.__exit__(None, None, None)
        raise
    array = np.empty(len(request.examples), object)
    array[:] = request.examples
    outputs, rows = tuple(signature.outputs), len(array)
    return ReadCall(lease, servable, request.signature_name, {"inputs": array}, outputs, partial(write, rows), rows)


def _write_classes(count: int, answers: Arrays) -> bytes:
    return writing.classify_body(*checks.classification(answers, count))


def _write_values(count: int, answers: Arrays) -> bytes:
    return writing.regress_body(checks.regression(answers, count))


CALLS = {"predict": _predict, "classify": _classify, "regress": _regress}


def describe_model(models: Models, route: Route) -> tuple[bytes, int | None]:
    """Body of a status or metadata reply, and the version it speaks of.

    Raises:
        Refused: there is no such model or version.
    """
    if route.kind == "status":
        return metadata.status_body(models.states(route.model, route.version)), None  # labels: get_model_status_impl.cc
    with models.acquire(route.model, route.version, route.label) as servable:
        return metadata.metadata_body(route.model, servable.version, servable.metadata), servable.version
