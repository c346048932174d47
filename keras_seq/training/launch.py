"""Several workers on this machine: started on the loopback, watched, started again together when one dies.

TensorFlow's workers cannot take a restarted one back, so that a death ends the others too; all begin again and go on
after the last saved state. Imports no TensorFlow.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from keras_seq import processes
from keras_seq.errors import ConfigError, TrainingError
from keras_seq.figures import Say
from keras_seq.machine import free_ports
from keras_seq.training.cluster import VARIABLE, ClusterSpec
from keras_seq.training.distribute import LAUNCHER

POLL_SECONDS = 0.2
STOP_SECONDS = 5.0  # between asking a worker to end and killing it
GIVE_UP = (processes.FAILED, processes.MISUSED, processes.INTERRUPTED)  # the same would happen again
OPTIONS = ("--workers", "--restarts")


@dataclass
class WorkerJob:
    """Workers on this machine that train together, started again when one dies.

    Attributes:
        command: of one worker.
        workers: how many.
        logs: folder of ``worker-<n>.log``, where all but the chief write; the chief writes here.
        restarts: how often all may be started again.
        tell: takes a line for the user.
        out: where the chief's standard output goes; None: to this process's.
    """

    command: Sequence[str]
    workers: int
    logs: Path
    restarts: int = 3
    tell: Say = lambda line: print(line, file=sys.stderr)
    out: IO[bytes] | None = None
    asked: int = 0
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self) -> int:
        """Run until all workers have ended well; exit code of the job: 0, or that of a worker that gave up.

        Raises:
            TrainingError: workers died more than ``restarts`` times; names the log.
        """
        before = {number: signal.signal(number, self._forward) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for attempt in range(self.restarts + 1):
                number, code = self._attempt(again=attempt > 0)
                if code == 0 or code in GIVE_UP or self.asked:
                    return (
                        processes.INTERRUPTED
                        if self.asked and code not in (0, *GIVE_UP)
                        else self._explained(number, code)
                    )
                left = f"{attempt + 1} of {self.restarts}" if attempt < self.restarts else "no more"
                self.tell(f"worker {number} ended by {processes.end_words(code)}; all are started again ({left}).")
        finally:
            self._stop()
            for number, handler in before.items():
                signal.signal(number, handler)
        where = f"see {self._log(number)}" if number else "its messages are above"
        raise TrainingError(
            f"Workers died {self.restarts + 1} times, the last one by {processes.end_words(code)} (worker {number}; "
            f"{where}). Mend the reason (memory? disk?) and give the same command: it goes on after the "
            "last saved state."
        )

    def _attempt(self, *, again: bool) -> tuple[int, int]:
        """Start all; the number and exit code of the first that failed, or ``(0, 0)``; the others are stopped."""
        ports = free_ports(self.workers)
        addresses = tuple(f"127.0.0.1:{port}" for port in ports)
        extra = ("--training.resume", "true") if again else ()
        for rank in range(self.workers):
            self.running.append(self._start(ClusterSpec(addresses, rank), extra))
        while True:
            codes = [process.poll() for process in self.running]
            failed = [(number, code) for number, code in enumerate(codes) if code]
            if failed:
                self._stop()
                return min(failed, key=lambda end: end[1] == processes.RESTART)  # not the one that only noticed
            if all(code == 0 for code in codes):
                self.running.clear()
                return 0, 0
            time.sleep(POLL_SECONDS)

    def _start(self, cluster: ClusterSpec, extra: Sequence[str]) -> subprocess.Popen[bytes]:
        return processes.start_child(
            [*self.command, *extra],
            processes.core_shares(cluster.size)[cluster.rank],
            environment={VARIABLE: cluster.to_json(), LAUNCHER: str(os.getpid())},
            log=None if cluster.chief else self._log(cluster.rank),
            out=self.out,
        )

    def _stop(self) -> None:
        processes.stop_children(self.running, seconds=STOP_SECONDS)
        self.running.clear()

    def _forward(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C: each worker ends after the epoch; again: at once. SIGTERM likewise ends them at once."""
        self.asked += 1
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL if self.asked > 2 else number)

    def _explained(self, number: int, code: int) -> int:
        """Pass on what a worker other than the chief has said before it gave up."""
        if code and number and not self.asked:
            lines = self._log(number).read_text(encoding="utf-8", errors="replace").splitlines()
            self.tell("\n".join([f"worker {number} ({self._log(number)}):", *lines[-5:]]))
        return code

    def _log(self, number: int) -> Path:
        return self.logs / f"worker-{number}.log"


def check_numbers(workers: int, restarts: int) -> None:
    """Refuse numbers that mean nothing.

    Raises:
        ConfigError: names the option.
    """
    if workers < 1:
        raise ConfigError(f"Option '--workers' must be at least 1, got {workers}.")
    if restarts < 0:
        raise ConfigError(f"Option '--restarts' must not be negative, got {restarts}.")
    if workers > 1 and os.environ.get(VARIABLE):
        raise ConfigError(
            f"Option '--workers' starts workers on this machine, but the variable {VARIABLE} names this process as one "
            "already. Give one of the two."
        )


def words_without(words: Sequence[str], options: Sequence[str] = OPTIONS) -> list[str]:
    """``words`` without these options and their values: what each worker is told."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in options:
        parser.add_argument(option)
    return parser.parse_known_args(words)[1]
