"""Several devices and several workers reach the weights of one process; a killed worker changes nothing."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_seq.machine import free_ports, thread_environment
from keras_seq.processes import RESTART
from keras_seq.training.cluster import VARIABLE, ClusterSpec
from keras_seq.training.distribute import LAUNCHER
from tests.factories.tiers import tiers

CHILD = Path(__file__).with_name("distributed_child.py")
TIMEOUT = 1500  # of a busy machine
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * TIMEOUT)]
EXACT = ("lstm", "lstm_xla", "classes", "tcn_steps", "augmented")
EACH_COMMIT = ("lstm", "tcn_steps")
SMALL = """
name: small
data:
  source: cmapss
  subset: FD001
  windows: {mode: sliding, length: 30, stride: 10}
  split: {by: official, validation: 0.2}
model: {family: lstm, units: 8, layers: 1, dropout: 0.0, hidden_dims: []}
training: {epochs: 12, patience: 12, batch_size: 64, jit: false, backup_seconds: 0, steps_per_execution: 1}
evaluation: {baseline: false}
export: {saved_model: false}
tracking: {backend: none}
"""


def workers(code: list[str], logs: Path) -> list[subprocess.Popen[bytes]]:
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
    started = []
    for rank in range(2):
        environment = os.environ | thread_environment(1) | {VARIABLE: ClusterSpec(addresses, rank).to_json()}
        with open(logs / f"log-{rank}", "wb") as log:
            started.append(subprocess.Popen([sys.executable, *code], env=environment, stdout=log, stderr=log))
    return started


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def load(path: Path) -> dict[str, Any]:
    with np.load(path) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cases trained alone, on two logical devices, and by two workers."""
    return train_all(tmp_path_factory.mktemp("trained"), EACH_COMMIT)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The other cases."""
    return train_all(
        tmp_path_factory.mktemp("others"), (*(name for name in EXACT if name not in EACH_COMMIT), "random")
    )


def train_all(folder: Path, names: tuple[str, ...]) -> Path:
    words = [str(CHILD), str(folder)]
    running = workers([*words, "workers", ",".join(names)], folder)
    try:
        alone = [sys.executable, *words, "alone", ",".join(names)]
        done = subprocess.run(alone, capture_output=True, text=True, timeout=TIMEOUT)
        assert done.returncode == 0, done.stderr[-3000:]
        for rank, process in enumerate(running):
            assert process.wait(TIMEOUT) == 0, (folder / f"log-{rank}").read_text()[-3000:]
    finally:
        end(running)
    return folder


@pytest.mark.parametrize("name", tiers(EXACT, slow=EACH_COMMIT))
@pytest.mark.parametrize("how", ["mirrored", "worker-0", "worker-1"])
def test_the_weights_are_those_of_one_process(name: str, how: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue("trained" if name in EACH_COMMIT else "others")
    one, shared = load(folder / f"{name}-alone.npz"), load(folder / f"{name}-{how}.npz")
    assert one.keys() == shared.keys() and one["history"].shape == shared["history"].shape
    for key, value in one.items():
        assert np.abs(value - shared[key]).max() <= 1e-5 * max(1.0, np.abs(value).max()), key


@pytest.mark.nightly
def test_random_layers_and_moving_averages_end_alike_everywhere(others: Path) -> None:
    chief, other = (load(others / f"random-worker-{rank}.npz") for rank in range(2))
    assert all(np.array_equal(chief[key], other[key]) for key in chief)
    alone = load(others / "random-alone.npz")
    for how in ("worker-0", "mirrored"):  # other dropout masks, the same problem
        found = load(others / f"random-{how}.npz")["history"]
        assert found[1, -1] < alone["history"][1, 0] and np.isfinite(found).all()


def test_only_the_chief_writes(trained: Path) -> None:
    assert list((trained / "workers-0").rglob("history.csv")) and not (trained / "workers-1").exists()


@pytest.mark.nightly
@pytest.mark.parametrize("more", [[], ["--training.rematerialise", "true"]])
def test_the_command_mirrors_on_a_cpu(more: list[str], tmp_path: Path) -> None:
    histories = []
    for strategy in ("none", "mirrored"):
        words = ["--data.source", "co2", "--data.windows.length", "12", "--data.windows.horizon", "1"]
        words += ["--data.windows.mode", "sliding", "--data.split.by", "time", "--model.family", "lstm"]
        words += ["--model.dropout", "0", "--training.epochs", "2", "--training.device", "cpu", "--model.layers", "1"]
        words += ["--evaluation.baseline", "false", "--export.saved_model", "false", "--tracking.backend", "none"]
        words += ["--output", str(tmp_path / strategy), "--training.strategy", strategy, "--training.jit", "false"]
        command = [sys.executable, "-m", "keras_seq.train", *words, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        assert done.returncode == 0, done.stderr[-3000:]
        path = next((tmp_path / strategy).glob("*/seed-0/history.csv"))
        histories.append(np.genfromtxt(path, delimiter=",", names=True))
    assert "training on CPU 0 and CPU 1" in done.stderr
    np.testing.assert_allclose(histories[1]["loss"], histories[0]["loss"], rtol=1e-4)
    np.testing.assert_allclose(histories[1]["val_loss"], histories[0]["val_loss"], rtol=1e-4)


@pytest.mark.parametrize("killed", tiers([0, 1], slow=[0]))
def test_a_survivor_says_who_is_missing(killed: int, tmp_path: Path) -> None:
    code = (
        "import sys, time\nimport numpy as np\nfrom keras_seq import cli\nfrom keras_seq.config import TrainingConfig\n"
        "from keras_seq import processes\nfrom keras_seq.training import distribute\n"
        "from keras_seq.training.cluster import WorkerLost\n"
        "try:\n"
        "    with distribute.connect(TrainingConfig()) as group:\n"
        "        while True:\n"
        "            group.all_reduce_sum(np.ones(1000, 'f')); print('step', flush=True); time.sleep(0.05)\n"
        "except WorkerLost as error:\n"
        "    print(error, flush=True); sys.exit(processes.RESTART)\n"
    )
    running = workers(["-c", code], tmp_path)
    try:
        deadline = time.monotonic() + TIMEOUT
        while "step" not in (tmp_path / "log-0").read_text():
            assert time.monotonic() < deadline and all(process.poll() is None for process in running)
            time.sleep(0.1)
        running[killed].kill()
        assert running[1 - killed].wait(180) == RESTART  # seconds on an idle machine
    finally:
        end(running)
    said = (tmp_path / f"log-{1 - killed}").read_text()
    assert f"Worker {1 - killed} of 2 has lost worker {killed} (127.0.0.1:" in said


def test_nobody_waits_for_ever_at_the_start(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(SMALL)
    alone = ClusterSpec(tuple(f"127.0.0.1:{port}" for port in free_ports(2)), 0)
    command = [sys.executable, "-m", "keras_seq.train", "--config", str(config), "--training.worker_wait", "3"]
    environment = os.environ | {VARIABLE: alone.to_json()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT, cwd=tmp_path)
    assert done.returncode == RESTART, done.stderr
    assert f"missing: {alone.addresses[1]}" in done.stderr and "Traceback" not in done.stderr


def processes_of(launcher: int) -> dict[int, int]:
    """Rank to process id of the launcher's workers."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            read = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        variables = dict(item.split(b"=", 1) for item in read if b"=" in item)
        if variables.get(LAUNCHER.encode()) == str(launcher).encode():
            found[json.loads(variables[VARIABLE.encode()])["task"]["index"]] = int(entry.name)
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
@pytest.mark.nightly
def test_a_worker_killed_under_the_launcher_changes_nothing(tmp_path: Path, data_home: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(SMALL)
    command = [sys.executable, "-m", "keras_seq.train", "--config", str(config), "--data.home", str(data_home)]
    one = subprocess.run([*command, "--output", "one"], cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT)
    assert one.returncode == 0, one.stderr[-3000:]
    with open(tmp_path / "log", "wb") as log:
        shared = subprocess.Popen([*command, "--output", "two", "--workers", "2"], cwd=tmp_path, stdout=log, stderr=log)
    try:
        states = tmp_path / "two" / "small" / "seed-0" / "checkpoints"
        deadline = time.monotonic() + TIMEOUT
        while not any(int(path.stem[-6:]) >= 2 for path in states.glob("state-*.npz")):
            assert time.monotonic() < deadline and shared.poll() is None, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.02)
        os.kill(processes_of(shared.pid)[1], signal.SIGKILL)
        assert shared.wait(TIMEOUT) == 0, (tmp_path / "log").read_text()[-3000:]
    finally:
        end([shared])
    said = (tmp_path / "log").read_text()
    assert "worker 1 ended by SIGKILL; all are started again (1 of 3)." in said and "Going on after epoch" in said
    assert sorted(path.name for path in (tmp_path / "two" / "small" / "seed-0" / "workers").iterdir()) == [
        "worker-1.log"
    ]

    from keras_seq import load_bundle

    models = [load_bundle(tmp_path / name / "small" / "seed-0" / "bundle").model for name in ("one", "two")]
    for expected, found in zip(*(model.get_weights() for model in models), strict=True):
        assert np.abs(expected - found).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def test_a_training_leaves_the_trace_asked_for(tmp_path: Path) -> None:
    run = runpy.run_path(str(CHILD.with_name("test_fit.py")))["run"]
    result, *_ = run("regression", tmp_path, training__profile="2-4", training__epochs=1)
    assert result.stopped == "epochs"
    (trace,) = (tmp_path / "tensorboard").glob("plugins/profile/*/*.xplane.pb")
    assert trace.stat().st_size > 1000
