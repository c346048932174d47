"""Heads and the tools that look into models."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.errors import ModelError
from keras_seq.models import build_model, freeze, get_attention_weights, layer_outputs, parameter_count, warm_start
from keras_seq.models.heads import MonotoneQuantiles


def spec(**changes):
    settings = {
        "task": "regression", "features": ("a", "b"), "targets": ("y",), "time": 8, "variable_length": True,
        "target_mean": (5.0,), "target_std": (2.0,),
        "scaling": Scaling(center=((0.0, 0.0),), scale=((1.0, 1.0),), fill=(0.0, 0.0)),
    }  # fmt: skip
    return DataSpec(**{**settings, **changes})


@pytest.fixture(scope="module")
def model():
    return build_model(ModelConfig(family="attention_lstm", units=8, layers=1, heads=2), spec())


@pytest.fixture
def inputs():
    values = np.random.default_rng(0).normal(size=(3, 8, 2)).astype(np.float32)
    return {"values": values, "lengths": np.array([8, 5, 0], np.int32)}


@pytest.mark.parametrize("levels", [(0.5,), (0.1, 0.9), (0.05, 0.25, 0.5, 0.75, 0.95)])
def test_quantiles_rise_and_start_as_a_standard_normal(levels):
    from scipy.stats import norm

    layer = MonotoneQuantiles(levels)
    np.testing.assert_allclose(layer(np.zeros((1, len(levels)), np.float32))[0], norm.ppf(levels), atol=1e-5)
    wild = np.asarray(layer(np.random.default_rng(0).normal(size=(50, 4, len(levels)), scale=5).astype(np.float32)))
    assert wild.shape == (50, 4, len(levels))
    assert (np.diff(wild, axis=-1) >= 0).all()


def test_untrained_answers_start_near_the_target_mean(model, inputs):
    assert np.abs(np.asarray(model(inputs)) - 5.0).max() < 10


def test_head_layers_are_configured():
    config = ModelConfig(family="gru", units=4, layers=1, hidden_dims=(7, 3), head_dropout=0.5, activation="gelu")
    built = build_model(config, spec())
    names = [layer.name for layer in built.layers]
    assert [n for n in names if n.startswith("head")] == [
        "head_1", "head_dropout_1", "head_2", "head_dropout_2", "head_output",
    ]  # fmt: skip
    assert built.get_layer("head_2").units == 3
    assert not any(getattr(layer, "kernel_regularizer", None) for layer in built.layers)


def test_classes_are_computed_in_float32_under_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        built = build_model(ModelConfig(family="gru", units=4), spec(task="multiclass", classes=("a", "b")))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert built.get_layer("probabilities").compute_dtype == "float32"
    assert built.get_layer("gru_1").compute_dtype == "float16"


def test_attention_weights(model, inputs):
    weights = get_attention_weights(model, inputs)
    assert set(weights) == {"attention_1"}
    assert weights["attention_1"].shape == (3, 2, 8, 8)
    np.testing.assert_allclose(weights["attention_1"][:2].sum(-1), 1, rtol=1e-5)
    assert weights["attention_1"][1, :, :, 5:].max() < 1e-6
    assert get_attention_weights(build_model(ModelConfig(family="gru", units=4), spec()), inputs) == {}


def test_layer_outputs(model, inputs):
    out = layer_outputs(model, ["preprocess", "lstm_1", "prediction"], inputs)
    np.testing.assert_allclose(out["preprocess"][1, :5], inputs["values"][1, :5], rtol=1e-6)
    assert out["lstm_1"].shape == (3, 8, 8)
    np.testing.assert_allclose(out["prediction"], model(inputs), rtol=1e-5)
    with pytest.raises(ModelError, match="no layer 'lstm1'; did you mean 'lstm_1'"):
        layer_outputs(model, ["lstm1"], inputs)


def test_freeze():
    built = build_model(ModelConfig(family="lstm", units=4), spec())
    before = parameter_count(built, trainable_only=True)
    assert freeze(built, ["lstm_*"]) == ["lstm_1", "lstm_2"]
    assert parameter_count(built) == before
    assert parameter_count(built, trainable_only=True) == 4 * 32 + 32 + 32 + 1
    with pytest.raises(ModelError, match="'lst_1'; did you mean 'lstm_1'"):
        freeze(built, ["lst_1"])


def test_warm_start_copies_what_fits():
    source = build_model(ModelConfig(family="lstm", units=4, hidden_dims=(5,)), spec())
    built = build_model(ModelConfig(family="lstm", units=4, hidden_dims=(6,)), spec())
    assert warm_start(built, source) == ["lstm_1", "lstm_2"]
    for one, other in zip(
        built.get_layer("lstm_2").get_weights(), source.get_layer("lstm_2").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ModelError, match="No layer of the warm start"):
        warm_start(build_model(ModelConfig(family="tcn", layers=1, filters=3, hidden_dims=(9,)), spec()), source)
