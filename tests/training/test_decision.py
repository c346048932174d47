from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_seq.config import EvaluationConfig
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.errors import DataError
from keras_seq.models import decision as layers
from keras_seq.training.decision import clusters, fit_decision
from tests.factories.onnx_graph import run_as_onnx


def spec_of(task, **more):
    scaling = Scaling(center=((0.0,),), scale=((1.0,),), fill=(0.0,))
    return DataSpec(task=task, features=("x",), targets=("y",), time=5, variable_length=False, scaling=scaling, **more)


LAYERS = [
    layers.PlattScaling(1.7, -0.3),
    layers.TableScaling([0.1, 0.3, 0.3, 0.9], [0.05, 0.2, 0.6, 0.95]),
    layers.TemperatureScaling(1.8),
    layers.Interval([1.5], [[0.1, 0.4, 0.8]], [[0.2, 1.0, 0.5]], (None, 1.2)),
    layers.Interval([[1.0, 2.0], [3.0, 4.0]]),
    layers.QuantileInterval(0, 2, -0.4, (0.0, None)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_layers_are_saved_and_come_back(layer, tmp_path):
    shape = (
        (2, 2)
        if np.ndim(getattr(layer, "width", 0)) == 2
        else (3,)
        if layer.name.startswith(("temp", "quant"))
        else (1,)
    )
    inputs = keras.Input(shape)
    keras.Model(inputs, layer(inputs)).save(tmp_path / "layer.keras")
    again = keras.models.load_model(tmp_path / "layer.keras", safe_mode=True)
    x = np.random.default_rng(0).random((4, *shape), np.float32)
    for one, other in zip(keras.tree.flatten(layer(x)), keras.tree.flatten(again(x)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("knots", [2, 7])
def test_ramps_are_numpys_interpolation(knots):
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.random((3, 2, knots)), axis=-1), rng.random((3, 2, knots))
    at = rng.uniform(-0.3, 1.3, (50, 3, 2)).astype(np.float32)
    found = np.asarray(layers.interpolate(at, x, y))
    for i, j in np.ndindex(3, 2):
        np.testing.assert_allclose(found[:, i, j], np.interp(at[:, i, j], x[i, j], y[i, j]), atol=1e-4)


def test_an_empty_decision_changes_nothing():
    output = np.array([[0.4], [0.6]], np.float32)
    found = layers.decide_array(output, spec_of("binary"), {})
    np.testing.assert_array_equal(found["probability"], output)
    np.testing.assert_array_equal(found["class"], [[0], [1]])
    assert set(layers.decide_array(output, spec_of("regression"), {})) == {"prediction"}


def test_calls_are_made_on_calibrated_probabilities():
    decision = {"threshold": 0.5, "calibration": {"method": "platt", "slope": 1.0, "offset": -2.0}}
    found = layers.decide_array(np.array([[0.8], [0.9]], np.float32), spec_of("binary"), decision)
    np.testing.assert_allclose(
        found["probability"][:, 0], [0.8 / 0.2 / np.e**2 / (1 + 4 / np.e**2), 9 / (9 + np.e**2)], rtol=1e-5
    )
    np.testing.assert_array_equal(found["class"][:, 0], [0, 1])


def test_ends_never_cross_and_stay_in_bounds():
    layer = layers.QuantileInterval(0, 2, -5.0, (None, 3.0))
    low, high = layer(np.array([[1.0, 2.0, 4.0]], np.float32))
    assert (float(low[0]), float(high[0])) == (2.5, 2.5)
    low, high = layers.Interval([2.0], bounds=(0.0, 10.0))(np.array([[1.0], [9.5], [12.5]], np.float32))
    np.testing.assert_array_equal(low[:, 0], [0, 7.5, 10])
    np.testing.assert_array_equal(high[:, 0], [3, 10, 10])


def test_groups_or_blocks_of_time_are_exchangeable():
    unit, row = np.array([3, 3, 3, 3, 5, 5]), np.array([10, 11, 12, 13, 40, 41])
    groups = np.array(["a", "a", "b", "c", "c", "c"])
    assert len(np.unique(clusters(unit, row, groups, block=0))) == 1
    np.testing.assert_array_equal(clusters(unit, row, groups, block=2), [0, 0, 1, 1, 2, 2])


def test_intervals_are_fitted_to_the_capped_truth():
    truth, answer = np.array([[100.0 + k] for k in range(40)]), np.full((40, 1), 100.0)
    settings = EvaluationConfig(conformal="split")
    found = fit_decision(settings, spec_of("regression"), truth, answer, np.arange(40), cap=110.0)
    assert found["interval"] == {"method": "split", "width": [10.0], "bounds": [None, 110.0]}
    assert found["coverage"] == 0.9


def test_too_few_units_mean_no_interval_and_a_note():
    truth = np.zeros((80, 1))
    found = fit_decision(EvaluationConfig(), spec_of("regression"), truth, truth, np.arange(80) // 10)
    assert found["interval"] == {"method": "none"}
    assert "needs at least 9 validation units" in found["notes"][0]
    assert "there are 8" in found["notes"][0]
    lower = EvaluationConfig(coverage=0.8)
    assert fit_decision(lower, spec_of("regression"), truth, truth, np.arange(80) // 10)["interval"]["method"] != "none"


def test_adaptive_is_for_forecasts():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(60, 2, 1))
    settings = EvaluationConfig(conformal="adaptive")
    found = fit_decision(settings, spec_of("forecast", horizon=2), truth, truth * 0, np.arange(60) // 2)
    assert found["adaptive"]["shape"] == [2, 1]
    flat = truth[:, 0]
    found = fit_decision(settings, spec_of("regression"), flat, flat * 0, np.arange(60))
    assert found["interval"]["method"] == "split"
    assert "task regression got fixed ones" in found["notes"][0]


def test_a_quantile_model_gets_margins():
    rng = np.random.default_rng(0)
    truth, levels = rng.normal(size=(200, 1)), (0.05, 0.5, 0.95)
    output = np.tile([-1.0, 0.0, 1.0], (200, 1)).astype(np.float32)
    found = fit_decision(EvaluationConfig(), spec_of("regression"), truth, output, np.arange(200), quantiles=levels)
    answers = layers.decide_array(output, spec_of("regression"), found, levels)
    assert {name: value.shape for name, value in answers.items()} == {
        "quantiles": (200, 3), "prediction": (200, 1), "lower": (200, 1), "upper": (200, 1)
    }  # fmt: skip
    assert np.mean((truth >= answers["lower"]) & (truth <= answers["upper"])) == pytest.approx(0.9, abs=0.01)


def test_answers_that_are_not_numbers_are_refused():
    with pytest.raises(DataError, match="1 of 2 validation answers are not finite"):
        fit_decision(EvaluationConfig(), spec_of("binary"), [0, 1], [0.5, np.nan], [0, 1])


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "forecast"])
def test_the_decision_converts_to_onnx_without_loops(task):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    normalised = {"method": "normalised", "width": [2.0], "knots": [[0.1, 0.5, 0.9]], "spread": [[0.1, 0.3, 0.2]]}
    isotonic = {"method": "isotonic", "x": [0, 0.5, 1], "y": [0.1, 0.2, 0.9]}
    case = {
        "binary": ((1,), {"threshold": 0.3, "calibration": isotonic}),
        "multiclass": ((4,), {"calibration": {"method": "temperature", "temperature": 2.0, "multiclass": True}}),
        "regression": ((1,), {"interval": {**normalised, "bounds": [None, 0.8]}}),
        "forecast": ((3, 1), {"interval": {"method": "split", "width": [[1.0], [2.0], [3.0]], "bounds": [None, None]}}),
    }  # fmt: skip
    shape, decision = case[task]
    spec = spec_of(task, horizon=3 if task == "forecast" else 0)
    x = rng.dirichlet(np.ones(4), 6).astype(np.float32) if task == "multiclass" else rng.random((6, *shape), np.float32)
    signature = [tf.TensorSpec((None, *shape), tf.float32, name="output")]
    answers, _ = run_as_onnx(lambda output: layers.decide(output, spec, decision), signature, {"output": x})
    expected = layers.decide_array(x, spec, decision)
    assert set(answers) == set(expected)
    for name, found in answers.items():
        np.testing.assert_allclose(found, expected[name], atol=1e-6)
