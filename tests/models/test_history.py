"""History channels: the formulas, blindness to padding, and streaming equal to the batch."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.config import HistoryConfig
from keras_seq.models.history import History, exponential_mean, wanted

ALL = {"ewm": [0.9, 0.5], "running_mean": True, "baseline": 4, "means": [1, 5, 12], "elapsed": 100.0}


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(2, 30, 4)).astype(np.float32)


def plain_ewm(x, decay):
    y = np.zeros(x.shape, np.float64)
    y[:, 0] = x[:, 0]
    for t in range(1, x.shape[1]):
        y[:, t] = decay * y[:, t - 1] + (1 - decay) * x[:, t]
    return y


@settings(max_examples=25, deadline=None)
@given(decay=st.floats(0.01, 0.999), time=st.integers(1, 70), seed=st.integers(0, 99))
def test_exponential_mean_is_the_recurrence(decay, time, seed):
    x = np.random.default_rng(seed).normal(size=(2, time, 2)).astype(np.float32)
    np.testing.assert_allclose(exponential_mean(tf.constant(x), decay), plain_ewm(x, decay), rtol=0, atol=2e-5)


def test_exponential_mean_of_a_constant_is_that_constant_at_any_length():
    x = np.full((1, 3000, 1), 7.0, np.float32)
    np.testing.assert_allclose(exponential_mean(tf.constant(x), 0.99), 7.0, rtol=1e-5)


def test_channels_in_order(x):
    signals = 3
    out = np.asarray(History(ALL, signals)(x))
    s = x[:, :, :signals].astype(np.float64)
    ewm = plain_ewm(s, 0.9)
    running = s.cumsum(1) / np.arange(1, 31)[:, None]
    own = np.stack([s[:, : min(t + 1, 4)].mean(1) for t in range(30)], axis=1)
    elapsed = np.broadcast_to(np.arange(1, 31)[:, None] / 100, (2, 30, 1))
    moving = [np.stack([s[:, max(t + 1 - n, 0) : t + 1].mean(1) for t in range(30)], axis=1) for n in ALL["means"]]
    expected = np.concatenate([x, ewm, plain_ewm(s, 0.5), running, ewm - own, *moving, elapsed], axis=-1)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out, expected, rtol=0, atol=2e-5)


def test_baseline_without_ewm_is_of_the_signal(x):
    out = np.asarray(History({"baseline": 5}, 4)(x))
    np.testing.assert_allclose(out[:, 10, 4:], x[:, 10] - x[:, :5].mean(1), atol=1e-5)


@pytest.mark.parametrize(
    "history", [ALL, {"ewm": [0.9]}, {"baseline": 3}, {"running_mean": True}, {"elapsed": 10.0}, {"means": [7]}]
)
def test_streaming_equals_batch(x, history):
    layer = History(history, 3)
    batch, state = np.asarray(layer(x)), layer.initial_state(2)
    sizes = {name: np.shape(value) for name, value in state.items()}
    for t in range(x.shape[1]):
        out, state = layer.step(x[:, t], state)
        np.testing.assert_allclose(np.asarray(out), batch[:, t], rtol=0, atol=2e-5)
        assert {name: np.shape(value) for name, value in state.items()} == sizes


def test_causal_and_blind_to_padding(x):
    layer, lengths = History(ALL, 4), np.array([30, 11], np.int32)
    out = np.asarray(layer(x, lengths))
    changed = x.copy()
    changed[1, 11:] = 55.0
    np.testing.assert_array_equal(layer(changed, lengths), out)
    assert (out[1, 11:] == 0).all()
    np.testing.assert_allclose(np.asarray(layer(x[:, :11]))[1], out[1, :11], atol=1e-6)


def test_config_round_trip():
    layer = History(ALL, 2, name="history")
    again = History.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.compute_output_shape((None, None, 5)) == (None, None, 5 + 2 * 7 + 1)


def test_wanted():
    assert not wanted(HistoryConfig())
    assert all(wanted(HistoryConfig(**{key: value})) for key, value in ALL.items())
