"""Compression: what is refused, how sparsity is shared out, and that twins answer as their models do."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq import cli
from keras_seq.compress.plan import METHODS, CompressionPlan
from keras_seq.errors import ConfigError
from tests.factories.experiments import caster_tree
from tests.factories.families import sequence_families

SIZES = {"model.units": 16, "model.filters": 16, "model.heads": 2, "model.ff_dim": 32, "model.layers": 2}


def slow_but(*quick):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in sequence_families()]


@pytest.fixture(scope="module")
def prepared():
    from keras_seq import config
    from keras_seq.data.prepare import prepare

    return prepare(config.from_dict(caster_tree(40)).data)


def build(prepared, family, **changes):
    import keras

    from keras_seq import config
    from keras_seq.models.build import build_model

    keras.utils.set_random_seed(3)
    tree = caster_tree(40, **{"model.family": family, **SIZES, **changes})
    model = build_model(config.from_dict(tree).model, prepared.spec)
    for variable in model.trainable_variables:  # biases that are zero hide errors
        if len(variable.shape) == 1:
            variable.assign_add(np.random.default_rng(0).normal(size=variable.shape) / 10)
    return model


def inputs_of(prepared):
    generator = np.random.default_rng(1)
    return {
        "values": generator.normal(size=(4, 30, len(prepared.spec.features))).astype(np.float32),
        "lengths": np.array([30, 17, 1, 9], np.int32),
    }


# ---------------------------------------------------------------- the plan


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "prun"}, "did you mean 'prune'"),
        ({"method": "cluster+qat"}, "exclude each other"),
        ({"method": "prune", "sparsity": 0.0}, "--sparsity must lie between 0 and 1"),
        ({"method": "prune", "sparsity": 1.0}, "got 1"),
        ({"method": "prune", "sparsity": float("nan")}, "got nan"),
        ({"method": "auto", "sparsity": 0.95}, "up to 90 % zeros"),
        ({"method": "cluster", "clusters": 2}, "3 to 256"),
        ({"method": "prune", "epochs": -1}, "--epochs"),
        ({"method": "prune", "loss": 0.0}, "--loss"),
        ({"method": "prune", "seconds": 0.0}, "--minutes"),
    ],
)
def test_bad_plans_are_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        CompressionPlan(**options)


def test_stages_come_in_order():
    order = ("prune", "cluster", "qat", "ptq")
    for method in METHODS:
        stages = CompressionPlan(method).stages
        assert list(stages) == sorted(stages, key=order.index), method
    assert CompressionPlan("auto+cluster").stages == ("prune", "cluster") and CompressionPlan("auto+cluster").measured


def test_the_command_line_names_the_mistake(capsys):
    from keras_seq.commands.compress import main

    assert cli.run(main, ["nowhere", "--method", "prunning"]) == 2
    assert "did you mean 'prune'" in capsys.readouterr().err
    assert cli.run(main, ["nowhere", "--method", "prune"]) == 2
    assert "is not a bundle" in capsys.readouterr().err


# ---------------------------------------------------------------- measuring and choosing


def test_sparsity_goes_where_it_costs_least():
    from keras_seq.compress.sensitivity import Sensitivity, choose_sparsity

    shares = (0.5, 0.7, 0.9)
    pruned = {
        "robust": dict(zip(shares, (0.0, 0.001, 0.01), strict=True)),
        "fragile": dict(zip(shares, (0.02, 0.2, 2.0), strict=True)),
    }
    found = Sensitivity("rmse", 1.0, {"robust": 1000, "fragile": 1000}, pruned, {"robust": 0.0, "fragile": 0.1})
    chosen = choose_sparsity(found, 0.7)
    assert chosen["robust"] == 0.9 and chosen["fragile"] == pytest.approx(0.5)
    assert (chosen["robust"] + chosen["fragile"]) / 2 == pytest.approx(0.7)
    chosen = choose_sparsity(found, 0.6)
    assert sum(chosen.values()) / 2 == pytest.approx(0.6) and chosen["robust"] == 0.9
    assert choose_sparsity(found, 0.9) == {"robust": 0.9, "fragile": 0.9}
    assert "| fragile | 1000 | +10.00% |" in found.to_markdown()


def test_kernels_are_pruned_and_rounded():
    from keras_seq.compress.scoring import prune_once, relative_loss, round_int8

    kernel = np.random.default_rng(0).normal(size=(40, 25)).astype(np.float32)
    (pruned,) = prune_once([kernel], 0.7)
    assert np.mean(pruned == 0) == pytest.approx(0.7)
    assert np.abs(kernel[pruned == 0]).max() < np.abs(pruned[pruned != 0]).min()
    rounded = round_int8(kernel)
    assert np.abs(rounded - kernel).max() <= np.abs(kernel).max() / 127 / 2 * 1.01
    assert len(np.unique(rounded)) <= 255
    assert relative_loss("rmse", 2.0, 2.2) == pytest.approx(0.1)
    assert relative_loss("auc_roc", 0.8, 0.76) == pytest.approx(0.05)


# ---------------------------------------------------------------- twins


@pytest.mark.parametrize("family", slow_but("bilstm"))
def test_twins_answer_alike(prepared, family):
    from keras_seq.compress.kernels import compressible
    from keras_seq.compress.twin import make_twin
    from keras_seq.models.views import plain_twin

    model = build(prepared, family, **{"model.hidden_dims": [32], "model.pooling": "attention"})
    plain, seen = plain_twin(model), []
    twin = make_twin(plain, lambda name, layer: seen.append((name, type(layer).__name__)) or layer)
    inputs = inputs_of(prepared)
    np.testing.assert_allclose(twin.model(inputs), model(inputs), rtol=0, atol=2e-6)
    assert sorted(name for name, _ in seen) == sorted(compressible(model))
    kinds = {"bilstm": "LSTM", "gru": "GRU", "tcn": "Conv1D", "transformer": "MultiHeadAttention"}
    if family in kinds:
        assert kinds[family] in {kind for _, kind in seen}
    shapes = sorted(tuple(variable.shape) for variable in model.trainable_variables)
    assert sorted(tuple(variable.shape) for variable in twin.model.trainable_variables) == shapes


def test_a_layer_bears_what_it_bears_and_is_left_as_it_was(prepared):
    from keras_seq import config
    from keras_seq.compress.scoring import Scorer
    from keras_seq.compress.sensitivity import measure

    model = build(prepared, "cnn_lstm")
    weights = model.get_weights()
    found = measure(model, Scorer(model, prepared, config.from_dict(caster_tree(40))), shares=(0.5, 0.95))
    assert set(found.weights) == {"conv_1", "lstm_1", "lstm_2"}
    assert any(loss != 0 for losses in found.pruned.values() for loss in losses.values())
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


# ---------------------------------------------------------------- what is kept


def form(raw, gzip, validation=1.0):
    return {"file": "f", "raw": raw, "gzip": gzip, "validation": validation}


@pytest.mark.parametrize(
    ("name", "found", "kept"),
    [
        ("onnx-int8", form(300, 280), True),
        ("onnx-int8", form(1600, 600), False),  # larger as it lies
        ("onnx-int8", form(990, 950), False),  # hardly smaller packed
        ("onnx", form(1004, 500), True),  # pruned: packs well, is as large as it was
        ("onnx-int8", form(300, 280, validation=1.2), False),  # loses too much
        ("tflite-dynamic", form(700, 600), False),  # no smaller than the float TFLite file
        ("tflite-int8", form(300, 200), True),
    ],
)
def test_a_file_is_kept_only_if_it_is_smaller_at_the_same_loss(name, found, kept):
    from keras_seq.compress.run import _compare

    forms = {"tflite": form(650, 610), name: found}
    _compare(forms, {"onnx": form(1000, 1000)}, "rmse", CompressionPlan("ptq"))
    assert forms[name]["kept"] is kept


def test_a_file_says_what_it_holds(tmp_path):
    import onnx

    from keras_seq.compress.holds import bytes_by_type, in_words

    arrays = {"a": np.zeros((8, 8), np.float32), "b": np.zeros(64, np.int8), "size": np.zeros(2, np.int64)}
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = onnx.helper.make_graph([], "g", [], [], initializer=tensors)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "model.onnx")
    assert bytes_by_type(tmp_path / "model.onnx") == {"float32": 256, "int8": 64}
    assert in_words({"float32": 256, "int8": 64}) == "float32 80%, int8 20%"
