"""The whole loop, nothing stood in for: real engines change, the server's monitor sees it, a job trains the network
again, the gate weighs it against the champion, and the running server changes over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keras_seq import config
from serving.monitor.events import read_events
from serving.retrain import job
from tests.factories.serving_process import Server

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
STEPS = 30
FD002 = {"data.subset": "FD002", "training.epochs": 4}


def engines(folder: Path, home: Path, **dotted) -> config.Experiment:
    """A small LSTM on FD001's windows of 30 cycles."""
    tree = {
        "name": "engines",
        "output": str(folder / "runs"),
        "data": {
            "source": "cmapss",
            "home": str(home),
            "subset": "FD001",
            "target_cap": 125.0,
            "split": {"by": "official", "validation": 0.1},
            "windows": {"mode": "sliding", "length": STEPS, "stride": 20, "pad_short": True},
        },
        "model": {"family": "lstm", "units": 16, "layers": 1, "hidden_dims": []},
        "training": {"epochs": 3},
        "evaluation": {"baseline": False},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db", "log_model": False},
        "export": {"saved_model": False},
    }
    return config.from_dict(config.override(tree, dotted))


def windows_of(experiment: config.Experiment, count: int) -> np.ndarray:
    """Windows ``(count, 30, features)`` of the test engines, engine by engine, each until an age of its own."""
    from keras_seq.data.prepare import prepare

    prepared = prepare(experiment.data)
    random, found = np.random.default_rng(0), []
    for unit in prepared.splits.test.units:
        values = prepared.series.unit_values(unit)
        found += [values[end - STEPS : end] for end in range(STEPS, len(values) - int(random.integers(0, 20)), 5)]
    assert len(found) >= count
    return np.stack(found[:count]).astype(np.float32)


def send(server: Server, windows: np.ndarray) -> set[str]:
    """One window a request on one connection; the versions that answered."""
    versions = set()
    with server.connect() as client:
        for window in windows:
            body = {"inputs": {"values": [window.tolist()], "lengths": [len(window)]}}
            reply = server.predict("engines", body, on=client)
            assert reply.status == 200, reply
            versions.add(reply.headers["x-model-version"])
    return versions


def alarms(folder: Path, version: int) -> list[dict]:
    return [
        event
        for event in read_events(folder / "monitor")
        if event["event"] == "drift_started" and event["version"] == version
    ]


def wait_for(found, seconds: float):
    limit = time.monotonic() + seconds
    while not found() and time.monotonic() < limit:
        time.sleep(0.2)
    return found()


def test_drift_is_seen_the_network_trained_again_and_the_server_changes_over(data_home, tmp_path):
    import mlflow

    from keras_seq.pipeline.train import train

    run = train(engines(tmp_path, data_home), quiet=True)
    base, work = tmp_path / "served" / "engines", tmp_path / "jobs"
    first = job.run(job.RetrainRequest(model="engines", base=base, work=work, bundle=run.folder))
    assert first.pushed == str(base / "1")
    shutil.rmtree(work)  # the alarm is the first thing the watch hears of

    old, new = windows_of(engines(tmp_path, data_home), 400), windows_of(engines(tmp_path, data_home, **FD002), 400)
    (tmp_path / "monitor.yaml").write_text(f"folder: {tmp_path / 'monitor'}\n")
    flags = [f"--model_base_path={base}", "--model_name=engines", f"--monitor={tmp_path / 'monitor.yaml'}"]
    with Server(*flags, "--file_system_poll_wait_seconds=1", grpc=False) as server:
        assert send(server, old) == {"1"}
        assert not alarms(tmp_path, 1)
        assert send(server, new[:200]) == {"1"}
        assert wait_for(lambda: alarms(tmp_path, 1), 60), server.text

        words = [
            "--model",
            "engines",
            "--base",
            str(base),
            "--work",
            str(work),
            "--on-drift",
            str(tmp_path / "monitor"),
        ]
        words += ["--jobs", "1", "--server", f"http://127.0.0.1:{server.rest}"]
        words += [word for name, value in FD002.items() for word in (f"--{name}", str(value))]
        done = subprocess.run(
            [sys.executable, "-m", "serving.retrain", *words],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert list((base / "2").rglob("BLESSED"))
        assert send(server, new) == {"2"}  # hot swap: the job ended when the server had it
        assert not wait_for(lambda: alarms(tmp_path, 2), 5)  # what drifted is what it was trained on

    told = json.loads((work / "engines" / "state.json").read_text())
    params = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(told["record"]).data.params
    assert params["event"] == "retrained" and params["drift_event"] == alarms(tmp_path, 1)[-1]["id"]
    assert params["pushed"] == str(base / "2")
