"""Going on after a kill: the whole state of a run, written at epoch ends.

A state is one ``.npz`` file (numpy arrays and one JSON text, no pickle) that appears under its name
complete or not at all. The newest two are kept: should one be damaged, the one before it serves. A
state knows the configuration and data it belongs to and is never used for others.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.config import Experiment, to_dict
from keras_seq.errors import OutputError
from keras_seq.figures import Say

if TYPE_CHECKING:
    import keras

FORMAT = 1
KEPT = 2
# sections and options that change no weight; a run may go on with others
_ELSEWHERE = ("name", "output", "evaluation", "tracking", "export")
_HARMLESS = {
    "data": ("home", "prefetch"),
    "training": (
        "device",
        "resume",
        "backup_seconds",
        "steps_per_execution",
        "strategy",
        "worker_wait",
        "profile",
    ),
}


@dataclass
class TrainingState:
    """A run after some epochs.

    Attributes:
        epoch: epochs done.
        arrays: named lists of arrays: variables of the model and optimiser, the best weights.
        progress: everything else, JSON-able: history, best value, patience, seconds.
    """

    epoch: int
    arrays: dict[str, list[np.ndarray]]
    progress: dict[str, Any]


def run_key(experiment: Experiment, *data_fingerprints: str) -> str:
    """Text that is equal for runs which must give equal weights."""
    tree = {name: value for name, value in to_dict(experiment).items() if name not in _ELSEWHERE}
    for section, names in _HARMLESS.items():
        tree[section] = {name: value for name, value in tree[section].items() if name not in names}
    text = json.dumps([FORMAT, tree, *data_fingerprints], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Backup:
    """States of one run in a folder.

    Args:
        folder: where they lie; made when first needed.
        key: of the run, from ``run_key``.
        seconds: least time between two states.
        tell: takes a line for the user.
    """

    def __init__(self, folder: Path, key: str, *, seconds: float, tell: Say = print) -> None:
        self.folder, self.key, self.seconds, self.tell = folder, key, seconds, tell
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether enough time has passed since the last state, or the start."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, state: TrainingState) -> Path:
        """Write ``state`` and drop all but the newest two.

        Raises:
            OutputError: the disk is full or not writable.
        """
        path = self.folder / f"state-{state.epoch:06d}.npz"
        partial = self.folder / f".{path.name}.partial-{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(partial, "wb") as file:
                file.write(pack(state, self.key))
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError as error:
            discard(partial)
            raise OutputError(
                f"The state of the run cannot be written to '{self.folder}' ({error.strerror or error}). Free some "
                "space or mend the folder, then start the same command again: it goes on from the last state."
            ) from None
        for old in self._files()[KEPT:]:
            discard(old)
        self._last = time.monotonic()
        return path

    def load(self) -> TrainingState | None:
        """The newest sound state of this run, or None; says why one is not used."""
        for path in self._files():
            try:
                meta, arrays = _read(path)
            except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, EOFError) as error:
                self.tell(f"The saved state '{path.name}' is damaged ({error}); trying the one before it.")
                continue
            if meta.get("key") != self.key:
                self.tell("A saved state of another configuration or other data is there; starting from the beginning.")
                return None
            return TrainingState(int(meta["epoch"]), arrays, meta["progress"])
        return None

    def clear(self) -> None:
        """Remove all states and what a kill left half-written."""
        for path in [*self._files(), *self.folder.glob(".*partial-*")]:
            discard(path)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("state-*.npz"), reverse=True)


def pack(state: TrainingState, key: str) -> bytes:
    """A state as the bytes of an ``.npz`` file; ``key`` names the run it belongs to."""
    meta = {"format": FORMAT, "key": key, "epoch": state.epoch, "progress": state.progress}
    arrays = {f"{name}/{i}": array for name, group in state.arrays.items() for i, array in enumerate(group)}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def unpack(data: bytes) -> TrainingState:
    """The state in the bytes that ``pack`` gave."""
    meta, arrays = _read(io.BytesIO(data))
    return TrainingState(int(meta["epoch"]), arrays, meta["progress"])


def discard(path: Path) -> None:
    """Remove a file if it is there and can be removed; never the reason of a failure."""
    with suppress(OSError):
        path.unlink()


def values(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Copies of Keras variables' values."""
    return [np.array(variable.numpy()) for variable in variables]


def fits(variables: Sequence[keras.Variable], arrays: Sequence[np.ndarray]) -> bool:
    """Whether ``assign`` can take ``arrays``."""
    return [tuple(variable.shape) for variable in variables] == [array.shape for array in arrays]


def assign(variables: Sequence[keras.Variable], arrays: Sequence[np.ndarray]) -> None:
    """Set Keras variables."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _read(path: Path | io.BytesIO) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    with np.load(path, allow_pickle=False) as stored:
        read = {name: stored[name] for name in stored.files}  # reads all: the archive's checksums are compared
    meta = json.loads(read.pop("meta").tobytes())
    groups: dict[str, list[np.ndarray]] = {}
    for name in sorted(read, key=lambda name: (name.split("/")[0], int(name.split("/")[1]))):
        groups.setdefault(name.split("/")[0], []).append(read[name])
    return meta, groups
