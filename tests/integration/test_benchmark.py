"""Formats measured in processes of their own: numbers of the bundle's own answers; a failure leaves the rest."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest

from keras_seq import cli
from keras_seq.bundle import load_bundle
from keras_seq.commands import benchmark as command
from keras_seq.errors import ConfigError
from keras_seq.export.benchmark import Benchmark, Measured, benchmark
from keras_seq.pipeline.evaluate import evaluate
from tests.factories.bundles import CASTER, experiment, make_bundle

FORMATS = ("keras", "saved_model", "onnx", "tflite")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    gru = {"model.family": "gru", "tracking.backend": "none"}
    return make_bundle(experiment(CASTER, folder, **gru))


@pytest.fixture(scope="module")
def measured(run):
    """One run of the command over all that must agree, and what no GRU has: int8 in TFLite."""
    words = ["--formats", ",".join((*FORMATS, "tflite-int8")), "--threads", "1", "--seconds", "0.2"]
    with redirect_stdout(io.StringIO()) as said:
        code = cli.run(command.main, [str(run), *words])
    return code, said.getvalue(), json.loads((run / "benchmark" / "benchmark.json").read_text())


@pytest.mark.slow
def test_all_formats_answer_alike_and_the_metric_is_that_of_evaluate(run, measured):
    rows = {row["format"]: row for row in measured[2]["rows"]}
    judged = evaluate(run)
    assert set(rows) == set(FORMATS)
    for row in rows.values():
        assert row["largest"] <= 1e-5 and abs(row["loss"]) < 1e-3
        assert row["metrics"]["auc_roc"] == pytest.approx(judged["auc_roc"], abs=1e-4)
        assert row["gzip_mb"] < row["size_mb"]
        for size, times in row["batches"].items():
            assert times["p50"] <= times["p95"] <= times["p99"] and times["calls"] >= 20
            assert times["per_second"] == pytest.approx(int(size) * 1e3 / times["p50"])
    assert rows["onnx"]["batches"]["1"]["p50"] < rows["saved_model"]["batches"]["1"]["p50"]


@pytest.mark.slow
def test_the_command_writes_table_picture_and_names_what_failed(run, measured):
    code, said, kept = measured
    assert code == 2 and set(kept["failed"]) == {"tflite-int8"}
    assert (
        kept["judged"] == "auc_pr is of the answers that the bundle's own is of" and "Auc_pr is of the answers" in said
    )
    assert "tflite-int8 is missing" in said and "| onnx | 1 |" in said
    folder = run / "benchmark"
    assert {"benchmark.md", "benchmark.csv", "benchmark.json", "benchmark.png"} <= {p.name for p in folder.iterdir()}


def test_names_in_the_picture_do_not_overlap(tmp_path, monkeypatch):
    """Eight formats of a real bundle, most of them without loss: their bubbles lie side by side."""
    from matplotlib.text import Annotation, Text

    from keras_seq.reports import benchmark as report

    drawn = []
    monkeypatch.setattr(report, "save", lambda figure, path, title: drawn.append(figure) or path)
    times = {"keras": 5.1, "saved_model": 7.1, "onnx": 1.3, "onnx-int8": 1.2, "tflite": 2.1, "tflite-float16": 1.73,
             "tflite-dynamic": 1.64, "tflite-int8": 5.8}  # fmt: skip
    rows = tuple(
        Measured(name, 1, {"rmse": 10.6}, 0.0, 0.0, 0.3, 0.2, 1.0, {"1": {"p50": ms}}, 1.0, 1.0)
        for name, ms in times.items()
    )
    report.draw(Benchmark("rmse", 100, rows, {}), tmp_path / "benchmark.png")
    axis = drawn[0].axes[0]
    names = [child for child in axis.get_children() if isinstance(child, Annotation)]
    boxes = [Text.get_window_extent(name) for name in names]
    assert len(boxes) == 8
    assert not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threads", "0"], "--threads"),
        (["--threads", "x"], "'x'"),
        (["--windows", "0"], "--windows"),
        (["--seconds", "0"], "--seconds"),
    ],
)
def test_wrong_options_are_refused_before_anything_loads(words, message):
    with pytest.raises(ConfigError, match=message):
        command.main(["nowhere", *words])


def test_an_unknown_format_names_the_nearest(run):
    with pytest.raises(ConfigError, match="'onx'; did you mean 'onnx'"):
        benchmark(load_bundle(run), ("onx",))


def test_measuring_needs_no_tensorflow_for_onnx():
    code = "import sys, keras_seq.export.measure; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_percentiles_are_of_real_calls():
    from keras_seq.export.measure import _timed

    def call(given):
        return {"answer": np.asarray(given["values"])}

    timed = _timed(call, {"values": np.zeros((5, 2, 1), np.float32)}, 8)
    assert timed["calls"] >= 20 and 0 < timed["p50"] <= timed["p99"]
