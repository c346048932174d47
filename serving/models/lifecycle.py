"""Life cycle of a version: wanted, loading, answering, unloading, gone; and what must happen next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.models.servable import Servable

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"


class Held:
    """A loaded version and those who use it: the ``Lease`` that ``acquire`` gives.

    Whoever takes it appends to ``users`` and then looks at ``closing``; whoever unloads it sets ``closing`` and then
    looks at ``users``. Both steps are atomic in CPython (``list.append`` and ``list.pop`` take no Python code), so one
    of the two always sees the other: a version in use is never closed, and no lock is taken for a call.

    Attributes:
        servable: that is held.
        users: one entry for each who holds it.
        closing: nobody may take it any more.
    """

    __slots__ = ("closing", "servable", "users")

    def __init__(self, servable: Servable) -> None:
        self.servable = servable
        self.users: list[None] = []
        self.closing = False

    def __enter__(self) -> Servable:
        return self.servable

    def __exit__(self, *error: object) -> None:
        self.users.pop()


@dataclass(eq=False)
class Version:
    """One version of a model, from when it is first wanted until it is gone.

    Attributes:
        number: of the version.
        folder: it is loaded from.
        wanted: the policy asks for it.
        state: of ``VersionState``; a version that failed is END and stays until it is not wanted.
        busy: a thread is loading or closing it.
        failures: attempts to load it that failed.
        retry_at: monotonic time of the next attempt; None: no attempt is due.
        error: code and message of the last failure.
        held: the loaded servable.
    """

    number: int
    folder: Path
    wanted: bool = True
    state: str = START
    busy: bool = False
    failures: int = 0
    retry_at: float | None = None
    error: tuple[str, str] = ("OK", "")
    held: Held | None = None


@dataclass(eq=False)
class Model:
    """The versions of one model.

    Attributes:
        versions: by number; those that are gone have left.
        aspired: folders of the versions that the policy asks for, as last found.
        looked: the base path was looked at since the model was configured.
        problem: why the base path could not be read; empty: it could.
    """

    versions: dict[int, Version] = field(default_factory=dict)
    aspired: dict[int, Path] = field(default_factory=dict)
    looked: bool = False
    problem: str = ""

    def want(self) -> list[Version]:
        """Bring ``wanted`` in line with ``aspired``; the versions that are new."""
        for version in self.versions.values():
            version.wanted = version.number in self.aspired and version.state != UNLOADING
        new = [Version(number, folder) for number, folder in self.aspired.items() if number not in self.versions]
        self.versions |= {version.number: version for version in new}
        return sorted(new, key=lambda version: -version.number)

    def give_up(self) -> list[Version]:
        """Versions that waited for another attempt and are not wanted any more: none is made."""
        given_up = [each for each in self.versions.values() if not each.wanted and each.retry_at is not None]
        for version in given_up:
            version.retry_at = None
        return given_up

    def forget(self) -> list[Version]:
        """Drop versions that are not wanted and hold nothing; those of them that were never tried."""
        gone = [
            version
            for version in self.versions.values()
            if not version.wanted and not version.busy and version.state in (START, END)
        ]
        for version in gone:
            del self.versions[version.number]
        return [version for version in gone if version.state == START]

    def to_load(self, now: float) -> list[Version]:
        """Versions to load now, the highest first."""
        ready = [
            version
            for version in self.versions.values()
            if version.wanted and not version.busy and (version.state == START or _due(version, now))
        ]
        return sorted(ready, key=lambda version: -version.number)

    def to_unload(self) -> list[Version]:
        """Versions to unload now, the lowest first: as ``AvailabilityPreservingPolicy`` does.

        One that is not wanted goes once a wanted one answers, if none is wanted at all, or if it is not the only one
        that is left answering.
        """
        answering = [version for version in self.versions.values() if version.state == AVAILABLE]
        spare = sorted((version for version in answering if not version.wanted), key=lambda version: version.number)
        wanted = any(version.wanted for version in self.versions.values())
        if not wanted or any(version.wanted for version in answering):
            return spare
        return spare[:-1]

    def settled(self) -> bool:
        """Looked at, and either a version answers or none is on its way."""
        states = {version.state for version in self.versions.values()}
        known = self.aspired.keys() <= self.versions.keys()
        return self.looked and known and (AVAILABLE in states or not states & {START, LOADING})


def _due(version: Version, now: float) -> bool:
    return version.state == LOADING and version.retry_at is not None and version.retry_at <= now


def table_of(models: Iterable[tuple[str, Model]]) -> dict[Any, Held]:
    """What calls are answered from: by ``(name, version)``, and by name the highest number that answers."""
    table = dict[Any, Held]()
    for name, model in models:
        for number in sorted(model.versions):
            version = model.versions[number]
            if version.state == AVAILABLE and version.held is not None:
                table[name, number] = table[name] = version.held
    return table
