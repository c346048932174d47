"""Killed before each of its file operations in turn, a writer leaves the old or the new; clocks that jump; damage."""

from __future__ import annotations

import json
import os
import random
import runpy
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet  # noqa: F401  (here, so that forked children need not)
import pytest

from keras_seq import files
from keras_seq.errors import ConfigError
from keras_seq.export.gate import GateVerdict
from keras_seq.export.push import push
from keras_seq.export.record import check_seal, seal
from serving.models.policy import find_versions
from serving.monitor.events import EventLog, read_events
from serving.monitor.request_log import list_files, read_calls, write_calls
from serving.observers import ObservedCall
from serving.retrain import watch as watching
from serving.retrain.state import DONE, JobStore, RetrainState
from serving.retrain.watch import JobTrigger
from serving.rollout.edit import set_policy, set_weights
from serving.rollout.plan import load_plan

HOOK = Path(__file__).parents[1] / "endurance" / "hook" / "sitecustomize.py"
MOST = 400  # file operations of one writer


def killed_before(number: int, act: Callable[[Path], Any], place: Path) -> int:
    """Run ``act(place)`` in a forked child that is killed before its file operation ``number``; how it ended."""
    tally = place.with_name("tally")
    tally.unlink(missing_ok=True)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setsid()
            files.sweep.cache_clear()  # a process of its own
            asked = {"ROOT": f"{place}{os.sep}", "TALLY": str(tally), "GROUP": str(os.getpid()), "AT": str(number)}
            os.environ.update({f"ENDURANCE_{name}": value for name, value in asked.items()})
            runpy.run_path(str(HOOK))
            act(place)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def a_folder(place: Path) -> None:
    with files.new_folder(place / "bundle", replace=True) as partial:
        (partial / "plots").mkdir()
        for name in ("model", "spec", "plots/one"):
            (partial / name).write_text("new")


def a_folder_is_whole(place: Path) -> None:
    names = ("model", "spec", "plots/one")
    assert len({(place / "bundle" / name).read_text() for name in names}) == 1


def a_json(place: Path) -> None:
    files.write_json(place / "state.json", {"text": "new" * 1000})


def a_json_is_whole(place: Path) -> None:
    assert files.read_json(place / "state.json")["text"] in ("old", "new" * 1000)


def a_push(place: Path) -> None:
    push(place / "exported", place / "served" / "casts", force=True)


def versions_are_whole(place: Path) -> None:
    found = find_versions(place / "served" / "casts")
    assert found
    for folder in found.values():
        check_seal(folder)


def a_rollout(place: Path) -> None:
    set_weights(place / "rollout.yaml", "casts", {1: 90.0, 2: 10.0})


def a_rollout_is_whole(place: Path) -> None:
    one = load_plan(place / "rollout.yaml").models["casts"]
    assert dict(one.weights) in ({1: 100.0}, {1: 90.0, 2: 10.0})
    assert one.weights == {1: 100.0} or one.previous == {1: 100.0}


def a_policy(place: Path) -> None:
    set_policy(place / "models.config", "casts", 1)


def a_policy_is_whole(place: Path) -> None:
    assert "name: " in (place / "models.config").read_text()
    assert (place / "models.config").read_text().rstrip().endswith("}")


def an_event(place: Path) -> None:
    EventLog(place).write("drift_started", model="casts")


def events_are_whole(place: Path) -> None:
    assert all(event["model"] == "casts" for event in read_events(place))


def a_log(place: Path) -> None:
    one = {"values": np.ones((1, 2), np.float32)}
    call = ObservedCall(
        model="casts", version=1, signature="x", inputs=one, outputs=one, seconds=0.1, time=1.0, request_id="heat"
    )
    write_calls(place / "requests" / "0000000000001-1-000001.parquet", [call])


def a_log_is_whole(place: Path) -> None:
    for path in list_files(place / "requests"):
        assert path.stat().st_size > 0
    assert all(call.request_id == "heat" for call in read_calls(place))


