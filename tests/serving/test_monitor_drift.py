"""Drift on real engines: none where there is none, soon where there is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_seq.errors import ConfigError
from keras_seq.export.reference import write_reference
from serving.monitor import DriftMonitor, MonitorSettings, load_settings
from serving.monitor.calibrate import Window, calibrate, draw_stream, find_pieces
from serving.monitor.events import read_events
from serving.monitor.rates import measure
from serving.monitor.thresholds import error_stream, thresholds_of
from serving.monitor.watch import RingBuffer
from serving.observers import ObservedCall, Observer
from tests.factories import watched as made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("monitor")


@pytest.fixture(scope="module")
def settings(folder):
    return MonitorSettings(folder=str(folder / "kept"))


@pytest.fixture(scope="module")
def version(folder, settings, data_home):
    thresholds_of(made.reference(), settings)
    path = folder / "models" / "engines" / "1"
    write_reference(made.reference(), path / "keras_seq")
    return path


def keep_thresholds(version, settings):
    """Those drawn once for all tests of this file."""
    shutil.copytree(version.parents[2] / "kept" / "thresholds", f"{settings.folder}/thresholds", dirs_exist_ok=True)


def monitored(folder, calls, where, **changes):
    settings = MonitorSettings(folder=str(folder), cpu_share=1.0, queue_calls=20_000, **changes)
    if (version := where("engines", 1)) is not None:
        keep_thresholds(version, settings)
    monitor = DriftMonitor(settings, where)
    for call in calls:
        assert monitor.wants(call.model)
        monitor.served(call)
    assert monitor.flush()
    monitor.close()
    return monitor, list(read_events(folder))


def test_other_engines_are_seen_within_200_requests(data_home, version, tmp_path):
    """FD002 flies in six conditions; its windows come engine by engine, after none of FD001's."""
    given, _ = made.rows("test", "FD002")
    _, events = monitored(tmp_path, made.calls(given[:200]), lambda model, number: version)
    first = next(event for event in events if event["event"] == "drift_started" and event["of"] == "inputs")
    assert first["rows"] <= 200
    assert first["score"] > 5 and first["top"][0]["ks"] > 0.8


def test_a_change_after_held_out_engines_is_seen_within_200_requests(data_home, version, tmp_path):
    before, after = made.rows("test")[0][:2000], made.rows("test", "FD002")[0][:200]
    monitor, events = monitored(tmp_path, made.calls(np.concatenate([before, after])), lambda model, number: version)
    started = [event for event in events if event["event"] == "drift_started" and event["of"] == "inputs"]
    assert started
    assert all(2000 < event["rows"] <= 2200 for event in started)  # none in 2,000 requests of held-out engines
    assert monitor.drifting == {("engines", 1): True}
    text = monitor.metrics()
    assert 'keras_seq_monitor_drift{model_name="engines",version="1",of="inputs",window="100"} 1' in text
    assert 'feature_psi{model_name="engines",version="1",feature="T24",window="100"}' in text


def test_false_alarms_on_held_out_engines(data_home, settings):
    """30 streams of 2,000 requests from engines that the reference has not seen, truncated as they come."""
    reference = made.reference()
    rows, unit = made.rows("test")
    found = measure(reference, thresholds_of(reference, settings), settings, rows, unit, made.predict(rows), streams=30)
    assert found.alarmed <= 0.05
    assert max(found.exceeded.values()) <= 0.01


def test_row_level_p_values_would_call_every_window_drift(data_home):
    """Why thresholds are drawn by units: scipy's test takes the newest 100 rows of one engine for another world."""
    from scipy.stats import ks_2samp

    train, test = made.rows("train")[0], made.rows("test")[0]
    low = [
        min(ks_2samp(train[::10, k], test[s : s + 100, k]).pvalue for k in range(test.shape[1])) * test.shape[1] < 0.01
        for s in range(0, 2000, 200)
    ]
    assert np.mean(low) > 0.8


