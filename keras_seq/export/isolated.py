"""Functions of ours run in a process of their own: a converter that crashes takes nothing else with it.

Importing TensorFlow takes seconds, a fork milliseconds: jobs that use it are forked from a server process that has
imported it. The other side of both ways is ``keras_seq.export.isolated_child``.

Not ``multiprocessing``'s forkserver, which does the same: its children (and those of "spawn") run the caller's script
again unless that is guarded by ``if __name__ == "__main__"``; a fork of the caller cannot use it (ChildProcessError);
and its one server in a process is shared with the caller's own code, writes TensorFlow's chatter to the caller's
standard error, and holds its 700 MB as long as the caller runs.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from keras_seq import files
from keras_seq.errors import ExportError
from keras_seq.processes import end_words

SECONDS = 600.0
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}  # converters need no GPU
CHILD = (sys.executable, "-m", "keras_seq.export.isolated_child")


class ForkServer:
    """The process that has imported TensorFlow; started by the first job, it ends with this process or when idle."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._owner = 0  # the process that started it: a fork of that one starts its own
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """Number of the server's process, where there is one."""
        return self._server.pid if self._server else None

    def run(self, words: Sequence[str], log: Path, *, environment: Mapping[str, str], seconds: float) -> int | None:
        """Fork ``isolated_child.run_job(*words)`` and wait for its end.

        Args:
            words: arguments of ``run_job``.
            log: file for its standard output and error.
            environment: its variables.
            seconds: after these it is killed.

        Returns:
            Exit code, negative for a signal; None where no server can be had.

        Raises:
            TimeoutError: it was killed after ``seconds``.
        """
        with self._lock:
            try:
                server = self._running(environment)
                jobs, codes = cast("tuple[IO[bytes], IO[bytes]]", (server.stdin, server.stdout))
                job = {"words": words, "log": str(log), "folder": os.getcwd(), "environment": dict(environment)}
                with suppress(BrokenPipeError):  # it ended this very moment
                    jobs.write(json.dumps(job).encode() + b"\n")
                    jobs.flush()
                if not select.select([codes], [], [], seconds)[0]:
                    raise TimeoutError
                if line := codes.readline():  # one line a job: nothing is left in the buffer
                    return int(line)
                self.close()
                return None
            except BaseException:  # late or Ctrl-C: job and server go; the next job gets a new one
                self.close()
                raise

    def _running(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """The server, which answers as soon as it has imported TensorFlow."""
        if self._server is None or self._owner != os.getpid() or self._server.poll() is not None:
            self.close()
            self._server = subprocess.Popen(
                CHILD,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                process_group=0,  # killed together with its job
            )
            self._owner = os.getpid()
            cast("IO[bytes]", self._server.stdout).readline()
        return self._server

    def close(self) -> None:
        """End the server and its job; the next job starts another."""
        server, self._server = self._server, None
        if server is not None and self._owner == os.getpid():
            if server.returncode is None:  # else its number may be another's by now
                os.killpg(server.pid, signal.SIGKILL)
            with suppress(BrokenPipeError):
                server.__exit__(None, None, None)


FORKS = ForkServer()


def run_apart(
    function: str, arguments: dict[str, Any], *, what: str, seconds: float = SECONDS, warm: bool = False
) -> Any:
    """Call ``function(**arguments)`` in a new process.

    Args:
        function: ``module:name`` below ``keras_seq``; takes and returns what JSON knows, and paths as text.
        arguments: by name; arrays go through files.
        what: what is being made, for messages: "TFLite int8".
        seconds: after these it is stopped.
        warm: it uses TensorFlow: fork it from a process that has imported it, where the system can.

    Raises:
        ExportError: it failed, crashed (names the signal) or took too long.
    """
    with files.scratch() as folder:
        paths = {name: folder / name for name in ("arguments", "result", "log")}
        paths["arguments"].write_text(json.dumps(arguments, default=str), encoding="utf-8")
        words = [function, str(paths["arguments"]), str(paths["result"])]
        environment, code = os.environ | QUIET, None
        try:
            if warm and sys.platform == "linux":
                code = FORKS.run(words, paths["log"], environment=environment, seconds=seconds)
            if code is None:
                code = _start(words, paths["log"], environment=environment, seconds=seconds)
        except (TimeoutError, subprocess.TimeoutExpired):
            raise ExportError(
                f"{what}: stopped after {seconds:g} s without a result. Give it more time, or leave the format out."
            ) from None
        if not paths["result"].exists():
            raise ExportError(f"{what}: {_end(code, paths['log'])} Other formats are not affected; leave this one out.")
        answer = json.loads(paths["result"].read_text(encoding="utf-8"))
    if "error" in answer:
        raise ExportError(f"{what}: {answer['error']}")
    return answer["result"]


def _start(words: Sequence[str], log: Path, *, environment: Mapping[str, str], seconds: float) -> int:
    """Run ``isolated_child.run_job(*words)`` in a process that begins with nothing; its exit code."""
    with log.open("wb") as sink:
        child = subprocess.run(
            [*CHILD, *words],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            timeout=seconds,
            check=False,
            env=environment,
        )
    return child.returncode


def _end(code: int, log: Path) -> str:
    """How a process without a result ended."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    last = next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it said nothing")
    end = f"crashed with signal {end_words(code)}" if code < 0 else f"ended with code {code}"
    return f"the process {end}; its last words: {last}."
