"""A window is scaled by itself: its unit's size and level change a forecast's, and nothing else."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.export.formats import write_formats
from keras_seq.export.metadata import Source
from keras_seq.export.serving_graph import served
from keras_seq.models.build import build_model
from keras_seq.models.window_scale import WindowMoments, WindowRestore, WindowScale, season_error
from keras_seq.runtime import load

TIME, HORIZON = 16, 3


def make_spec(**changes: object) -> DataSpec:
    """Targets ``y`` and ``z`` beside a calendar column, ``day``; the train part's numbers are of large units."""
    scaling = Scaling(
        center=((9000.0, 5000.0, 0.0),), scale=((40000.0, 30000.0, 0.7),), fill=(9000.0, 5000.0, 0.0), shared=(2,)
    )
    settings = {
        "task": "forecast",
        "features": ("y", "z", "day"),
        "targets": ("y", "z"),
        "time": TIME,
        "variable_length": True,
        "horizon": HORIZON,
        "target_mean": (9000.0, 5000.0),
        "target_std": (40000.0, 30000.0),
        "target_index": (0, 1),
        "impute": "forward",
        "scaling": scaling,
    }
    return DataSpec(**{**settings, **changes})  # type: ignore[arg-type]


def make_model(spec: DataSpec | None = None, **fields: object) -> keras.Model:
    keras.utils.set_random_seed(0)
    settings = {"family": "lstm", "units": 4, "layers": 1, "normalisation": "instance", "skip": "linear", **fields}
    model = build_model(ModelConfig.model_validate(settings), spec or make_spec())
    rng = np.random.default_rng(0)  # zeros hide mistakes
    model.set_weights([w + rng.normal(size=w.shape).astype(np.float32) * 0.2 for w in model.get_weights()])
    return model


def windows(batch: int = 4) -> np.ndarray:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(batch, TIME, 3)).astype(np.float32)
    values[:, :, 1] = np.cumsum(values[:, :, 1], axis=1)
    return values


def answer(model: keras.Model, values: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    lengths = np.full(len(values), TIME, np.int32) if lengths is None else lengths
    return np.asarray(model({"values": values.astype(np.float32), "lengths": lengths}), np.float64)


@pytest.mark.parametrize("fields", [{}, {"skip": "none", "quantiles": (0.1, 0.5, 0.9)}])
@pytest.mark.parametrize(("factor", "level"), [(1000.0, 0.0), (1e-6, 0.0), (1.0, 500.0), (0.001, -3.0), (1e5, 2e6)])
def test_a_forecast_scales_along_with_its_unit(fields: dict[str, object], factor: float, level: float) -> None:
    model, values = make_model(**fields), windows()
    moved = values.copy()
    moved[:, :, :2] = moved[:, :, :2] * factor + level
    before, after = answer(model, values), answer(model, moved)
    resolution = 2e-7 * abs(level) / factor  # what float32 left of the inputs
    np.testing.assert_allclose((after - level) / factor, before, rtol=0, atol=2e-5 + 30 * resolution)
    assert np.ptp(before) > 1.0


def test_a_spread_of_one_on_a_level_of_a_million_survives() -> None:
    model = make_model()
    steps = np.round(windows() * 16) / 16  # float32 holds sixteenths at a million
    far = steps.copy()
    far[:, :, :2] += 1e6
    np.testing.assert_allclose(answer(model, far) - 1e6, answer(model, steps), rtol=0, atol=0.07)


def test_a_column_that_means_the_same_everywhere_keeps_its_level() -> None:
    model, values = make_model(), windows()
    other = values.copy()
    other[:, :, 2] += 5.0
    assert np.abs(answer(model, other) - answer(model, values)).max() > 1e-3


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.25, 1e6, 3e-12, 7e18])
def test_a_constant_is_forecast_as_itself(constant: float) -> None:
    values = windows()
    values[:, :, :2] = np.float32(constant)
    assert (answer(make_model(), values) == np.float32(constant)).all()
    noisy = values.copy()
    noisy[:, ::2, :2] = np.nextafter(np.float32(constant), np.float32(np.inf))  # rounding is no spread
    np.testing.assert_allclose(answer(make_model(), noisy), np.float32(constant), rtol=3e-7, atol=1e-40)


