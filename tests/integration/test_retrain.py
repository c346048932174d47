"""Retraining of a served model on real engines: better ones are pushed, all else leaves the champion."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from keras_seq import config
from keras_seq.errors import ConfigError, ExportError, ServingError
from serving.monitor.events import EventLog, read_events
from serving.retrain import job
from serving.retrain.server import wait_available
from serving.retrain.state import JobStore, RetrainState
from serving.retrain.watch import JobTrigger, command_of, seconds_of, watch

ROOT = Path(__file__).parents[2]


def engines_tree(folder: Path, **dotted) -> dict:
    """Ridge regression on FD001's windows of 30 cycles, every 25th; seconds to fit."""
    tree = {
        "name": "engines",
        "output": str(folder / "runs"),
        "data": {
            "source": "cmapss",
            "subset": "FD001",
            "target_cap": 125.0,
            "split": {"by": "official", "validation": 0.1},
            "windows": {"mode": "sliding", "length": 30, "stride": 25, "pad_short": True},
        },
        "model": {"family": "ridge", "penalty": 1e7},
        "evaluation": {"baseline": False},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db", "log_model": False},
        "export": {"saved_model": False},
    }
    return config.override(tree, dotted)


class Server:
    """A model server's status page: versions of a base path, as a real one tells them."""

    def __init__(self, base: Path, *, broken: bool = False):
        outer = self
        self.base, self.broken = base, broken

        class Status(BaseHTTPRequestHandler):
            def do_GET(self):
                states = [outer.state(path.name) for path in outer.base.glob("[0-9]*")]
                body = json.dumps({"model_version_status": states}).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Status)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_port}"

    def state(self, version: str) -> dict:
        if self.broken and int(version) > 1:
            error = {"error_code": "INTERNAL", "error_message": "graph is broken"}
            return {"version": version, "state": "END", "status": error}
        return {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}


@pytest.fixture(scope="module")
def place(tmp_path_factory, data_home):
    """A poor champion, pushed by the first job from a bundle."""
    from keras_seq.pipeline.train import train

    folder = tmp_path_factory.mktemp("retrain")
    run = train(config.from_dict(engines_tree(folder)), quiet=True)
    found = job.run(request(folder, bundle=run.folder))
    assert found.step == "done" and Path(found.pushed).name == "1"
    return folder


def request(folder: Path, **changes) -> job.RetrainRequest:
    given = {"model": "engines", "base": folder / "served" / "engines", "work": folder / "jobs"}
    return job.RetrainRequest(**given | {"formats": ("saved_model", "keras")} | changes)


def versions(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "served" / "engines").iterdir() if path.name.isdigit())


def record_of(folder: Path, run_id: str) -> dict:
    import mlflow

    return mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").get_run(run_id).data.params


@pytest.mark.slow
def test_a_worse_version_leaves_the_champion_and_says_why(place):
    with pytest.raises(ExportError, match=r"the champion stays: champion: .*rmse"):
        job.run(request(place, overrides={"model.penalty": 1e9}, event="alarm-1"))
    assert versions(place) == ["1"]
    state = JobStore(place / "jobs" / "engines").read()
    assert state.step == "failed" and "rmse" in state.reasons[0]
    params = record_of(place, state.record)
    assert (params["event"], params["drift_event"]) == ("retrain_failed", "alarm-1")
    assert params["parent_bundle_sha256"] == state.parent != params["bundle_sha256"]
    assert [event["event"] for event in read_events(place / "jobs" / "engines")] == ["retrained", "retrain_failed"]


@pytest.mark.slow
def test_a_version_that_the_server_cannot_load_is_withdrawn(place):
    server = Server(place / "served" / "engines", broken=True)
    with pytest.raises(ServingError, match="cannot load version 2 of 'engines': END graph is broken"):
        job.run(request(place, overrides={"model.penalty": 10.0}, server=server.address))
    assert versions(place) == ["1"]
    assert len(list((place / "served" / "engines").glob(".withdrawn-2-*"))) == 1


