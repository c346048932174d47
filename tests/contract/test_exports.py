"""Every family leaves Keras unchanged: SavedModel, ONNX without loops, TFLite; random biases, any length."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import keras
import numpy as np
import pytest

from keras_seq.models import plain_twin
from keras_seq.models.registry import networks

FUSED = ("lstm", "bilstm", "cnn_lstm", "attention_lstm", "transformer", "tcn")  # stock GRU converts to a Loop
MISSING = {"spec": {"impute": "interpolate", "missing_indicator": True}, "pooling": "attention"}


def slow_but(*quick):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in networks()]


def signature(batch=None, time=None):
    import tensorflow as tf

    return [
        tf.TensorSpec((batch, time, 3), tf.float32, name="values"),
        tf.TensorSpec((batch,), tf.int32, name="lengths"),
    ]


def serving(model):
    return lambda values, lengths: {"answer": model({"values": values, "lengths": lengths}, training=False)}


def gapped(case):
    values = case.inputs["values"].copy()
    values[0, 3:5, 1], values[1, 0, 2] = np.nan, np.inf
    return {**case.inputs, "values": values}


def write_saved_model(model, folder, batch=None, time=None):
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serving(model), input_signature=signature(batch, time))
    archive.write_out(str(folder), verbose=False)


@pytest.mark.parametrize("family", slow_but("cnn_lstm"))
def test_saved_model_agrees(build, tmp_path, family):
    import tensorflow as tf

    case = build(family)
    write_saved_model(case.model, tmp_path / "model")
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    answers = served(values=tf.constant(case.inputs["values"]), lengths=tf.constant(case.inputs["lengths"]))["answer"]
    np.testing.assert_allclose(answers, case.answers, rtol=0, atol=case.tolerance)


def check_onnx(case, path):
    import onnxruntime
    import tensorflow as tf
    import tf2onnx

    function = tf.function(serving(plain_twin(case.model)), input_signature=signature())
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature(), opset=17, output_path=str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert {i.name for i in session.get_inputs()} == {"values", "lengths"}
    inputs = gapped(case)
    expected = case.predict(inputs)
    answers = session.run(["answer"], inputs)[0]
    if case.task == "per_step":
        real = np.arange(expected.shape[1]) < inputs["lengths"][:, None]
        expected, answers = expected[real], answers[real]
    np.testing.assert_allclose(answers, expected, rtol=0, atol=case.tolerance)
    for row, length in enumerate(inputs["lengths"]):
        alone = {
            "values": inputs["values"][row : row + 1, : max(length, 1)],
            "lengths": inputs["lengths"][row : row + 1],
        }
        answers = session.run(["answer"], alone)[0]
        if case.task != "per_step":
            np.testing.assert_allclose(answers[0], expected[row], rtol=0, atol=case.tolerance)
    return Counter(node.op_type for node in proto.graph.node)


@pytest.mark.parametrize("family", slow_but("bilstm"))
def test_onnx_agrees_and_stays_fused(build, tmp_path, family):
    ops = check_onnx(build(family, **MISSING), tmp_path / "model.onnx")
    if family in FUSED:
        assert not ops["Loop"] and not ops["Scan"]
    if "lstm" in family:
        assert ops["LSTM"] == {"lstm": 2, "bilstm": 4, "cnn_lstm": 2, "attention_lstm": 2}[family]


@pytest.mark.slow
@pytest.mark.parametrize("family, task", [
    ("lstm", "per_step"), ("attention_lstm", "per_step"), ("tcn", "per_step"), ("cnn_lstm", "binary"),
    ("transformer", "multiclass"), ("lstm", "forecast_quantiles"),
])  # fmt: skip
def test_onnx_of_other_tasks(build, tmp_path, family, task):
    ops = check_onnx(build(family, task), tmp_path / "model.onnx")
    assert not ops["Loop"]


TFLITE = """
import json, sys
import numpy as np, tensorflow as tf
folder, inputs, out = sys.argv[1:]
model = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
interpreter = tf.lite.Interpreter(model_content=model)
given = np.load(inputs)
run = interpreter.get_signature_runner()
answers = [run(values=v[None], lengths=n[None])["answer"] for v, n in zip(given["values"], given["lengths"])]
ops = sorted({op["op_name"] for op in interpreter._get_ops_details()})
json.dump({"answers": np.concatenate(answers).tolist(), "ops": ops}, open(out, "w"))
"""


@pytest.mark.parametrize("family", slow_but("transformer"))
def test_tflite_agrees_without_tensorflow_ops(build, tools, tmp_path, family):
    """In its own process: the converter can crash where no exception is caught."""
    case = build(family, **MISSING)
    write_saved_model(plain_twin(case.model), tmp_path / "model", batch=1, time=tools.TIME)
    inputs = gapped(case)
    np.savez(tmp_path / "inputs.npz", **inputs)
    command = [sys.executable, "-c", TFLITE, tmp_path / "model", tmp_path / "inputs.npz", tmp_path / "out.json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    out = json.loads((tmp_path / "out.json").read_text())
    assert not [op for op in out["ops"] if op.startswith("Flex")]
    np.testing.assert_allclose(np.array(out["answers"]), case.predict(inputs), rtol=0, atol=case.tolerance)
