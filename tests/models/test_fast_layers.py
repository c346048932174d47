"""FastLSTM and FastGRU are the stock layers in every result and gradient; only the training loop on a CPU differs."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seq.models import fast_gru, fast_lstm
from keras_seq.models.fast_gru import FastGRU
from keras_seq.models.fast_lstm import FastLSTM
from tests.factories.onnx_graph import run_as_onnx
from tests.factories.tiers import tiers

TOLERANCE = 1e-5
UNITS, FEATURES = 8, 5


@dataclass(frozen=True)
class Pair:
    """A stock layer, ours, the module and name of the own loop, and how many states it has."""

    stock: type[Any]
    fast: type[Any]
    module: ModuleType
    loop: str
    states: int

    def layers(self, **options: Any) -> tuple[Any, Any]:
        """A stock and a fast layer with equal, random weights (biases too)."""
        layers = self.stock(UNITS, **options), self.fast(UNITS, **options)
        rng = np.random.default_rng(3)
        for layer in layers:
            layer.build((None, None, FEATURES))
        weights = [rng.normal(size=w.shape, scale=0.5) for w in layers[0].get_weights()]
        for layer in layers:
            layer.set_weights(weights)
        return layers

    def gradients(self, layer: Any, *, jit: bool = False, states: bool = True) -> Any:
        """A graph function: all outputs of the layer, and gradients of inputs, initial states and weights."""

        def step(x: Any, *initial: Any) -> list[Any]:
            watched = [x, *initial] if states else [x]
            with tf.GradientTape() as tape:
                tape.watch(watched)
                outputs = tf.nest.flatten(layer(x, initial_state=list(initial) if states else None, training=True))
                loss = tf.add_n([tf.reduce_sum(tf.sin((k + 1.3) * out)) for k, out in enumerate(outputs)])
            return outputs + tape.gradient(loss, watched + [w.value for w in layer.trainable_variables])

        shapes = [(None, None, FEATURES), *[(None, UNITS)] * self.states]
        return tf.function(step, jit_compile=jit, input_signature=[tf.TensorSpec(s, tf.float32) for s in shapes])

    def batch(self, samples: int, steps: int) -> list[np.ndarray]:
        """Inputs and initial states."""
        rng = np.random.default_rng(0)
        shapes = [(samples, steps, FEATURES), *[(samples, UNITS)] * self.states]
        return [rng.normal(size=shape).astype("float32") for shape in shapes]


PAIRS = {
    "lstm": Pair(keras.layers.LSTM, FastLSTM, fast_lstm, "lstm_sequence", 2),
    "gru": Pair(keras.layers.GRU, FastGRU, fast_gru, "gru_sequence", 1),
}


@pytest.fixture(params=PAIRS.values(), ids=list(PAIRS))
def pair(request: pytest.FixtureRequest) -> Pair:
    return request.param


def assert_same(actual: Any, expected: Any) -> None:
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        scale = max(1.0, float(np.abs(e).max()))
        np.testing.assert_allclose(a / scale, e / scale, atol=TOLERANCE, rtol=0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> list[int]:
    """Counts the traces of the own loop, which still runs."""
    seen: list[int] = []
    real = getattr(pair.module, pair.loop)

    def counting(*args: Any, **options: Any) -> Any:
        seen.append(1)
        return real(*args, **options)

    monkeypatch.setattr(pair.module, pair.loop, counting)
    return seen


@pytest.mark.parametrize("jit", [pytest.param(False, id="graph"), pytest.param(True, id="xla", marks=pytest.mark.slow)])
@pytest.mark.parametrize("go_backwards", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("return_sequences", [False, True], ids=["last", "sequences"])
def test_outputs_and_gradients_are_the_stock_ones(
    pair: Pair, return_sequences: bool, go_backwards: bool, jit: bool, calls: list[int]
) -> None:
    stock, fast = pair.layers(return_sequences=return_sequences, return_state=True, go_backwards=go_backwards)
    # XLA takes over a second to compile the stock loop; its graph form is the reference for both.
    expected, actual = pair.gradients(stock), pair.gradients(fast, jit=jit)
    sizes = [(3, 7)] if jit else [(3, 7), (4, 11), (2, 1)]  # XLA compiles for every size: slow
    for samples, steps in sizes:  # one trace serves every batch size and length
        values = pair.batch(samples, steps)
        assert_same(actual(*values), expected(*values))
    assert calls == [1]


@pytest.mark.parametrize("return_sequences", [False, True])
def test_without_states(pair: Pair, return_sequences: bool, calls: list[int]) -> None:
    stock, fast = pair.layers(return_sequences=return_sequences)
    values = pair.batch(6, 9)
    assert_same(pair.gradients(fast, states=False)(*values), pair.gradients(stock, states=False)(*values))
    assert calls


@pytest.mark.slow
def test_second_derivatives_are_the_stock_ones(pair: Pair) -> None:
    def penalty(layer: Any, x: Any) -> Any:
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(layer(x, training=True) ** 2)
            value = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        return outer.gradient(value, [w.value for w in layer.trainable_variables])

    x = tf.constant(pair.batch(3, 6)[0])
    stock, fast = (tf.function(penalty)(layer, x) for layer in pair.layers(return_sequences=True))
    assert_same(fast, stock)


def test_input_dropout_draws_one_mask_for_all_steps(pair: Pair, calls: list[int]) -> None:
    stock, fast = pair.layers(dropout=0.5, seed=11, return_sequences=True)
    values = pair.batch(8, 6)
    assert_same(pair.gradients(fast, states=False)(*values), pair.gradients(stock, states=False)(*values))
    assert calls


@pytest.mark.parametrize(
    "options",
    [
        {"recurrent_dropout": 0.3, "seed": 5},
        {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"},
        {"use_bias": False},
        {"unroll": True},
    ],
    ids=lambda o: next(iter(o)),
)
def test_uncovered_options_run_the_stock_loop(pair: Pair, options: dict[str, Any], calls: list[int]) -> None:
    check_stock_loop(pair, options, calls)


@pytest.mark.parametrize("pair", [PAIRS["gru"]], ids=["gru"])
def test_a_reset_before_the_product_runs_the_stock_loop(pair: Pair, calls: list[int]) -> None:
    check_stock_loop(pair, {"reset_after": False}, calls)


def check_stock_loop(pair: Pair, options: dict[str, Any], calls: list[int]) -> None:
    stock, fast = pair.layers(**options)
    x = pair.batch(3, 5)[0]
    results = [tf.function(lambda x, layer=layer: layer(x, training=True))(x) for layer in (fast, stock)]
    assert_same(results[:1], results[1:])
    assert not calls


def test_masks_eager_calls_and_inference_run_the_stock_loop(pair: Pair, calls: list[int]) -> None:
    stock, fast = pair.layers()
    x = pair.batch(3, 5)[0]
    mask = np.arange(5)[None] < np.array([[2], [5], [4]])
    for training, kept in [(True, mask), (False, None)]:
        run = [
            tf.function(lambda x, layer=layer, t=training, m=kept: layer(x, training=t, mask=m))(x)
            for layer in (fast, stock)
        ]
        assert_same(run[:1], run[1:])
    assert_same([fast(x, training=True)], [stock(x, training=True)])
    assert not calls


@pytest.mark.parametrize(
    "policy",
    tiers(["mixed_float16", "mixed_bfloat16", "float64"], quick=["mixed_float16"], slow=["mixed_bfloat16", "float64"]),
)
def test_other_precisions_train(pair: Pair, policy: str, calls: list[int]) -> None:
    layer = pair.fast(UNITS, dtype=policy, return_sequences=True)
    model = keras.Sequential([keras.Input((None, FEATURES)), layer, keras.layers.Dense(1)])
    model.compile("adam", "mse", jit_compile=False)
    losses = model.fit(pair.batch(32, 6)[0], np.ones((32, 6, 1)), epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    assert bool(calls) == (policy == "float64")


def network(layer: type[Any]) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, FEATURES), name="values")
    x = layer(UNITS, return_sequences=True)(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(layer(UNITS)(x)))


@pytest.mark.slow
def test_fit_follows_the_stock_layer(pair: Pair, calls: list[int]) -> None:
    x = pair.batch(80, 5)[0]
    y = x[:, -2:].sum(axis=(1, 2))[:, None]
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    histories = []
    for layer, jit in [(pair.fast, True), (pair.stock, False)]:
        model = network(layer)
        model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=jit, steps_per_execution=20)
        histories.append(model.fit(data, epochs=4, verbose=0).history["loss"])
    assert histories[0][-1] < 0.9 * histories[0][0]
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-4)
    assert calls


def test_saved_models_come_back_and_swap_with_stock_ones(pair: Pair, tmp_path: Any) -> None:
    model, stock, x = network(pair.fast), network(pair.stock), pair.batch(3, 7)[0]
    assert pair.fast(UNITS).get_config().keys() == pair.stock(UNITS).get_config().keys()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    for one, other in [(model, stock), (stock, model)]:  # weights fit both ways, and settings
        randomise(one)
        other.set_weights(one.get_weights())
        np.testing.assert_array_equal(other.predict(x, verbose=0), one.predict(x, verbose=0))
        assert type(other.layers[1]).from_config(one.layers[1].get_config()).units == UNITS


def randomise(model: keras.Model) -> None:
    model.set_weights([np.random.default_rng(k).normal(size=w.shape) for k, w in enumerate(model.get_weights())])


def test_converter_sees_the_graph_of_the_stock_layer(pair: Pair) -> None:
    """Nothing of the own loop is in an inference graph: the same operations in the same order."""
    kinds = []
    for layer in (pair.fast, pair.stock):
        model = network(layer)
        serve = tf.function(lambda values, model=model: model(values, training=False))
        graph = serve.get_concrete_function(tf.TensorSpec((None, None, FEATURES), tf.float32)).graph
        kinds.append([node.op for node in graph.as_graph_def().node])
    assert kinds[0] == kinds[1]


def test_an_exported_lstm_stays_one_fused_onnx_node_a_layer(tmp_path: Any) -> None:
    model, x = network(FastLSTM), PAIRS["lstm"].batch(3, 7)[0]
    randomise(model)
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec((None, None, FEATURES), tf.float32, name="values")]
    archive.add_endpoint("serve", lambda values: model(values, training=False), signature)
    archive.write_out(str(tmp_path / "saved"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))  # the endpoint alone would not keep the variables
    np.testing.assert_allclose(loaded.serve(tf.constant(x)), model(x), atol=TOLERANCE)
    answers, kinds = run_as_onnx(lambda values: {"prediction": loaded.serve(values)}, signature, {"values": x})
    assert kinds["LSTM"] == 2
    np.testing.assert_allclose(answers["prediction"], model(x), atol=TOLERANCE)


def test_an_exported_gru_is_built_from_stand_ins_with_the_same_answers() -> None:
    from keras_seq.export.convertible import FOR_ONNX, LoopGRU
    from keras_seq.models.views import plain_twin

    model, x = network(FastGRU), PAIRS["gru"].batch(3, 7)[0]
    twin = plain_twin(model, FOR_ONNX)
    kinds = [type(layer) for layer in twin.layers]
    assert kinds.count(LoopGRU) == 2 and FastGRU not in kinds
    np.testing.assert_allclose(twin.predict(x, verbose=0), model.predict(x, verbose=0), atol=TOLERANCE)
