"""Child processes: started on cores of their own, stopped politely, gone with their parent, and how they ended."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from keras_seq.machine import thread_environment

FAILED, MISUSED, INTERRUPTED = 1, 2, 130  # exit codes: a bug, a mistake of the user, Ctrl-C
RESTART = 75  # exit code (EX_TEMPFAIL) of a child that is to be started again


def start_child(
    command: Sequence[str],
    cores: Sequence[int],
    *,
    environment: dict[str, str],
    log: Path | None = None,
    out: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own: Ctrl-C reaches it through this process alone.

    Args:
        command: program and arguments.
        cores: it may use; its TensorFlow gets as many threads.
        environment: variables beside this process's.
        log: file that its standard output and error are appended to; None: they go where this process's go.
        out: for its standard output, where there is no ``log``.
    """
    with ExitStack() as stack:
        error: IO[bytes] | None = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            out = error = stack.enter_context(open(log, "ab"))
        before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
        if before is not None:  # the child inherits the cores of this thread, which gets its own back
            os.sched_setaffinity(0, cores)
            stack.callback(os.sched_setaffinity, 0, before)
        return subprocess.Popen(
            command,
            env=os.environ | thread_environment(len(cores)) | environment,
            stdout=out,
            stderr=error,
            start_new_session=True,
        )


def core_shares(count: int) -> list[list[int]]:
    """Cores of each of ``count`` children: shares of this process's, or one each in turn where there are too few."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    if count > len(cores):
        return [[cores[number % len(cores)]] for number in range(count)]
    return [cores[number::count] for number in range(count)]


def stop_children(children: Iterable[subprocess.Popen[bytes]], *, seconds: float) -> None:
    """End what still runs: asked to by SIGTERM, killed after ``seconds`` for all of them together."""
    running = [child for child in children if child.poll() is None]
    for child in running:
        child.terminate()
    deadline = time.monotonic() + seconds
    for child in running:
        try:
            child.wait(max(deadline - time.monotonic(), 0.01))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def end_with_parent(parent: int, code: int) -> None:
    """End this process with exit code ``code`` within a second after its parent ``parent`` has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(code)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def end_words(code: int) -> str:
    """How a child ended: the signal's name or ``exit code 3``; ``code`` is negative for a signal."""
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
