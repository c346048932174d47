"""State of a retraining, on disk after every step; one job at a time for a model."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_seq import files
from keras_seq.errors import ServingError

FILE, LOCK = "state.json", ".lock"
TRAIN, EXPORT, PUSH, WAIT, DONE, FAILED = "train", "export", "push", "wait", "done", "failed"
OVER = (DONE, FAILED)


@dataclass(frozen=True)
class RetrainState:
    """State of one job.

    Attributes:
        job: its id, and name of its folder.
        request: fingerprint of what was asked for; another one is another job.
        step: to be done next, or how it ended.
        champion: version folder it was compared with; empty if there was none.
        parent: sha256 of the champion's bundle.
        event: id of the event that asked for it; empty: by hand or by the clock.
        started, finished: Unix seconds.
        bundle, version, pushed: folders, once they are there.
        reasons: why it failed.
        record: of the run that keeps its lineage.
    """

    job: str
    request: str
    step: str = TRAIN
    champion: str = ""
    parent: str = ""
    event: str = ""
    started: float = 0.0
    finished: float = 0.0
    bundle: str = ""
    version: str = ""
    pushed: str = ""
    reasons: tuple[str, ...] = field(default=())
    record: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)


class JobStore:
    """Keeps the state of a model's jobs.

    Args:
        folder: of the model's jobs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> RetrainState | None:
        """The last job; None if there was none or its file is of something else."""
        try:
            stored = files.read_json(self.folder / FILE)
            return RetrainState(**{**stored, "reasons": tuple(stored.get("reasons", ()))})
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def write(self, state: RetrainState, **changes: Any) -> RetrainState:
        """Put ``state`` with ``changes`` on disk; returns it."""
        new = replace(state, **changes)
        files.write_json(self.folder / FILE, new.to_dict())
        return new

    @contextmanager
    def alone(self, model: str) -> Iterator[None]:
        """One job of a model at a time; the lock goes with the process.

        Raises:
            ServingError: another process holds it.
        """
        files.ensure_writable(self.folder)
        with open(self.folder / LOCK, "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise ServingError(
                    f"Model '{model}' is being retrained already (process {lock.read().strip() or 'unknown'}, folder "
                    f"'{self.folder}'). Wait for it, or stop it; it goes on where it was."
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield
