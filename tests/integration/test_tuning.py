"""Studies run for real, in processes of their own: many trials, kills, failures, stops."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from keras_seq import cli
from tuning.__main__ import main
from tuning.records import Study, open_study

ROOT = Path(__file__).parents[2]
TREE = {
    "name": "tiny",
    "data": {
        "source": "caster",
        "caster": {"sequences": 120, "heats": 24, "min_length": 90, "max_length": 100},
        "split": {"by": "group", "validation": 0.3, "test": 0.2},
        "windows": {"mode": "whole", "length": 100},
        "bucket": 100,
    },
    "model": {"family": "lstm", "units": 4, "layers": 1, "hidden_dims": []},
    "training": {"epochs": 2, "batch_size": 64},
    "tuning": {
        "objective": "log_loss",
        "tuner": "random",
        "space": {
            "model.units": {"low": 2, "high": 6},
            "training.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
        },
    },
}


def command(folder: Path, *words: str, tree=TREE, file: str = "tiny.yaml") -> list[str]:
    path = folder / file
    path.write_text(yaml.safe_dump(tree))
    store = f"sqlite:///{folder}/mlflow.db"
    return [sys.executable, "-m", "tuning", "--config", str(path), "--studies", str(folder), "--tracking.uri", store,
            "--output", str(folder / "runs"), *words]  # fmt: skip


def run(
    folder: Path, *words: str, tree=TREE, timeout: float = 500, file: str = "tiny.yaml"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *words, tree=tree, file=file),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start(folder: Path, *words: str, tree=TREE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(folder, *words, tree=tree), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(condition, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def ended(folder: Path) -> int:
    if not (folder / "tiny" / "study.json").exists():
        return 0
    return sum(record.status != "running" for record in open_study(folder / "tiny").records())


def children(folder: Path) -> list:
    from keras_seq import tracking

    client = tracking.mlflow_store._import_mlflow().MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    return [run for run in runs if "mlflow.parentRunId" in run.data.tags]


def check_once(study: Study, trials: int) -> None:
    """Every trial is there once, ended, with values of its own."""
    records = study.records()
    assert [record.number for record in records] == list(range(trials))
    assert all(record.status in ("completed", "pruned") for record in records), [r.reason for r in records]
    assert max(Counter(str(sorted(record.values.items())) for record in records).values()) == 1


@pytest.mark.nightly
def test_fifty_trials_by_two_workers_land_in_mlflow_without_growing(tmp_path):
    done = run(tmp_path, "--trials", "50", "--workers", "2")
    assert done.returncode == 0, done.stderr
    study = open_study(tmp_path / "tiny")
    check_once(study, 50)
    runs = children(tmp_path)
    assert len(runs) == 50 and all(run.info.status in ("FINISHED", "KILLED") for run in runs)
    for worker in ("worker-0", "worker-1"):
        memory = [record.costs["resident_mb"] for record in study.records() if record.worker == worker]
        assert len(memory) > 10 and memory[-1] < memory[4] + 40, memory
    assert (tmp_path / "tiny" / "report" / "report.html").exists()
    trained = subprocess.run(
        [sys.executable, "-m", "keras_seq.train", "--config", str(tmp_path / "tiny" / "best.yaml"),
         "--tracking.backend", "none", "--export.saved_model", "false"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr


@pytest.mark.nightly
def test_killed_three_times_at_random_every_trial_is_there_once(tmp_path):
    chance = random.Random(int.from_bytes(os.urandom(2), "big"))
    for _ in range(3):
        before = ended(tmp_path)
        process = start(tmp_path, "--trials", "9", "--tuner", "bayesian", "--workers", "2")
        wait_for(lambda before=before: ended(tmp_path) > before)
        time.sleep(chance.uniform(0, 2))
        process.kill()
        process.wait()
        time.sleep(1)  # its workers notice
    done = run(tmp_path, "--trials", "9", "--tuner", "bayesian", "--workers", "2")
    assert done.returncode == 0, done.stderr
    check_once(open_study(tmp_path / "tiny"), 9)
    assert len(children(tmp_path)) == 9


@pytest.mark.nightly
def test_a_dying_worker_is_replaced_and_its_trial_goes_on(tmp_path):
    process = start(tmp_path, "--trials", "4", "--tracking", "none", "--training.epochs", "30")

    def running():
        study = open_study(tmp_path / "tiny") if (tmp_path / "tiny" / "study.json").exists() else None
        return [r for r in study.records() if r.status == "running" and len(r.epochs) > 1] if study else []

    wait_for(running)
    victim = running()[0].trial
    subprocess.run(["pkill", "-9", "-f", f"tuning.worker {tmp_path}"], check=True)
    said = process.communicate(timeout=400)[0]
    assert process.returncode == 0, said
    study = open_study(tmp_path / "tiny")
    check_once(study, 4)
    assert study.record(victim).attempts == 2


@pytest.mark.slow
@pytest.mark.nightly
def test_ctrl_c_ends_running_trials_and_the_same_command_goes_on(tmp_path):
    process = start(tmp_path, "--trials", "5", "--tracking", "none")
    wait_for(lambda: ended(tmp_path) >= 1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=200)[0]
    assert process.returncode == 130 and "Stopping after the running trials" in said
    records = open_study(tmp_path / "tiny").records()
    assert 1 <= len(records) < 5 and all(record.status != "running" for record in records)
    assert run(tmp_path, "--trials", "5", "--tracking", "none").returncode == 0
    check_once(open_study(tmp_path / "tiny"), 5)


@pytest.mark.slow
@pytest.mark.nightly
def test_failed_and_too_large_trials_are_recorded_with_their_reason_and_the_study_goes_on(tmp_path):
    tree = TREE | {"model": {"family": "transformer", "units": 6, "layers": 1, "ff_dim": 8, "hidden_dims": []}}
    tree["tuning"] = TREE["tuning"] | {"space": {"model.heads": [2, 4, 3, 1]}, "tuner": "grid"}
    tree["model"]["heads"] = 2
    done = run(tmp_path, "--trials", "4", "--tracking", "none", tree=tree)
    assert done.returncode == 0, done.stderr
    by_heads = {record.values["model.heads"]: record for record in open_study(tmp_path / "tiny").records()}
    assert by_heads[4].status == "failed" and "heads" in by_heads[4].reason  # 6 units do not divide by 4
    assert all(by_heads[heads].status == "completed" for heads in (1, 2, 3))
    limited = run(tmp_path, "--trials", "1", "--tracking", "none", "--overwrite", "--tuning.max_memory_gb", "0.1")
    assert limited.returncode == 2 and "tuning.max_memory_gb" in limited.stderr


@pytest.mark.slow
def test_what_cannot_be_is_refused_before_the_first_trial(tmp_path, capsys):
    def refused(*words: str) -> str:
        _, _, _, *given = command(tmp_path, "--tracking", "none", *words)
        assert cli.run(main, given) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said, said
        return said

    assert "a binary task lacks" in refused("--tuning.objective", "rmse")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "cannot be used" in refused("--port", str(taken.getsockname()[1]))
    assert "--workers must be at least 1" in refused("--workers", "0")
    assert not list((tmp_path / "tiny" / "trials").glob("*.json"))
    assert "these differ: experiment.model.family" in refused("--model.family", "gru")
    assert cli.run(main, ["status", str(tmp_path)]) == 2 and "holds no study" in capsys.readouterr().err


RIDGE = TREE | {"model": {"family": "ridge"}}


def with_tuning(**changes) -> dict:
    return RIDGE | {"tuning": TREE["tuning"] | changes}


@pytest.mark.parametrize("tuner", ["bayesian", "random", "grid"])
@pytest.mark.nightly
def test_a_space_of_one_value_is_done_after_it(tmp_path, tuner):
    tree = RIDGE | {"model": {"family": "ridge", "penalty": 3.0}}
    tree["tuning"] = TREE["tuning"] | {"tuner": tuner, "space": {"model.penalty": [3.0]}, "trials": 4}
    done = run(tmp_path, "--tracking", "none", tree=tree)
    assert done.returncode == 0, done.stderr
    assert "1 of 1: 1 completed" in done.stdout and "every value was tried" in done.stdout
    again = run(tmp_path, "--tracking", "none", tree=tree)  # nothing is left to do
    assert again.returncode == 0 and "1 of 1" in again.stdout
    check_once(open_study(tmp_path / "tiny"), 1)


@pytest.mark.nightly
def test_the_study_lies_under_the_name_of_the_configuration(tmp_path):
    tree = with_tuning(tuner="grid", space={"model.penalty": [1.0, 10.0, 100.0]}) | {"name": "wear-7"}
    done = run(tmp_path, "--tracking", "none", "--workers", "2", tree=tree, file="another_stem.yaml")
    assert done.returncode == 0, done.stderr
    study = open_study(tmp_path / "wear-7")
    assert not (tmp_path / "another_stem").exists() and f"{tmp_path}/wear-7/best.yaml" in done.stdout
    records = study.records()  # the configuration chooses its penalty itself, which no number of the space means
    assert records[0].default and records[0].values["model.penalty"] is None
    assert {record.values["model.penalty"] for record in records[1:]} == {1.0, 10.0, 100.0}
    assert "lies outside the space" in done.stderr
    named = run(tmp_path, "--tracking", "none", "--name", "other", tree=tree, file="another_stem.yaml")
    assert named.returncode == 0 and len(open_study(tmp_path / "other").records()) == 4


@pytest.mark.nightly
def test_a_chief_for_other_machines_ends_with_the_space(tmp_path):
    """The values are fewer than the trials asked for; a chief without workers of its own once waited for ever."""
    tree = with_tuning(tuner="random", space={"model.penalty": [1.0, 10.0]})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    chief = start(tmp_path, "--role", "chief", "--workers", "0", "--port", port, "--tracking", "none", tree=tree)
    wait_for(lambda: (tmp_path / "tiny" / "study.json").exists())
    environment = os.environ | {"KERASTUNER_TUNER_ID": "a", "KERASTUNER_ORACLE_IP": "127.0.0.1"}
    worker = subprocess.run(
        command(tmp_path, "--role", "worker", tree=tree),
        cwd=ROOT,
        env=environment | {"KERASTUNER_ORACLE_PORT": port},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = chief.communicate(timeout=100)[0]
    assert chief.returncode == 0 and "3 of 3: 3 completed" in said, said
    assert worker.returncode == 0, worker.stderr
