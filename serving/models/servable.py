"""A loaded version: named arrays in, named arrays out, whatever runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from serving.contract.signatures import Signature
from serving.contract.version_state import VersionState

Arrays = dict[str, np.ndarray]


class Servable(Protocol):
    """A loaded version that the fronts call. Safe to call from several threads at once.

    Attributes:
        name, version: as the client names it.
        signatures: by name; what the contract checks requests against.
        metadata: text of the ``signature_def`` map as the REST API prints it (the value of
            ``metadata.signature_def``), computed once.
        signature_protos: serialized ``SignatureDefMap`` for gRPC's GetModelMetadata.
        rowwise: proved to answer every row of a batch on its own, so that calls may be put together in one.
        fast: answers in well under a millisecond a row, so that a thread of its own costs more than it saves.
    """

    name: str
    version: int
    signatures: Mapping[str, Signature]
    metadata: str
    signature_protos: bytes
    rowwise: bool
    fast: bool

    def run(self, signature: str, inputs: Arrays, outputs: Sequence[str] | None = None) -> Arrays:
        """Answers by alias; ``outputs`` limits them. Strings are object arrays of bytes.

        Raises:
            Refused: the graph refuses the inputs; text and code as TensorFlow words them.
        """

    def close(self) -> None:
        """Free what it holds; nobody calls it any more."""


class Lease(Protocol):
    """A version that stays loaded while it is held; a context manager that gives the servable."""

    def __enter__(self) -> Servable: ...
    def __exit__(self, *error: object) -> None: ...


class Models(Protocol):
    """All models of a server: ``serving.models.manager.ModelManager`` is the one there is."""

    def acquire(self, name: str, version: int | None = None, label: str | None = None) -> Lease:
        """The version a call goes to: as named, as labelled, or the largest number that is available.

        Raises:
            Refused: NOT_FOUND "Servable not found for request: Latest(name)" or "Specific(name, 50)"; an unknown
                label as TensorFlow Serving words it.
        """

    def states(self, name: str, version: int | None = None, label: str | None = None) -> Sequence[VersionState]:
        """Status lines, the highest version first.

        Raises:
            Refused: NOT_FOUND "Could not find any versions of model foo" or "Could not find version 77 of model foo".
        """

    def names(self) -> Sequence[str]:
        """Names of all configured models."""

    def reload(self, text: str) -> None:
        """Take another ``ModelServerConfig`` (protobuf text).

        Raises:
            Refused: it cannot be used; the old one stays.
        """
