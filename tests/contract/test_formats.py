"""Every family leaves Keras unchanged: ONNX with fused layers and TFLite, in a process without TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.data.spec import Scaling
from keras_seq.export.formats import write_formats
from keras_seq.export.metadata import Source
from keras_seq.export.onnx import inspect_onnx
from keras_seq.export.parity import check_parity
from tests.factories.families import sequence_families
from tests.factories.tiers import tiers

FUSED = {"lstm": ("LSTM", 2), "gru": ("GRU", 2), "bilstm": ("LSTM", 4), "cnn_lstm": ("LSTM", 2)}
FUSED["attention_lstm"] = FUSED["lstm"]
# Every family and every format on every commit, with and without lengths; all of them together every night.
AGREE = [
    (family, name, variable)
    for family in sequence_families()
    for name in ("onnx", "tflite")
    for variable in (False, True)
]
AGREE_SLOW = [
    ("lstm", "onnx", True), ("lstm", "onnx", False), ("lstm", "tflite", True), ("gru", "onnx", True),
    ("bilstm", "onnx", False), ("cnn_lstm", "tflite", True), ("attention_lstm", "onnx", True),
    ("tcn", "onnx", False), ("transformer", "tflite", True), ("resnet", "onnx", True),
    ("inception_time", "tflite", True),
]  # fmt: skip
TASKS = [
    ("lstm", "per_step"), ("gru", "per_step"), ("attention_lstm", "per_step"), ("tcn", "per_step"),
    ("cnn_lstm", "binary"), ("transformer", "multiclass"), ("lstm", "forecast"), ("gru", "quantiles"),
    ("lstm", "forecast_quantiles"),
]  # fmt: skip
TASKS_NIGHTLY = TASKS[:3]
GAPS = {"impute": "interpolate", "missing_indicator": True}


def windows_of(tools, variable):
    values = tools.raw_values(batch=len(tools.LENGTHS), seed=3)
    values[0, 3:5, 1], values[1, 0, 2] = np.nan, np.inf
    return {"values": values, "lengths": tools.LENGTHS} if variable else {"values": values}


def check(case, tools, folder, names):
    levels = (0.1, 0.5, 0.9) if "quantiles" in case.task else ()
    source, windows = Source(case.model, case.spec, quantiles=levels), windows_of(tools, case.spec.variable_length)
    written, failed = write_formats(source, folder, names, samples=windows)
    assert not failed, failed
    report = check_parity(source, windows, written)
    assert report.passed, report.reasons
    return written


@pytest.mark.slow
def test_the_gru_agrees_in_both_formats(build, tools, tmp_path):
    written = check(build("gru", layers=1, history={}), tools, tmp_path, ["onnx", "tflite"])
    found = inspect_onnx(written["onnx"])
    assert found.nodes["GRU"] == 1 and not found.loops


@pytest.mark.parametrize(("family", "name", "variable"), tiers(AGREE, slow=AGREE_SLOW))
def test_every_family_agrees(build, tools, tmp_path, family, name, variable):
    case = build(family, spec={**GAPS, "variable_length": variable}, pooling="attention")
    written = check(case, tools, tmp_path, [name])
    if name == "onnx":
        found = inspect_onnx(written[name])
        assert not found.loops
        kind, count = FUSED.get(family, ("LSTM", 0))
        assert found.nodes.get(kind, 0) == count


@pytest.mark.parametrize(("family", "task"), tiers(TASKS, slow=[case for case in TASKS if case not in TASKS_NIGHTLY]))
def test_every_task_agrees(build, tools, tmp_path, family, task):
    written = check(build(family, task), tools, tmp_path, ["onnx", "tflite"])
    assert not inspect_onnx(written["onnx"]).loops


@pytest.mark.parametrize(  # every kind of layer with weights
    "family", tiers(["lstm", "gru", "cnn_lstm", "transformer"], slow=["lstm"])
)
def test_rounded_weights_stay_close(build, tools, tmp_path, family):
    """What cannot be written (int8 of layers that run as a loop) is named and leaves the others."""
    case = build(family, layers=1)
    source, windows = Source(case.model, case.spec), windows_of(tools, True)
    names = ["onnx-int8", "tflite-float16", "tflite-dynamic", "tflite-int8"]
    written, failed = write_formats(source, tmp_path, names, samples=windows)
    assert set(failed) <= ({"tflite-int8"} if family == "gru" else set()), failed
    report = check_parity(source, windows, written)
    assert report.passed, report.reasons


@pytest.mark.slow
def test_half_weights_leave_a_narrow_band_of_large_values_as_it_is(build, tools, tmp_path):
    """A shaft at 8,000 rpm that varies by 5: as a half float its mean alone would be off by a deviation."""
    center, scale = (8143.7, 642.3, -5021.9), (5.0, 0.5, 3.0)
    scaling = Scaling(center=(center,), scale=(scale,), fill=center)
    case = build("lstm", units=32, spec={"scaling": scaling})
    values = (np.random.default_rng(0).normal(size=(5, tools.TIME, 3)) * scale + center).astype(np.float32)
    source, windows = Source(case.model, case.spec), {"values": values, "lengths": tools.LENGTHS}
    written, failed = write_formats(source, tmp_path, ["tflite", "tflite-float16"])
    assert not failed, failed
    saved = written["tflite"].stat().st_size - written["tflite-float16"].stat().st_size
    assert saved > 0.9 * 2 * (32 * 128 * 3)  # bytes of three of the four kernels
    assert check_parity(source, windows, written).formats[1].mean < 1e-3
