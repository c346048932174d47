"""Preprocess against pandas and numpy: imputation, scaling by condition, indicators, padding, streaming."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.models.preprocess import Preprocess, Rescale

SCALING = {
    "center": [[1.0, 20.0]], "scale": [[2.0, 5.0]], "fill": [3.0, 30.0],
    "condition_features": [], "condition_scale": [], "centroids": [],
}  # fmt: skip
PLAIN = {**SCALING, "center": [[0.0, 0.0]], "scale": [[1.0, 1.0]]}
SIX = {
    "center": [[0.0, 10.0, 1.0], [5.0, 50.0, 2.0]], "scale": [[1.0, 2.0, 1.0], [1.0, 4.0, 1.0]],
    "fill": [0.0, 10.0, 1.0], "condition_features": [0, 2], "condition_scale": [1.0, 0.1],
    "centroids": [[0.0, 1.0], [5.0, 2.0]],
}  # fmt: skip


def holes(seed, time, share=0.5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, time, 2)).astype(np.float32) * 10
    x[rng.random(x.shape) < share] = np.nan
    return x


def by_pandas(x, method):
    fill = dict(enumerate(PLAIN["fill"]))
    frames = [pd.DataFrame(row.astype(np.float64)) for row in x]
    mended = [frame.ffill() if method == "forward" else frame.interpolate(limit_area=None) for frame in frames]
    return np.stack([frame.fillna(fill).to_numpy() for frame in mended])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), time=st.integers(1, 40), method=st.sampled_from(["forward", "interpolate"]))
def test_gaps_are_mended_as_by_pandas(seed, time, method):
    x = holes(seed, time)
    np.testing.assert_allclose(Preprocess(PLAIN, method, time=time)(x), by_pandas(x, method), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["forward", "interpolate", "mean", "none"])
def test_padding_is_zero_and_never_looked_at(method):
    x, lengths = holes(0, 9), np.array([9, 4, 0], np.int32)
    layer = Preprocess(SCALING, method, missing_indicator=True, time=9)
    out = np.asarray(layer(x, lengths))
    changed = x.copy()
    changed[1, 4:], changed[2] = 1e30, np.inf
    np.testing.assert_array_equal(layer(changed, lengths), out)
    assert (out[1, 4:] == 0).all()
    assert (out[2] == 0).all()
    np.testing.assert_array_equal(np.asarray(layer(x[1:2, :4]))[0], out[1, :4])


def test_scaling_and_indicator():
    x = np.array([[[3.0, np.nan], [np.inf, 25.0]]], np.float32)
    out = np.asarray(Preprocess(SCALING, "none", missing_indicator=True)(x))
    np.testing.assert_allclose(out, [[[1, 2, 0, 1], [1, 1, 1, 0]]])


def test_each_condition_has_its_own_scale():
    x = np.array([[[0.1, 12.0, 1.02], [4.8, 58.0, 1.98], [0.0, 10.0, 1.0]]], np.float32)
    out = np.asarray(Preprocess(SIX, "none")(x))[0]
    np.testing.assert_allclose(out, [[0.1, 1.0, 0.02], [-0.2, 2.0, -0.02], [0, 0, 0]], atol=1e-6)


def test_mean_of_the_condition_stands_in():
    x = np.array([[[4.8, np.nan, 1.98]]], np.float32)
    assert np.asarray(Preprocess(SIX, "mean")(x))[0, 0, 1] == 0.0
    assert np.asarray(Preprocess(SIX, "none")(x))[0, 0, 1] == pytest.approx((10 - 50) / 4)


def test_a_long_gap_is_carried_over_the_expected_time():
    x = np.full((1, 500, 2), np.nan, np.float32)
    x[0, 0] = (4.0, 8.0)
    np.testing.assert_array_equal(np.asarray(Preprocess(PLAIN, "forward", time=500)(x))[0, -1], [4.0, 8.0])


@pytest.mark.parametrize("method", ["forward", "mean", "none"])
def test_streaming_equals_batch(method):
    x, layer = holes(4, 20), Preprocess(SCALING, method, missing_indicator=True, time=20)
    batch, state = np.asarray(layer(x)), layer.initial_state(3)
    for t in range(20):
        out, state = layer.step(x[:, t], state)
        np.testing.assert_allclose(np.asarray(out), batch[:, t], rtol=1e-5, atol=1e-6)


def test_interpolation_does_not_stream():
    layer = Preprocess(SCALING, "interpolate")
    with pytest.raises(ValueError, match="looks ahead"):
        layer.step(np.zeros((1, 2), np.float32), layer.initial_state(1))


def test_config_round_trip_keeps_every_number():
    layer = Preprocess(SIX, "mean", missing_indicator=True, time=7, name="preprocess")
    assert Preprocess.from_config(layer.get_config()).get_config() == layer.get_config()


def test_rescale():
    y = np.ones((2, 4, 2), np.float32)
    np.testing.assert_array_equal(np.asarray(Rescale((1.0, 2.0), (10.0, 20.0))(y))[0, 0], [11, 22])
    spread = np.asarray(Rescale((1.0, 2.0), (10.0, 20.0), quantiles=True)(np.ones((2, 4, 2, 3), np.float32)))
    np.testing.assert_array_equal(spread[0, 0], [[11] * 3, [22] * 3])
