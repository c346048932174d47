"""Training that computes activations again is the same training, for every network family."""

import keras
import numpy as np
import pytest

from keras_seq import config
from keras_seq.data.prepare import prepare
from keras_seq.models.build import build_model
from keras_seq.training.fit import fit
from tests.factories.experiments import caster_tree
from tests.factories.families import sequence_families
from tests.factories.tiers import tiers

NETWORKS = sorted(sequence_families())


@pytest.fixture(scope="module")
def prepared():
    return prepare(config.from_dict(caster_tree(sequences=40, longest=110)).data)


def trained(prepared, folder, rematerialise, **dotted):
    """History, weights and answers of two epochs."""
    tree = {
        **{"model.dropout": 0.3, "model.heads": 2, "model.hidden_dims": [4], "training.epochs": 2},
        **{"training.batch_size": 8, "training.rematerialise": rematerialise, "training.resume": False},
    }
    experiment = config.from_dict(caster_tree(sequences=40, longest=110, **tree | dotted))
    keras.utils.set_random_seed(0)
    model = build_model(experiment.model, prepared.spec, rematerialise=rematerialise)
    result = fit(experiment, model, prepared, folder, quiet=True)
    path = folder / "model.keras"
    model.save(path)
    values = np.random.default_rng(0).normal(size=(2, 110, len(prepared.spec.features))).astype("float32")
    inputs = {"values": values, "lengths": np.array([110, 60], np.int32)}
    answers = [np.asarray(one(inputs)) for one in (model, keras.models.load_model(path))]
    np.testing.assert_array_equal(*answers)
    return result.history, model.get_weights(), answers[0]


def check_equal(prepared, tmp_path, tolerance=1e-4, **dotted):
    plain = trained(prepared, tmp_path / "plain", False, **dotted)
    again = trained(prepared, tmp_path / "again", True, **dotted)
    np.testing.assert_allclose(again[0]["loss"], plain[0]["loss"], rtol=tolerance)
    np.testing.assert_allclose(again[0]["val_loss"], plain[0]["val_loss"], rtol=tolerance)
    np.testing.assert_allclose(again[2], plain[2], atol=tolerance)
    for one, other in zip(again[1], plain[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("name", tiers(NETWORKS, slow=["lstm", "cnn_lstm", "transformer"]))
def test_every_network_trains_the_same_weights(prepared, tmp_path, name):
    check_equal(prepared, tmp_path, **{"model.family": name})


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "dotted"),
    [
        ("tcn", {"model.normalisation": "batch", "model.input_noise": 0.1}),
        ("transformer", {"model.pooling": "attention", "data.windows.per_step": False, "model.layers": 2}),
        ("lstm", {"training.epochs": 60, "training.batch_size": 20, "model.layers": 2}),
        ("lstm", {"training.fast_lstm": False, "model.normalisation": "batch"}),
        ("gru", {"training.deterministic": True}),
        ("attention_lstm", {"training.steps_per_execution": 1, "training.clip_norm": 0.0}),
        ("bilstm", {"model.variant": "deep", "model.units": 4, "model.layers": 2}),
        ("cnn_lstm", {"training.freeze": ["conv*"]}),
    ],
)
def test_options_train_the_same_weights(prepared, tmp_path, name, dotted):
    check_equal(prepared, tmp_path, 1e-3, **{"model.family": name, **dotted})


@pytest.mark.parametrize("policy", tiers(["float16", "bfloat16"], slow=["float16"]))
def test_half_precision_trains(prepared, tmp_path, policy):
    keras.mixed_precision.set_global_policy(f"mixed_{policy}")
    try:
        check_equal(prepared, tmp_path, 0.05, **{"model.family": "transformer", "training.mixed_precision": policy})
    finally:
        keras.mixed_precision.set_global_policy("float32")
