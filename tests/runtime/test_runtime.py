"""Predicting from a file without TensorFlow: what it takes, what it refuses, what it loads."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from keras_seq.errors import DataError, ModelError
from keras_seq.runtime import Predictor, load
from keras_seq.runtime.contract import Contract
from tests.factories.exports import co2_windows, exported

FORMATS = ("onnx", "tflite")
HEAVY = ("tensorflow", "keras", "tf_keras", "pandas", "pydantic", "sklearn", "scipy", "onnx")


@pytest.fixture(params=FORMATS)
def predictor(request):
    return load(exported(request.param))


def contract(**changes):
    names = ("speed", "level", "heat")
    settings = {"time": 6, "variable_length": True, "missing": np.array([False, True, False])}
    return Contract(features=names, **{**settings, **changes})


class Echo:
    """An engine that hands back what it was given."""

    def run(self, values, lengths):
        return {"values": values, "lengths": lengths}


def echo(**changes):
    return Predictor(Echo(), contract(**changes))


@pytest.mark.slow
def test_both_formats_give_the_same_answers_for_real_windows():
    values = co2_windows()["values"]
    one, other = (load(exported(name)).predict(values) for name in FORMATS)
    assert set(one) == set(other) == {"prediction", "lower", "upper"}
    for key in one:
        assert one[key].shape == (16, 2, 1) and one[key].dtype == np.float32
        np.testing.assert_allclose(one[key], other[key], rtol=0, atol=1e-3)
    assert (one["lower"] < one["prediction"]).all() and (one["prediction"] < one["upper"]).all()


def test_rows_do_not_depend_on_the_rows_before(predictor):
    values = co2_windows()["values"]
    together = predictor.predict(values)["prediction"]
    alone = predictor.predict(values[5:6])["prediction"]
    np.testing.assert_allclose(alone[0], together[5], rtol=0, atol=1e-3)


def test_a_window_of_another_length_or_width_is_refused(predictor):
    values = co2_windows()["values"]
    with pytest.raises(DataError, match="19 steps, but the model takes windows of exactly 20"):
        predictor.predict(values[:, 1:])
    with pytest.raises(DataError, match=r"values has shape \(16, 20, 2\), expected \(batch, time, 1\)"):
        predictor.predict(np.repeat(values, 2, axis=2))


def test_lists_become_padded_arrays():
    parts = [np.full((n, 3), n, np.float64) for n in (2, 5, 0)]
    given = echo().predict(parts)
    assert given["lengths"].tolist() == [2, 5, 0] and given["lengths"].dtype == np.int32
    assert given["values"].shape == (3, 5, 3) and given["values"].dtype == np.float32
    assert given["values"][0, 2:].sum() == 0 and (given["values"][1] == 5).all()


@pytest.mark.parametrize("values, lengths, message", [
    (np.zeros((2, 3)), None, r"shape \(2, 3\), expected \(batch, time, 3\)"),
    (np.zeros((0, 4, 3)), None, "nothing to predict"),
    ([], None, "nothing to predict"),
    (np.zeros((1, 7, 3)), None, "7 steps, but the model's window has 6; give the last 6"),
    (np.zeros((2, 4, 3)), [4, 5], "holds 5, but values has 4 steps"),
    (np.zeros((2, 4, 3)), [4, -1], "holds -1"),
    (np.zeros((2, 4, 3)), [4.0, 1.0], "float64, expected whole numbers"),
    (np.zeros((2, 4, 3)), [4], r"lengths has shape \(1,\)"),
    ([np.zeros((4, 3)), np.zeros((4, 2))], None, r"values\[1\] has shape \(4, 2\)"),
    ([np.zeros((4, 3))], [4], "leave it out"),
    ([["a"]], None, r"values\[0\] is not an array of numbers"),
])  # fmt: skip
def test_wrong_inputs_are_named(values, lengths, message):
    with pytest.raises(DataError, match=message):
        echo().predict(values, lengths)


def test_missing_values_only_where_the_schema_allows_them_or_padding_lies():
    values = np.zeros((2, 4, 3), np.float32)
    values[0, 1, 1] = values[1, 3, 0] = np.nan
    echo().predict(values, [4, 3])
    with pytest.raises(DataError, match=r"values\[1, 3\] of feature 'speed' is nan \(1 such values\)"):
        echo().predict(values, [4, 4])
    values[1, 0, 2] = np.inf
    with pytest.raises(DataError, match="feature 'heat' is inf"):
        echo().predict(values, [4, 3])
    echo().predict(np.full((1, 4, 3), 3e38, np.float32))  # large, but a number


def test_names_are_checked_in_their_order():
    values = np.zeros((1, 4, 3))
    echo().predict(values, names=["speed", "level", "heat"])
    for names, message in {
        ("speed", "level"): "'heat' is missing",
        ("speed", "levle", "heat"): "'levle' is not one the model takes; did you mean 'level'",
        ("level", "speed", "heat"): "order level, speed, heat, but the model takes speed, level, heat",
        ("speed", "level", "heat", "heat"): "named twice",
    }.items():
        with pytest.raises(DataError, match=message):
            echo().predict(values, names=names)


@pytest.mark.parametrize("name", FORMATS)
def test_changed_files_are_refused(tmp_path, name):
    path = exported(name)
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    load(copy)
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {copy.name: "0" * 64}}))
    with pytest.raises(ModelError, match="was changed after it was written"):
        load(copy)
    shutil.copy(path.with_name(path.name + ".sha256"), tmp_path)  # every digest that is known must hold
    with pytest.raises(ModelError, match="was changed after it was written"):
        load(copy)
    (tmp_path / "manifest.json").unlink()
    load(copy)
    copy.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ModelError, match="sha256 differs"):
        load(copy)


def test_what_is_no_file_of_ours_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"neither an \.onnx nor a \.tflite"):
        load(tmp_path / "model.keras")
    for suffix, message in ((".onnx", "cannot be loaded as ONNX"), (".tflite", "was not written by keras_seq")):
        with pytest.raises(ModelError, match="There is no file"):
            load(tmp_path / f"model{suffix}")
        (tmp_path / f"model{suffix}").write_bytes(b"not a model")
        with pytest.raises(ModelError, match=message):
            load(tmp_path / f"model{suffix}")
    with pytest.raises(ModelError, match="format 9"):
        Contract.of({"format": 9}, "m.onnx")
    with pytest.raises(ModelError, match="incomplete"):
        Contract.of({"format": 1}, "m.onnx")


LIGHT = """
import json, sys
import numpy as np
from keras_seq.runtime import load
answers = load(sys.argv[1]).predict(np.full((3, 20, 1), 350.0))
print(json.dumps({"modules": sorted({name.split(".")[0] for name in sys.modules}),
                  "mb": int(open("/proc/self/statm").read().split()[1]) * 4 / 1024,
                  "shape": answers["prediction"].shape}))
"""


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_heavy_is_loaded(name):
    command = [sys.executable, "-c", LIGHT, str(exported(name))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(done.stdout)
    assert found["shape"] == [3, 2, 1]
    assert not set(found["modules"]) & set(HEAVY)
    assert found["mb"] < 300