WRITERS = {
    "folder": (a_folder, a_folder_is_whole),
    "json": (a_json, a_json_is_whole),
    "push": (a_push, versions_are_whole),
    "rollout": (a_rollout, a_rollout_is_whole),
    "policy": (a_policy, a_policy_is_whole),
    "event": (an_event, events_are_whole),
    "log": (a_log, a_log_is_whole),
}


def begin(place: Path) -> None:
    """What the writers change: an older state of everything."""
    (place / "bundle" / "plots").mkdir(parents=True)
    for name in ("model", "spec", "plots/one"):
        (place / "bundle" / name).write_text("old")
    files.write_json(place / "state.json", {"text": "old"})
    version = place / "exported"
    (version / "keras_seq").mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"graph")
    GateVerdict((), {}).write(version)
    seal(version)
    push(version, place / "served" / "casts", force=True)
    set_weights(place / "rollout.yaml", "casts", {1: 100.0})
    (place / "models.config").write_text("model_config_list { config { name: 'casts' base_path: '/x' } }")


@pytest.mark.parametrize("name", WRITERS)
def test_killed_before_any_of_its_file_operations_it_leaves_the_old_or_the_new(name: str, tmp_path: Path) -> None:
    act, whole = WRITERS[name]
    place = tmp_path / "place"
    begin(place)
    for number in range(1, MOST):
        code = killed_before(number, act, place)
        whole(place)
        if code != -signal.SIGKILL:
            break
    assert code == 0 and number > 2
    assert killed_before(0, act, place) == 0
    left = [path.name for path in place.rglob("*") if ".partial-" in path.name or ".old-" in path.name]
    assert left == []  # what the kills left went with the next writer


def test_only_what_nobody_writes_any_more_is_swept(tmp_path: Path) -> None:
    machine, own = files.owner().rsplit("-", 1)
    dead = 2**22 + 1  # more than Linux gives out
    kept = [
        f".state.partial-{machine}-{own}.json",  # being written
        f".state.partial-abcdef-{dead}.json",  # of another machine, today
        f"state.partial-{machine}-{dead}.json",  # no dot: somebody's own file
        f"keras_seq-notes-{dead}",
    ]
    gone = [f".state.partial-{machine}-{dead}.json", f".1.partial-{machine}-{dead}", f".1.old-{machine}-{dead}"]
    gone += [f"keras_seq-{machine}-{dead}-x1", f".2.partial-abcdef-{dead}"]
    (tmp_path / "1").mkdir()
    for name in (*kept, *gone):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("x")
    yesterday = time.time() - files.FORGOTTEN - 60
    os.utime(tmp_path / gone[-1], (yesterday, yesterday))
    files.sweep.cache_clear()
    files.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "1"])


