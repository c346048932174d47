"""Requests, responses and endpoints as plain data, and what the extras need of a server: no sockets, no framework."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from serving.contract.status import Code, Refused
from serving.models.servable import Arrays, Models

JSON, HTML = "application/json", "text/html; charset=utf-8"


class Caller(NamedTuple):
    """Request id and address of a caller.

    Attributes:
        request_id: key for labels that come later; empty: the server makes one where it needs one.
        peer: address.
    """

    request_id: str = ""
    peer: str = ""


NOBODY = Caller()


class ExtrasHost(Protocol):
    """The server that the extras belong to."""

    @property
    def models(self) -> Models:
        """All models."""

    def metrics(self) -> str:
        """The page of metrics, those of observers included, in Prometheus' text format."""

    def predict(
        self,
        model: str,
        version: int | None,
        label: str | None,
        signature: str,
        inputs: Arrays,
        caller: Caller,
    ) -> tuple[int, Arrays]:
        """Answer through the server's own queue, watched as any call; blocks. The version that answered, its outputs.

        Raises:
            Refused: as any call.
        """

    def count(self, model: str, code: Code, seconds: float) -> None:
        """Count a call that was answered or refused."""

    def folder(self, model: str, version: int) -> Path | None:
        """Where a version lies; None if nobody knows."""

    def shares(self, model: str) -> Mapping[int, float]:
        """Shares of the calls that name no version, where a rollout deals them; the rest goes to the latest."""


@dataclass(frozen=True)
class ExtrasRequest:
    """Request: method, path, body.

    Attributes:
        method: GET, POST, ...
        path: with the prefix, decoded, without the query.
        body: whole, not compressed.
        params: what the path names: ``name``, ``version``, ``label``.
        caller: who asks.
    """

    method: str
    path: str
    body: bytes = b""
    params: Mapping[str, str] = field(default_factory=dict)
    caller: Caller = NOBODY


@dataclass(frozen=True)
class Response:
    """Response: status, body, headers.

    Attributes:
        status: of HTTP.
        body: to send.
        kind: its Content-Type.
        headers: further ones.
    """

    status: int
    body: bytes
    kind: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[ExtrasRequest], Response]
Function = Callable[[ExtrasHost, ExtrasRequest], Response]


@dataclass(frozen=True)
class ExtrasEndpoint:
    """Endpoint: the function that answers a method and a path.

    Attributes:
        method: GET or POST.
        path: below the prefix; ``{name}``, ``{version}`` and ``{label}`` stand for a piece of it.
        function: that answers.
        summary: for the OpenAPI document, which leaves out those that have none.
        statuses: errors of that document.
    """

    method: str
    path: str
    function: Function
    summary: str = ""
    statuses: tuple[str, ...] = ()


def answer(value: object, status: int = 200) -> Response:
    """Response of ``value`` as strict JSON."""
    return Response(status, (json.dumps(plain(value), allow_nan=False, ensure_ascii=False) + "\n").encode())


def failure(status: int, text: str, **more: object) -> Response:
    """Response of an error as JSON: ``{"error": text}``."""
    headers = {"Retry-After": "1"} if status == 503 else {}
    body = json.dumps({"error": text, **more}, ensure_ascii=False)
    return Response(status, (body + "\n").encode(), headers=headers)


def plain(value: object) -> object:
    """What strict JSON can say: arrays as lists, numbers that are none as null, bytes as text."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def parse(body: bytes) -> dict[str, Any]:
    """A JSON object, strictly: UTF-8, no NaN or Infinity, no name twice, nothing after it.

    Raises:
        Refused: says what is wrong and where.
    """
    try:
        tree = json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise bad(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    except json.JSONDecodeError as error:
        raise bad(f"The body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise bad("The body is nested too deeply.") from None
    except ValueError as error:
        raise bad(str(error)) from None
    if not isinstance(tree, dict):
        raise bad(f"The body must be a JSON object, got {type(tree).__name__}.")
    return tree


def bad(text: str) -> Refused:
    """A refusal of what the client sent."""
    return Refused(Code.INVALID_ARGUMENT, text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"The name '{next(n for n in names if names.count(n) > 1)}' is given twice in one object.")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON; write null for a missing value.")
