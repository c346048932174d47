"""The other side of ``keras_seq.export.isolated``, never started by people.

``python -m keras_seq.export.isolated_child FUNCTION ARGUMENTS RESULT`` runs one job. Without words it is the fork
server: it imports TensorFlow, says so with an empty line, reads a job a line from standard input (JSON: words, log,
folder, environment), forks a process for each and answers with its exit code. It never computes itself.
"""

from __future__ import annotations

import io
import json
import os
import select
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from keras_seq.errors import KerasSeqError

POLL_SECONDS = 0.01
IDLE_SECONDS = 60.0  # without a job, after which the server ends and gives its memory back


def run_job(function: str, arguments: str, result: str) -> None:
    """Call a function and write its answer, or why there is none.

    Args:
        function: ``module:name`` below ``keras_seq``.
        arguments: JSON file of its arguments by name.
        result: JSON file to write: ``result`` or ``error``.
    """
    module, _, name = function.partition(":")
    if module.split(".")[0] != "keras_seq":
        raise SystemExit(f"'{function}' is no function of keras_seq")
    try:
        given = json.loads(Path(arguments).read_text(encoding="utf-8"))
        answer: dict[str, Any] = {"result": getattr(import_module(module), name)(**given)}
    except KerasSeqError as error:
        answer = {"error": str(error)}
    except Exception as error:  # converters raise whatever they like; the parent names the format
        line = next(iter(str(error).strip().splitlines()), "")
        answer = {"error": f"{type(error).__name__}: {line[:300].rstrip('.')}."}
    Path(result).write_text(json.dumps(answer), encoding="utf-8")


def serve() -> None:
    """Fork jobs until standard input ends, or ``IDLE_SECONDS`` pass without one."""
    import tensorflow  # noqa: F401  # what every job begins with

    print(flush=True)
    jobs = io.FileIO(0, closefd=False)  # unbuffered: a buffer would hide jobs from select
    while select.select([jobs], [], [], IDLE_SECONDS)[0] and (line := jobs.readline()):
        number = os.fork()
        if not number:
            _work(**json.loads(line))
        while not (ended := os.waitpid(number, os.WNOHANG))[0]:
            if select.select([jobs], [], [], POLL_SECONDS)[0]:  # no second job comes now: the caller has gone
                os.killpg(0, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(ended[1]), flush=True)


def _work(words: list[str], log: str, folder: str, environment: dict[str, str]) -> None:
    """Run a job in the forked process, from here to its end."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        os.dup2(1, 2)
        run_job(*words)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_job(*sys.argv[1:])
    else:
        serve()
