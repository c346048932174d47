"""Protocols of observers and routers, outside the hot path: request log, drift, A/B weights, shadow traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from serving.models.servable import Arrays, Models


@dataclass(frozen=True)
class ObservedCall:
    """One answered predict call.

    Attributes:
        model, version, signature: that answered.
        inputs, outputs: named arrays, with the batch axis.
        seconds: from the whole request read to the answer computed.
        time: wall clock of the answer, Unix seconds.
        request_id: the client's ``X-Request-Id`` header, or one of ours; the key for labels that come later.
    """

    model: str
    version: int
    signature: str
    inputs: Arrays
    outputs: Arrays
    seconds: float
    time: float
    request_id: str


class Observer(Protocol):
    """Told of calls after their reply is written. Must return at once: queue and work elsewhere."""

    def wants(self, model: str) -> bool:
        """Whether the next call of this model is to be observed; sampling happens here, before anything is copied."""

    def served(self, call: ObservedCall) -> None:
        """One call; its arrays are the observer's to keep."""

    def metrics(self) -> str:
        """Lines in Prometheus' text format, appended to the server's own; empty if none."""

    def close(self) -> None:
        """Flush; the server is going down."""


class Router(Protocol):
    """Chooses the version of calls that name none: A/B and canary weights."""

    def close(self) -> None:
        """The server is going down."""

    def choose(self, model: str, key: str) -> int | None:
        """A version number, or None for the contract's own choice (the latest).

        ``key`` keeps a client on one version: the request id or the peer's address.
        """

    def shares(self, model: str) -> dict[int, float]:
        """Shares of the callers that versions get; what is left to 1 is the contract's own choice."""


__all__ = ["ObservedCall", "Models", "Observer", "Router"]
