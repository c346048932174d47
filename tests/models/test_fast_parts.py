"""Loops compiled by themselves, on parts of the batch, give the stock layers' results and gradients."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seq.models import own_loop
from keras_seq.models.fast_gru import FastGRU
from keras_seq.models.fast_lstm import FastLSTM
from keras_seq.models.own_loop import compiled_loops, in_parts

UNITS, FEATURES, STEPS = 8, 5, 7
PAIRS = [(keras.layers.LSTM, FastLSTM), (keras.layers.GRU, FastGRU)]


def results(layer: Any, x: np.ndarray, parts: int | None) -> list[np.ndarray]:
    """Outputs, and gradients of inputs and weights, from a graph that is not compiled as a whole."""

    def step(x: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(1.3 * outputs))
        return [outputs, *tape.gradient(loss, [x, *(w.value for w in layer.trainable_variables)])]

    def run(x: Any) -> list[Any]:
        if parts is None:
            return step(x)
        with compiled_loops(parts):
            return step(x)

    return [value.numpy() for value in tf.function(run, autograph=False)(tf.constant(x))]


@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequences"])
@pytest.mark.parametrize(
    ("stock", "fast"),
    [pytest.param(*PAIRS[0], id="lstm"), pytest.param(*PAIRS[1], id="gru", marks=pytest.mark.slow)],
)
def test_parts_change_no_result(stock: type[Any], fast: type[Any], sequences: bool) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(37, STEPS, FEATURES)).astype("float32")  # 18 and 19
    layers = [kind(UNITS, return_sequences=sequences) for kind in (stock, fast)]
    for layer in layers:
        layer.build(x.shape)
    for layer in layers:
        rng = np.random.default_rng(4)
        layer.set_weights([rng.normal(size=w.shape, scale=0.5) for w in layer.get_weights()])
    expected, actual = results(layers[0], x, None), results(layers[1], x, 2)
    for a, e in zip(actual, expected, strict=True):
        scale = max(1.0, float(np.abs(e).max()))
        np.testing.assert_allclose(a / scale, e / scale, atol=1e-5, rtol=0)


def compiled_functions(function: Any) -> int:
    """How many functions within a graph function are to be compiled by XLA."""
    definitions = function.get_concrete_function().graph.as_graph_def().library.function
    return sum("_XlaMustCompile" in d.attr and d.attr["_XlaMustCompile"].b for d in definitions)


@pytest.mark.parametrize(("parts", "least"), [(None, 0), (1, 1), (2, 1)])
def test_loops_are_compiled_only_where_asked(parts: int | None, least: int) -> None:
    layer, x = FastGRU(UNITS), tf.zeros((32, STEPS, FEATURES))

    def run() -> Any:
        if parts is None:
            return layer(x, training=True)
        with compiled_loops(parts):
            return layer(x, training=True)

    found = compiled_functions(tf.function(run, autograph=False))
    assert found >= least and (found == 0) == (least == 0)
    assert own_loop._parts.get() == 0


@pytest.mark.parametrize(
    ("size", "parts", "expected"),
    [(64, 2, [32, 32]), (33, 2, [17, 16]), (31, 2, [31]), (100, 3, [34, 33, 33]), (None, 2, [None])],
)
def test_batches_are_cut_evenly_and_never_too_small(size: int | None, parts: int, expected: list[int | None]) -> None:
    seen: list[int | None] = []

    def run(x: Any, y: Any) -> tuple[Any, ...]:
        seen.append(x.shape[0])
        return None, x + y

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((size, 3))])
    def whole(x: Any) -> Any:
        with compiled_loops(parts):
            nothing, out = in_parts(run, [x, 2 * x])
        assert nothing is None
        return out

    x = np.arange((size or 5) * 3, dtype="float32").reshape(-1, 3)
    np.testing.assert_array_equal(whole(x), 3 * x)
    assert seen == expected
