"""Processes that begin with TensorFlow imported: a server that has imported it forks one for each job.

Importing TensorFlow takes seconds, a fork milliseconds. ``python -m keras_seq.export.fork_server`` is it: it reads
a job a line from standard input (JSON: words, given, said, folder, environment) and answers with the number of the
process it made, then, when that has ended, with its exit code. It never computes itself: only the import is shared, and
a job that crashes takes nothing else with it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

IDLE = 60.0  # seconds without a job after which the server ends and gives its memory back


class ForkServer:
    """The server of this process; it is started by the first job and ends with this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._owner = 0  # the process that started it: a fork of that one starts its own
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """Number of the server's process, where there is one."""
        return self._server.pid if self._server else None

    def run(
        self, words: Sequence[str], given: Path, said: Path, *, environment: Mapping[str, str], seconds: float
    ) -> int | None:
        """Fork ``keras_seq.export.isolated.main(*words)`` and wait for it.

        Args:
            words: arguments of ``main``.
            given: file that is its standard input.
            said: file for its standard output and error.
            environment: its variables.
            seconds: after these it is killed.

        Returns:
            Exit code, negative for a signal; None where no server can be had.

        Raises:
            TimeoutError: it was killed after ``seconds``.
        """
        job: dict[str, Any] = {"words": list(words), "given": str(given), "said": str(said)}
        job |= {"folder": os.getcwd(), "environment": dict(environment)}
        with self._lock:
            try:
                number = self._begin(job)
                return None if number is None else self._end(number, seconds)
            except TimeoutError:
                raise
            except BaseException:  # out of step with the server: the next job gets a new one
                self.close()
                raise

    def _begin(self, job: dict[str, Any]) -> int | None:
        """Hand a job over; the number of its process."""
        if self._server is None or self._owner != os.getpid() or self._server.poll() is not None:
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            command = [sys.executable, "-m", __name__]
            self._server = subprocess.Popen(command, **pipes, bufsize=0, env=job["environment"])
            self._owner = os.getpid()
        assert self._server.stdin and self._server.stdout
        with contextlib.suppress(BrokenPipeError):  # it ended this very moment
            _write(self._server.stdin.fileno(), json.dumps(job).encode() + b"\n")
        line = _read_line(self._server.stdout.fileno())
        return int(line) if line else None

    def _end(self, number: int, seconds: float) -> int | None:
        """Wait for a job's end."""
        assert self._server and self._server.stdout
        answers = self._server.stdout.fileno()
        try:
            late = not select.select([answers], [], [], seconds)[0]
        except BaseException:  # Ctrl-C: the job goes with us
            _kill(number)
            raise
        if late:
            _kill(number)
        line = _read_line(answers)
        if late:
            raise TimeoutError
        return int(line) if line else None

    def close(self) -> None:
        """End the server; the next job starts another."""
        if self._server is not None and self._owner == os.getpid():
            self._server.kill()
            self._server.wait()
            for pipe in (self._server.stdin, self._server.stdout):
                pipe.close()  # type: ignore[union-attr]
        self._server = None


def _kill(number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


def serve() -> None:
    """The server: until standard input ends, or ``IDLE`` seconds pass without a job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is answered by the process that asked
    import tensorflow  # noqa: F401  # what every job begins with

    while select.select([0], [], [], IDLE)[0] and (line := _read_line(0)):
        job = json.loads(line)
        number = os.fork()
        if not number:
            _work(job)
        _say(number)
        _say(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]))


def _read_line(descriptor: int) -> bytes:
    """One line and no byte more, which a buffer would hide from ``select``; nothing once the other side has gone."""
    line = b""
    while not line.endswith(b"\n"):
        if not (part := os.read(descriptor, 1)):
            return b""
        line += part
    return line


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _say(number: int) -> None:
    _write(1, f"{number}\n".encode())


def _work(job: dict[str, Any]) -> None:
    """The forked process, from here to its end."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(job["environment"])
        os.chdir(job["folder"])
        os.dup2(os.open(job["given"], os.O_RDONLY), 0)
        os.dup2(os.open(job["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        os.dup2(1, 2)
        from keras_seq.export.isolated import main

        main(*job["words"])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
