"""ONNX files of a bundle: fused, named, described, checked; and parity that notices a wrong file."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest

from keras_seq import files
from keras_seq.errors import ConfigError, ExportError
from keras_seq.export.formats import get_format
from keras_seq.export.metadata import Source, source_of
from keras_seq.export.onnx import convert, describe_file, inspect_onnx, quantise_onnx
from keras_seq.export.parity import check_parity
from tests.factories.exports import co2_bundle, co2_windows, exported


@pytest.fixture(scope="module")
def path():
    return exported("onnx")


def test_layers_are_fused_and_answers_named(path):
    found = inspect_onnx(path)
    assert found.nodes["LSTM"] == 1 and found.loops == 0
    assert set(found.outputs) == {"prediction", "lower", "upper"}
    proto = onnx.load(path)
    shapes = {given.name: [axis.dim_param or axis.dim_value for axis in given.type.tensor_type.shape.dim]
              for given in proto.graph.input}  # fmt: skip
    assert set(shapes) == {"values"}
    assert shapes["values"][2] == len(co2_bundle().spec.features)
    assert all(isinstance(axis, str) for axis in shapes["values"][:2])
    assert proto.opset_import[0].version == 17


def test_the_file_says_what_it_takes_and_where_it_comes_from(path):
    described, bundle = describe_file(path), co2_bundle()
    assert [feature["name"] for feature in described["features"]] == list(bundle.spec.features)
    assert described["model_sha256"] == files.sha256(bundle.folder / "model.keras")
    assert (described["task"], described["time"], described["horizon"]) == ("forecast", 20, 2)
    assert set(described["versions"]) >= {"keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "keras_seq"}
    assert json.dumps(described)
    assert path.with_name(path.name + ".sha256").read_text().split() == [files.sha256(path), path.name]


def test_real_windows_agree_in_any_batch(path):
    report = check_parity(co2_bundle(), co2_windows(), {"onnx": path})
    assert report.passed, report.reasons
    (found,) = report.formats
    assert found.windows == 16 and 0 <= found.mean <= found.largest <= 1e-5
    assert set(found.answers) == {"prediction", "lower", "upper"}
    assert json.loads(json.dumps(report.to_dict()))["passed"] is True


def test_a_file_of_other_weights_does_not_pass(path, tmp_path):
    proto = onnx.load(path)
    for weight in proto.graph.initializer:
        if len(weight.dims) == 3:  # of the LSTM
            values = onnx.numpy_helper.to_array(weight) * np.float32(1.01)
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(proto, tmp_path / "model.onnx")
    report = check_parity(co2_bundle(), co2_windows(), {"onnx": tmp_path / "model.onnx"})
    assert not report.passed
    assert "largest difference" in report.reasons[0]


def test_a_file_that_cannot_run_is_an_entry_not_an_end(path, tmp_path):
    (tmp_path / "model.onnx").write_bytes(path.read_bytes()[:500])
    report = check_parity(co2_bundle(), co2_windows(), {"onnx": tmp_path / "model.onnx", "onnx-int8": path})
    assert [found.passed for found in report.formats] == [False, True]
    assert "cannot be loaded" in report.formats[0].reasons[0]


def test_int8_is_smaller_and_close(path, tmp_path):
    found = quantise_onnx(path, tmp_path / "small.onnx")
    assert found.nodes["DynamicQuantizeLSTM"] == 1
    assert describe_file(found.path)["precision"] == "int8-dynamic"
    report = check_parity(co2_bundle(), co2_windows(), {"onnx-int8": found.path})
    assert report.passed, report.reasons
    assert report.formats[0].largest > 1e-5


def test_broken_and_foreign_files_are_named(path, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match=r"broken\.onnx' is not a valid ONNX file"):
        inspect_onnx(tmp_path / "broken.onnx")
    proto = onnx.load(path)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "foreign.onnx")
    with pytest.raises(ExportError, match="was not written by keras_seq"):
        describe_file(tmp_path / "foreign.onnx")


def test_what_onnx_does_not_have_is_refused():
    import tensorflow as tf

    signature = [tf.TensorSpec((None, 3), tf.float32, name="values")]
    with pytest.raises(ExportError, match="it uses Digamma, which ONNX does not"):
        convert(lambda values: {"answer": tf.math.digamma(values)}, signature)


def test_unknown_formats_are_named():
    with pytest.raises(ConfigError, match="did you mean 'tflite'"):
        get_format("tflit")


def test_a_source_stays_itself():
    source = Source(co2_bundle().model, co2_bundle().spec)
    assert source_of(source) is source
    assert source_of(co2_bundle()).schema is co2_bundle().schema


def test_digest_beside_the_file_moves_with_it(path, tmp_path):
    from keras_seq.runtime import load

    for name in (path.name, path.name + ".sha256"):
        shutil.copy(path.with_name(name), tmp_path / name)
    assert load(tmp_path / path.name).contract.time == 20


def masked(*, shorter: bool = False):
    """Two masks of one number of steps, or of two; what they leave is summed."""
    import tensorflow as tf

    def real(x, lengths):
        steps = tf.range(tf.shape(x)[1])
        return tf.reshape(steps, (1, -1, 1)) < tf.reshape(lengths, (-1, 1, 1))

    def answer(values, lengths):
        x = tf.where(real(values, lengths), values, 0.0)
        x = tf.nn.relu(x * 2.0)
        x = x[:, ::2] if shorter else x
        return {"answer": tf.reduce_sum(tf.where(real(x, lengths), x, -1.0), 1)}

    return answer, [tf.TensorSpec((None, None, 3), tf.float32, "values"), tf.TensorSpec((None,), tf.int32, "lengths")]


@pytest.mark.parametrize("shorter", [False, True])
def test_masks_of_the_same_steps_are_one_and_others_stay(shorter):
    import tensorflow as tf

    from tests.factories.onnx_graph import run_as_onnx

    answer, signature = masked(shorter=shorter)
    values = np.random.default_rng(0).normal(size=(4, 9, 3)).astype(np.float32)
    values[2, 3:] = np.nan
    given = {"values": values, "lengths": np.array([9, 0, 3, 1], np.int32)}
    found, kinds = run_as_onnx(answer, signature, given)
    expected = answer(**{name: tf.constant(value) for name, value in given.items()})["answer"]
    np.testing.assert_allclose(found["answer"], expected, atol=1e-6)
    assert kinds["Range"] == kinds["Less"] == (2 if shorter else 1)


def test_a_mask_under_the_same_mask_is_left_out():
    import tensorflow as tf

    from tests.factories.onnx_graph import run_as_onnx

    def answer(values, lengths):
        real = tf.reshape(tf.range(tf.shape(values)[1]), (1, -1, 1)) < tf.reshape(lengths, (-1, 1, 1))
        return {"answer": tf.where(real, tf.nn.relu(tf.where(real, values, 0.0)), -1.0)}

    _, signature = masked()
    values = np.array([[[1.0, -2.0, np.nan], [4.0, 5.0, 6.0]]], np.float32)
    given = {"values": values, "lengths": np.array([1], np.int32)}
    found, kinds = run_as_onnx(answer, signature, given)
    np.testing.assert_array_equal(found["answer"], [[[1, 0, np.nan], [-1, -1, -1]]])
    assert kinds["Where"] == 1
