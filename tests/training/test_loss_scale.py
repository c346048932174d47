"""Errors in a window's own measure: every unit counts alike, whatever its size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_seq import config
from keras_seq.data.prepare import prepare_series
from keras_seq.errors import ConfigError
from keras_seq.models.build import build_model
from keras_seq.models.registry import resolve_experiment
from keras_seq.training.fit import fit
from keras_seq.training.loss_scale import LossScale, check_scale
from keras_seq.training.losses import make_loss
from tests.factories.unlike import unlike_units
from tests.models.test_window_scale import make_spec, windows

ONE = make_spec(features=("y", "z", "day"), targets=("y",), target_index=(0,), target_mean=(9.0,), target_std=(40.0,))


def inputs(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"values": values.astype(np.float32), "lengths": np.full(len(values), values.shape[1], np.int32)}


@pytest.mark.parametrize("kind", ["window", "season"])
def test_the_loss_of_a_unit_does_not_know_its_size(kind: str) -> None:
    training = config.from_dict({"training": {"loss_scale": kind, "loss": "mae"}}).training
    loss, scale = make_loss(training, config.ModelConfig(), ONE), LossScale(kind, ONE, 2)
    values = windows()
    truth, answers = values[:, :3, :1] + 0.5, values[:, :3, :1]
    weights = np.ones((4, 3), np.float32)
    small = float(loss(*scale(inputs(values), truth, answers), sample_weight=weights))
    large = values * 1000.0 + 1e5
    scaled = scale(inputs(large), truth * 1000.0 + 1e5, answers * 1000.0 + 1e5)
    assert float(loss(*scaled, sample_weight=weights)) == pytest.approx(small, rel=1e-3)
    assert small > 0.1


def test_windows_are_measured_as_by_hand() -> None:
    values = np.zeros((1, 4, 3), np.float32)
    values[0, :, 0] = [1.0, 2.0, 3.0, 6.0]
    center, deviation = LossScale("window", ONE).measure(inputs(values))
    np.testing.assert_allclose([center[0, 0], deviation[0, 0]], [3.0, np.std([1, 2, 3, 6])], rtol=1e-6)
    _, naive = LossScale("season", ONE, 1).measure(inputs(values))
    np.testing.assert_allclose(naive[0, 0], (1 + 1 + 3) / 3, rtol=1e-6)


def test_a_window_without_variation_keeps_the_deviation_of_the_train_part() -> None:
    values = np.full((1, 4, 3), 7.0, np.float32)
    truth, answers = np.full((1, 3, 1), 47.0, np.float32), np.full((1, 3, 1), 7.0, np.float32)
    scaled, found = LossScale("season", ONE, 2)(inputs(values), truth, answers)
    np.testing.assert_allclose(np.asarray(scaled - found), 40.0)


@pytest.mark.parametrize(
    ("training", "spec", "message"),
    [
        ({"loss_scale": "window"}, {"task": "regression", "horizon": 0, "target_index": ()}, "of its own targets"),
        ({"loss_scale": "season", "loss": "phm08"}, {}, "counts in cycles"),
    ],
)
def test_refusals(training: dict[str, str], spec: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_scale(config.from_dict({"training": training}).training, make_spec(**spec))


@pytest.mark.slow
@pytest.mark.parametrize("quantiles", [[], [0.1, 0.5, 0.9]])
def test_small_units_are_learnt_beside_large_ones(tmp_path: Path, quantiles: list[float]) -> None:
    tree = {
        "data": {
            "source": "table",
            "windows": {"mode": "sliding", "length": 24, "horizon": 4},
            "split": {"by": "time", "validation": 20, "test": 20},
        },
        "model": {"family": "gru", "units": 8, "layers": 1, "normalisation": "instance", "quantiles": quantiles},
        "training": {"loss_scale": "window", "epochs": 15, "batch_size": 16, "learning_rate": 0.01, "jit": False},
    }
    experiment = resolve_experiment(config.from_dict(tree))
    prepared = prepare_series(unlike_units(odd=True), experiment.data)
    model = build_model(experiment.model, prepared.spec)
    result = fit(experiment, model, prepared, tmp_path, quiet=True)
    assert result.history["val_loss"][-1] < 0.05
    step = np.arange(28)
    wave = (5 + np.sin(2 * np.pi * step / 8)).astype(np.float32)
    for size in (1.0, 1e5):
        found = np.asarray(model({"values": size * wave[None, :24, None]}))[0] / size
        found = found[:, 0, 1] if quantiles else found[:, 0]
        assert np.abs(found - wave[24:]).mean() < 0.4
