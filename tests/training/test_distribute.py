"""Who trains: TF_CONFIG, strategies, parts of a batch, the launcher, the manifest, the report of devices."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from hypothesis import given
from hypothesis import strategies as st

from keras_seq import cli, processes
from keras_seq.commands import train
from keras_seq.config import TrainingConfig, from_dict
from keras_seq.errors import ConfigError, DeviceError, TrainingError
from keras_seq.models.fast_lstm import FastLSTM
from keras_seq.training import cluster, distribute, launch, placement, resume
from keras_seq.training.cluster import ClusterSpec, choose_strategy, read_cluster
from keras_seq.training.compiled import XlaPlan
from keras_seq.training.loop import take_part
from keras_seq.training.mirrored import check_strategy, make_mirrored
from keras_seq.training.single_process import SingleProcess, check_parts, part
from keras_seq.training.tracing import Tracer

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "docs" / "kubernetes" / "training.yaml"
TWO = ClusterSpec(("127.0.0.1:1", "127.0.0.1:2"), 1)
GPUS = len(tf.config.list_physical_devices("GPU"))


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.delenv(cluster.VARIABLE, raising=False)


# ---------------------------------------------------------------- who


def test_the_cluster_is_read_as_it_was_written():
    assert read_cluster(TWO.to_json()) == TWO and not TWO.chief and TWO.local_rank == 1


def test_a_chief_comes_before_workers():
    text = '{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": {"type": "%s", "index": %d}}'
    assert [read_cluster(text % task).rank for task in (("chief", 0), ("worker", 0), ("worker", 1))] == [0, 1, 2]


@pytest.mark.parametrize(
    "text", ["", " ", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}']
)
def test_one_process_is_no_cluster(text):
    assert read_cluster(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ('{"cluster": {"ps": ["a:1"], "worker": ["b:1"]}}', "has a cluster of ps"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}', "names an address twice"),
        (
            '{"cluster": {"worker": ["a:1", "b"]}, "task": {"type": "worker", "index": 0}}',
            "'b', which is not host:port",
        ),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}', "none of its cluster"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "has the task None"),
    ],
)
def test_a_wrong_variable_is_explained(text, message):
    with pytest.raises(ConfigError, match=message) as found:
        read_cluster(text)
    assert '"index": 0' in str(found.value)  # shows how it should look


def test_what_the_strategies_mean():
    def chosen(name, cluster):
        return choose_strategy(TrainingConfig(strategy=name), cluster)

    assert chosen("auto", None) == "none" and chosen("auto", TWO) == "multi_worker"
    assert chosen("mirrored", None) == "mirrored" and chosen("multi_worker", TWO) == "multi_worker"
    with pytest.raises(ConfigError, match="names no second worker"):
        chosen("multi_worker", None)
    with pytest.raises(ConfigError, match="names 2 workers, which would all do the same"):
        chosen("none", TWO)


def test_outside_of_a_job_a_process_is_alone():
    with distribute.connect(TrainingConfig()) as group:
        assert distribute.current_group() is group and group.chief and group.size == 1
        assert group.broadcast(b"x") == b"x" and group.any(True, False) == [True, False]
        with distribute.single_process():
            assert distribute.current_group() is not group
    assert isinstance(distribute.current_group(), SingleProcess)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--training.strategy", "mirored"], "Input should be 'auto', 'none', 'mirrored' or 'multi_worker'"),
        (["--training.stratgy", "none"], "did you mean 'strategy'"),
        (["--training.profile", "9-3"], "'training.profile': must be FIRST-LAST"),
        (["--training.strategy", "multi_worker"], "names no second worker"),
        (["--workers", "0"], "'--workers' must be at least 1"),
        (["--restarts", "-1"], "'--restarts' must not be negative"),
        (["--model.family", "ridge", "--training.strategy", "mirrored"], "fitted at once by one process"),
    ],
)
def test_wrong_words_are_one_paragraph(words, message, capsys, tmp_path):
    assert cli.run(train.main, [*words, "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said and not list(tmp_path.iterdir())


def test_workers_within_workers_are_refused(monkeypatch):
    monkeypatch.setenv(cluster.VARIABLE, TWO.to_json())
    with pytest.raises(ConfigError, match="Give one of the two"):
        launch.check_numbers(2, 3)


def test_strategy_and_profile_change_no_weight():
    changes = {"strategy": "mirrored", "profile": "3-4", "worker_wait": 5}
    assert resume.run_key(from_dict({"training": changes})) == resume.run_key(from_dict({}))


# ---------------------------------------------------------------- parts


@given(st.integers(1, 300), st.integers(1, 17))
def test_parts_make_up_the_whole(size, parts):
    bounds = [part(size, rank, parts) for rank in range(parts)]
    rows = [row for low, high in bounds for row in range(low, high)]
    assert rows == list(range(size))
    assert max(high - low for low, high in bounds) - min(high - low for low, high in bounds) <= 1


def test_a_part_keeps_the_padding_of_the_whole():
    batch = ({"values": tf.zeros((5, 7, 2)), "lengths": tf.range(5)}, tf.zeros((5, 1)), tf.ones((5,)))
    (inputs, targets, weights) = take_part(batch, 1, 2)
    assert inputs["values"].shape == (3, 7, 2) and inputs["lengths"].numpy().tolist() == [2, 3, 4]
    assert targets.shape == (3, 1) and weights.shape == (3,)


def test_a_batch_too_small_to_share_is_refused():
    with pytest.raises(ConfigError, match="has 3 samples, fewer than the 4 workers"):
        check_parts(3, 4, what="workers")


def test_a_state_travels_as_bytes():
    arrays = {"model": [np.array([1.5, -0.0], "f"), np.array(7, "int64")], "best": []}
    found = resume.unpack(resume.pack(resume.TrainingState(3, arrays, {"history": {"loss": [0.5]}}), "key"))
    assert found.epoch == 3 and found.progress == {"history": {"loss": [0.5]}} and "best" not in found.arrays
    assert [array.dtype for array in found.arrays["model"]] == [np.float32, np.int64]


@pytest.mark.skipif(GPUS > 1, reason="this machine has several GPUs")
def test_one_device_cannot_be_mirrored():
    with pytest.raises(DeviceError, match="needs at least two devices; TensorFlow sees 1"):
        make_mirrored(TrainingConfig(strategy="mirrored"))
    with pytest.raises(ConfigError, match="bfloat16"):
        make_mirrored(TrainingConfig(strategy="mirrored", mixed_precision="float16"))


# ---------------------------------------------------------------- the launcher


def job(tmp_path, code, **options):
    said: list[str] = []
    return launch.WorkerJob([sys.executable, "-c", code], 2, tmp_path, tell=said.append, **options), said


RANK = "import json, os, sys, time; rank = json.loads(os.environ['TF_CONFIG'])['task']['index']; "


def test_the_launcher_gives_each_worker_its_place(tmp_path):
    code = (
        RANK + "open(f'{sys.argv[1]}/{rank}', 'w').write(os.environ['TF_CONFIG'] + '|' + os.environ['OMP_NUM_THREADS'])"
    )
    run, _ = job(tmp_path, code)
    run.command = [*run.command, str(tmp_path)]
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    assert run.run() == 0
    clusters = [read_cluster((tmp_path / name).read_text().partition("|")[0]) for name in "01"]
    assert clusters[0].addresses == clusters[1].addresses and [c.rank for c in clusters] == [0, 1]
    assert before is None or os.sched_getaffinity(0) == before


def test_a_dead_worker_starts_all_again(tmp_path):
    code = RANK + (
        "again = sys.argv[2:] == ['--training.resume', 'true']; "
        "open(f'{sys.argv[1]}/{rank}-{again}', 'w'); "
        "time.sleep(0.3 if rank else 20) if not again else None; "
        "os.kill(os.getpid(), 9) if rank and not again else None"
    )
    run, said = job(tmp_path, code)
    run.command = [*run.command, str(tmp_path)]
    began = time.monotonic()
    assert run.run() == 0 and time.monotonic() - began < 15
    assert said == ["worker 1 ended by SIGKILL; all are started again (1 of 3)."]
    assert {"0-False", "1-False", "0-True", "1-True"} <= {path.name for path in tmp_path.iterdir()}


def test_deaths_have_an_end(tmp_path):
    run, said = job(tmp_path, RANK + f"sys.exit({processes.RESTART})", restarts=1)
    with pytest.raises(TrainingError, match=r"died 2 times, the last one by exit code 75 .*goes on after the last"):
        run.run()
    assert len(said) == 2


def test_a_mistake_is_told_and_not_tried_again(tmp_path):
    run, said = job(tmp_path, RANK + "print('error: no such file') or sys.exit(2) if rank else time.sleep(20)")
    assert run.run() == 2
    assert len(said) == 1 and "error: no such file" in said[0] and "worker-1.log" in said[0]


def test_ctrl_c_reaches_every_worker(tmp_path):
    code = RANK + (
        "import signal; signal.signal(2, lambda *_: (open(f'{sys.argv[1]}/told-{rank}', 'w'), sys.exit(0))); "
        "open(f'{sys.argv[1]}/up-{rank}', 'w'); time.sleep(30)"
    )
    run, _ = job(tmp_path, code)
    run.command = [*run.command, str(tmp_path)]

    def press():
        while len(list(tmp_path.glob("up-*"))) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    before = signal.getsignal(signal.SIGINT)
    assert run.run() == 0 and signal.getsignal(signal.SIGINT) is before
    assert {path.name for path in tmp_path.glob("told-*")} == {"told-0", "told-1"}


def test_workers_are_not_told_of_workers():
    words = ["--workers", "2", "--seed", "1", "--restarts=0", "--workers=3"]
    assert launch.words_without(words) == ["--seed", "1"]


def test_cores_are_shared_out():
    shares = processes.core_shares(2)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    assert sorted({core for share in shares for core in share}) == list(cores)[: max(len(cores), 1)]
    assert all(share for share in processes.core_shares(50))


# ---------------------------------------------------------------- the manifest


def test_the_manifest_makes_a_cluster_and_gives_options_that_exist():
    service, made = yaml.safe_load_all(MANIFEST.read_text())
    spec = made["spec"]["template"]["spec"]
    container = spec["containers"][0]
    environment = {entry["name"]: entry for entry in container["env"]}
    names = [entry["name"] for entry in container["env"]]
    assert names.index("INDEX") < names.index("TF_CONFIG")  # $(INDEX) is put in only where it is known already
    for index in range(made["spec"]["completions"]):
        cluster = read_cluster(environment["TF_CONFIG"]["value"].replace("$(INDEX)", str(index)))
        assert cluster.rank == index and cluster.size == made["spec"]["parallelism"]
        name, port = cluster.addresses[index].split(":")
        assert name == f"{made['metadata']['name']}-{index}.{spec['subdomain']}"
        assert int(port) == container["ports"][0]["containerPort"] == service["spec"]["ports"][0]["port"]
    assert service["metadata"]["name"] == spec["subdomain"] and service["spec"]["clusterIP"] == "None"
    assert made["spec"]["completionMode"] == "Indexed" and spec["restartPolicy"] == "Never"
    codes = [
        rule["onExitCodes"]["values"] for rule in made["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in rule
    ]
    assert codes == [[2], [processes.RESTART]]
    words = container["command"][container["command"].index("keras_seq.train") + 1 :]
    parser = cli.experiment_parser("keras_seq.train", "")
    words[words.index("--config") + 1] = str(ROOT / words[words.index("--config") + 1])
    _, experiment = cli.parse_experiment(parser, words)
    assert choose_strategy(experiment.training, cluster) == "multi_worker" and experiment.training.worker_wait == 1800


# ---------------------------------------------------------------- what it runs on


def model(**options):
    values = keras.Input((None, 3), name="values")
    x = FastLSTM(4, return_sequences=True, **options)(values)
    return keras.Model({"values": values}, keras.layers.GRU(4, reset_after=False)(x))


def test_the_report_names_device_precision_and_kernels():
    (line,) = placement.describe_placement(model(), TrainingConfig(), device="/CPU:0", plan=XlaPlan(jit=True, parts=2))
    assert line.startswith("training on CPU (") and "float32, XLA on" in line
    assert "GRU: while loop" in line
    assert "LSTM: own fused loop" in line or GPUS
    (line,) = placement.describe_placement(model(activation="relu"), TrainingConfig(), device="/CPU:0", plan=XlaPlan())
    assert "LSTM: while loop" in line and "XLA off" in line


@pytest.mark.skipif(GPUS > 0, reason="this machine has a GPU")
def test_cudnn_is_not_claimed_without_a_gpu():
    with pytest.raises(DeviceError, match="TensorFlow sees no GPU here"):
        placement.verify_cudnn(model())
    found = placement.operations(model())
    assert not any(found[name] for name in placement.CUDNN) and any(found[name] for name in placement.LOOPS)


@pytest.mark.skipif(GPUS == 0, reason="no GPU on this machine")
def test_cudnn_is_used_on_a_gpu():
    values = keras.Input((None, 3), name="values")
    made = keras.Model({"values": values}, FastLSTM(4)(values))
    assert "all in cuDNN" in placement.verify_cudnn(made)


# ---------------------------------------------------------------- profile


def test_batches_before_the_trace_are_cut_off():
    tracer = Tracer(6, 8)
    assert tracer.next(16) == 5
    tracer.done(5)
    assert Tracer().next(16) == 16


def test_a_trace_is_written(tmp_path):
    tracer, seen = Tracer(3, 4, tmp_path), []
    while sum(seen) < 8:
        count = tracer.next(min(4, 8 - sum(seen)))
        float(tf.reduce_sum(tf.random.normal((64, 64)) @ tf.random.normal((64, 64))))
        tracer.done(count)
        seen.append(count)
    assert seen == [2, 2, 4]
    (trace,) = tmp_path.glob("plugins/profile/*/*.xplane.pb")
    assert trace.stat().st_size > 0


def test_the_devices_command(capsys):
    from keras_seq.commands import devices

    assert cli.run(devices.main, ["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["devices"][0].startswith("CPU (") and set(told["kernels"]) == {"LSTM", "GRU"}
    assert cli.run(devices.main, ["--verify-cudnn"]) == (0 if GPUS else 2)


def test_only_train_is_run_by_several_workers():
    with pytest.raises(ConfigError, match="this process has met no others"):
        check_strategy(TrainingConfig(strategy="multi_worker"), 64, SingleProcess())
    assert check_strategy(TrainingConfig(), 64, SingleProcess()) is None
