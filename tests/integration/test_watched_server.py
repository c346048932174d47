"""The real server with its watchers: weights between versions, shadow calls, request log, metrics."""

from __future__ import annotations

import shutil
import time

import pytest

from serving.monitor.request_log import read_calls
from serving.rollout.__main__ import main as rollout
from tests.factories.serving_process import Server
from tests.factories.versions import judged, version

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def body():
    from keras_seq.export.samples import sample_windows

    windows = sample_windows(judged(), part="test", count=2)
    return {"inputs": {name: value.tolist() for name, value in windows.items()}}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Two versions of one model, all served, and the folder that the server writes to."""
    folder = tmp_path_factory.mktemp("watched")
    for number in (1, 2):
        shutil.copytree(version().folder, folder / "models/casts" / str(number))
    (folder / "models.config").write_text(
        f"model_config_list {{ config {{ name: 'casts' base_path: '{folder}/models/casts' model_platform: 'tensorflow' "
        "model_version_policy { all {} } } }"
    )
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    (folder / "rollout.yaml").write_text("models: {casts: {weights: {1: 1, 2: 0}, shadow: {version: 2}}}\n")
    flags = ["--model_config_file", "--monitoring_config_file", "--rollout", "--request_log"]
    places = ["models.config", "monitoring.config", "rollout.yaml", "log"]
    with Server(*(f"{flag}={folder / place}" for flag, place in zip(flags, places, strict=True)), grpc=False) as server:
        yield server, folder


def answering(server, body, wanted, seconds=20.0):
    """The version that answers calls without one, once it is ``wanted`` or the time is over."""
    limit = time.monotonic() + seconds
    while True:
        reply = server.predict("casts", body)
        assert reply.status == 200, reply
        found = reply.headers["x-model-version"]
        if found == wanted or time.monotonic() > limit:
            return found
        time.sleep(0.2)


def test_weights_move_calls_while_the_server_runs(served, body):
    server, folder = served
    assert answering(server, body, "1") == "1"
    assert rollout(["set", "casts", "--weights", "1=0,2=1", "--file", str(folder / "rollout.yaml")]) == 0
    assert answering(server, body, "2") == "2"
    assert server.predict("casts/versions/1", body).headers["x-model-version"] == "1"  # who names one gets it
    assert rollout(["rollback", "casts", "--file", str(folder / "rollout.yaml")]) == 0
    assert answering(server, body, "1") == "1"


def test_watchers_have_their_lines_in_the_metrics(served, body):
    server, _ = served
    assert answering(server, body, "1") == "1"
    limit = time.monotonic() + 30
    while True:
        page = server.ask("GET", "/monitoring/prometheus/metrics").body.decode()
        found = {line.split("{")[0] for line in page.splitlines() if not line.startswith("#")}
        ours = {name for name in found if name.startswith("keras_seq_")}
        if any("monitor" in name for name in ours) and any("shadow" in name for name in ours):
            break
        assert time.monotonic() < limit, sorted(found)
        time.sleep(0.5)
    assert ":tensorflow:serving:request_count" in found


def test_answered_calls_are_in_the_log_when_the_server_has_gone(tmp_path, body):
    shutil.copytree(version().folder, tmp_path / "casts" / "1")
    flags = [f"--model_base_path={tmp_path / 'casts'}", "--model_name=casts", f"--request_log={tmp_path / 'log'}"]
    with Server(*flags, grpc=False) as server:
        reply = server.predict("casts", body, headers={"X-Request-Id": "heat-7"})
    calls = list(read_calls(tmp_path / "log", model="casts"))
    assert [call.request_id for call in calls] == ["heat-7"] and calls[0].version == 1
    assert calls[0].inputs["values"].tolist() == body["inputs"]["values"]
    found = [row[0] for row in reply.json["outputs"]["probability"]]
    assert calls[0].outputs["probability"][:, 0].tolist() == pytest.approx(found, rel=1e-5)
