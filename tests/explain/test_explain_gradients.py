"""Gradients, groups and served explanations on tiny models whose attributions are known or must agree."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.errors import ConfigError, DataError, ModelError
from keras_seq.explain import background, faithfulness, permutation, samples, served
from keras_seq.explain.explained_model import ExplainedModel
from keras_seq.explain.feature_groups import make_groups
from keras_seq.explain.masked_model import MaskedModel
from keras_seq.explain.methods import attention, gradients, occlusion
from keras_seq.explain.output_target import make_target
from keras_seq.explain.registry import choose_methods
from keras_seq.models import build_model
from keras_seq.models.preprocess import Preprocess
from tests.factories.tiers import tiers

TIME, FEATURES = 8, 3
WEIGHTS = np.random.default_rng(3).normal(size=(TIME, FEATURES)).astype(np.float32)


def make_spec(**changes):
    given = {
        "task": "regression",
        "features": ("speed", "level", "heat"),
        "targets": ("y",),
        "time": TIME,
        "variable_length": True,
        "target_mean": (0.0,),
        "target_std": (1.0,),
        "impute": "forward",
        "scaling": Scaling(center=((0.0,) * 3,), scale=((1.0,) * 3,), fill=(0.0,) * 3),
    }
    return DataSpec(**{**given, **changes})


@keras.saving.register_keras_serializable("test_explain")
class Weighted(keras.layers.Layer):
    """A known weighted sum of all values."""

    def call(self, x):
        return keras.ops.sum(x * WEIGHTS[None, : x.shape[1] or TIME], axis=(1, 2))[:, None]

    def compute_output_shape(self, shape):
        return (shape[0], 1)


def linear_model():
    values = keras.Input((TIME, FEATURES), name="values")
    channels = Preprocess.from_spec(make_spec(variable_length=False), name="preprocess")(values)
    output = keras.layers.Activation("linear", name="prediction")(Weighted()(channels))
    return keras.Model({"values": values}, output, name="lstm")


def network(family="lstm", task="regression", seed=0, **settings):
    spec = make_spec(task=task, classes=("a", "b", "c") if task == "multiclass" else ())
    config = ModelConfig(family=family, units=6, filters=6, ff_dim=8, heads=2, layers=1, hidden_dims=(), **settings)
    keras.utils.set_random_seed(seed)
    model = build_model(config, spec)
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(np.asarray(weight) + rng.normal(size=weight.shape, scale=0.2))
    return model, spec


def windows(count, seed, time=TIME):
    return np.random.default_rng(seed).normal(size=(count, time, FEATURES)).astype(np.float32)


def make_masked(model, spec, values=None, lengths=None, *, count=6, kind="windows", **options):
    values = windows(3, 1) if values is None else values
    lengths = [TIME, 5, 3] if lengths is None and spec.variable_length else lengths
    other = background.from_windows(windows(9, 2), np.array([8, 8, 8, 4, 8, 8, 6, 8, 8]), spec, count=count, kind=kind)
    return MaskedModel(
        ExplainedModel(model, spec, make_target(spec), **options), samples.from_arrays(values, spec, lengths), other
    )


def test_a_linear_model_gets_its_weights_times_the_distance():
    spec = make_spec(variable_length=False)
    values = windows(2, 1)
    values[0, 2, 1] = np.nan  # forward filled: what it inherits goes to the step before
    other = background.from_windows(windows(4, 2), [TIME] * 4, spec, count=4)
    masked = MaskedModel(
        ExplainedModel(linear_model(), spec, make_target(spec)), samples.from_arrays(values, spec), other
    )
    found = gradients.integrated_gradients(masked, nodes=1)
    mean = other.values.mean(0)
    np.testing.assert_allclose(found.values[1], WEIGHTS * (values[1] - mean), atol=1e-5)
    assert found.values[0, 2, 1] == 0
    both = WEIGHTS[1, 1] + WEIGHTS[2, 1]
    assert found.values[0, 1, 1] == pytest.approx(both * (values[0, 1, 1] - mean[1, 1]), abs=1e-5)
    assert found.additivity_error().max() < 1e-6
    left_out = occlusion.occlusion(masked, blocks=TIME)
    np.testing.assert_allclose(left_out.values[1], found.values[1], atol=1e-5)
    local = gradients.gradient_times_input(masked)
    np.testing.assert_allclose(local.values[1], found.values[1], atol=1e-5)


@pytest.mark.parametrize("kind", ["windows", "mean"])
def test_nodes_are_doubled_until_everything_adds_up(kind):
    masked = make_masked(*network(), kind=kind)
    rough = gradients.integrated_gradients(masked, nodes=1)
    found = gradients.integrated_gradients(masked)
    assert found.additivity_error().max() <= 0.005
    assert rough.additivity_error().max() > found.additivity_error().max()
    fine = gradients.integrated_gradients(masked, nodes=64)
    assert fine.additivity_error().max() < 1e-3
    np.testing.assert_allclose(found.values, fine.values, atol=0.02 * found.output_range)
    assert (found.values[1, 5:] == 0).all() and (found.values[2, 3:] == 0).all()


@pytest.mark.slow
def test_padding_changes_nothing_whatever_it_holds():
    model, spec = network("bilstm")
    values, plain = windows(2, 1), np.zeros((2, TIME, FEATURES), np.float32)
    plain[:, :4] = values[:, :4]
    values[:, 4:] = 1e6
    one = gradients.integrated_gradients(make_masked(model, spec, values, [4, 3]), nodes=8)
    values[:, 4:] = np.nan
    two = gradients.integrated_gradients(make_masked(model, spec, values, [4, 3]), nodes=8)
    short = gradients.integrated_gradients(make_masked(model, spec, plain[:, :4], [4, 3]), nodes=8)
    np.testing.assert_allclose(one.values, two.values, atol=1e-5)
    np.testing.assert_allclose(one.values[:, :4], short.values, atol=1e-5)


@pytest.mark.slow
def test_the_own_kernel_gives_the_stock_layers_gradient():
    model, spec = network("lstm")
    own = gradients.integrated_gradients(make_masked(model, spec), nodes=8)
    stock = gradients.integrated_gradients(make_masked(model, spec, own_kernel=False), nodes=8)
    np.testing.assert_allclose(own.values, stock.values, atol=2e-6)


@pytest.mark.slow
def test_compiled_and_plain_functions_agree():
    model, spec = network("gru")
    plain = gradients.integrated_gradients(make_masked(model, spec, jit=False), nodes=8)
    compiled = gradients.integrated_gradients(make_masked(model, spec, jit=True), nodes=8)
    np.testing.assert_allclose(plain.values, compiled.values, atol=2e-6)


def test_expected_gradients_come_to_integrated_gradients():
    masked = make_masked(*network())
    exact = gradients.integrated_gradients(masked, nodes=32)
    noisy = gradients.expected_gradients(masked, places=400, seed=1)
    np.testing.assert_allclose(noisy.values, exact.values, atol=0.05 * exact.output_range)
    again = gradients.expected_gradients(masked, places=3, seed=1)
    np.testing.assert_array_equal(again.values, gradients.expected_gradients(masked, places=3, seed=1).values)


@pytest.mark.slow
def test_classes_are_explained_one_by_one():
    model, spec = network(task="multiclass")
    masked = make_masked(model, spec)
    found = gradients.integrated_gradients(masked)
    np.testing.assert_allclose(found.predictions, masked.outputs.max(1), rtol=1e-6)
    assert found.additivity_error().max() <= 0.005
    parts = []
    for name in spec.classes:
        explained = ExplainedModel(model, spec, make_target(spec, class_name=name))
        parts.append(
            gradients.integrated_gradients(MaskedModel(explained, masked.samples, masked.background), nodes=32).values
        )
    np.testing.assert_allclose(np.sum(parts, axis=0), 0, atol=1e-5)  # probabilities sum to 1


def test_groups_worth_all_and_nothing():
    masked = make_masked(*network())
    groups = make_groups(masked, 1, 2)
    ends = masked.mean_answers(1, groups.present(np.stack([np.ones(len(groups)), np.zeros(len(groups))])))
    np.testing.assert_allclose(ends, [masked.predictions[1], masked.base[1]], atol=1e-5)
    with pytest.raises(ConfigError, match="divided into at least 1 block"):
        make_groups(masked, 0, 0)


def test_deletion_prefers_true_reasons_to_chance():
    spec = make_spec(variable_length=False)
    other = background.from_windows(windows(8, 2), [TIME] * 8, spec, count=8)
    explained = ExplainedModel(linear_model(), spec, make_target(spec))
    masked = MaskedModel(explained, samples.from_arrays(windows(12, 5), spec), other)
    found = gradients.integrated_gradients(masked, nodes=1)
    true, chance = faithfulness.curves(masked, found, blocks=8), faithfulness.curves(masked, None, blocks=8)
    assert true.areas[0] < chance.areas[0] - 0.3 and true.areas[1] > chance.areas[1] + 0.3
    assert true.deletion[0] == pytest.approx(1.0) and true.insertion[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("quiet", tiers([0, 1e-6, 1e-3, 0.03], quick=[1e-6], slow=[0, 1e-3, 0.03]))
def test_a_sample_that_hardly_differs_from_its_base_decides_nothing(quiet):
    """As a mean of ratios its share of next to nothing was -2.78 "of the answer's change"."""
    spec = make_spec(variable_length=False)
    other = background.from_windows(windows(8, 2), [TIME] * 8, spec, count=8)
    explained = ExplainedModel(linear_model(), spec, make_target(spec))
    loud = windows(12, 5)
    still = np.broadcast_to(windows(8, 2).mean(0), loud[:6].shape) + quiet * windows(6, 9)
    alone, joined = (
        MaskedModel(explained, samples.from_arrays(values.astype(np.float32), spec), other)
        for values in (loud, np.concatenate([loud, still]))
    )
    with_them, without = (
        faithfulness.curves(one, gradients.integrated_gradients(one, nodes=1), blocks=8) for one in (joined, alone)
    )
    np.testing.assert_allclose(with_them.areas, without.areas, atol=0.02)
    assert with_them.deletion[0] == pytest.approx(1.0) and with_them.insertion[-1] == pytest.approx(1.0)
    nothing = MaskedModel(explained, samples.from_arrays(np.repeat(windows(8, 2).mean(0)[None], 3, 0), spec), other)
    assert np.isnan(faithfulness.curves(nothing, None, blocks=8).areas).all()


def test_permutation_importance_finds_the_sensor_that_tells():
    spec = make_spec(variable_length=False)
    model = linear_model()
    values = windows(30, 6)
    values[:, :, 2] = 1.0  # tells nothing
    given = samples.from_arrays(values, spec)
    truth = np.asarray(model({"values": values}))
    given = samples.Samples(given.values, given.lengths, given.names, given.unit, given.row, truth)
    other = background.from_windows(windows(4, 2), [TIME] * 4, spec, count=4)
    masked = MaskedModel(ExplainedModel(model, spec, make_target(spec)), given, other)
    rows = permutation.permutation_importance(masked, repeats=3)
    assert rows[-1].group == "heat" and rows[-1].increase == pytest.approx(0, abs=1e-5)
    assert rows[0].loss == pytest.approx(0, abs=1e-5) and rows[0].increase > 0.5
    joint = permutation.permutation_importance(masked, {"both": ("speed", "level")}, repeats=3)
    assert joint[0].increase > 0.5
    with pytest.raises(ConfigError, match="Group 'x' names 'spede'; did you mean 'speed'"):
        permutation.permutation_importance(masked, {"x": ("spede",)})
    with pytest.raises(DataError, match="whose truth is known"):
        permutation.permutation_importance(make_masked(*network()))


def test_methods_that_do_not_fit_are_refused_before_work():
    model, spec = network()
    explained = ExplainedModel(model, spec, make_target(spec))
    assert choose_methods(["auto"], explained, model) == ("integrated_gradients", "occlusion")
    with pytest.raises(ModelError, match="family 'lstm', which has no attention"):
        choose_methods(["attention"], explained, model)
    with pytest.raises(ModelError, match="one tree ensemble; family 'lstm' holds 0"):
        choose_methods(["tree"], explained, model)
    with pytest.raises(ConfigError, match="a path needs at least 1"):
        gradients.integrated_gradients(make_masked(model, spec), nodes=0)
    with pytest.raises(DataError, match="No background window has a single real step"):
        background.from_windows(windows(2, 0), [0, 0], spec, count=2)


@pytest.mark.parametrize(
    ("family", "pooling"),
    tiers(
        [("transformer", "mean"), ("attention_lstm", "last"), ("lstm", "attention")],
        quick=[("attention_lstm", "last")],
        slow=[("transformer", "mean"), ("lstm", "attention")],
    ),
)
def test_attention_reads_real_steps_only(family, pooling):
    model, spec = network(family, pooling=pooling)
    masked = make_masked(model, spec)
    found = attention.attention_weights(masked)
    lengths = masked.samples.lengths
    np.testing.assert_allclose(found.rollout.sum(1), 1.0, rtol=1e-6)
    assert (found.rollout[1, 5:] == 0).all() and (found.rollout >= 0).all()
    for weights in found.heads.values():
        for one, length in zip(weights, lengths, strict=True):
            np.testing.assert_allclose(one[:, :length, :length].sum(-1), 1.0, rtol=1e-5)
    assert attention.attention(masked).values.shape == (3, TIME, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["windows", "mean"])
def test_a_served_explanation_is_the_same_after_reloading(tmp_path, kind):
    import tensorflow as tf

    model, spec = network("lstm")
    masked = make_masked(model, spec, count=2, kind=kind)
    made = served.make_explain(model, make_target(spec), masked.background, nodes=8)
    archive = keras.export.ExportArchive()
    archive.track(made.model)
    served.add_to(archive, made)
    archive.write_out(str(tmp_path / "1"), verbose=False)
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["explain"]
    values = np.full((3, TIME + 2, FEATURES), 7.0, np.float32)
    values[:, :TIME] = windows(3, 1)
    values[0, 2, 1] = np.nan
    lengths = np.array([TIME, 5, 3], np.int32)
    answer = {name: tensor.numpy() for name, tensor in signature(values=values, lengths=lengths).items()}
    masked = make_masked(model, spec, values[:, :TIME], lengths, count=2, kind=kind)
    if kind == "windows":  # the stored windows themselves, whatever a sample's length
        object.__setattr__(masked.background, "values", masked.background.values[:2])
        object.__setattr__(masked.background, "lengths", masked.background.lengths[:2])
    expected = gradients.integrated_gradients(masked, nodes=8)
    np.testing.assert_allclose(answer["attributions"][:, :TIME], expected.values, atol=1e-5)
    np.testing.assert_allclose(answer["explained"][:, 0], expected.predictions, atol=1e-5)
    np.testing.assert_allclose(answer["base"][:, 0], expected.base, atol=1e-5)
    total = answer["base"] + answer["attributions"].sum((1, 2))[:, None] + answer["error"]
    np.testing.assert_allclose(total, answer["explained"], atol=1e-5)
    assert (answer["attributions"][1, 5:] == 0).all() and answer["attributions"][0, 2, 1] == 0
