"""Length-aware blocks against plain numpy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seq.models import blocks, convolution, normalise
from keras_seq.models.attention import Positions, SelfAttention

LENGTHS = np.array([6, 4, 1, 0], np.int32)


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)


def polluted(x):
    """The same real steps, other padding, two more padded steps."""
    longer = np.full((4, 8, 3), 77.0, np.float32)
    for row, length in enumerate(LENGTHS):
        longer[row, :length] = x[row, :length]
    return longer


def real(x):
    return [row[:length] for row, length in zip(x, LENGTHS, strict=True)]


@pytest.mark.parametrize(
    "function, plain",
    [
        (blocks.last_step, lambda r: r[-1]),
        (blocks.masked_mean, lambda r: r.mean(0)),
        (blocks.masked_max, lambda r: r.max(0)),
    ],
)
def test_pooling_reads_real_steps_only(x, function, plain):
    expected = np.stack([plain(r) if len(r) else np.zeros(3) for r in real(x)])
    np.testing.assert_allclose(function(tf.constant(x), LENGTHS), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(function(tf.constant(polluted(x)), LENGTHS), expected, rtol=1e-5, atol=1e-6)
    full = np.stack([plain(r) for r in x])
    np.testing.assert_allclose(function(tf.constant(x), None), full, rtol=1e-5, atol=1e-6)


def test_max_of_negative_values_is_not_the_padding(x):
    assert (np.asarray(blocks.masked_max(tf.constant(-np.abs(x) - 1), LENGTHS))[:3] < 0).all()


def test_reverse_turns_real_steps_and_is_its_own_inverse(x):
    turned = np.asarray(blocks.reverse(tf.constant(x), LENGTHS))
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(turned[row, :length], x[row, :length][::-1])
        np.testing.assert_array_equal(turned[row, length:], x[row, length:])
    np.testing.assert_array_equal(blocks.reverse(tf.constant(turned), LENGTHS), x)
    np.testing.assert_array_equal(blocks.reverse(tf.constant(x)), x[:, ::-1])


@pytest.mark.parametrize("lengths", [LENGTHS, None])
def test_gradient_of_reverse_is_the_reverse(x, lengths):
    weights = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    given = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(given)
        total = tf.reduce_sum(blocks.reverse(given, lengths) * weights)
    np.testing.assert_allclose(tape.gradient(total, given), blocks.reverse(tf.constant(weights), lengths))


@pytest.mark.parametrize("steps", [1, 3, 9, -2, -9])
def test_shift_moves_in_zeros_at_any_length(x, steps):
    expected = np.zeros_like(x)
    if 0 < steps < 6:
        expected[:, steps:] = x[:, :-steps]
    elif -6 < steps < 0:
        expected[:, :steps] = x[:, -steps:]
    np.testing.assert_array_equal(blocks.shift(tf.constant(x), steps), expected)


def test_lengths_beyond_the_time_axis_mean_all_steps(x):
    np.testing.assert_array_equal(blocks.last_step(tf.constant(x), np.full(4, 99, np.int32)), x[:, -1])
    np.testing.assert_array_equal(blocks.reverse(tf.constant(x), np.full(4, 99, np.int32)), x[:, ::-1])


def test_two_way_last_step_takes_the_backward_state_at_step_0(x):
    wide = np.concatenate([x, -x], axis=-1)
    answer = np.asarray(blocks.LastStep(two_way=True)(wide, LENGTHS))
    np.testing.assert_allclose(answer[1], [*x[1, 3], *-x[1, 0]])
    np.testing.assert_array_equal(answer[3], 0)


def test_attention_pooling_weights(x):
    layer = blocks.AttentionPooling()
    layer.build((None, None, 3))
    weights = np.asarray(layer.weights_over_time(tf.constant(polluted(x)), LENGTHS))
    np.testing.assert_allclose(weights.sum((1, 2)), [1, 1, 1, 0], rtol=1e-5)
    assert (weights[1, 4:] == 0).all()
    np.testing.assert_allclose(layer(polluted(x), LENGTHS), layer(x, LENGTHS), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(layer.weights_over_time(tf.constant(x)))[0], weights[0, :6], rtol=1e-5)


@pytest.mark.parametrize("padding", ["same", "causal"])
@pytest.mark.parametrize("dilation", [1, 2])
def test_convolution_of_padded_equals_convolution_of_short(x, padding, dilation):
    layer = convolution.MaskedConv1D(5, 3, padding=padding, dilation_rate=dilation, bias_initializer="ones")
    padded = np.asarray(layer(polluted(x), LENGTHS))
    for row, length in enumerate(LENGTHS):
        if length:
            alone = np.asarray(layer(x[row : row + 1, :length]))[0]
            np.testing.assert_allclose(padded[row, :length], alone, rtol=1e-5, atol=1e-5)
        assert (padded[row, length:] == 0).all()


@pytest.mark.parametrize("size", [1, 2, 4])
def test_pooling_of_steps_rounds_up(x, size):
    pooled = np.asarray(convolution.MaskedMaxPool(size)(polluted(x) - 100, LENGTHS))
    lengths = np.asarray(convolution.PooledLengths(size)(LENGTHS))
    np.testing.assert_array_equal(lengths, np.ceil(LENGTHS / size))
    for row, length in enumerate(LENGTHS):
        groups = [x[row, i : min(i + size, length)].max(0) - 100 for i in range(0, length, size)]
        np.testing.assert_allclose(pooled[row, : len(groups)], np.reshape(groups, (-1, 3)), rtol=1e-5)
        assert (pooled[row, len(groups) :] == 0).all()


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_finite_and_blind_to_padding(x, causal):
    layer = SelfAttention(1, causal=causal)
    padded, short = np.asarray(layer(polluted(x), LENGTHS)), np.asarray(layer(x, LENGTHS))
    assert np.isfinite(padded).all()
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(padded[row, :length], short[row, :length], rtol=1e-5, atol=1e-6)
    scores = np.asarray(layer.scores(tf.constant(x), LENGTHS))
    np.testing.assert_allclose(scores[:3].sum(-1), 1, rtol=1e-5)
    assert scores[1, :, :, 4:].max() < 1e-6
    if causal:
        assert np.triu(scores[0, 0], 1).max() < 1e-6


@pytest.mark.parametrize("kind", ["sinusoidal", "learned"])
def test_positions_tell_steps_apart_at_any_length(kind):
    layer = Positions(kind, time=5)
    code = np.asarray(layer(np.zeros((1, 9, 4), np.float32)))[0]
    assert len(np.unique(code.round(4), axis=0)) == (9 if kind == "sinusoidal" else 5)
    if kind == "sinusoidal":
        np.testing.assert_allclose(code[3], [np.sin(3), np.cos(3), np.sin(0.03), np.cos(0.03)], atol=1e-5)


def test_batch_statistics_come_from_real_steps(x):
    layer = normalise.MaskedBatchNormalization(momentum=0.0)
    out = np.asarray(layer(polluted(x), LENGTHS, training=True))
    steps = np.concatenate(real(x))
    np.testing.assert_allclose(layer.moving_mean, steps.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, steps.var(0), rtol=1e-4)
    assert (out[1, 4:] == 0).all()


def test_window_statistics_are_undone(x):
    statistics = normalise.WindowStatistics(2)(polluted(x), LENGTHS)
    np.testing.assert_allclose(np.asarray(statistics)[1, 0], x[1, :4, :2].mean(0), rtol=1e-4, atol=1e-5)
    normal = np.asarray(normalise.InstanceNormalise()(polluted(x), statistics, LENGTHS))
    np.testing.assert_allclose(normal[0, :6, :2].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(normal[0, :6, :2].std(0), 1, rtol=1e-3)
    np.testing.assert_array_equal(normal[0, :6, 2], x[0, :, 2])
    restored = normalise.InstanceRestore((1,))(normal[:1, :6, 1:2], statistics[:1])
    np.testing.assert_allclose(np.asarray(restored)[0, :, 0], x[0, :, 1], rtol=1e-4, atol=1e-5)


def test_backward_run_equals_keras_bidirectional(x):
    values, lengths = keras.Input((None, 3)), keras.Input((), dtype="int32")
    from keras_seq.models.body import Steps

    steps = Steps(6, fast_lstm=False)
    both = blocks.recurrent(values, lengths, "lstm", 4, name="lstm_1", steps=steps, bidirectional=True)
    model = keras.Model([values, lengths], both)
    stock = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))
    stock.build((None, None, 3))
    model.set_weights([w + 0.1 for w in model.get_weights()])
    stock.set_weights(model.get_layer("lstm_1").get_weights() + model.get_layer("lstm_1_backward").get_weights())
    out = np.asarray(model([polluted(x), LENGTHS]))
    for row, length in enumerate(LENGTHS):
        if length:
            np.testing.assert_allclose(out[row, :length], np.asarray(stock(x[row : row + 1, :length]))[0], atol=1e-6)
