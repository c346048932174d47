"""Commands as children that can be killed: forked from this warm process, or started as ``python -m`` starts them.

A forked child has every library imported already, so that a kill falls into the command's own work and not into
seconds of imports; nothing of TensorFlow may have run in this process before.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HOOK = Path(__file__).parent / "hook"
LIBRARIES = (
    *(
        "tensorflow",
        "keras",
        "mlflow",
        "sklearn.ensemble",
        "matplotlib.figure",
        "pandas",
        "pyarrow.parquet",
        "onnxruntime",
    ),
    *("h5py", "PIL.Image", "yaml", "tensorflow_serving.config.model_server_config_pb2", "keras_seq.config"),
    *(
        "keras_seq.export.push",
        "keras_seq.explain.layout",
        "keras_seq.data.store.folder",
        "serving.rollout.edit",
        "tuning.records",
    ),
)
LONGEST = 900.0  # seconds a command may take


@dataclass(frozen=True)
class End:
    """How a command ended: exit code, or minus the signal; seconds it ran; file operations it did."""

    code: int
    seconds: float
    operations: int


def warm_up() -> None:
    """Import what commands need, once."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MPLBACKEND", "Agg")
    for name in LIBRARIES:
        importlib.import_module(name)


class Child:
    """A running command.

    Args:
        words: module and arguments.
        place: folder it works in; its temporary files go to ``place/tmp``, what it says to ``place/../said``.
        cold: start a new interpreter instead of forking this one.
        at: kill everything before this file operation; 0: never.
    """

    def __init__(self, words: Sequence[str], place: Path, *, cold: bool, at: int = 0) -> None:
        self.place, self.began = place, time.monotonic()
        self.tally = place.with_name("tally")
        self.tally.unlink(missing_ok=True)
        (place / "tmp").mkdir(exist_ok=True)
        environment = {
            "ENDURANCE_ROOT": f"{place}{os.sep}",
            "ENDURANCE_TALLY": str(self.tally),
            "ENDURANCE_AT": str(at),
            "TMPDIR": str(place / "tmp"),
            "KERAS_SEQ_STORES": str(place / "stores"),
            "PYTHONPATH": os.pathsep.join([str(HOOK), str(ROOT)]),
        }
        with open(place.with_name("said"), "ab") as said:
            self.pid = (
                _start(words, place, environment, said.fileno()) if cold else _fork(words, place, environment, said)
            )

    def wait(self, limit: float = LONGEST) -> End | None:
        """Its end, or None if it still runs after ``limit`` seconds."""
        end = time.monotonic() + limit
        while True:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                seconds = self.seconds_so_far
                self._sweep()
                return End(os.waitstatus_to_exitcode(status), seconds, self.operations)
            if time.monotonic() >= end:
                return None
            time.sleep(min(0.005, max(end - time.monotonic(), 0)))

    def kill(self) -> End:
        """SIGKILL to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        found = self.wait(60)
        assert found is not None
        return found

    @property
    def seconds_so_far(self) -> float:
        """Since it was started."""
        return time.monotonic() - self.began

    @property
    def operations(self) -> int:
        """File operations so far."""
        try:
            return self.tally.stat().st_size
        except OSError:
            return 0

    def _sweep(self) -> None:
        """End what the command had started in sessions of its own, such as tuning's workers."""
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"ENDURANCE_GROUP={self.pid}\0".encode() in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)


def _start(words: Sequence[str], place: Path, environment: dict[str, str], said: int) -> int:
    script = (
        "import os, sys, runpy; os.environ['ENDURANCE_GROUP'] = str(os.getpid()); import sitecustomize; "
        "sitecustomize.install(); del sys.argv[0]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    tally = environment.pop("ENDURANCE_TALLY")
    script = f"import os; os.environ['ENDURANCE_TALLY'] = {tally!r}; {script}"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words],
        cwd=place,
        env=os.environ | environment,
        stdout=said,
        stderr=said,
        start_new_session=True,
    )
    process.returncode = 0  # waited for here, not by subprocess
    return process.pid


def _fork(words: Sequence[str], place: Path, environment: dict[str, str], said: Any) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        os.chdir(place)
        os.environ.update(environment | {"ENDURANCE_GROUP": str(os.getpid())})
        tempfile.tempdir = None
        for number in (1, 2):
            os.dup2(said.fileno(), number)
        runpy.run_path(str(HOOK / "sitecustomize.py"))
        code = _call(words)
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _call(words: Sequence[str]) -> int:
    from keras_seq import cli

    name = words[0]
    if importlib.util.find_spec(f"{name}.__main__" if _package(name) else name) is None:
        raise ModuleNotFoundError(name)
    module = importlib.import_module(f"{name}.__main__" if _package(name) else name)
    sys.argv = [name, *words[1:]]
    return cli.run(module.main, list(words[1:]))


def _package(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return bool(spec and spec.submodule_search_locations)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a forked child, so that TensorFlow never runs here; its JSON-able result.

    Raises:
        RuntimeError: with the child's traceback.
    """
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            told = {"result": function(*arguments)}
        except BaseException:
            told = {"error": traceback.format_exc()}
        with os.fdopen(write, "w") as pipe:
            json.dump(told, pipe, default=str)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    told = json.loads(text) if text else {"error": "the child died"}
    if "error" in told:
        raise RuntimeError(told["error"])
    return told["result"]
