"""A killed run goes on where its last state was, and only there."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_seq.config import from_dict
from keras_seq.errors import OutputError
from keras_seq.training.resume import Backup, TrainingState, run_key

CHILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np
from test_fit import run

folder = Path(sys.argv[2])
result, model, *_ = run("regression", folder, **json.loads(sys.argv[3]))
np.savez(folder / "final.npz", *model.get_weights())
(folder / "result.json").write_text(json.dumps([result.history, result.best_epoch, result.resumed_at]))
"""
# everything that draws random numbers or has a state of its own
CHANGES = {
    "training__deterministic": True,
    "training__epochs": 25,
    "training__patience": 25,
    "training__schedule": "plateau",
    "training__warmup": 2,
    "model__family": "cnn_lstm",
    "model__filters": 8,
    "model__dropout": 0.3,
    "model__input_noise": 0.1,
    "model__normalisation": "batch",
    "data__augment__jitter": 0.1,
}


def start(folder: Path) -> subprocess.Popen[bytes]:
    arguments = [str(Path(__file__).parent), str(folder), json.dumps(CHANGES)]
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stderr=subprocess.PIPE)


def finish(child: subprocess.Popen[bytes]) -> None:
    _, errors = child.communicate(timeout=500)
    assert child.returncode == 0, errors.decode()[-3000:]


@pytest.mark.slow
@pytest.mark.nightly
def test_killed_twice_it_ends_with_the_weights_of_an_undisturbed_run(tmp_path: Path) -> None:
    finish(start(tmp_path / "whole"))
    disturbed = tmp_path / "disturbed"
    for wanted in (3, 9):
        child = start(disturbed)
        deadline = time.monotonic() + 400
        while not any(int(path.stem[-6:]) >= wanted for path in (disturbed / "checkpoints").glob("state-*.npz")):
            assert child.poll() is None and time.monotonic() < deadline, "ended before it could be killed"
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        child.stderr.close()  # type: ignore[union-attr]
        assert not (disturbed / "final.npz").exists()
    finish(start(disturbed))

    histories, best, resumed_at = zip(
        *(json.loads((folder / "result.json").read_text()) for folder in (tmp_path / "whole", disturbed)), strict=True
    )
    assert resumed_at[0] == 0 and resumed_at[1] >= 9 and best[0] == best[1]
    for name in set(histories[0]) - {"seconds"}:
        assert histories[0][name] == histories[1][name], name
    with np.load(tmp_path / "whole" / "final.npz") as whole, np.load(disturbed / "final.npz") as again:
        assert whole.files == again.files
        assert all(np.array_equal(whole[name], again[name]) for name in whole.files)
    assert [path.name for path in (disturbed / "checkpoints").iterdir()] == ["best.weights.h5"]


def state(epoch: int) -> TrainingState:
    arrays = {"model": [np.full((3,), epoch, "f"), np.array(7, "int64")], "best": [np.ones((2, 2), "f")]}
    return TrainingState(epoch, arrays, {"history": {"loss": [0.1 * epoch]}})


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def backup(tmp_path: Path, said: list[str]) -> Backup:
    return Backup(tmp_path / "checkpoints", "key", seconds=0, tell=said.append)


def names(backup: Backup) -> list[str]:
    return sorted(path.name for path in backup.folder.iterdir())


