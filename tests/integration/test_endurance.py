"""Kills at random moments, full disks, folders that take nothing: real ones, mounted for the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from keras_seq import cli, files
from keras_seq.errors import OutputError
from keras_seq.training.resume import Backup, TrainingState
from serving.rollout.__main__ import main as rollout
from serving.tf_serving.__main__ import main as deploy

ROOT = Path(__file__).parents[2]
KILLS = 8


@pytest.mark.nightly
def test_killed_at_random_moments_nothing_is_half_and_the_same_command_ends_well(
    data_home: Path, tmp_path: Path
) -> None:
    words = ["--kills", str(KILLS), "--commands", "train,first record,data fetch", "--seed", "5"]
    command = [sys.executable, str(ROOT / "scripts" / "endurance.py"), *words, "--log", str(tmp_path / "kills.jsonl")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "KERAS_SEQ_DATA": str(data_home.absolute())}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    lines = [json.loads(line) for line in (tmp_path / "kills.jsonl").read_text().splitlines()]
    kills = [line for line in lines if line["kind"] == "kill"]
    reruns = [line for line in lines if line["kind"] == "rerun"]
    assert len(kills) >= KILLS - 2 and {line["command"] for line in kills} == {"train", "first record", "data fetch"}
    assert not any(line["corrupt"] for line in lines)
    assert reruns and all(line["code"] == 0 and line["same"] and not line["litter"] for line in reruns)


# ---------------------------------------------------------------- disks


def mount(*words: str) -> None:
    """Mount, or skip where this machine does not allow it."""
    tool = shutil.which("mount")
    done = subprocess.run([tool or "false", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a disk of its own cannot be mounted here: {done.stderr.strip() or 'no mount(8)'}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def full(disk: Path) -> Path:
    """A disk with an old state, a shadowed folder and hardly any space."""
    files.write_json(disk / "state.json", {"text": "old"})
    (disk / "bundle").mkdir()
    (disk / "bundle" / "spec.json").write_text("old")
    with open(disk / "filler", "wb") as file:
        file.write(b"\0" * (shutil.disk_usage(disk).free - 8192))
    return disk


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_on_a_full_disk_the_old_file_and_folder_stay_and_nothing_else(full: Path) -> None:
    before = names(full)
    with pytest.raises(OutputError, match=r"state\.json' cannot be written \(No space left on device\)"):
        files.write_json(full / "state.json", {"text": "new" * 20_000})
    with (
        pytest.raises(OutputError, match=r"bundle' cannot be written \(No space left on device\)"),
        files.new_folder(full / "bundle", replace=True) as partial,
    ):
        (partial / "spec.json").write_text("new" * 20_000)
    assert files.read_json(full / "state.json") == {"text": "old"}
    assert (full / "bundle" / "spec.json").read_text() == "old"
    assert names(full) == before
    (full / "filler").unlink()
    files.write_json(full / "state.json", {"text": "new" * 20_000})  # once there is space again


def test_on_a_full_disk_training_keeps_its_last_state_and_says_how_to_go_on(full: Path) -> None:
    backup = Backup(full / "checkpoints", "key", seconds=0)
    backup.save(TrainingState(1, {"model": [np.ones(10, np.float32)]}, {}))
    with pytest.raises(OutputError, match=r"No space left on device.*Free some space.*goes on from the last state"):
        backup.save(TrainingState(2, {"model": [np.ones(50_000, np.float32)]}, {}))
    assert names(full / "checkpoints") == ["state-000001.npz"]
    found = backup.load()
    assert found is not None and found.epoch == 1


def test_on_a_full_disk_no_version_is_half_pushed(full: Path, tmp_path: Path) -> None:
    from keras_seq.export.gate import GateVerdict
    from keras_seq.export.push import push
    from keras_seq.export.record import seal

    version = tmp_path / "exported"
    (version / "keras_seq").mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"graph" * 20_000)
    GateVerdict((), {}).write(version)
    seal(version)
    with pytest.raises(OutputError, match="MB free, at least 100 MB are needed"):
        push(version, full / "served")
    assert not list((full / "served").glob("*"))


def run(main: object, words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """A command's exit code and what it said on stderr."""
    code = cli.run(main, list(words))  # type: ignore[arg-type]
    return code, capsys.readouterr().err


def models(folder: Path) -> Path:
    """A folder of models with one version, as the deployment files want it."""
    (folder / "models" / "casts" / "1").mkdir(parents=True)
    (folder / "models" / "casts" / "1" / "saved_model.pb").write_bytes(b"graph")
    return folder / "models"


@pytest.mark.slow
def test_commands_on_a_full_disk_end_with_one_paragraph(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from keras_seq.commands.predict import main as predict

    code, said = run(deploy, ["write", str(full / "deploy"), "--models", str(models(full.parent))], capsys)
    assert code == 2 and "No space left on device" in said and "Traceback" not in said
    bundle, rows = ROOT / "tests/golden/bundles/0.1.0/lstm/bundle", full.parent / "rows.csv"
    spec = files.read_json(bundle / "spec.json")
    given = files.read_json(bundle.parent / "case.json")["inputs"]
    columns = np.concatenate([np.array(given["values"])[0]] * 400)
    numbers = np.arange(len(columns)) // 30
    lines = [
        f"{unit},{step},{','.join(map(str, row))}"
        for step, (unit, row) in enumerate(zip(numbers, columns, strict=True))
    ]
    unit, time = (files.read_json(bundle / "schema.json")[name] for name in ("unit_column", "time_column"))
    rows.write_text("\n".join([",".join([unit, time, *spec["features"]]), *lines]) + "\n")
    code, said = run(predict, [str(bundle), str(rows), "--out", str(full / "answers.csv")], capsys)
    assert code == 2 and "answers.csv' cannot be written (No space left on device)" in said, said
    assert "answers.csv" not in names(full) and said.count("\n") == 1


@pytest.mark.slow
def test_commands_on_a_read_only_disk_end_with_one_paragraph(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from keras_seq.commands.export import main as export
    from keras_seq.commands.train import main as train
    from tuning.__main__ import main as tuning

    (disk / "models.config").write_text("model_config_list { config { name: 'casts' base_path: '/x' } }")
    mount("-o", "remount,ro", str(disk))
    quiet = ["--tracking.backend", "none"]
    series = ["--data.source", "co2", "--data.split.by", "time", "--data.windows.horizon", "2"]
    series += ["--data.windows.mode", "sliding", "--data.windows.length", "20"]
    bundle = ROOT / "tests/golden/bundles/0.1.0/lstm/bundle"
    for main, words in (
        (rollout, ["set", "casts", "--weights", "1=100", "--file", str(disk / "rollout.yaml")]),
        (rollout, ["rollback", "casts", "--to", "1", "--policy", str(disk / "models.config")]),
        (deploy, ["write", str(disk / "deploy"), "--models", str(models(disk.parent))]),
        (train, ["--output", str(disk / "runs"), *quiet]),
        (tuning, ["--studies", str(disk / "studies"), *series, *quiet]),
        (export, [str(bundle), "--output", str(disk / "export"), *quiet]),
    ):
        code, said = run(main, words, capsys)
        assert code == 2 and "Read-only file system" in said and "Traceback" not in said, (words, said)
        assert str(disk) in said
