"""Work in a process of its own: started anew or forked from one that has imported TensorFlow, with the same manners."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from keras_seq.errors import ExportError
from keras_seq.export import isolated, isolated_child
from keras_seq.export.isolated import FORKS, run_apart
from keras_seq.machine import is_running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux only")
ROOT = Path(__file__).parents[2]
JOBS = """
import os, signal, sys, time
def crash():
    print("about to fall", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
def hang(): signal.pause()
def pause(path):
    with open(path + "~", "w") as file: file.write(f"{os.getpid()} {os.getppid()}")
    os.rename(path + "~", path)
    signal.pause()
def leave(): os._exit(3)
def fail(): raise ValueError("no such op")
def told(name, **given):
    return {"value": os.environ.get(name), "folder": os.getcwd(), "tensorflow": "tensorflow" in sys.modules, **given}
"""


@pytest.fixture(params=[False, True], ids=["started", "forked"])
def warm(request):
    return request.param


@pytest.fixture(scope="module", autouse=True)
def ours(tmp_path_factory):
    """A module ``keras_seq.export.jobs`` which only other processes see."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "jobs.py").write_text(JOBS, encoding="utf-8")
    bridge = f"import keras_seq.export as e; e.__path__.append({str(folder)!r})"
    (folder / "sitecustomize.py").write_text(bridge, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{ROOT}")
        FORKS.close()
        yield "keras_seq.export.jobs"
        FORKS.close()


def test_a_crash_a_hang_and_an_error_are_named_and_the_next_job_runs(ours, warm):
    with pytest.raises(ExportError, match=r"TFLite int8: the process crashed with signal SIGSEGV.*about to fall"):
        run_apart(f"{ours}:crash", {}, what="TFLite int8", warm=warm)
    with pytest.raises(ExportError, match="TFLite int8: stopped after 2 s"):
        run_apart(f"{ours}:hang", {}, what="TFLite int8", seconds=2, warm=warm)
    with pytest.raises(ExportError, match="ended with code 3"):
        run_apart(f"{ours}:leave", {}, what="TFLite int8", warm=warm)
    with pytest.raises(ExportError, match="TFLite int8: ValueError: no such op"):
        run_apart(f"{ours}:fail", {}, what="TFLite int8", warm=warm)
    assert run_apart("keras_seq.machine:is_running", {"pid": os.getpid()}, what="Looking", warm=warm) is True


def test_a_job_has_this_moments_folder_and_variables(ours, warm, tmp_path, monkeypatch):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setenv("APART_TEST", name)
        told = run_apart(f"{ours}:told", {"name": "APART_TEST", "a": [1, "b"]}, what="Asking", warm=warm)
        assert told == {"value": name, "folder": str(tmp_path / name), "tensorflow": warm, "a": [1, "b"]}


def test_forks_go_on_after_their_server_was_killed():
    assert run_apart("keras_seq.machine:is_running", {"pid": os.getpid()}, what="Looking", warm=True)
    assert FORKS.pid
    os.kill(FORKS.pid, signal.SIGKILL)
    assert run_apart("keras_seq.machine:is_running", {"pid": os.getpid()}, what="Looking", warm=True)


def test_a_job_that_is_over_before_anyone_listens_is_heard(monkeypatch):
    def late(*descriptors):
        time.sleep(1)
        return select.select(*descriptors)

    monkeypatch.setattr(isolated, "select", SimpleNamespace(select=late))
    assert run_apart("keras_seq.machine:is_running", {"pid": os.getpid()}, what="Looking", warm=True, seconds=20)


@pytest.mark.slow
def test_a_fork_of_this_process_has_a_server_of_its_own():
    assert run_apart("keras_seq.machine:is_running", {"pid": os.getpid()}, what="Looking", warm=True)
    child = os.fork()
    if not child:
        try:
            own = run_apart("keras_seq.machine:is_running", {"pid": os.getpid()}, what="Looking", warm=True)
        finally:
            FORKS.close()
            os._exit(0 if own else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run_apart("keras_seq.machine:is_running", {"pid": os.getpid()}, what="Looking", warm=True)


@pytest.mark.slow
def test_the_server_ends_with_the_process_that_asked():
    asks = """
        import os, signal
        from keras_seq.export.isolated import FORKS, run_apart
        run_apart("keras_seq.machine:is_running", {"pid": 1}, what="Looking", warm=True)
        print(FORKS.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(asks)], capture_output=True, text=True, check=False, timeout=120
    )
    end = time.monotonic() + 20
    while is_running(int(done.stdout)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(int(done.stdout))


@pytest.mark.slow
def test_a_job_ends_with_the_process_that_asked(ours, tmp_path):
    code = f"from keras_seq.export.isolated import run_apart; run_apart('{ours}:pause', "
    code += f"{{'path': '{tmp_path}/numbers'}}, what='Waiting', warm=True)"
    asking = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 120
    while not (tmp_path / "numbers").exists() and time.monotonic() < end:
        time.sleep(0.05)
    asking.kill()
    asking.wait()
    job, server = map(int, (tmp_path / "numbers").read_text().split())
    while (is_running(job) or is_running(server)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(job) and not is_running(server)


def test_only_our_functions_are_run():
    with pytest.raises(SystemExit, match="no function of keras_seq"):
        isolated_child.run_job("os:getcwd", "unused", "unused")
