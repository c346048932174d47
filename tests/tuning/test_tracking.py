"""Studies in MLflow: every ended trial exactly once, whatever happens in between."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from keras_seq import tracking
from keras_seq.errors import ConfigError
from tests.factories.study import START, make_study
from tuning import tracking as studies
from tuning.records import open_study
from tuning.tracking_mlflow import ENDED, PARENT, STUDY, TRIAL

HERE = Path(__file__).parent
SYNC = "import sys; from tuning.records import open_study; from tuning.tracking import make_backend, sync\n"
SYNC += "study = open_study(sys.argv[1]); print(sync(study, make_backend('mlflow', study)))"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An MLflow database with its tables and nothing else; making one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    tracking.connect(make_study(folder / "none", 0, experiment=settings(folder / "empty.db")).experiment)
    return folder / "empty.db"


def settings(path):
    return {"tracking": {"uri": f"sqlite:///{path}", "experiment": "searches"}}


@pytest.fixture
def begin(tmp_path, empty_store):
    def begin(trials, **options):
        shutil.copy(empty_store, tmp_path / "mlflow.db")
        return make_study(tmp_path / "wear", trials, experiment=settings(tmp_path / "mlflow.db"), **options)

    return begin


def runs(study):
    """Active children by trial, and the parents."""
    client, experiment, _ = tracking.connect(study.experiment)
    found = client.search_runs([experiment], f"tags.`{STUDY}` = '{study.about['id']}'", max_results=1000)
    children = [run for run in found if run.data.tags[TRIAL] != PARENT]
    return {run.data.tags[TRIAL]: run for run in children}, children, [r for r in found if r.data.tags[TRIAL] == PARENT]


def backend_of(study):
    return studies.make_backend(None, study)


@pytest.mark.slow
@pytest.mark.nightly
def test_sixty_trials_are_sixty_children_and_stay_sixty(begin):
    study = begin(60)
    began = time.monotonic()
    backend = backend_of(study)
    assert studies.sync(study, backend) == 0
    took = time.monotonic() - began
    _, children, (parent,) = runs(study)
    assert len(children) == 60
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    again = backend_of(study)  # another process knows nothing of the first
    assert studies.sync(study, backend) == studies.sync(study, again) == 0
    by_trial, children, parents = runs(study)
    assert len(children) == len(by_trial) == 60
    assert len(parents) == 1
    assert took < 60 * 0.5  # 0.05 s a trial on a quiet machine


def test_a_child_holds_what_its_record_holds(begin):
    study = begin(8)
    studies.sync(study, backend_of(study))
    by_trial, _, _ = runs(study)
    statuses = {trial: run.info.status for trial, run in by_trial.items()}
    assert statuses == {n: "KILLED" if n == "4" else "FAILED" if n == "7" else "FINISHED" for n in map(str, range(8))}
    record, run = study.record("3"), by_trial["3"]
    assert run.data.params["model.units"] == str(record.values["model.units"])
    assert run.data.params["default"] == "false"
    assert run.data.metrics["score"] == pytest.approx(record.score)
    assert run.data.metrics["cost/parameters"] == record.costs["parameters"]
    assert "validation/auc_roc" not in run.data.metrics  # it was not a number
    assert run.info.start_time == int(record.started * 1000)
    assert run.info.end_time == int(record.ended * 1000)
    assert by_trial["7"].data.tags["keras_seq.reason"].startswith("ResourceExhaustedError")
    client, _, _ = tracking.connect(study.experiment)
    rows = client.get_metric_history(run.info.run_id, "val_rmse")
    assert [row.step for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.value for row in rows] == pytest.approx([row["val_rmse"] for row in record.epochs])
    assert rows[0].timestamp == int((record.started + 2.5) * 1000)
    assert max(row.timestamp for row in rows) <= run.info.end_time


def test_the_parent_tells_the_best_by_trial_and_keeps_the_report(begin):
    study = begin(10)
    (study.folder / "report").mkdir()
    (study.folder / "report" / "report.html").write_text("<p>page</p>")
    (study.folder / "best.yaml").write_text("name: wear\n")
    backend = backend_of(study)
    assert studies.finish(study, backend) == 0
    client, _, _ = tracking.connect(study.experiment)
    _, _, (parent,) = runs(study)
    history = {row.step: row.value for row in client.get_metric_history(parent.info.run_id, "best_rmse")}
    scores = {r.number: r.score for r in study.records() if r.status == "completed"}
    expected = {n: min(score for m, score in scores.items() if m <= n) for n in range(10)}
    assert history == pytest.approx(expected)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["objective"] == "rmse"
    assert "low: 32" in parent.data.params["space.model.units"]
    names = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert names == {"best.yaml", "report", "study.json"}
    study.save(study.record("9").replace(trial="10", ended=START + 500))  # more trials: open again, the same parent
    assert studies.sync(study, backend) == 0
    _, children, (reopened,) = runs(study)
    assert (len(children), reopened.info.run_id, reopened.info.status) == (11, parent.info.run_id, "RUNNING")


def test_running_trials_wait_and_what_a_killed_process_left_is_completed(begin):
    study = begin(4)
    study.save(study.record("3").replace(status="running", ended=None))
    backend = backend_of(study)
    backend.begin(study)
    backend._create(study, study.record("2"))  # killed here: a run, open and empty
    assert studies.sync(study, backend_of(study)) == 0
    by_trial, children, _ = runs(study)
    assert sorted(run.data.tags[TRIAL] for run in children) == ["0", "1", "2"]
    assert by_trial["2"].info.status == "FINISHED"
    assert by_trial["2"].data.metrics["score"] == pytest.approx(study.record("2").score)


def test_a_trial_that_ran_again_replaces_its_run(begin):
    study = begin(8)
    backend = backend_of(study)
    studies.sync(study, backend)
    study.save(study.record("7").replace(status="completed", score=3.0, reason="", attempts=2, ended=START + 900))
    assert studies.sync(study, backend) == 0
    by_trial, children, _ = runs(study)
    assert len(children) == 8
    assert by_trial["7"].info.status == "FINISHED"
    assert by_trial["7"].data.tags[ENDED] == str(START + 900)


def test_a_store_that_is_away_is_told_once_and_caught_up_with(tmp_path, capsys):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the database's folder should be")
    study = make_study(tmp_path / "wear", 3, experiment=settings(blocked / "mlflow.db"))
    backend = backend_of(study)
    assert [studies.sync(study, backend), studies.sync(study, backend)] == [3, 3]
    backend.asleep_until = 0.0
    assert studies.sync(study, backend) == 3
    assert capsys.readouterr().err.count("warning: the mlflow store cannot be written") == 1
    blocked.unlink()
    assert studies.sync(study, backend) == 3  # asleep
    assert studies.finish(study, backend) == 0
    assert len(runs(study)[1]) == 3


def test_a_server_that_refuses_costs_seconds(tmp_path, capsys):
    study = make_study(tmp_path / "wear", 3, experiment={"tracking": {"uri": "http://127.0.0.1:9"}})
    began = time.monotonic()
    assert studies.sync(study, backend_of(study)) == 3
    assert time.monotonic() - began < 20
    assert "the study goes on" in capsys.readouterr().err


def test_nothing_is_tracked_on_request_and_unknown_names_are_refused(tmp_path, monkeypatch):
    study = make_study(tmp_path / "wear", 3)
    assert studies.sync(study, studies.make_backend("none", study)) == 0
    with pytest.raises(ConfigError, match="did you mean 'mlflow'"):
        studies.make_backend("mlfow", study)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"keras-seq\[wandb\]"):
        studies.make_backend("wandb", study)


@pytest.mark.slow
@pytest.mark.nightly
def test_killed_in_the_midst_every_trial_is_there_once(begin):
    study = begin(60)
    store = study.experiment.tracking.uri.removeprefix("sqlite:///")
    for enough in (5, 20, 45):
        process = subprocess.Popen([sys.executable, "-c", SYNC, str(study.folder)], cwd=HERE.parents[1])
        while count(store) < enough and process.poll() is None:
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    assert 45 <= count(store) < 60
    assert studies.sync(study, backend_of(study)) == 0
    by_trial, children, parents = runs(study)
    assert (len(children), len(by_trial), len(parents)) == (60, 60, 1)
    assert not any(run.info.status == "RUNNING" for run in children)
    client, _, _ = tracking.connect(study.experiment)
    for run in children:  # epochs once, too
        assert [row.step for row in client.get_metric_history(run.info.run_id, "loss")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_two_processes_at_once_record_each_trial_once(begin):
    study = begin(30)
    both = [subprocess.Popen([sys.executable, "-c", SYNC, str(study.folder)], cwd=HERE.parents[1]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    by_trial, children, parents = runs(study)
    assert (len(children), len(by_trial), len(parents)) == (30, 30, 1)


@pytest.mark.slow
def test_a_locked_database_is_waited_for(begin):
    study = begin(2)
    backend = backend_of(study)
    backend.begin(study)
    lock = sqlite3.connect(study.experiment.tracking.uri.removeprefix("sqlite:///"), check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    threading.Timer(8.0, lock.rollback).start()  # longer than SQLite's own patience of 5 s
    assert studies.sync(study, backend) == 0
    assert len(runs(study)[1]) == 2


def count(store):
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5) as connection:
        return connection.execute("SELECT COUNT(*) FROM runs WHERE name LIKE 'trial-%'").fetchone()[0]


needs_wandb = pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="the extra 'wandb' is not installed")


@pytest.mark.slow
@needs_wandb
def test_offline_runs_of_wandb_are_there_once(tmp_path):
    study = make_study(tmp_path / "wear", 4)
    assert studies.finish(study, studies.make_backend("wandb", study)) == 0
    folders = sorted((study.folder / "wandb").glob("offline-run-*"))
    assert len(folders) == 5  # the study is one of them
    before = {folder: folder.stat().st_mtime_ns for folder in folders}
    left = next(folder for folder in folders if folder.name.endswith("-2"))
    (left / "keras_seq.done").unlink()  # as a process that was killed before its end leaves it
    assert studies.finish(study, studies.make_backend("wandb", open_study(study.folder))) == 0
    after = sorted((study.folder / "wandb").glob("offline-run-*"))
    assert sorted(path.name.split("-", 3)[3] for path in after) == sorted(p.name.split("-", 3)[3] for p in folders)
    assert {p for p in after if before.get(p) == p.stat().st_mtime_ns} == set(folders) - {left}
