"""Event log, one JSON object a line: drift that starts and ends, retraining, versions without a reference.

Several processes may write: a line is appended in one call under a lock, so that none is mixed or lost. A file that
has reached its size becomes ``events.1.jsonl``, in the place of the one before.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_seq import files
from keras_seq.errors import OutputError

FILE, OLDER = "events.jsonl", "events.1.jsonl"
MEGABYTE = 2**20


class EventLog:
    """The events file of a folder.

    Args:
        folder: of the monitor; made if it is not there.
        most_mb: size at which the file is put aside.
    """

    def __init__(self, folder: str | Path, *, most_mb: float = 16.0) -> None:
        self.path = Path(folder) / FILE
        self.most = int(most_mb * MEGABYTE)

    def write(self, event: str, **facts: object) -> dict[str, Any]:
        """Append one event; returns it with its id and time.

        Raises:
            OutputError: the file cannot be written.
        """
        entry = {"id": uuid.uuid4().hex, "time": time.time(), "event": event, **facts}
        line = (json.dumps(entry, default=_plain) + "\n").encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with files.locked(self.path.with_name(".events.lock")):
                self._append(line)
        except OSError as error:
            raise OutputError(f"The events file '{self.path}' cannot be written ({error.strerror or error}).") from None
        return entry

    def _append(self, line: bytes) -> None:
        if self.path.exists() and self.path.stat().st_size + len(line) > self.most:
            os.replace(self.path, self.path.with_name(OLDER))
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # after a line that a full disk or a power cut left without its end
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def read_events(folder: str | Path) -> Iterator[dict[str, Any]]:
    """Events of a monitor's folder, oldest first; lines that are not whole are left out."""
    for name in (OLDER, FILE):
        try:
            with open(Path(folder) / name, encoding="utf-8", errors="replace") as file:
                for line in file:
                    entry = parse_event(line)
                    if entry is not None:
                        yield entry
        except FileNotFoundError:
            continue


def parse_event(line: str) -> dict[str, Any] | None:
    """One line; None if it is not whole."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("id"), str) else None


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
