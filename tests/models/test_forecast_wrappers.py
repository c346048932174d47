"""Forms of a forecast: columns apart, patches, the linear skip; each padded, saved and refused as it should."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError
from keras_seq.models.build import build_model
from tests.models.test_kalman import make_spec


def two_columns(*, variable: bool) -> DataSpec:
    update = {"targets": ("other", "y"), "target_index": (0, 1), "target_mean": (0.0, 0.0), "target_std": (1.0, 1.0)}
    return make_spec(variable=variable, time=24).model_copy(update=update)


def model_of(*, variable: bool, **fields: object) -> keras.Model:
    keras.utils.set_random_seed(0)
    settings = {"family": "lstm", "units": 4, "layers": 1, "normalisation": "instance", **fields}
    model = build_model(ModelConfig.model_validate(settings), two_columns(variable=variable))
    rng = np.random.default_rng(0)  # zeros hide mistakes
    model.set_weights([w + rng.normal(size=w.shape).astype(np.float32) * 0.1 for w in model.get_weights()])
    return model


def sample(rows: int = 24, batch: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(batch, rows, 2)).astype(np.float32)


@pytest.mark.parametrize("patch", [0, 8])
def test_columns_do_not_see_each_other(patch: int) -> None:
    model = model_of(variable=False, channel_independent=True, patch=patch, skip="linear")
    x, changed = sample(), sample()
    changed[:, :, 1] *= -3.0
    before, after = np.asarray(model({"values": x})), np.asarray(model({"values": changed}))
    np.testing.assert_allclose(before[..., 0], after[..., 0], rtol=1e-5, atol=1e-5)
    assert np.abs(before[..., 1] - after[..., 1]).max() > 0.1
    swapped = np.asarray(model({"values": x[:, :, ::-1]}))
    np.testing.assert_allclose(swapped, before[:, :, ::-1], rtol=1e-5, atol=1e-5)  # one model for both


def test_padding_has_no_effect_and_saving_none(tmp_path: Path) -> None:
    model = model_of(variable=True, channel_independent=True, skip="linear")
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    x, lengths = sample(15), np.array([15, 9, 4], np.int32)
    expected = np.asarray(model({"values": x, "lengths": lengths}))
    padded = np.concatenate([x, np.full((3, 9, 2), np.nan, np.float32)], axis=1)
    padded[1, 9:], padded[2, 4:] = 1e6, np.nan
    got = np.asarray(again({"values": padded, "lengths": lengths}))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_the_skip_starts_from_the_last_value() -> None:
    keras.utils.set_random_seed(0)
    model = build_model(ModelConfig(family="lstm", units=4, skip="linear"), two_columns(variable=False))
    head = model.get_layer("head_output")
    head.set_weights([np.zeros_like(w) for w in head.get_weights()])
    x = sample()
    np.testing.assert_allclose(np.asarray(model({"values": x})), np.repeat(x[:, -1:], 3, axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patch": 7}, "patches of 7"),
        ({"skip": "linear", "quantiles": (0.1, 0.9)}, "quantiles"),
        ({"channel_independent": True, "input_dense": 4}, "input_dense"),
    ],
)
def test_refusals(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_of(variable=False, **fields)


def test_columns_and_targets_must_be_the_same() -> None:
    with pytest.raises(ConfigError, match="from its own past"):
        build_model(ModelConfig(family="lstm", channel_independent=True), make_spec(variable=False))