@pytest.mark.parametrize("step", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("place", [0, TIME // 2, TIME - 1])
def test_one_step_off_a_constant_does_not_explode(step: float, place: int) -> None:
    values = windows()
    values[:, :, :2] = 100.0
    values[:, place, :2] += step
    found = answer(make_model(), values)
    assert np.isfinite(found).all()
    assert np.abs(found - 100.0).max() < 30 * step


def test_intermittent_and_short_units() -> None:
    values = np.zeros_like(windows())
    values[:, 5, :2] = 3.0
    found = answer(make_model(), values)
    assert np.isfinite(found).all() and np.abs(found).max() < 30
    one = windows()
    np.testing.assert_array_equal(
        answer(make_model(), one, np.ones(len(one), np.int32)), np.repeat(one[:, :1, :2], HORIZON, axis=1)
    )


@pytest.mark.parametrize("impute", ["none", "mean", "forward", "interpolate"])
def test_gaps_and_padding_have_no_size_of_their_own(impute: str) -> None:
    model, values = make_model(make_spec(impute=impute)), windows()
    values[:, 2:5, 0], values[:, 0, 1], values[1, :, 1] = np.nan, np.inf, np.nan
    lengths = np.array([16, 9, 12, 16], np.int32)
    padded = values.copy()
    padded[1, 9:], padded[2, 12:] = 1e30, np.nan
    before, after = answer(model, values, lengths), answer(model, padded, lengths)
    np.testing.assert_array_equal(before, after)
    larger = values.copy()
    larger[:, :, :2] *= 1000.0
    scaled = answer(model, larger, lengths)
    assert np.isfinite(scaled).all()
    known = np.ones((4, 2), bool)
    known[1, 1] = False
    np.testing.assert_allclose(
        scaled.swapaxes(1, 2)[known] / 1000.0, before.swapaxes(1, 2)[known], rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(before[1, :, 1], 5000.0)  # never seen: what train would have filled in


def test_moments_are_those_of_float64() -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(3, 200, 2)) * (1.0, 1e-3) + (1e6, 5.0)).astype(np.float32)
    moments = np.asarray(WindowMoments([0.0, 0.0])(values), np.float64)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(moments[:, 0] + moments[:, 1], exact.mean(1), rtol=1e-9)
    np.testing.assert_allclose(moments[:, 2], exact.std(1), rtol=1e-5)
    scaled = np.asarray(WindowScale()(values, moments.astype(np.float32)), np.float64)
    np.testing.assert_allclose(scaled.mean(1), 0.0, atol=1e-5)
    back = np.asarray(WindowRestore((0, 1))(scaled.astype(np.float32), moments.astype(np.float32)), np.float64)
    np.testing.assert_allclose(back, exact, rtol=1e-7)


def test_the_error_of_a_season_by_hand() -> None:
    values = np.array([1.0, 5.0, 2.0, 7.0, np.nan, 6.0], np.float32).reshape(1, 6, 1)
    moments = WindowMoments([0.0])(values)
    np.testing.assert_allclose(season_error(values, moments, None, 2), [[(1 + 2 + 1) / 3]], rtol=1e-6)
    short = season_error(values, moments, np.array([2], np.int32), 2)
    np.testing.assert_allclose(short, np.asarray(moments)[:, 2])  # no two steps a season apart


@pytest.mark.slow
@pytest.mark.parametrize("quantiles", [(), (0.1, 0.5, 0.9)])
def test_every_format_scales_along(tmp_path: Path, quantiles: tuple[float, ...]) -> None:
    model, spec = make_model(skip="none" if quantiles else "linear", quantiles=quantiles), make_spec()
    written, failed = write_formats(Source(model, spec, quantiles=quantiles), tmp_path, ["onnx", "tflite"])
    assert not failed
    values, lengths = windows(), np.array([16, 9, 12, 1], np.int32)
    values[0, 3:6, 0] = np.nan
    cases = [values, values.copy(), values.copy(), values.copy()]
    cases[1][:, :, :2] *= 1000.0
    cases[2][:, :, :2] = cases[2][:, :, :2] * 0.01 + 40.0
    cases[3][:, :, :2] = 0.0
    graph = served(model, spec, quantiles=quantiles)
    for path in written.values():
        runner = load(path)
        for case in cases:
            expected = graph.function(values=tf.constant(case), lengths=tf.constant(lengths))
            found = runner.predict(case, lengths)
            assert set(found) == set(expected)
            for name, answers in expected.items():
                size = max(float(np.nanmax(np.abs(case[:, :, :2]))), 1e-6)
                np.testing.assert_allclose(found[name], np.asarray(answers), rtol=0, atol=3e-5 * size)
