"""A real store in a file: experiments, best runs, studies, comparisons, models with aliases, events."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from keras_seq import config, tracking
from keras_seq.commands import status
from keras_seq.errors import ConfigError
from keras_seq.pipeline import status as pipeline_status
from keras_seq.tracking import queries


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Runs as the commands leave them, written through the same tracker."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder}/mlflow.db"
    given = config.from_dict({"name": "pumps", "output": str(folder), "tracking": {"uri": uri}})
    for seed, error in ((0, 3.0), (1, 2.0), (2, 2.5)):
        with tracking.track(given, run_name=f"seed-{seed}") as tracker:
            tracker.log_params({"model.family": "lstm", "seed": seed})
            tracker.log_metrics({"validation_rmse": error, "test_rmse": 9.0 - error, "baseline_test_rmse": 8.0})
    with pytest.raises(RuntimeError), tracking.track(given, run_name="seed-3") as tracker:
        tracker.log_metrics({"validation_rmse": 0.1})
        raise RuntimeError
    with tracking.track(given, run_name="comparison-a") as tracker:
        tracker.log_params({"winner": "net", "words": "net has the best rmse", "contenders": "net, trees"})
        tracker.log_metrics({"p_value": 0.01, "p_value_adjusted": 0.02})
    for event in ("drift_started", "retraining", "export"):
        with tracking.track(given, run_name=event) as tracker:
            tracker.log_params({"event": event, "model": "pumps"})
    client = tracking.open_store(uri)
    client.create_registered_model("pumps")
    for _ in range(2):
        client.create_model_version("pumps", str(folder))
    client.set_registered_model_alias("pumps", "champion", "1")
    client.set_registered_model_alias("pumps", "challenger", "2")
    return uri


def test_the_best_run_is_best_on_validation_and_failed_ones_do_not_count(store):
    (found,) = pipeline_status.status(store)["experiments"]
    assert found["name"] == "pumps" and found["runs"] == 8 and found["failed"] == 1
    assert found["best"]["run"] == "seed-1"
    assert (found["best"]["validation"], found["best"]["test"], found["best"]["metric"]) == (2.0, 7.0, "rmse")
    assert found["kinds"] == {"training": 4, "comparison": 1, "drift": 1, "retraining": 1, "export": 1}


def test_models_events_and_the_last_comparison(store, capsys):
    assert status.main(["--uri", store, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"] == [
        {"name": "pumps", "versions": 2, "newest": 2, "aliases": {"champion": 1, "challenger": 2}}
    ]
    assert found["comparison"]["winner"] == "net" and found["comparison"]["p_value_adjusted"] == 0.02
    assert found["drift"]["event"] == "drift_started" and found["retraining"]["model"] == "pumps"
    assert found["study"] is None
    assert status.main(["--uri", store]) == 0
    text = capsys.readouterr().out
    assert "best: seed-1 lstm" in text and "champion = 1" in text and "net has the best rmse" in text


def test_a_run_is_of_the_kind_that_it_was_recorded_as(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    given = config.from_dict({"name": "pumps", "output": str(tmp_path), "tracking": {"uri": uri}})
    with tracking.track(given, run_name="comparison-of-drift", kind="ablation") as tracker:
        tracker.log_params({"event": "drift_started", "winner": "net"})
    (experiment,) = pipeline_status.status(uri)["experiments"]
    assert experiment["kinds"] == {"ablation": 1}


@pytest.mark.slow
def test_a_study_and_its_trials(tmp_path):
    from tests.factories.study import make_study
    from tuning.tracking_mlflow import MlflowBackend

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    study = make_study(tmp_path / "pumps", 6, epochs=1, experiment={"tracking": {"uri": uri}})
    backend = MlflowBackend()
    backend.begin(study)
    for record in study.records():
        backend.record(study, record)
    backend.finish(study)
    found = pipeline_status.status(uri)
    assert found["study"]["best"] == pytest.approx(study.best().score)
    assert found["study"]["completed"] == "5" and found["study"]["pruned"] == "1"
    assert found["experiments"][0]["kinds"] == {"study": 1, "trial": 6}


@pytest.mark.slow
def test_more_runs_than_a_page(tmp_path):
    given = config.from_dict(
        {"name": "many", "output": str(tmp_path), "tracking": {"uri": f"sqlite:///{tmp_path}/m.db"}}
    )
    connection = tracking.connect(given)
    for _ in range(5):
        connection.client.create_run(connection.experiment_id)
    queries.PAGE, before = 2, queries.PAGE
    try:
        assert len(queries.runs_of(connection.client, connection.experiment_id)) == 5
    finally:
        queries.PAGE = before


def test_the_watchers_newest_events(tmp_path):
    from serving.monitor.events import EventLog

    events = EventLog(tmp_path)
    for version in (1, 2):
        events.write("drift_started", model="pumps", version=version)
    assert pipeline_status.newest_events(tmp_path)["drift_started"]["version"] == 2
    with pytest.raises(ConfigError, match="--monitor"):
        pipeline_status.newest_events(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["absent", "text", "server"])
def test_a_store_that_is_none_is_one_paragraph_and_nothing_is_made(tmp_path, kind):
    path = tmp_path / "store.db"
    if kind == "text":
        path.write_text("no database")
    uri = "http://127.0.0.1:9" if kind == "server" else f"sqlite:///{path}"
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=r"no tracking store|no SQLite file|cannot be read"):
        pipeline_status.status(uri)
    assert time.perf_counter() - start < 60
    assert path.exists() == (kind == "text")


def test_mistakes_end_with_code_2(tmp_path):
    command = [sys.executable, "-m", "keras_seq.status", "--uri", f"sqlite:///{tmp_path}/none.db"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 2 and found.stderr.startswith("error: There is no tracking store")


@pytest.mark.slow
def test_every_query_of_the_documentation_runs(store, tmp_path):
    """On a store that holds runs of every kind the page names, as far as this file can make them."""
    import re
    import sqlite3
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs/store.md").read_text(encoding="utf-8")
    database = sqlite3.connect(store.removeprefix("sqlite:///"))
    asked = re.findall(r"```sql\n(.*?)```", text, flags=re.S)
    assert len(asked) >= 6
    for query in asked:
        database.execute(query).fetchall()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.S))
    code = code.replace('open_store("sqlite:///mlflow.db")', f'open_store("{store}")')
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "pumps seed-1 lstm 7.0" in found.stdout and "drift_started" in found.stdout
    assert "{'challenger': 2, 'champion': 1}" in found.stdout.replace("'2'", "2").replace("'1'", "1")
