"""Run one of our functions in a process of its own: a converter that crashes takes nothing else with it.

``python -m keras_seq.export.isolated MODULE:FUNCTION RESULT`` is the other side; its arguments come as JSON by standard
input, its answer goes to the file RESULT.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from keras_seq import files
from keras_seq.errors import ExportError, KerasSeqError
from keras_seq.export.fork_server import ForkServer

SECONDS = 600.0
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}  # converters need no GPU
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
        given, result, said = (Path(folder) / name for name in ("given.json", "result.json", "said"))
        given.write_text(json.dumps(arguments, default=str), encoding="utf-8")
        run = _fork if warm and sys.platform == "linux" else _start
        try:
            code = run([function, str(result)], given, said, seconds)
        except (TimeoutError, subprocess.TimeoutExpired):
            raise ExportError(
                f"{what}: stopped after {seconds:g} s without a result. Give it more time, or leave the format out."
            ) from None
        if not result.exists():
            raise ExportError(f"{what}: {_end(code, said)} Other formats are not affected; leave this one out.")
        answer = json.loads(result.read_text(encoding="utf-8"))
    if "error" in answer:
        raise ExportError(f"{what}: {answer['error']}")
    return answer["result"]


def _start(words: Sequence[str], given: Path, said: Path, seconds: float) -> int:
    """Run ``main(*words)`` in a process that begins with nothing; its exit code."""
    command = [sys.executable, "-m", "keras_seq.export.isolated", *words]
    with given.open("rb") as source, said.open("wb") as sink:
        done = subprocess.run(
            command, stdin=source, stdout=sink, stderr=sink, timeout=seconds, check=False, env=os.environ | QUIET
        )
    return done.returncode


def _fork(words: Sequence[str], given: Path, said: Path, seconds: float) -> int:
    """The same in a fork of a process that has imported TensorFlow."""
    code = FORKS.run(words, given, said, environment=os.environ | QUIET, seconds=seconds)
    return _start(words, given, said, seconds) if code is None else code


def _end(code: int, said: Path) -> str:
    """How a process without a result ended."""
    lines = said.read_text(encoding="utf-8", errors="replace").splitlines() if said.exists() else []
    last = next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it said nothing")
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"the process crashed with signal {name}; its last words: {last}."
    return f"the process ended with code {code}; its last words: {last}."


def main(function: str, result: str) -> None:
    """The other side."""
    module, _, name = function.partition(":")
    if module.split(".")[0] != "keras_seq":
        raise SystemExit(f"'{function}' is no function of keras_seq")
    arguments = json.load(sys.stdin)
    try:
        answer: dict[str, Any] = {"result": getattr(import_module(module), name)(**arguments)}
    except KerasSeqError as error:
        answer = {"error": str(error)}
    except Exception as error:  # converters raise whatever they like; the parent names the format
        line = next(iter(str(error).strip().splitlines()), "")
        answer = {"error": f"{type(error).__name__}: {line[:300].rstrip('.')}."}
    Path(result).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
