"""Supervisor of the workers: owns the listening sockets, starts workers again, lets them finish before it goes.

The sockets are bound here and handed to the workers by file descriptor: while a worker starts again, new connections
wait in the socket's backlog. A worker listens only once its models answer, so that an open port means a server that
works. A worker whose supervisor dies sees its standard input end, and goes too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from keras_seq import files, processes
from keras_seq.errors import ConfigError, ServingError
from serving.settings import Settings

STABLE = 10.0  # seconds after which a worker's death counts as the first one again
SLOWEST = 30.0  # seconds between two starts of a worker that keeps dying


@dataclass
class WorkerProcess:
    """A worker process and when it was or will be started."""

    slot: int
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    again: float = field(default=0.0)


class Supervisor:
    """Runs ``settings.workers`` workers until told to stop.

    Args:
        settings: of the command line.

    Raises:
        ServingError: a port is taken or may not be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._stopping = 0
        files.sweep(Path(tempfile.gettempdir()))  # what killed servers left
        self._folder = Path(tempfile.mkdtemp(prefix=f"keras_seq-{files.owner()}-serving-"))
        self._rest = _bind(settings.host, settings.rest_api_port, "--rest_api_port") if settings.rest_api_port else None
        self._grpc = _reserve(settings.host, settings.port) if settings.port else None
        self._settings = settings
        self._workers = [WorkerProcess(slot) for slot in range(settings.workers)]

    def run(self) -> int:
        """Run the workers until SIGTERM or SIGINT.

        Returns:
            Exit code: 0 after a stop that was asked for, 2 if a worker cannot start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            while not self._stopping:
                for worker in self._workers:
                    if worker.process is None and time.monotonic() >= worker.again:
                        self._start(worker)
                if self._reap() == processes.MISUSED:
                    return processes.MISUSED
                time.sleep(0.05 if any(worker.process is None for worker in self._workers) else 0.1)
            return 0
        finally:
            self._end()

    def _stop(self, number: int, frame: object) -> None:
        self._stopping += 1
        if self._stopping > 1:  # asked again: at once
            for worker in self._workers:
                if worker.process:
                    worker.process.kill()

    def _start(self, worker: WorkerProcess) -> None:
        job = {
            "slot": worker.slot,
            "rest": self._rest.fileno() if self._rest else None,
            "folder": str(self._folder),
            "again": worker.deaths > 0,
            "settings": asdict(replace(self._settings, given=())),
        }
        worker.process = subprocess.Popen(
            [sys.executable, "-m", "serving.server.worker"],
            stdin=subprocess.PIPE,
            pass_fds=[self._rest.fileno()] if self._rest else [],
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which lets them finish
        )
        worker.started = time.monotonic()
        assert worker.process.stdin is not None
        with suppress(BrokenPipeError):
            worker.process.stdin.write(json.dumps(job).encode() + b"\n")  # stays open: its end is ours
            worker.process.stdin.flush()

    def _reap(self) -> int:
        """Note who died; start again at once the first time, more and more slowly after that."""
        for worker in self._workers:
            code = worker.process.poll() if worker.process else None
            if code is None or worker.process is None or self._stopping:
                continue
            if code == processes.MISUSED:
                return processes.MISUSED
            _close(worker.process)
            lived = time.monotonic() - worker.started
            worker.deaths = 1 if lived > STABLE else worker.deaths + 1
            delay = 0.0 if worker.deaths == 1 else min(SLOWEST, 0.5 * 2 ** (worker.deaths - 2))
            worker.process, worker.again = None, time.monotonic() + delay
            print(
                f"worker {worker.slot} ended ({processes.end_words(code)}); starting it again",
                file=sys.stderr,
                flush=True,
            )
        return 0

    def _end(self) -> None:
        """Let the workers finish what is in flight, then make sure they are gone."""
        for each in (self._rest, self._grpc):
            if each:
                each.close()
        alive = [worker.process for worker in self._workers if worker.process and worker.process.poll() is None]
        processes.stop_children(alive, seconds=self._settings.drain_timeout_s + 10)
        for process in alive:
            _close(process)
        shutil.rmtree(self._folder, ignore_errors=True)


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _bind(host: str, port: int, flag: str, prepare: Callable[[socket.socket], None] | None = None) -> socket.socket:
    listener = socket.socket(_family(host), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if prepare:
        prepare(listener)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServingError(
            f"{flag} is {port}, but {host}:{port} cannot be used ({os.strerror(error.errno or 0)}). "
            "Stop what listens there, or give another port."
        ) from None
    except (UnicodeError, OverflowError):
        raise ConfigError(f"--host is '{host}', which is no address of this machine.") from None
    return listener


def _reserve(host: str, port: int) -> socket.socket:
    """Hold a port for gRPC, which binds it itself in every worker: bound, but never listening."""
    _bind(host, port, "--port").close()  # without sharing, so that a stranger's port is noticed
    return _bind(host, port, "--port", lambda made: made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1))
