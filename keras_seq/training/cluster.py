"""The workers of a job, as TensorFlow names them in the variable ``TF_CONFIG``; imports no TensorFlow.

    {"cluster": {"worker": ["host-0:2222", "host-1:2222"]}, "task": {"type": "worker", "index": 0}}

Worker 0 (or ``chief``) is the chief, the only one that writes.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from keras_seq.config import TrainingConfig
from keras_seq.errors import ConfigError, TrainingError

VARIABLE = "TF_CONFIG"
SEEN_SECONDS = 4.0  # a worker that has seen all others stays visible to them
_EXAMPLE = '{"cluster": {"worker": ["host-0:2222", "host-1:2222"]}, "task": {"type": "worker", "index": 0}}'


class WorkerLost(TrainingError):
    """Another worker has ended or does not answer; the job can be started again and goes on."""


@dataclass(frozen=True)
class ClusterSpec:
    """The workers of a job and which of them this process is.

    Attributes:
        addresses: ``host:port`` of each worker, the chief first.
        rank: number of this one.
    """

    addresses: tuple[str, ...]
    rank: int

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self.addresses)

    @property
    def chief(self) -> bool:
        """This process writes what a run leaves."""
        return self.rank == 0

    @property
    def local_rank(self) -> int:
        """Number of this one among the workers of its host: which of the host's GPUs it takes."""
        host = self.addresses[self.rank].rpartition(":")[0]
        return sum(address.rpartition(":")[0] == host for address in self.addresses[: self.rank])

    def to_json(self) -> str:
        """Text of ``TF_CONFIG``."""
        return json.dumps({"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": self.rank}})

    def unreachable(self, seconds: float = 1.0) -> list[str]:
        """Addresses of the other workers at which nothing listens."""
        others = [address for number, address in enumerate(self.addresses) if number != self.rank]
        return [address for address in others if not _listens(address, seconds)]

    def wait_for_all(self, seconds: float) -> None:
        """Wait until every worker listens at its address; TensorFlow's own waiting has no end.

        Raises:
            ConfigError: this worker's own port cannot be used.
            WorkerLost: some have not come in time; names them.
        """
        port, deadline = int(self.addresses[self.rank].rpartition(":")[2]), time.monotonic() + seconds
        try:
            listener = socket.create_server(("", port))
        except OSError as error:
            raise ConfigError(
                f"Port {port} of {VARIABLE} cannot be used here ({error.strerror}); name another."
            ) from None
        with listener:
            while missing := self.unreachable():
                if time.monotonic() > deadline:
                    raise WorkerLost(
                        f"Not all of the {self.size} workers came within training.worker_wait={seconds:g} seconds; "
                        f"missing: {', '.join(missing)}. Start them, check that the hosts reach each other at these "
                        "ports, and start this one again."
                    )
                time.sleep(0.2)
            time.sleep(SEEN_SECONDS)


def read_cluster(text: str | None = None) -> ClusterSpec | None:
    """The workers that ``TF_CONFIG`` names; None where it names no second one.

    Args:
        text: of the variable; None: read it.

    Raises:
        ConfigError: it is no JSON, or not about workers; names what is wrong.
    """
    text = os.environ.get(VARIABLE, "") if text is None else text
    if not text.strip():
        return None
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise _refused(f"is not valid JSON ({error})", text) from None
    jobs = tree.get("cluster") if isinstance(tree, dict) else None
    if not jobs:
        return None
    if not isinstance(jobs, Mapping) or set(jobs) - {"chief", "worker"}:
        others = ", ".join(sorted({*jobs} - {"chief", "worker"})) if isinstance(jobs, Mapping) else repr(jobs)
        raise _refused(f"has a cluster of {others}; chief and worker are known here", text)
    chiefs, workers = (jobs.get(name) or [] for name in ("chief", "worker"))
    addresses = [*chiefs, *workers]
    for address in addresses:
        if not isinstance(address, str) or not address.rpartition(":")[2].isdigit():
            raise _refused(f"has the address {address!r}, which is not host:port", text)
    if len(set(addresses)) < len(addresses):
        raise _refused("names an address twice", text)
    rank = _rank(tree.get("task"), len(chiefs), len(workers), text)
    return ClusterSpec(tuple(addresses), rank) if len(addresses) > 1 else None


def _rank(task: object, chiefs: int, workers: int, text: str) -> int:
    """Number of the process among chief and workers."""
    kind, index = (task.get("type"), task.get("index")) if isinstance(task, Mapping) else (None, None)
    known = {"chief": chiefs, "worker": workers}.get(kind, 0) if isinstance(kind, str) else 0
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < known:
        raise _refused(f"has the task {task!r}, which is none of its cluster ({chiefs} chief, {workers} worker)", text)
    return index + (chiefs if kind == "worker" else 0)


def _refused(what: str, text: str) -> ConfigError:
    return ConfigError(f"The variable {VARIABLE} {what}. Got {text[:300]!r}; it should look like {_EXAMPLE}.")


def choose_strategy(training: TrainingConfig, cluster: ClusterSpec | None) -> str:
    """``none``, ``mirrored`` or ``multi_worker``: what ``training.strategy`` means here.

    ``auto`` is ``multi_worker`` where ``TF_CONFIG`` names several workers, else ``none``: models of this size rarely
    gain from several GPUs of one machine, so these are used when asked for.

    Raises:
        ConfigError: several workers are asked for and not named, or named and not asked for.
    """
    asked = training.strategy
    if asked == "auto":
        return "multi_worker" if cluster else "none"
    if asked == "multi_worker" and cluster is None:
        raise ConfigError(
            f"Option 'training.strategy' is 'multi_worker', but the variable {VARIABLE} names no second worker. On one "
            f"machine let 'python -m keras_seq.train --workers 2' start them; on several set it to {_EXAMPLE} with "
            "the index of each."
        )
    if asked != "multi_worker" and cluster is not None:
        raise ConfigError(
            f"Option 'training.strategy' is '{asked}', but the variable {VARIABLE} names {cluster.size} workers, which "
            f"would all do the same. Use training.strategy=multi_worker, or unset {VARIABLE}."
        )
    return asked


def _listens(address: str, seconds: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds):
            return True
    except OSError:
        return False
