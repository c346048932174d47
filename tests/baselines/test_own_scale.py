"""Fitted families on windows that are scaled by themselves: the size of a unit is no part of what they learn."""

from __future__ import annotations

from functools import lru_cache

import keras
import numpy as np
import pytest

from keras_seq import config
from keras_seq.data.prepare import Prepared, prepare_series
from keras_seq.errors import ConfigError
from keras_seq.models.registry import get_family, resolve_experiment
from tests.factories.fitted import SMALL
from tests.factories.fitted import fitted as by_task
from tests.factories.tiers import tiers
from tests.factories.unlike import unlike_units

FAMILIES = ("ridge", "hist_gradient_boosting", "extra_trees", "lightgbm")
SETTINGS = {
    "data": {
        "source": "table",
        "windows": {"mode": "sliding", "length": 24, "horizon": 4},
        "split": {"by": "time", "validation": 20, "test": 20},
    },
    "model": {"normalisation": "instance", "arima": {"period": 8}, "trees": SMALL},
}


@lru_cache
def fitted(family: str, features: str = "auto", loss_scale: str = "none") -> tuple[keras.Model, Prepared]:
    if family == "lightgbm":
        pytest.importorskip("lightgbm", reason="the optional extra 'trees' is not installed")
    model = SETTINGS["model"] | {"family": family, "features": features}
    tree = {"data": SETTINGS["data"], "model": model, "training": {"loss_scale": loss_scale}}
    experiment = resolve_experiment(config.from_dict(tree))
    prepared = prepare_series(unlike_units(odd=True), experiment.data)
    return get_family(family).fit(experiment, prepared, lambda _: None), prepared  # type: ignore[misc]


def answer(model: keras.Model, windows: np.ndarray) -> np.ndarray:
    inputs = {"values": windows.astype(np.float32)}
    if len(model.inputs) > 1:
        inputs["lengths"] = np.full(len(windows), windows.shape[1], np.int32)
    return np.asarray(model(inputs), np.float64)


def season(batch: int = 6, ahead: int = 0) -> np.ndarray:
    step = np.arange(ahead or 24) + (24 if ahead else 0)
    return np.stack([5 + np.sin(2 * np.pi * (step + k) / 8) for k in range(batch)])[..., None]


@pytest.mark.parametrize("family", tiers(FAMILIES, slow=FAMILIES[:1]))
def test_the_forecast_of_every_size_is_as_good(family: str) -> None:
    model, _ = fitted(family)
    for size, level in [(1.0, 0.0), (1e5, 0.0), (1e-3, 0.0), (10.0, 3000.0)]:
        found = (answer(model, season() * size + level) - level) / size
        assert np.abs(found - season(ahead=4)).mean() < 0.15


@pytest.mark.parametrize("family", tiers(FAMILIES, slow=FAMILIES[:1]))
def test_a_constant_stays_and_one_step_does_not_explode(family: str) -> None:
    model, _ = fitted(family)
    windows = np.full((4, 24, 1), 0.1)
    windows[1], windows[2] = 0.0, 1e6
    windows[3, 20] = 0.2
    found = answer(model, windows)
    np.testing.assert_array_equal(found[:3, :, 0], np.repeat(np.float32([[0.1], [0.0], [1e6]]), 4, axis=1))
    assert np.abs(found[3] - 0.1).max() < 1.0


@pytest.mark.parametrize("features", tiers(["recent", "last", "window", "lags"], slow=["lags"]))
def test_every_kind_of_features_can_be_asked_for(features: str) -> None:
    model, _ = fitted("hist_gradient_boosting", features)
    one, other = answer(model, season()), answer(model, season() * 1000.0)
    np.testing.assert_allclose(
        other / 1000.0, one, atol=2e-2
    )  # a feature at the edge of a leaf may fall to either side


def test_errors_can_be_counted_in_those_of_the_season() -> None:
    model, _ = fitted("ridge", loss_scale="season")
    assert np.abs(answer(model, season() * 100.0) / 100.0 - season(ahead=4)).mean() < 0.15


def test_lags_are_of_a_forecast() -> None:
    with pytest.raises(ConfigError, match=r"'lags' are of a forecast's own targets"):
        by_task("sliding", "ridge", features="lags")
