"""Families that do nothing but forecast: what the suite of sequences asks of the others, asked of these."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_seq.errors import ConfigError
from keras_seq.models import build_model
from keras_seq.models.registry import forecasters
from tests.contract.checks import check_padding
from tests.contract.test_exports import write_saved_model
from tests.contract.test_formats import GAPS, check
from tests.factories.tiers import tiers

FAMILIES = sorted(forecasters())
FORMATS = [(family, task) for family in FAMILIES for task in ("forecast", "forecast_quantiles")]
ALL = pytest.mark.parametrize("family", FAMILIES)


@ALL
def test_other_tasks_are_refused(tools, family):
    for task in ("regression", "binary"):
        with pytest.raises(ConfigError, match=f"'{family}' forecasts input columns"):
            build_model(tools.make_config(family, task), tools.make_spec(task))


@ALL
@pytest.mark.parametrize("settings", [{"skip": "linear"}, {"channel_independent": True, "history": {}}])
def test_wrappers_of_other_families_are_refused(tools, family, settings):
    with pytest.raises(ConfigError, match="Option 'model"):
        build_model(tools.make_config(family, "forecast", **settings), tools.make_spec("forecast"))


@ALL
def test_scaled_by_the_window_a_level_is_carried_along(build, family):
    """A window that lies 1000 deviations higher is forecast 1000 deviations higher, by families that see it so."""
    case = build(family, "forecast", normalisation="instance", history={})
    raised = case.inputs["values"] + np.float32([0, 64, 4096])
    expected = case.predict(case.inputs) + np.float32([64, 4096])
    full = case.inputs["lengths"] > 3  # a window of few steps has its deviation from rounding
    np.testing.assert_allclose(case.predict({**case.inputs, "values": raised})[full], expected[full], rtol=1e-3)


@pytest.mark.parametrize("task", ["forecast", "forecast_quantiles"])
@pytest.mark.parametrize("batch", [1, 3, 4])
def test_as_many_windows_as_steps_or_levels_are_not_mixed_up(tools, task, batch):
    """Keras' own addition takes ``(batch, 1, 1)`` for a bias where it fits another axis."""
    spec = tools.make_spec(
        task, targets=("level",), target_index=(1,), target_mean=(-5.0,), target_std=(0.5,), horizon=3
    )
    model = tools.shake(build_model(tools.make_config("nlinear", task, history={}), spec))
    values, lengths = tools.raw_values(4), np.full(4, tools.TIME, np.int32)
    each = [np.asarray(model({"values": values[i : i + 1], "lengths": lengths[i : i + 1]})) for i in range(4)]
    together = np.asarray(model({"values": values[:batch], "lengths": lengths[:batch]}))
    np.testing.assert_allclose(together, np.concatenate(each[:batch]), rtol=0, atol=1e-4)
    other = model.predict_on_batch({"values": np.tile(values[:1], (7, 1, 1)), "lengths": lengths[[0] * 7]})
    np.testing.assert_allclose(other[0], each[0][0], rtol=0, atol=1e-4)


@ALL
def test_windows_scaled_by_themselves_are_padded_without_effect(build, family):
    check_padding(build(family, "forecast", normalisation="instance"))


@ALL
def test_missing_values_are_mended(build, family):
    case = build(family, "forecast", spec={"impute": "mean", "missing_indicator": True})
    values = case.inputs["values"].copy()
    values[:, 2:5, 1], values[1, 0], values[0, :, 2] = np.nan, np.nan, np.inf
    assert np.isfinite(case.predict({**case.inputs, "values": values})).all()


@pytest.mark.parametrize("family", tiers(FAMILIES, quick=["nlinear"], slow=set(FAMILIES) - {"nlinear"}))
def test_loss_falls(tools, family):
    keras.utils.set_random_seed(0)
    spec = tools.make_spec("forecast", variable_length=False)
    model = build_model(tools.make_config(family, "forecast", dropout=0.0, history={}), spec)
    values = tools.raw_values(64)
    values[:, :, 1:] += np.arange(12, dtype=np.float32)[None, :, None] * np.float32([0.2, 20])
    rise = (np.arange(12, 16, dtype=np.float32)[None, :, None] * np.float32([0.2, 20])) + np.float32([-5, 300])
    truth = np.repeat(rise, 64, axis=0)
    scale = np.float32([0.5, 40])

    def loss(y, answer):
        return keras.ops.mean(keras.ops.abs((y - answer) / scale))

    model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=False)
    losses = [float(model.train_on_batch({"values": values}, truth)) for _ in range(40)]
    assert losses[-1] < 0.6 * losses[0], losses


@ALL
def test_mixed_precision_answers_in_float32(tools, family):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        spec = tools.make_spec("forecast_quantiles")
        model = build_model(tools.make_config(family, "forecast_quantiles", normalisation="instance"), spec)
        answers = model({"values": tools.raw_values(5), "lengths": np.int32([12, 7, 1, 0, 3])}, training=True)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert np.asarray(answers).dtype == np.float32
    assert np.isfinite(np.asarray(answers)).all()


@ALL
def test_a_twin_of_its_layers_answers_alike(build, family, monkeypatch):
    """What compression and quantisation exchange layers in; here in the smallest, too."""
    from keras_seq.compress import kernels
    from keras_seq.compress.twin import make_twin
    from keras_seq.models.views import plain_twin

    monkeypatch.setattr(kernels, "LEAST", 1)
    case, seen = build(family, "forecast"), []
    twin = make_twin(plain_twin(case.model), lambda name, layer: seen.append(name) or layer)
    np.testing.assert_allclose(np.asarray(twin.model(case.inputs)), case.answers, rtol=0, atol=case.tolerance)
    assert sorted(seen) == sorted(kernels.compressible(case.model))
    assert seen


@pytest.mark.parametrize("family", tiers(FAMILIES, slow=["nhits", "patchtst"]))
def test_saved_model_agrees(build, tmp_path, family):
    import tensorflow as tf

    case = build(family, "forecast", normalisation="instance")
    write_saved_model(case.model, tmp_path / "model")
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    answers = served(values=tf.constant(case.inputs["values"]), lengths=tf.constant(case.inputs["lengths"]))["answer"]
    np.testing.assert_allclose(answers, case.answers, rtol=0, atol=case.tolerance)


@pytest.mark.parametrize("family", tiers(FAMILIES, slow=["nlinear"]))
def test_rematerialised_model_gives_equal_answers(build, tools, family):
    case = build(family, "forecast", dropout=0.0)
    again = build_model(tools.make_config(family, "forecast", dropout=0.0), case.spec, rematerialise=True)
    again.set_weights(case.model.get_weights())
    np.testing.assert_allclose(np.asarray(again(case.inputs)), case.answers, rtol=0, atol=case.tolerance)


@pytest.mark.parametrize(
    ("family", "task"),
    tiers(FORMATS, slow=[("nlinear", "forecast"), ("patchtst", "forecast"), ("nhits", "forecast_quantiles")]),
)
def test_formats_agree(build, tools, tmp_path, family, task):
    variable = task == "forecast"
    case = build(family, task, spec={**GAPS, "variable_length": variable}, normalisation="instance")
    check(case, tools, tmp_path, ["onnx", "tflite"])