@pytest.mark.nightly
def test_killed_half_way_it_goes_on_and_a_better_version_is_served(place):
    """SIGKILL while it exports: nothing to load is there; the same command ends the same job."""
    server, keeper = Server(place / "served" / "engines"), JobStore(place / "jobs" / "engines")
    words = ["--model", "engines", "--base", str(place / "served" / "engines"), "--work", str(place / "jobs")]
    words += [
        "--model.penalty",
        "1.0",
        "--server",
        server.address,
        "--event",
        "alarm-2",
        "--json",
        "--formats",
        "saved_model,keras",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command, before = command_of(words), keeper.read().job
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    end = time.monotonic() + 300
    while (now := keeper.read()).job == before or now.step != "export":
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert versions(place) == ["1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["job"] == now.job and Path(found["pushed"]).name == "2"
    assert versions(place) == ["1", "2"]
    assert (Path(found["pushed"]) / "keras_seq" / "reference.npz").is_file()
    params = record_of(place, found["record"])
    assert (params["event"], params["drift_event"], params["pushed"]) == ("retrained", "alarm-2", found["pushed"])


@pytest.mark.slow
def test_wrong_requests_are_refused_before_anything_is_trained(place, tmp_path):
    for changes, message in (
        ({"overrides": {"output": "x"}}, "is set by the retraining itself"),
        ({"overrides": {"model.unitz": 3}}, "did you mean 'units'"),
        ({"base": tmp_path / "none"}, "no version below"),
    ):
        with pytest.raises(ConfigError, match=message):
            job.run(request(place, **changes))
    with pytest.raises(ServingError, match="No server answers"):
        job.run(request(place, server="http://127.0.0.1:1"))
    with JobStore(place / "jobs" / "engines").alone("engines"), pytest.raises(ServingError, match="retrained already"):
        job.run(request(place))


@pytest.mark.slow
def test_a_warm_start_takes_the_champions_weights(place):
    asked = request(place, warm_start=True)
    start = job.find_start(asked)
    experiment = job.plan_experiment(asked, start)
    assert Path(experiment.training.warm_start) == start.champion / "keras_seq" / "model.keras"
    assert not experiment.export.saved_model


def note(path: Path) -> list[str]:
    """A command that writes down its arguments."""
    return [sys.executable, "-c", f"import sys; open({str(path)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))"]


def test_an_alarm_starts_one_job_and_old_ones_none(tmp_path):
    events, keeper = EventLog(tmp_path / "monitor"), JobStore(tmp_path / "jobs")
    events.write("drift_started", model="engines", version=1)
    keeper.write(RetrainState("old", "x", step="done", started=time.time(), finished=time.time()))
    alarms = []

    def later():
        time.sleep(0.3)
        events.write("drift_ended", model="engines", version=1)
        events.write("drift_started", model="other", version=1)
        alarms.append(events.write("drift_started", model="engines", version=1)["id"])

    threading.Thread(target=later).start()
    when = JobTrigger("engines", tmp_path / "monitor", cooldown=0, jobs=1)
    assert watch(when, keeper, note(tmp_path / "said"), lambda text: None, poll=0.05) == 0
    assert (tmp_path / "said").read_text().split() == ["--event", alarms[0]]


def test_the_clock_and_a_killed_job_start_one(tmp_path):
    keeper = JobStore(tmp_path)
    when = JobTrigger("engines", every=0.3, jobs=2)
    start = time.monotonic()
    assert watch(when, keeper, note(tmp_path / "said"), lambda text: None, poll=0.02) == 0
    assert time.monotonic() - start > 0.55
    keeper.write(RetrainState("killed", "x", step="export", started=time.time()))
    assert watch(JobTrigger("engines", jobs=1), keeper, note(tmp_path / "said"), lambda text: None, poll=0.02) == 0
    failing = [sys.executable, "-c", "raise SystemExit(2)"]
    assert watch(JobTrigger("engines", jobs=1), keeper, failing, lambda text: None, poll=0.02) == 2


def test_waiting_for_a_server_ends(tmp_path):
    (tmp_path / "1").mkdir()
    server = Server(tmp_path)
    wait_available(server.address, "engines", 1, timeout=5)
    with pytest.raises(ServingError, match="in 1 s: it does not know the version"):
        wait_available(server.address, "engines", 9, timeout=1)


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86400), ("90 s", 90), ("1.5m", 90), ("7d", 604800)])
def test_times(text, seconds):
    assert seconds_of(text, "--every") == seconds


@pytest.mark.parametrize("text", ["", "h", "5", "-1h", "0s", "1w"])
def test_wrong_times(text):
    with pytest.raises(ConfigError, match="--every"):
        seconds_of(text, "--every")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "../x"], "--model"),
        (["--model", "m", "--formats", "onnx"], "needs saved_model"),
        (["--model", "m", "--on-drift", "nowhere"], "--on-drift"),
        (["--model", "m", "--base", "nowhere"], "no version below 'nowhere'"),
        (["--model", "m", "--margin", "2"], "--margin"),
    ],
)
def test_wrong_words(words, message, tmp_path, capsys):
    from keras_seq import cli
    from serving.retrain.__main__ import main

    assert cli.run(main, [*words, "--work", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
