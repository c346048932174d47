"""Shards as commands write and read them: many processes, kill -9, a full disk, Apache Beam, training."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq.data.store.folder import open_store, verify
from keras_seq.data.store.run import write_shards
from tests.data.test_shards import archive, table_config
from tests.data.test_store import table

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
WORDS = ["--unit", "engine", "--time", "cycle", "--targets", "[y]", "--shard-size", "64KB"]


@pytest.fixture(autouse=True)
def stores(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path / "stores"))


def command(*words, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        **options,
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A table of some MB in one CSV file."""
    folder = tmp_path_factory.mktemp("large")
    frame = pd.concat([table(units=60, seed=seed) for seed in range(40)], ignore_index=True)
    frame["engine"] = frame["engine"] + "-" + (np.arange(len(frame)) // 20_000).astype(str).astype(object)
    frame = frame.sort_values("engine", kind="stable", ignore_index=True)
    frame["cycle"] = frame.groupby("engine").cumcount()
    frame.to_csv(folder / "t.csv", index=False)
    return folder / "t.csv", frame


def test_processes_write_what_one_writes(tmp_path):
    path = archive(table(units=24), tmp_path / "in")
    one = write_shards(table_config(path), tmp_path / "one", shard_bytes=4000, workers=1)
    two = write_shards(table_config(path), tmp_path / "two", shard_bytes=4000, workers=2)
    assert two.new == one.new > 4 and two.series.fingerprint() == one.series.fingerprint()


def test_killed_it_goes_on_without_writing_finished_shards_again(large, tmp_path):
    path, frame = large
    out = tmp_path / "out"
    words = [sys.executable, "-m", "keras_seq.data", "shard", "--path", path, *WORDS, "--output", out, "--workers", "2"]
    child = subprocess.Popen(list(map(str, words)), env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while len(list((out / ".unfinished").glob("shard-*.npz"))) < 3 and time.monotonic() < deadline:
            assert child.poll() is None, "it was finished before it could be killed"
            time.sleep(0.002)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    finished = {file.stem for file in (out / ".unfinished").glob("shard-*.npz")}
    assert len(finished) >= 3
    refused = command("keras_seq.data", "validate", out)
    assert refused.returncode == 2 and "unfinished" in refused.stderr and "Traceback" not in refused.stderr
    marks = {name: (out / f"{name}.arrow").stat().st_mtime_ns for name in finished}
    (out / ".shard-00001.partial-1.arrow").write_bytes(b"half")
    other = command("keras_seq.data", "shard", "--path", path, *WORDS, "--output", out, "--shard-size", "65KB")
    assert other.returncode == 2 and "--shard-size was 65536, now 66560" in other.stderr
    done = command("keras_seq.data", "shard", "--path", path, *WORDS, "--output", out, "--json")
    told = json.loads(done.stdout)
    assert told["kept"] == len(finished) and told["kept"] + told["written"] == told["shards"]
    assert {name: (out / f"{name}.arrow").stat().st_mtime_ns for name in finished} == marks
    assert not list(out.glob(".*"))
    series = open_store(out)
    verify(series, again=True)
    np.testing.assert_array_equal(series.values[:], frame[["x1", "x0"]].to_numpy(np.float32))


def test_a_full_disk_is_one_paragraph(large, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=23m", "none", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    try:
        (disk / "ballast").write_bytes(bytes(21 * 2**20))
        (disk / "out" / ".unfinished").mkdir(parents=True)
        early = command("keras_seq.data", "shard", "--path", large[0], *WORDS, "--output", disk / "out")
        assert early.returncode == 2 and "MB free, at least" in early.stderr and "Traceback" not in early.stderr
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_disk_that_fills_up_on_the_way_is_one_paragraph(large, tmp_path):
    """A limit on the size of files stands for a disk that others fill."""
    code = (
        "import resource, signal, sys; from keras_seq import cli; from keras_seq.data.__main__ import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))\n"
        f"sys.exit(cli.run(main, ['shard', '--path', {str(large[0])!r}, *{WORDS!r}, '--workers', '1', "
        f"'--output', {str(tmp_path / 'out')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 2 and "cannot be written (File too large)" in done.stderr
    assert "Traceback" not in done.stderr and not list((tmp_path / "out").glob("*.arrow"))


def test_a_folder_that_cannot_be_written_is_one_paragraph(large):
    done = command("keras_seq.data", "shard", "--path", large[0], *WORDS, "--output", "/proc/shards")
    assert done.returncode == 2 and "cannot be written" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.nightly
def test_training_and_evaluation_from_shards(tmp_path):
    path = archive(table(units=24), tmp_path / "in")
    write_shards(table_config(path), tmp_path / "out", shard_bytes=4000, workers=1)
    words = [
        "--name",
        "plant",
        "--output",
        tmp_path / "runs",
        "--data.source",
        "shards",
        "--data.path",
        tmp_path / "out",
    ]
    words += ["--data.windows.mode", "sliding", "--data.windows.length", "16", "--model.units", "4"]
    words += ["--training.epochs", "1", "--tracking.backend", "none", "--export.saved_model", "false"]
    done = command("keras_seq.train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "plant" / "seed-0"
    judged = command("keras_seq.evaluate", folder, cwd=tmp_path)
    assert judged.returncode == 0, judged.stderr
    victim = tmp_path / "out" / "shard-00001.arrow"
    victim.write_bytes(victim.read_bytes()[:-1] + b"X")
    for program in (["keras_seq.train", *words], ["keras_seq.evaluate", folder]):
        refused = command(*program, cwd=tmp_path)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr
        assert f"Shard '{victim}' has been changed" in refused.stderr


def test_beam_writes_the_same_shards(tmp_path):
    if importlib.util.find_spec("apache_beam") is None:
        pytest.skip("apache-beam is not installed (pip install 'keras-seq[beam]'; see docs/data.md)")
    path = archive(table(units=24), tmp_path / "in")
    local = write_shards(table_config(path), tmp_path / "local", shard_bytes=4000, workers=1)
    beam = write_shards(table_config(path), tmp_path / "beam", shard_bytes=4000, runner="beam")
    assert beam.series.fingerprint() == local.series.fingerprint()
