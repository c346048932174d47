"""FastGRU is the stock GRU in every result and gradient; only the training loop on a CPU differs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seq.models import fast_gru
from keras_seq.models.fast_gru import FastGRU

TOLERANCE = 1e-5
UNITS, FEATURES = 8, 5


def twins(**options: Any) -> tuple[keras.layers.GRU, FastGRU]:
    """A stock and a fast layer with equal, random weights (biases too)."""
    layers = keras.layers.GRU(UNITS, **options), FastGRU(UNITS, **options)
    rng = np.random.default_rng(3)
    for layer in layers:
        layer.build((None, None, FEATURES))
    weights = [rng.normal(size=w.shape, scale=0.5) for w in layers[0].get_weights()]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def gradients(layer: keras.layers.GRU, *, jit: bool, states: bool = True) -> Any:
    """A graph function: all outputs of the layer, and gradients of inputs, initial state and weights."""

    def step(x: Any, h: Any) -> list[Any]:
        watched = [x, h] if states else [x]
        with tf.GradientTape() as tape:
            tape.watch(watched)
            outputs = tf.nest.flatten(layer(x, initial_state=h if states else None, training=True))
            loss = tf.add_n([tf.reduce_sum(tf.sin((k + 1.3) * out)) for k, out in enumerate(outputs)])
        return outputs + tape.gradient(loss, watched + [w.value for w in layer.trainable_variables])

    shapes = [(None, None, FEATURES), (None, UNITS)]
    return tf.function(step, jit_compile=jit, input_signature=[tf.TensorSpec(s, tf.float32) for s in shapes])


def batch(samples: int, steps: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype("float32") for s in [(samples, steps, FEATURES), (samples, UNITS)]]


def assert_same(actual: Any, expected: Any) -> None:
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        scale = max(1.0, float(np.abs(e).max()))
        np.testing.assert_allclose(a / scale, e / scale, atol=TOLERANCE, rtol=0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the traces of the own loop, which still runs."""
    seen: list[int] = []
    real = fast_gru.gru_sequence

    def counting(*args: Any, **options: Any) -> Any:
        seen.append(1)
        return real(*args, **options)

    monkeypatch.setattr(fast_gru, "gru_sequence", counting)
    return seen


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("go_backwards", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("return_sequences", [False, True], ids=["last", "sequences"])
def test_outputs_and_gradients_are_the_stock_ones(
    return_sequences: bool, go_backwards: bool, jit: bool, calls: list[int]
) -> None:
    stock, fast = twins(return_sequences=return_sequences, return_state=True, go_backwards=go_backwards)
    expected, actual = gradients(stock, jit=False), gradients(fast, jit=jit)
    sizes = [(3, 7)] if jit else [(3, 7), (4, 11), (2, 1)]  # XLA compiles for every size: slow
    for samples, steps in sizes:  # one trace serves every batch size and length
        values = batch(samples, steps)
        assert_same(actual(*values), expected(*values))
    assert calls == [1]


@pytest.mark.parametrize("return_sequences", [False, True])
def test_without_states(return_sequences: bool, calls: list[int]) -> None:
    stock, fast = twins(return_sequences=return_sequences)
    values = batch(6, 9)
    assert_same(gradients(fast, jit=False, states=False)(*values), gradients(stock, jit=False, states=False)(*values))
    assert calls


@pytest.mark.slow
def test_second_derivatives_are_the_stock_ones() -> None:
    def penalty(layer: Any, x: Any) -> Any:
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(layer(x, training=True) ** 2)
            value = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        return outer.gradient(value, [w.value for w in layer.trainable_variables])

    x = tf.constant(batch(3, 6)[0])
    stock, fast = (tf.function(penalty)(layer, x) for layer in twins(return_sequences=True))
    assert_same(fast, stock)


def test_input_dropout_draws_one_mask_for_all_steps(calls: list[int]) -> None:
    stock, fast = twins(dropout=0.5, seed=11, return_sequences=True)
    values = batch(8, 6)
    assert_same(gradients(fast, jit=False, states=False)(*values), gradients(stock, jit=False, states=False)(*values))
    assert calls


@pytest.mark.parametrize(
    "options",
    [
        {"recurrent_dropout": 0.3, "seed": 5},
        {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"},
        {"use_bias": False},
        {"unroll": True},
        {"reset_after": False},
    ],
    ids=lambda o: next(iter(o)),
)
def test_uncovered_options_run_the_stock_loop(options: dict[str, Any], calls: list[int]) -> None:
    stock, fast = twins(**options)
    x = batch(3, 5)[0]
    results = [tf.function(lambda x, layer=layer: layer(x, training=True))(x) for layer in (fast, stock)]
    assert_same(results[:1], results[1:])
    assert not calls


def test_masks_eager_calls_and_inference_run_the_stock_loop(calls: list[int]) -> None:
    stock, fast = twins()
    x = batch(3, 5)[0]
    mask = np.arange(5)[None] < np.array([[2], [5], [4]])
    for training, kept in [(True, mask), (False, None)]:
        run = [
            tf.function(lambda x, layer=layer, t=training, m=kept: layer(x, training=t, mask=m))(x)
            for layer in (fast, stock)
        ]
        assert_same(run[:1], run[1:])
    assert_same([fast(x, training=True)], [stock(x, training=True)])
    assert not calls


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_other_precisions_train(policy: str, calls: list[int]) -> None:
    layer = FastGRU(UNITS, dtype=policy, return_sequences=True)
    model = keras.Sequential([keras.Input((None, FEATURES)), layer, keras.layers.Dense(1)])
    model.compile("adam", "mse", jit_compile=False)
    losses = model.fit(batch(32, 6)[0], np.ones((32, 6, 1)), epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    assert bool(calls) == (policy == "float64")


def network(layer: type[keras.layers.GRU]) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, FEATURES), name="values")
    x = layer(UNITS, return_sequences=True)(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(layer(UNITS)(x)))


@pytest.mark.slow
def test_fit_follows_the_stock_layer(calls: list[int]) -> None:
    x = batch(80, 5)[0]
    y = x[:, -2:].sum(axis=(1, 2))[:, None]
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    histories = []
    for layer, jit in [(FastGRU, True), (keras.layers.GRU, False)]:
        model = network(layer)
        model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=jit, steps_per_execution=20)
        histories.append(model.fit(data, epochs=4, verbose=0).history["loss"])
    assert histories[0][-1] < 0.9 * histories[0][0]
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-4)
    assert calls