def test_a_folder_that_a_kill_left_aside_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two names cannot be exchanged in one step, there is a moment without the folder."""
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    place = tmp_path / "place"
    begin(place)
    missing = 0
    for number in range(1, MOST):
        if killed_before(number, a_folder, place) == 0:
            break
        missing += not (place / "bundle").exists()
        files.sweep.cache_clear()
        files.sweep(place)
        a_folder_is_whole(place)
    assert missing == 1


def test_temporary_folders_of_killed_processes_go_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))

    def killed(place: Path) -> None:
        with files.scratch() as folder:
            (folder / "big").write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(3):
        assert killed_before(0, killed, tmp_path) == -signal.SIGKILL
        assert len(list(tmp_path.glob("keras_seq-*"))) == 1  # the last one's, not one more each time
    files.sweep.cache_clear()
    with files.scratch() as folder:
        assert [path.name for path in tmp_path.glob("keras_seq-*")] == [folder.name]
    assert not list(tmp_path.glob("keras_seq-*"))


# ---------------------------------------------------------------- clocks


def test_files_of_a_log_keep_their_order_though_the_clock_is_put_back(tmp_path: Path) -> None:
    from serving.monitor.request_log import next_stamp

    names = []
    for now in (5_000, 6_000, 1_000, 900, 9_000):
        names.append(f"{next_stamp(tmp_path, now):013d}-7-000001.parquet")
        (tmp_path / names[-1]).write_text("")
    assert [path.name for path in list_files(tmp_path)] == names


HOUR, NOW = 3600.0, 1_800_000_000.0


@pytest.mark.parametrize(
    ("finished", "wanted"),
    [
        (NOW - 60, None),  # within the cooldown
        (NOW - 2 * HOUR, "new"),
        (NOW + 365 * 24 * HOUR, "new"),  # the clock was a year ahead when the last job ended
    ],
)
def test_a_watch_goes_on_after_the_clock_was_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: float, wanted: str | None
) -> None:
    keeper = JobStore(tmp_path / "jobs")
    keeper.write(RetrainState("job", "request", step=DONE, event="answered", started=finished - 10, finished=finished))
    rows = [{"id": name, "time": NOW - 5, "event": "drift_started", "model": "casts"} for name in ("answered", "new")]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(watching.time, "time", lambda: NOW)
    assert watching._reason(JobTrigger("casts", events=tmp_path, cooldown=HOUR), keeper, NOW) == wanted
    (tmp_path / "events.jsonl").write_text(json.dumps(rows[0]) + "\n")
    assert watching._reason(JobTrigger("casts", events=tmp_path, cooldown=HOUR), keeper, NOW) is None  # answered


@pytest.mark.parametrize(("started", "wanted"), [(NOW - 60, None), (NOW - 2 * HOUR, ""), (NOW + 24 * HOUR, "")])
def test_jobs_by_the_clock_start_after_it_was_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: float, wanted: str | None
) -> None:
    keeper = JobStore(tmp_path)
    keeper.write(RetrainState("job", "request", step=DONE, started=started, finished=started))
    monkeypatch.setattr(watching.time, "time", lambda: NOW)
    assert watching._reason(JobTrigger("casts", every=HOUR), keeper, NOW) == wanted


def test_the_same_weights_again_keep_the_way_back(tmp_path: Path) -> None:
    for weights in ({1: 100.0}, {1: 90.0, 2: 10.0}, {1: 90.0, 2: 10.0}):
        set_weights(tmp_path / "rollout.yaml", "casts", weights)
    assert load_plan(tmp_path / "rollout.yaml").models["casts"].previous == {1: 100.0}


# ---------------------------------------------------------------- damage


def test_no_flipped_bit_or_cut_of_a_saved_state_is_more_than_a_line(tmp_path: Path) -> None:
    from keras_seq.training.resume import Backup, TrainingState

    said: list[str] = []
    backup = Backup(tmp_path, "key", seconds=0, tell=said.append)
    arrays = {"model": [np.arange(5, dtype=np.float32), np.array(3)], "best": [np.ones((2, 2), np.float32)]}
    path = backup.save(TrainingState(1, arrays, {"history": {"loss": [0.1]}}))
    whole, draw = path.read_bytes(), random.Random(0)
    damaged = [whole[:length] for length in range(0, len(whole), 50)]
    for position in range(0, len(whole), 3):
        content = bytearray(whole)
        content[position] ^= 1 << draw.randrange(8)
        damaged.append(bytes(content))
    sound = 0
    for content in damaged:
        path.write_bytes(content)
        found = backup.load()
        if found is None:
            continue
        sound += 1  # what was hit says nothing about the arrays
        assert {name: [a.tolist() for a in group] for name, group in found.arrays.items()} == {
            name: [a.tolist() for a in group] for name, group in arrays.items()
        }
        assert found.progress == {"history": {"loss": [0.1]}}
    assert 0 < sound < len(damaged) / 2 and len(said) == len(damaged) - sound
    assert "is damaged" in said[0]


@pytest.mark.parametrize("content", ["", '{"trial": "0', "[]", "{}"])
def test_a_damaged_record_of_a_trial_is_named(tmp_path: Path, content: str) -> None:
    from tuning.records import begin_study

    study = begin_study(tmp_path / "study", {"name": "study", "trials": 2})
    (tmp_path / "study" / "trials" / "0000.json").write_text(content)
    with pytest.raises(ConfigError, match=r"The record '.*0000\.json' of a trial is damaged .* or remove it"):
        study.records()
