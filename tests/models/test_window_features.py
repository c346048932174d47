"""Window statistics in the graph against their numpy twins, blind to padding, and free of loops."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from keras_seq.data.features.causal import window_features
from keras_seq.data.features.window_settings import GRID
from keras_seq.data.features.window_statistics import rich_features
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.data.windows import WindowIndex
from keras_seq.models.window_features import Channels, Grid, RecentFeatures, WindowFeatures
from tests.factories.onnx_graph import run_as_onnx

LENGTHS = (60, 1, 9, 33, 2)


def table(features: int, *, gaps: bool = False, seed: int = 0) -> Series:
    rng = np.random.default_rng(seed)
    units = [np.cumsum(rng.standard_normal((n, features)), 0).astype(np.float32) for n in LENGTHS]
    if gaps:
        for unit in units:
            unit[rng.random(unit.shape) < 0.2] = np.nan
        units[3][:, 1] = np.nan  # a channel that a unit never shows
    columns = tuple(Column(name=f"x{i}", missing=True) for i in range(features))
    schema = Schema(name="walks", task="regression", columns=columns, targets=("y",))
    return build_series(schema, units, [np.zeros((n, 1)) for n in LENGTHS])


def padded(series: Series, time: int = 64, fill: float = 7.0) -> tuple[np.ndarray, np.ndarray]:
    values = np.full((series.n_units, time, series.values.shape[1]), fill, np.float32)
    for unit in range(series.n_units):
        values[unit, : series.lengths[unit]] = series.unit_values(unit)
    return values, series.lengths.astype(np.int32)


def plain(features: int, **options: bool) -> WindowFeatures:
    return WindowFeatures([0.0] * features, [1.0] * features, **options)


@pytest.mark.parametrize("features, gaps", [(3, False), (3, True), (18, False)])
def test_the_layer_is_its_numpy_twin(features: int, gaps: bool) -> None:
    series = table(features, gaps=gaps)
    expected, names = rich_features(series)
    values, lengths = padded(series)
    found = np.asarray(plain(features)(values, lengths))
    assert found.shape == expected.shape == (len(LENGTHS), plain(features).count(features))
    worst = np.abs(found - expected) / np.maximum(np.abs(expected), 1.0)
    where = np.unravel_index(worst.argmax(), worst.shape)
    assert worst.max() < 2e-4, (names[where[1]], where, found[where], expected[where])


def test_content_and_amount_of_padding_do_not_matter() -> None:
    series = table(3, gaps=True)
    found = [np.asarray(plain(3)(*padded(series, time, fill))) for time, fill in ((64, 0.0), (64, np.nan), (90, -1e9))]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[2], found[0], rtol=1e-4, atol=1e-5)


def test_infinity_in_the_padding_does_not_overflow_when_scaled() -> None:
    series = table(3)
    layer = WindowFeatures(center=[1.0, -2.0, 0.5], scale=[0.01, 0.5, 20.0])
    clean, lengths = padded(series, fill=0.0)
    dirty, _ = padded(series, fill=np.inf)
    np.testing.assert_array_equal(np.asarray(layer(clean, lengths)), np.asarray(layer(dirty, lengths)))


def test_without_lengths_every_step_is_real() -> None:
    values = np.random.default_rng(0).normal(size=(4, 20, 2)).astype(np.float32)
    full = np.full(4, 20, np.int32)
    np.testing.assert_array_equal(plain(2)(values), plain(2)(values, full))
    np.testing.assert_array_equal(RecentFeatures()(values), RecentFeatures()(values, full))
    assert plain(2, length=False)(values).shape[1] == plain(2)(values).shape[1] - 1


def test_center_and_scale_measure_in_deviations() -> None:
    values, lengths = padded(table(2))
    moved = WindowFeatures([300.0, -40.0], [2.0, 0.5])(values * [2.0, 0.5] + [300.0, -40.0], lengths)
    np.testing.assert_allclose(moved, plain(2)(values, lengths), rtol=1e-3, atol=2e-3)


def test_recent_features_are_their_numpy_twin() -> None:
    series = table(3)
    whole = np.array(LENGTHS)
    index = WindowIndex(
        series.offsets[:-1], whole, series.offsets[1:] - 1, np.arange(len(whole)), series.offsets[:-1]
    )  # fmt: skip
    expected, _ = window_features(series, index)
    values, lengths = padded(series)
    np.testing.assert_allclose(RecentFeatures()(values, lengths), expected, rtol=1e-3, atol=1e-3)
    values, _ = padded(series, 80, 1e6)
    np.testing.assert_allclose(RecentFeatures()(values, lengths), expected, rtol=1e-3, atol=1e-3)


def test_an_empty_window_is_zeros_not_nan() -> None:
    values = np.full((1, 8, 2), np.nan, np.float32)
    none = np.zeros(1, np.int32)
    assert (np.asarray(plain(2)(values, none)) == 0).all()
    assert (np.asarray(RecentFeatures()(np.zeros_like(values), none)) == 0).all()


@pytest.mark.slow
def test_onnx_has_no_loop_and_agrees() -> None:
    import tensorflow as tf

    layer, recent = plain(3), RecentFeatures()
    signature = [
        tf.TensorSpec((None, None, 3), tf.float32, name="values"),
        tf.TensorSpec((None,), tf.int32, name="lengths"),
    ]

    def both(values: Any, lengths: Any) -> dict[str, Any]:
        return {"window": layer(values, lengths), "recent": recent(tf.nn.relu(values), lengths)}

    values, lengths = padded(table(3))
    found, _ = run_as_onnx(both, signature, {"values": values, "lengths": lengths})
    np.testing.assert_allclose(found["window"], layer(values, lengths), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["recent"], recent(np.maximum(values, 0), lengths), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "layer", [WindowFeatures([1.0], [2.0], False, name="a"), RecentFeatures(name="b"), Channels([1, 0])]
)
def test_config_round_trip(layer: keras.layers.Layer) -> None:
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_on_a_grid_the_order_of_a_sum_decides_nothing():
    """A level sensor with steps of 0.1: what float32 rounds is gone, what it measures is not."""
    levels = np.random.default_rng(0).integers(-20, 20, (64, 20, 3)) * np.float32(0.1)
    noise = np.random.default_rng(1).choice(np.float32([1 - 1e-7, 1, 1 + 1e-7]), levels.shape)
    plain, grid = RecentFeatures(), Grid(GRID)
    one, other = np.asarray(plain(levels)), np.asarray(plain(levels * noise))
    assert (np.asarray(grid(one)) != np.asarray(grid(other))).mean() < 0.01 < 0.3 < (one != other).mean()
    np.testing.assert_allclose(grid(one), one, atol=GRID)
    assert Grid.from_config(grid.get_config()).step == GRID