def test_saved_models_come_back_and_swap_with_stock_ones(tmp_path: Any) -> None:
    model, stock, x = network(FastGRU), network(keras.layers.GRU), batch(3, 7)[0]
    assert FastGRU(UNITS).get_config().keys() == keras.layers.GRU(UNITS).get_config().keys()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    for one, other in [(model, stock), (stock, model)]:  # weights fit both ways, and settings
        one.set_weights([np.random.default_rng(k).normal(size=w.shape) for k, w in enumerate(one.get_weights())])
        other.set_weights(one.get_weights())
        np.testing.assert_array_equal(other.predict(x, verbose=0), one.predict(x, verbose=0))
        assert type(other.layers[1]).from_config(one.layers[1].get_config()).units == UNITS


def test_converter_sees_the_graph_of_the_stock_layer() -> None:
    """Nothing of the own loop is in an inference graph: the same operations in the same order."""
    kinds = []
    for layer in (FastGRU, keras.layers.GRU):
        model = network(layer)
        serve = tf.function(lambda values, model=model: model(values, training=False))
        graph = serve.get_concrete_function(tf.TensorSpec((None, None, FEATURES), tf.float32)).graph
        kinds.append([node.op for node in graph.as_graph_def().node])
    assert kinds[0] == kinds[1]


def test_exports_are_built_from_stand_ins_with_the_same_answers() -> None:
    from keras_seq.export.convertible import FOR_ONNX, LoopGRU
    from keras_seq.models.build import plain_twin

    model, x = network(FastGRU), batch(3, 7)[0]
    twin = plain_twin(model, FOR_ONNX)
    kinds = [type(layer) for layer in twin.layers]
    assert kinds.count(LoopGRU) == 2 and FastGRU not in kinds
    np.testing.assert_allclose(twin.predict(x, verbose=0), model.predict(x, verbose=0), atol=TOLERANCE)
