"""The state of a version, as ``GetModelStatus`` names it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VersionState:
    """One line of a model's status.

    Attributes:
        version: its number.
        state: of ``ModelVersionStatus.State``: START, LOADING, AVAILABLE, UNLOADING, END.
        error_code: name of the canonical code, "OK" if nothing went wrong.
        error_message: empty if nothing went wrong.
    """

    version: int
    state: str
    error_code: str = "OK"
    error_message: str = ""
