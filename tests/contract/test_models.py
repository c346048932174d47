"""The contract of every registered family and task; a new family is tested by being registered."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_seq.models import build_model, registry
from tests.contract.checks import (
    check_answers,
    check_batch_and_time,
    check_future,
    check_last_step,
    check_padding,
    check_saved,
    check_shape,
)  # fmt: skip
from tests.contract.conftest import fitted_case
from tests.factories import fitted
from tests.factories.families import sequence_families
from tests.factories.tiers import tiers


def test_shape_and_names(build, family, task):
    check_shape(build(family, task))


def test_pad_invariance(build, family, task):
    check_padding(build(family, task))


def test_batch_size_and_time_are_free(build, family, task):
    check_batch_and_time(build(family, task))


def test_saved_and_loaded_equal(build, tmp_path, family, task):
    case = build(family, task)
    check_saved(case, tmp_path, tolerance=case.tolerance)


def test_probabilities_and_quantiles_are_proper(build, family):
    assert ((build(family, "binary").answers > 0) & (build(family, "binary").answers < 1)).all()
    np.testing.assert_allclose(build(family, "multiclass").answers.sum(-1), 1, rtol=1e-5)
    for task in ("quantiles", "forecast_quantiles"):
        assert (np.diff(build(family, task).answers, axis=-1) > 0).all()


def test_answers_at_every_step_do_not_see_the_future(build, family):
    check_future(build(family, "per_step"))


def test_last_step_view_of_a_per_step_model(build, family):
    check_last_step(build(family, "per_step"))


@pytest.mark.parametrize("settings", [
    {"pooling": "mean", "normalisation": "batch"},
    {"pooling": "max", "normalisation": "instance", "input_noise": 0.1, "input_dense": 5},
    {"pooling": "attention", "normalisation": "layer", "positional": "learned", "activation": "gelu"},
    {"pooling": "last", "bidirectional": True},
    {"pooling": "segments"},
    {"pooling": "sum"},
], ids=["mean-batch", "max-instance", "attention-layer", "last-bidirectional", "segments", "sum"])  # fmt: skip
@pytest.mark.parametrize(
    "family",
    tiers(
        sequence_families(),
        quick=["lstm", "cnn_lstm", "transformer"],
        slow=["gru", "bilstm", "attention_lstm", "tcn", "inception_time"],
    ),
)
def test_pad_invariance_of_options(build, family, settings):
    check_padding(build(family, **settings))


def test_fixed_length_model_has_one_input(build, tools, family):
    case = build(family, spec={"variable_length": False})
    assert [t.name for t in case.model.inputs] == ["values"]
    variable = build(family)
    case.model.set_weights(variable.model.get_weights())
    full = {"values": tools.raw_values(3), "lengths": np.full(3, tools.TIME, np.int32)}
    answers = case.predict({"values": full["values"]})
    np.testing.assert_allclose(answers, variable.predict(full), rtol=0, atol=case.tolerance)
    assert case.predict({"values": tools.raw_values(2, time=5)}).shape == (2, 1)


def test_raw_units_are_scaled_inside(build, tools, family):
    raw = build(family, spec={"impute": "none"})
    unit = build(
        family,
        spec={
            "impute": "none",
            "target_mean": (0.0,),
            "target_std": (1.0,),
            "scaling": raw.spec.scaling.model_copy(
                update={"center": ((0.0,) * 3,), "scale": ((1.0,) * 3,), "fill": (0.0,) * 3}
            ),
        },
    )
    unit.model.set_weights(raw.model.get_weights())
    by_hand = (raw.inputs["values"] - np.float32(tools.CENTER)) / np.float32(tools.SCALE)
    answers = unit.predict({**raw.inputs, "values": by_hand}) * 20.0 + 80.0
    np.testing.assert_allclose(answers, raw.answers, rtol=0, atol=raw.tolerance)


@pytest.mark.parametrize("impute", ["none", "forward", "interpolate", "mean"])
def test_missing_values_are_mended(build, family, impute):
    case = build(family, spec={"impute": impute, "missing_indicator": impute == "mean"})
    values = case.inputs["values"].copy()
    values[:, 2:5, 1], values[1, 0], values[0, :, 2] = np.nan, np.nan, np.inf
    assert np.isfinite(case.predict({**case.inputs, "values": values})).all()
    assert np.isfinite(case.predict({**case.inputs, "values": np.full_like(values, np.nan)})).all()


def test_same_seed_same_model(tools, family):
    def made():
        keras.utils.set_random_seed(3)
        model = build_model(tools.make_config(family, "regression"), tools.make_spec("regression"))
        return model.get_weights()

    for one, other in zip(made(), made(), strict=True):
        np.testing.assert_array_equal(one, other)


def learnable(tools, task, samples=32):
    """Targets that follow from the inputs, in the shapes of the task."""
    values, lengths = tools.raw_values(samples), np.full(samples, tools.TIME, np.int32)
    z = (values - np.float32(tools.CENTER)) / np.float32(tools.SCALE)
    signal = z[:, :, 0].mean(1) * 3
    targets = {
        "regression": 80 + 20 * signal[:, None],
        "quantiles": 80 + 20 * signal[:, None],
        "per_step": 80 + 20 * z[:, :, :1],
        "binary": (signal[:, None] > 0).astype(np.float32),
        "multiclass": np.digitize(signal, [-0.5, 0.5]),
        "forecast": np.repeat(values[:, -1:, 1:], 4, axis=1),
        "forecast_quantiles": np.repeat(values[:, -1:, 1:], 4, axis=1),
    }
    return {"values": values, "lengths": lengths}, targets[task]


def loss_for(task):
    def pinball(truth, answer):
        levels = np.float32([0.1, 0.5, 0.9])
        difference = truth[..., None] - answer if task == "forecast_quantiles" else truth - answer
        return keras.ops.mean(keras.ops.maximum(levels * difference, (levels - 1) * difference))

    return {
        "binary": "binary_crossentropy",
        "multiclass": "sparse_categorical_crossentropy",
        "quantiles": pinball,
        "forecast_quantiles": pinball,
    }.get(task, "mae")


def losses(model, tools, task, steps=40):
    inputs, targets = learnable(tools, task)
    model.compile(keras.optimizers.Adam(1e-2), loss_for(task), jit_compile=False)
    return [float(model.train_on_batch(inputs, targets)) for _ in range(steps)]


@pytest.mark.parametrize(
    "family", tiers(sequence_families(), quick=["cnn_lstm"], slow=set(sequence_families()) - {"cnn_lstm"})
)
def test_loss_falls_for_every_family(tools, family):
    keras.utils.set_random_seed(0)
    config = tools.make_config(family, "regression", dropout=0.1, layers=1, history={})
    model = build_model(config, tools.make_spec("regression"))
    seen = losses(model, tools, "regression")
    assert seen[-1] < 0.9 * seen[0], seen


@pytest.mark.slow
def test_loss_falls_for_every_task(tools, task):
    keras.utils.set_random_seed(0)
    config = tools.make_config("tcn", task, dropout=0.0, layers=1, history={})
    model = build_model(config, tools.make_spec(task))
    seen = losses(model, tools, task)
    assert seen[-1] < 0.95 * seen[0], seen


@pytest.mark.parametrize("family, policy", [
    *((name, "mixed_bfloat16") for name in sequence_families()),
    ("cnn_lstm", "mixed_float16"),
    ("transformer", "mixed_float16"),
])  # fmt: skip
def test_mixed_precision_builds_and_steps(tools, family, policy):
    inputs, targets = learnable(tools, "regression", samples=6)
    inputs["lengths"][:2] = (0, 4)
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = build_model(tools.make_config(family, "regression", pooling="attention"), tools.make_spec("regression"))
        answers = np.asarray(model(inputs, training=True))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert any("16" in str(layer.compute_dtype) for layer in model.layers)
    assert answers.dtype == np.float32
    assert np.isfinite(answers).all()
    gradients = eager_gradients(model, inputs, targets)
    assert gradients
    assert all(np.isfinite(np.asarray(gradient)).all() for gradient in gradients)


def eager_gradients(model, inputs, targets):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square((model(inputs, training=True) - tf.cast(targets, tf.float32)) / 20.0))
    return tape.gradient(loss, model.trainable_variables)


@pytest.mark.parametrize("family", ["bilstm", "cnn_lstm", "transformer"])
def test_rematerialised_model_gives_equal_answers_and_gradients(build, tools, family):
    case = build(family, dropout=0.0)
    config = tools.make_config(family, "regression", dropout=0.0)
    again = build_model(config, case.spec, rematerialise=True)
    again.set_weights(case.model.get_weights())
    np.testing.assert_allclose(np.asarray(again(case.inputs)), case.answers, rtol=0, atol=case.tolerance)
    targets = np.full((len(tools.LENGTHS), 1), 90.0)
    pairs = zip(
        eager_gradients(again, case.inputs, targets), eager_gradients(case.model, case.inputs, targets), strict=True
    )
    for one, other in pairs:
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------- families that are fitted


VARIABLE = ("per_step", "binary", "multiclass")  # tasks of sequences of any length
KEPT = [(family, task) for family in fitted.FAMILIES for task in VARIABLE if task in fitted.cases_of(family)]
QUICK = [("hist_gradient_boosting", "per_step"), ("random_forest", "per_step")]
QUICK += [("extra_trees", "multiclass"), ("ridge", "binary")]
EACH = [("lightgbm", "binary"), ("last_row_forest", "per_step"), ("ridge", "multiclass")]
EACH += [("minirocket", "binary"), ("minirocket", "multiclass")]


@pytest.mark.parametrize(("family", "task"), tiers(KEPT, quick=QUICK, slow=EACH))
def test_fitted_families_keep_the_contract(tmp_path, family, task):
    case = fitted_case(family, task)
    check_answers(case)
    check_padding(case)
    check_batch_and_time(case)
    check_saved(case, tmp_path)
    if task == "per_step":
        check_future(case)
        check_last_step(case)


def test_a_new_family_is_one_function(build, tools):
    @registry.register("toy")
    def toy(x, lengths, config, steps):
        return keras.layers.Dense(config.units, activation="tanh", name="toy_1")(x)

    try:
        for task in tools.OUTPUTS:
            check_shape(build("toy", task))
            check_padding(build("toy", task))
    finally:
        registry._FAMILIES.pop("toy")