def test_a_small_lasting_shift_is_seen_by_the_long_window(data_home, settings):
    """One sensor reads 2.5 deviations high."""
    reference = made.reference()
    rows, unit = made.rows("test")
    shifted = rows.copy()
    column = reference.features.index("T50")
    shifted[:, column] += 2.5 * made.rows("train")[0][:, column].std()
    thresholds = thresholds_of(reference, settings)
    found = measure(reference, thresholds, settings, shifted, unit, requests=3000, streams=10)
    assert found.alarmed >= 0.9


def test_thresholds_are_kept_and_scale_with_the_window(data_home, settings):
    reference = made.reference()
    first = thresholds_of(reference, settings)
    start = time.perf_counter()
    assert thresholds_of(reference, settings) == first
    assert time.perf_counter() - start < 1
    usual = {size: np.array(threshold.usual) for size, threshold in first["inputs"].items()}
    assert np.median(usual[2000] / usual[100]) < 0.8  # more engines in a window, less chance in it


def test_a_reference_of_few_rows_gives_no_threshold():
    assert calibrate(np.zeros((30, 2), np.float32), np.zeros(30, int), Window(100), alpha=0.01) is None


def test_drawn_streams_are_runs_of_units():
    pieces = find_pieces(np.repeat(np.arange(10), 50))
    numbers = draw_stream(pieces, Window(200), np.random.default_rng(0))
    assert len(numbers) == 200
    assert np.mean(np.diff(numbers) == 1) > 0.9
    strided = draw_stream(pieces, Window(200, 10), np.random.default_rng(0))
    assert np.array_equal(strided, numbers[::10])


@pytest.mark.parametrize("sizes", [[1] * 95, [7, 50, 3, 35], [95]])
def test_rings_keep_every_nth_of_the_newest(sizes):
    ring, seen = RingBuffer(Window(40, 4), 1), np.arange(95, dtype=np.float32)[:, None]
    for part in np.split(seen, np.cumsum(sizes)[:-1]):
        ring.add(part)
    assert ring.full
    assert sorted(ring.rows[:, 0].tolist()) == seen[::4][-10:, 0].tolist()


def test_errors_of_held_out_engines_raise_none_and_worse_ones_do(data_home):
    reference = made.reference()
    rows, _ = made.rows("test")
    errors = np.abs(made.predict(rows)[:, 0] - made.life("test"))
    stream, false_alarms = error_stream(reference)
    assert false_alarms <= 0.05
    assert not any(stream.update(float(error)) for error in errors[:2000])
    worse = [k for k, error in enumerate(errors[2000:3000]) if stream.update(float(error) + 25)]
    assert worse and worse[0] < 400


def test_calls_that_cannot_be_read_are_counted_not_compared(data_home, version, tmp_path):
    inputs = [  # serialized examples, other features, no rows, no batch axis
        {"examples": np.array([b"x"], object)},
        {"values": np.zeros((1, 5, 3), np.float32)},
        {"values": np.zeros((0, 5, 24), np.float32)},
        {"values": np.float32(1)},
    ]
    outputs = [{}, {"other": np.ones(1)}, {"prediction": np.ones((0, 1))}, {"prediction": np.float32(1)}]
    pairs = zip(inputs, outputs, strict=True)
    odd = [ObservedCall("engines", 1, "serving_default", given, answers, 0.0, 1.0, "x") for given, answers in pairs]
    monitor, events = monitored(tmp_path, [*odd, *made.calls(made.rows("test")[0][:10])], lambda *_: version)
    assert monitor.failures == 0 and not events
    assert 'calls_total{model_name="engines",version="1"} 14' in monitor.metrics()
    assert 'unread_total{model_name="engines",version="1"} 4' in monitor.metrics()


