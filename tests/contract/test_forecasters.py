"""Families that do nothing but forecast: what the suite of sequences asks of the others, asked of these."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_seq.errors import ConfigError
from keras_seq.models import build_model
from keras_seq.models.registry import forecasters
from tests.contract.checks import check_padding
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


@ALL
def test_windows_scaled_by_themselves_are_padded_without_effect(build, family):
    check_padding(build(family, "forecast", normalisation="instance"))


@ALL
def test_missing_values_are_mended(build, family):
    case = build(family, "forecast", spec={"impute": "mean", "missing_indicator": True})
    values = case.inputs["values"].copy()
    values[:, 2:5, 1], values[1, 0], values[0, :, 2] = np.nan, np.nan, np.inf
    assert np.isfinite(case.predict({**case.inputs, "values": values})).all()


@ALL
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


@pytest.mark.parametrize("family", tiers(FAMILIES, slow=["nlinear"]))
def test_rematerialised_model_gives_equal_answers(build, tools, family):
    case = build(family, "forecast", dropout=0.0)
    again = build_model(tools.make_config(family, "forecast", dropout=0.0), case.spec, rematerialise=True)
    again.set_weights(case.model.get_weights())
    np.testing.assert_allclose(np.asarray(again(case.inputs)), case.answers, rtol=0, atol=case.tolerance)


@pytest.mark.parametrize(
    ("family", "task"),
    tiers(FORMATS, slow=[*((family, "forecast") for family in FAMILIES), ("nhits", "forecast_quantiles")]),
)
def test_formats_agree(build, tools, tmp_path, family, task):
    variable = task == "forecast"
    case = build(family, task, spec={**GAPS, "variable_length": variable}, normalisation="instance")
    check(case, tools, tmp_path, ["onnx", "tflite"])
