"""Types of a client's calls: model and version, inputs, examples, class scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import ArrayLike

from keras_seq.errors import ConfigError
from serving.client.arrays import Arrays, Inputs
from serving.contract.signatures import DEFAULT, Signature

Description = Mapping[str, Any]  # a version's metadata.json
Example = Mapping[str, ArrayLike]  # features by name: text, bytes, or one or several numbers
ClassScores = list[list[tuple[str, float]]]  # (label, score) of each class, by example


@dataclass(frozen=True)
class VersionTarget:
    """Model and version (number or label) that a call goes to.

    Attributes:
        model: its name.
        version: its number; None: the one the server chooses.
        label: instead of a number, such as "stable".
    """

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise ConfigError(f"Give version={self.version} or label='{self.label}', not both.")

    def __str__(self) -> str:
        if self.version is not None:
            return f"model '{self.model}' version {self.version}"
        return f"model '{self.model}' label '{self.label}'" if self.label else f"model '{self.model}'"


class ArrayClient(Protocol):
    """The calls of a client that tables are answered by.

    Attributes:
        rows_per_request: longest batch of one request.
        connections: requests under way at once.
    """

    rows_per_request: int
    connections: int

    def ask(
        self, target: VersionTarget, values: Inputs, lengths: ArrayLike | None = None, *, signature: str = DEFAULT
    ) -> Arrays:
        """Answers of one version as arrays."""

    def signature(self, target: VersionTarget, name: str = DEFAULT) -> Signature:
        """A signature of a version."""

    def describe(self, model: str, *, version: int | None = None, label: str | None = None) -> Description | None:
        """What a version tells of itself; None where it tells nothing."""
