"""Request log, events and labels: whole or not at all, bounded, and read back as they were."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_seq.data.reading import Reading
from keras_seq.errors import DataError
from keras_seq.export.reference import write_reference
from serving.monitor import DriftMonitor, MonitorSettings
from serving.monitor.events import EventLog, read_events
from serving.monitor.labels import add_labels, outcomes, read_labels
from serving.monitor.request_log import RequestLog, list_files, read_calls, write_calls
from serving.observers import ObservedCall
from tests.factories import watched as made

arrays = st.one_of(
    hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(width=32)),
    hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, max_side=4)),
    hnp.arrays(np.bool_, hnp.array_shapes(max_dims=1, max_side=4)),
    hnp.arrays(object, hnp.array_shapes(max_dims=2, max_side=3), elements=st.binary(max_size=8)),
    st.just(np.zeros((0, 3), np.float32)),
)
named = st.dictionaries(st.text(min_size=1, max_size=5), arrays, max_size=3)


@given(st.lists(st.tuples(named, named), min_size=1, max_size=4))
def test_logged_calls_come_back_as_they_were(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("log")
    calls = [
        ObservedCall("m", 3, "s", given, answers, 0.5, 1e9 + k, f"id {k}") for k, (given, answers) in enumerate(pairs)
    ]
    write_calls(folder / "requests" / "1.parquet", calls)
    for call, found in zip(calls, read_calls(folder), strict=True):
        assert (found.request_id, found.time, found.version) == (call.request_id, call.time, 3)
        for wanted, got in ((call.inputs, found.inputs), (call.outputs, found.outputs)):
            assert wanted.keys() == got.keys()
            for name, value in wanted.items():
                assert got[name].dtype == value.dtype
                np.testing.assert_array_equal(got[name], value)


def call(number, size=1000):
    values = np.random.default_rng(number).normal(size=(1, size)).astype("f4")
    return ObservedCall("m", 1, "serving_default", {"x": values}, {"y": values[:, :1]}, 1e-3, 1e9 + number, str(number))


def test_the_log_is_bounded_and_keeps_the_newest(tmp_path):
    log = RequestLog(tmp_path, most_mb=0.5, file_mb=0.05, seconds=1e9)
    for number in range(600):
        log.add(call(number), 4004)
        if log.due:
            log.write()
    log.write()
    total = sum(path.stat().st_size for path in list_files(log.folder))
    assert total <= 0.5 * 2**20
    kept = [int(found.request_id) for found in read_calls(tmp_path)]
    assert kept == list(range(kept[0], 600))
    assert kept[0] > 0


def test_files_carry_the_documented_schema(tmp_path):
    path = write_calls(tmp_path / "requests" / "1.parquet", [call(0)])
    table = pq.read_table(path)
    names = ["request_id", "time", "model", "version", "signature", "seconds", "rows", "inputs", "outputs"]
    assert table.column_names == names
    assert str(table.schema.field("time").type) == "timestamp[us, tz=UTC]"
    assert not list(path.parent.glob(".*partial*"))


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests" / "0.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match=r"0\.parquet.*remove it"):
        list(read_calls(tmp_path))


def test_only_a_share_is_logged_the_same_of_every_request(tmp_path):
    kept = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        monitor = DriftMonitor(MonitorSettings(folder=str(folder), log_sample=0.3, cpu_share=1.0))
        for number in range(500):
            monitor.served(call(number, 10))
        monitor.close()
        kept.append([found.request_id for found in read_calls(folder)])
    assert kept[0] == kept[1]
    assert 100 < len(kept[0]) < 200


def _write_events(folder, worker):
    events = EventLog(folder, most_mb=1)
    for number in range(200):
        events.write("test", worker=worker, number=number)


def test_many_processes_write_whole_lines(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write_events, args=(tmp_path, k)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = list(read_events(tmp_path))
    assert len(found) == 800
    assert len({event["id"] for event in found}) == 800


def test_events_are_bounded_and_survive_a_torn_line(tmp_path):
    events = EventLog(tmp_path, most_mb=0.01)
    for number in range(300):
        events.write("test", number=number)
    assert sum(path.stat().st_size for path in tmp_path.glob("events*.jsonl")) < 2 * 0.011 * 2**20
    with open(events.path, "ab") as file:
        file.write(b'{"id": "torn')
    events.write("test", number=300)
    assert [event["number"] for event in read_events(tmp_path)][-2:] == [299, 300]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, data_home):
    """1,500 requests of real engines in the log, the last 500 answered 80 cycles too high; and their labels."""
    folder = tmp_path_factory.mktemp("labelled")
    write_reference(made.reference(), folder / "models" / "engines" / "1" / "keras_seq")
    rows, truth = made.rows("test")[0][:1500], made.life("test")[:1500]
    calls = made.calls(rows)
    for one in calls[1000:]:
        one.outputs["prediction"] = one.outputs["prediction"] + np.float32(80)
    write_calls(folder / "requests" / "1.parquet", calls)
    with open(folder / "labels.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["request_id", "label"])
        table.writerows([f"r{k}", f"{value:g}"] for k, value in enumerate(truth))
        table.writerow(["stranger", "1"])
    return folder


@pytest.mark.slow
def test_labels_come_later_and_errors_that_rose_are_an_event(labelled):
    words = ["label", str(labelled / "labels.csv"), "--folder", str(labelled), "--models", str(labelled / "models")]
    command = [sys.executable, "-m", "serving.monitor", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert (found["joined"], found["unknown"]) == (1500, 1)
    (event,) = found["events"]
    assert event["of"] == "errors" and 1e9 + 1000 < event["at"] < 1e9 + 1500
    again = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    assert again["events"] == []  # told once
    (outcome,) = outcomes(labelled).values()
    errors = np.array([error for _, error in outcome.in_order()])
    rows, truth = made.rows("test")[0][:1500], made.life("test")[:1500]
    wanted = np.abs(made.predict(rows)[:, 0] + np.where(np.arange(1500) < 1000, 0, 80) - truth)
    np.testing.assert_allclose(errors, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\n1,2\n", "needs request_id, label"),
        ("request_id,label,row\nr1,2,x\n", "Line 2"),
        ("request_id,label\nr1,high\n", "'high', which is no number"),
        ("request_id,label_0,label_1\nr1,1,2\n", "has 2 numbers, the answer 1"),
    ],
)
def test_wrong_labels(labelled, tmp_path, text, message):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        add_labels(labelled, read_labels(path), lambda model, version: labelled / "models" / model / str(version))


def labels_of(tmp_path, text, *, classes=(), reading=None, targets=("wear",)):
    """Truth of the first label of a file, as a version with this schema takes it."""
    from serving.monitor.labels import _truth, _Version

    (tmp_path / "labels.csv").write_text(text)
    (label,) = read_labels(tmp_path / "labels.csv").values()
    reference = SimpleNamespace(facts={"classes": list(classes)})
    return _truth(label, _Version(reference, Reading.model_validate(reading or {}), targets), "r1").tolist()


@pytest.mark.parametrize(("text", "schema", "truth"), [
    ("request_id,label\nr1,1.5\n", {}, [1.5]),
    ("request_id;label\nr1;1.234,5\n", {"reading": {"decimal": ",", "thousands": "."}}, [1234.5]),
    ("request_id\tlabel\nr1\t-999\n", {"reading": {"missing_codes": (-999.0,)}}, [np.nan]),
    ("request_id,label\nr1,\n", {}, [np.nan]),
    ("request_id,label\nr1,NA\n", {"classes": ("NA", "EU")}, [0.0]),
    ("request_id,label\nr1,2.0\n", {"classes": ("1", "2", "3")}, [1.0]),
    ("request_id,label\nr1,1\n", {"classes": ("good", "worn")}, [1.0]),
    (
        "request_id;label_0;label_1\nr1;1,5;2\n",
        {"reading": {"marks": {"a": {"decimal": ","}}}, "targets": ("a", "b")},
        [1.5, 2.0],
    ),
])  # fmt: skip
def test_labels_are_read_as_the_versions_table(tmp_path, text, schema, truth):
    np.testing.assert_array_equal(labels_of(tmp_path, text, **schema), truth)


@pytest.mark.parametrize(("label", "classes"), [("0", ("1", "2")), ("EU ", ("NA", "US")), ("1,5", ())])
def test_a_label_that_is_none_is_refused(tmp_path, label, classes):
    with pytest.raises(DataError, match="which is no number"):
        labels_of(tmp_path, f"request_id;label\nr1;{label}\n", classes=classes)


def test_the_log_of_a_killed_process_is_whole(tmp_path):
    code = (
        "import sys, os, time\nfrom tests.serving.test_monitor_log import call\n"
        "from serving.monitor import DriftMonitor, MonitorSettings\n"
        f"m = DriftMonitor(MonitorSettings(folder={str(tmp_path)!r}, log_seconds=0.05, cpu_share=1.0))\n"
        "for k in range(10**6):\n    m.served(call(k, 100)); time.sleep(0.001)\n"
        "    if k == 20: print('go', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."}
    )
    assert process.stdout.readline() == b"go\n"
    for _ in range(900):
        if len(list_files(tmp_path / "requests")) > 2:
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    numbers = [int(found.request_id) for found in read_calls(tmp_path)]
    assert numbers and numbers == list(range(len(numbers)))