def test_models_without_a_reference_get_statistics(tmp_path):
    pairs = [({"x": np.array([float(k)])}, {"y": np.array([k / 2 + 2])}) for k in range(10)]
    calls = [ObservedCall("half_plus_two", 7, "serving_default", *pair, 0.0, 1.0, "x") for pair in pairs]
    monitor, events = monitored(tmp_path, calls, lambda model, number: None)
    assert 'prediction_mean{model_name="half_plus_two",version="7",output="y"} 4.25' in monitor.metrics()
    assert [event["event"] for event in events] == ["no_reference"]


def test_a_broken_reference_is_an_event_not_an_end(data_home, version, tmp_path):
    copy = tmp_path / "1" / "keras_seq"
    copy.mkdir(parents=True)
    (copy / "reference.json").write_bytes((version / "keras_seq" / "reference.json").read_bytes())
    (copy / "reference.npz").write_bytes(b"not an archive")
    calls = made.calls(made.rows("test")[0][:60])
    where = {1: tmp_path / "1"}
    monitor = DriftMonitor(MonitorSettings(folder=str(tmp_path / "m")), lambda model, number: where[number])
    for call in calls:
        monitor.served(call)
    monitor.close()
    events = list(read_events(tmp_path / "m"))
    assert [event["event"] for event in events] == ["no_reference"]
    assert "cannot be read" in events[0]["reason"]
    assert 'calls_total{model_name="engines",version="1"} 60' in monitor.metrics()


def test_a_full_queue_drops_and_counts(data_home, version, tmp_path):
    monitor = DriftMonitor(MonitorSettings(folder=str(tmp_path), queue_calls=5, cpu_share=0.01), lambda *_: version)
    keep_thresholds(version, monitor.settings)
    wanted = 0
    for call in made.calls(made.rows("test")[0][:400]):
        if monitor.wants("engines"):
            wanted += 1
            monitor.served(call)
    assert monitor.dropped == 400 - wanted > 0
    monitor.close()
    assert f"dropped_total {monitor.dropped}" in monitor.metrics()


def test_sampling_and_models(tmp_path):
    observer: Observer = DriftMonitor(MonitorSettings(folder=str(tmp_path), models=("a",), sample=0.3))
    try:
        assert not observer.wants("b")
        assert 0.2 < np.mean([observer.wants("a") for _ in range(2000)]) < 0.4
    finally:
        observer.close()


def test_status_command(data_home, version, tmp_path):
    monitored(tmp_path, made.calls(made.rows("test")[0][:120]), lambda *_: version)
    command = [sys.executable, "-m", "serving.monitor"]
    done = subprocess.run([*command, "status", "--folder", str(tmp_path), "--json"], capture_output=True, text=True)
    (found,) = json.loads(done.stdout)["processes"]
    assert found["versions"][0]["calls"] == 120
    assert {"inputs", "answers"} == {alarm["of"] for alarm in found["versions"][0]["alarms"]}
    wrong = subprocess.run([*command, "status", "--folder", str(tmp_path / "none")], capture_output=True, text=True)
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr and "--folder" in wrong.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("samples: 1", "did you mean 'sample'"),
        ("sample: 3", "less than or equal to 1"),
        ("windows: [5]", "at least 20"),
        ("- 1", "must hold names and values"),
        ("a: [", "no YAML"),
    ],
)
def test_wrong_settings(tmp_path, text, message):
    path = tmp_path / "monitor.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_settings(path)


@pytest.mark.benchmark
@pytest.mark.slow
def test_the_servers_thread_pays_at_most_5_microseconds(data_home, version, tmp_path):
    calls = made.calls(np.tile(made.rows("test")[0][:1000], (10, 1)), history=50)
    monitor = DriftMonitor(MonitorSettings(folder=str(tmp_path), queue_calls=20_000, queue_mb=500), lambda *_: version)
    spent = []
    for first in range(0, len(calls), 500):
        start = time.thread_time()
        for call in calls[first : first + 500]:
            if monitor.wants("engines"):
                monitor.served(call)
        spent.append((time.thread_time() - start) / 500)
    monitor.close()
    assert np.median(spent) < 5e-6
