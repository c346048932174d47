"""Version folders, and the policy of which of them are served."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

# absl::SimpleAtoi, which names of version folders go through: spaces around, a sign, ASCII digits, 64 bits
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)[ \t\n\v\f\r]*\Z")
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class VersionPolicy:
    """``ServableVersionPolicy``.

    Attributes:
        latest: how many of the highest numbers; used where neither ``all`` nor ``specific`` is given.
        all: every version there is.
        specific: these numbers, as far as they are there; None: not asked for.
    """

    latest: int = 1
    all: bool = False
    specific: tuple[int, ...] | None = None

    def choose(self, folders: Mapping[int, Path], model: str = "") -> dict[int, Path]:
        """Version folders that are to be served."""
        if self.all:
            return dict(folders)
        if self.specific is None:
            return {number: folders[number] for number in sorted(folders, reverse=True)[: max(self.latest, 1)]}
        for number in self.specific:
            if number not in folders:
                _warn_once(
                    f"Version {number} of servable {model}, which was requested to be served as a 'specific' version "
                    "in the servable's version policy, was not found in the file system"
                )
        return {number: folders[number] for number in self.specific if number in folders}


def version_number(name: str) -> int | None:
    """The number a folder's name stands for; None: it is no version. ``007`` is 7, ``.5`` and ``v2`` are none."""
    match = _NUMBER.match(name)
    if match is None or not -20 < len(match[1].lstrip("+-0")) < 20:
        return None
    number = int(match[1])
    return number if number in _INT64 else None


def find_versions(base: Path) -> dict[int, Path]:
    """Version folders below a base path, by number.

    A link that leads out of the base path is refused with a line in the log, and so are files: what is served is what
    lies below the base path. Of two names of the same number the last one in order is taken, as the source does.

    Raises:
        OSError: the base path cannot be listed.
    """
    versions, home = dict[int, Path](), base.resolve()
    for child in sorted(base.iterdir(), key=lambda path: path.name):
        number = version_number(child.name)
        if number is None:
            continue
        if not child.is_dir():
            _warn_once(f"'{child}' is no folder and therefore no version.")
            continue
        if child.is_symlink() and not child.resolve().is_relative_to(home):
            _warn_once(f"Version folder '{child}' is a link that leaves '{home}'; it is not served.")
            continue
        if number in versions:
            _warn_once(
                f"Duplicate version directories detected. Version {number} will be loaded from {child.name}, "
                f"{versions[number].name} will be ignored."
            )
        versions[number] = child
    return versions


def find_models(folder: Path) -> dict[str, Path]:
    """Sub-folders with at least one version folder, by name, sorted: what ``--models`` serves.

    Raises:
        OSError: the folder cannot be listed.
    """
    models, home = dict[str, Path](), folder.resolve()
    for child in sorted(folder.iterdir(), key=lambda path: path.name):
        if child.name.startswith(".") or not child.is_dir():
            continue
        if child.is_symlink() and not child.resolve().is_relative_to(home):
            _warn_once(f"Model folder '{child}' is a link that leaves '{home}'; it is not served.")
            continue
        try:
            if any(version_number(path.name) is not None and path.is_dir() for path in child.iterdir()):
                models[child.name] = child
        except OSError as error:
            _warn_once(f"Model folder '{child}' cannot be read ({error.strerror or error}).")
    return models


_WARNED: set[str] = set()


def _warn_once(text: str) -> None:
    """Warn, but not again at every poll."""
    if text not in _WARNED:
        if len(_WARNED) > 10_000:
            _WARNED.clear()
        _WARNED.add(text)
        log.warning("%s", text)