def test_a_state_comes_back_as_it_was(backup: Backup) -> None:
    assert backup.load() is None
    for epoch in (1, 2, 3):
        backup.save(state(epoch))
    assert names(backup) == ["state-000002.npz", "state-000003.npz"]
    found = backup.load()
    assert found is not None and found.epoch == 3 and found.progress == state(3).progress
    assert [array.dtype for array in found.arrays["model"]] == [np.float32, np.int64]
    assert all((a == b).all() for a, b in zip(found.arrays["model"], state(3).arrays["model"], strict=True))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_state_gives_way_to_the_one_before(damage: str, backup: Backup, said: list[str]) -> None:
    backup.save(state(1))
    path = backup.save(state(2))
    content = bytearray(path.read_bytes())
    where = content.index(np.full((3,), 2, "f").tobytes())
    content[where] ^= 1
    path.write_bytes({"truncated": content[: len(content) // 2], "flipped": content, "empty": b""}[damage])
    found = backup.load()
    assert found is not None and found.epoch == 1
    assert "state-000002.npz' is damaged" in said[0]


def test_a_state_of_another_run_is_not_used(backup: Backup, said: list[str]) -> None:
    backup.save(state(1))
    assert Backup(backup.folder, "other", seconds=0, tell=said.append).load() is None
    assert "another configuration or other data" in said[0]


def test_clear_removes_what_a_kill_left(backup: Backup) -> None:
    backup.save(state(1))
    (backup.folder / ".state-000002.npz.partial-123").write_bytes(b"half")
    (backup.folder / ".partial-123-best.weights.h5").write_bytes(b"half")
    (backup.folder / "best.weights.h5").write_bytes(b"")
    backup.clear()
    assert names(backup) == ["best.weights.h5"]


def test_a_folder_that_takes_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written to .*file/checkpoints.*goes on from the last state"):
        Backup(tmp_path / "file" / "checkpoints", "key", seconds=0).save(state(1))


def test_the_key_follows_what_decides_the_weights() -> None:
    base = run_key(from_dict({}), "data")
    harmless = ({"training": {"device": "cpu"}}, {"data": {"home": "/x"}}, {"tracking": {"backend": "none"}})
    others = ({"seed": 1}, {"training": {"learning_rate": 0.1}}, {"model": {"units": 5}}, {"data": {"bucket": 7}})
    assert {run_key(from_dict(tree), "data") for tree in harmless} == {base}
    assert base not in {run_key(from_dict(tree), "data") for tree in others}
    assert run_key(from_dict({}), "other data") != base


class Killed(Exception):
    """Stands for a kill within this process."""


@pytest.mark.slow
def test_fit_goes_on_starts_clean_for_another_configuration_and_survives_damage(tmp_path: Path) -> None:
    run = runpy.run_path(str(Path(__file__).with_name("test_fit.py")))["run"]

    def killed(at: int, **changes: Any) -> None:
        def on_epoch(epoch: int, row: dict[str, float]) -> None:
            if epoch == at:
                raise Killed

        with pytest.raises(Killed):
            run("regression", tmp_path, on_epoch=on_epoch, training__epochs=5, **changes)

    killed(4)
    states = sorted((tmp_path / "checkpoints").glob("state-*.npz"))
    assert [path.name for path in states] == ["state-000002.npz", "state-000003.npz"]
    states[-1].write_bytes(b"damaged")
    killed(4)  # went on from 2, reached 3 again
    assert run("regression", tmp_path, training__epochs=5)[0].resumed_at == 3
    killed(3)
    assert run("regression", tmp_path, training__epochs=5, training__learning_rate=0.01)[0].resumed_at == 0
    killed(3)
    assert run("regression", tmp_path, training__epochs=5, training__resume=False)[0].resumed_at == 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"training__keep": "last"}, marks=pytest.mark.slow),
        pytest.param({"training__patience": 1, "training__epochs": 30}, marks=pytest.mark.slow),
    ],
)
def test_what_was_trained_and_not_yet_written_is_not_trained_again(changes: dict[str, Any], tmp_path: Path) -> None:
    run = runpy.run_path(str(Path(__file__).with_name("test_fit.py")))["run"]
    chosen = {"training__epochs": 4, "training__learning_rate": 0.05} | changes
    first, model, *_ = run("regression", tmp_path, keep_state=True, **chosen)
    again, same, *_ = run("regression", tmp_path, keep_state=True, **chosen)
    assert again.resumed_at == len(first.history["loss"]) and again.history == first.history
    assert (again.best_epoch, again.stopped) == (first.best_epoch, first.stopped)
    for one, other in zip(model.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
