"""Trained in half precision, served in float32: every format answers as the bundle does."""

from __future__ import annotations

import pytest

from keras_seq.bundle import load_bundle
from keras_seq.export.canary import answers_of
from keras_seq.export.formats import write_formats
from keras_seq.export.metadata import source_of
from keras_seq.export.parity import check_parity
from keras_seq.export.samples import sample_windows
from keras_seq.export.version import Wanted, export_version
from tests.factories.experiments import co2_tree, placed

pytestmark = pytest.mark.slow


def policies(model):
    return {layer.dtype_policy.name for layer in model._flatten_layers(include_self=False)}


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_model_trained_in_half_precision_agrees_in_every_format(tmp_path, precision):
    from keras_seq.pipeline.train import train

    training = {"epochs": 1, "batch_size": 64, "mixed_precision": precision, "jit": False}
    tree = co2_tree(**{"data.impute": "forward", "training": training, "evaluation.baseline": False})
    bundle = load_bundle(train(placed(tree, tmp_path), quiet=True).bundle)
    assert bundle.experiment.training.mixed_precision == precision and policies(bundle.model) == {"float32"}
    windows = sample_windows(bundle, part="test", count=8)
    wanted = Wanted(canaries={"this process": answers_of})
    found = export_version(
        bundle, tmp_path / "export", ("saved_model", "onnx", "tflite"), windows=windows, wanted=wanted
    )
    assert found.verdict.blessed, found.verdict.reasons


def test_a_bundle_that_still_computes_in_half_precision_is_exported_in_float32(tmp_path):
    """As bundles were written before: the model itself kept its policy."""
    import keras

    from tests.factories.bundles import experiment, make_bundle

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        folder = make_bundle(experiment(co2_tree(**{"data.impute": "forward"}), tmp_path))
    finally:
        keras.config.set_dtype_policy("float32")
    bundle = load_bundle(folder)
    assert "mixed_bfloat16" in policies(bundle.model) and policies(source_of(bundle).model) == {"float32"}
    written, failed = write_formats(bundle, tmp_path / "files", ["onnx"])
    report = check_parity(bundle, sample_windows(bundle, part="test", count=8), written)
    assert not failed and report.passed, report.reasons
