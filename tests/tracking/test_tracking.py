"""Runs on record tell the truth about those who wrote them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from keras_seq import config
from keras_seq.errors import ConfigError
from keras_seq.tracking import track


@pytest.mark.slow
def test_runs_of_killed_processes_do_not_stay_running(tmp_path):
    import mlflow

    tree = {"name": "casts", "output": str(tmp_path / "runs"), "tracking": {"uri": f"sqlite:///{tmp_path}/runs.db"}}
    killed = f"""
        import os, signal
        from keras_seq import config
        from keras_seq.tracking import track
        with track(config.from_dict({tree!r}), run_name="killed"):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(killed)], check=False).returncode == -9
    elsewhere = {"tags": {"keras_seq.process": "another-1", "mlflow.runName": "elsewhere"}}
    with track(config.from_dict(tree), run_name="first") as tracker:
        client = mlflow.MlflowClient()
        client.create_run(client.get_run(tracker.run_id).info.experiment_id, **elsewhere)
    with track(config.from_dict(tree), run_name="second"):
        states = {run.info.run_name: run.info.status for run in mlflow.search_runs(output_format="list")}
    assert states == {"killed": "KILLED", "first": "FINISHED", "elsewhere": "RUNNING", "second": "RUNNING"}


def silent(client):
    time.sleep(60)


def dripping(client):
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    with contextlib.suppress(OSError):
        for i in range(60):
            client.sendall(b"X-%d: y\r\n" % i)
            time.sleep(0.5)


def busy(client):
    client.recv(65536)
    client.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    client.close()


def foreign(client):
    client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
    client.close()


@contextlib.contextmanager
def server(answer):
    """Port of a server that answers each client so; None: of no server."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    if answer is None:
        listener.close()
        yield port
        return

    def accept():
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                threading.Thread(target=answer, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield port
    listener.close()


@pytest.mark.parametrize(
    ("scheme", "answer"),
    [
        ("http", None),
        ("http", silent),
        pytest.param("http", dripping, marks=pytest.mark.slow),
        ("http", busy),
        ("http", foreign),
        pytest.param("https", silent, marks=pytest.mark.slow),
        ("postgresql", None),
        ("mysql+pymysql", None),
    ],
)
def test_a_server_that_does_not_answer_is_named_within_seconds(tmp_path, scheme, answer):
    import mlflow.store.db.utils  # noqa: F401  (takes as long as all that follows)

    before = dict(os.environ)
    with server(answer) as port:
        uri = f"{scheme}://me:secret@127.0.0.1:{port}/db"
        tree = {"output": str(tmp_path), "tracking": {"uri": uri, "timeout": 3}}
        start = time.monotonic()
        with pytest.raises(ConfigError, match=r"cannot be opened: .*--tracking\.backend none") as caught:
            track(config.from_dict(tree), run_name="never").__enter__()
        assert time.monotonic() - start < 15
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
    assert {name for name in os.environ if name.startswith("MLFLOW_HTTP")} == {
        name for name in before if name.startswith("MLFLOW_HTTP")
    }


def test_an_sqlite_file_that_cannot_be_made_is_named_within_seconds(tmp_path):
    import mlflow.store.db.utils  # noqa: F401

    (tmp_path / "file").write_text("no database")
    start = time.monotonic()
    for place in ("file", "file/below.db"):
        tree = {"output": str(tmp_path), "tracking": {"uri": f"sqlite:///{tmp_path}/{place}"}}
        with pytest.raises(ConfigError, match="cannot be opened"):
            track(config.from_dict(tree), run_name="never").__enter__()
    assert time.monotonic() - start < 15
