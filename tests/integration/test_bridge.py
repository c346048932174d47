"""A PyTorch state dict becomes a bundle that later commands take; what does not answer alike leaves nothing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import yaml

from keras_seq import config, files
from keras_seq.bundle import load_bundle
from keras_seq.commands.bridge import main
from keras_seq.data.prepare import prepare
from keras_seq.errors import ConfigError, ModelError
from keras_seq.pipeline.evaluate import evaluate
from keras_seq.training.predictions import predict_windows
from tests.factories.experiments import caster_tree, placed

pytestmark = pytest.mark.slow
UNITS, HEADS = 4, 2


def state_dict(features, seed=3):
    """Of ``lstm``, ``mha``, ``norm``, ``fc`` as torch.nn names them."""
    rng = np.random.default_rng(seed)
    shapes = {
        "lstm.weight_ih_l0": (4 * UNITS, features), "lstm.weight_hh_l0": (4 * UNITS, UNITS),
        "lstm.bias_ih_l0": (4 * UNITS,), "lstm.bias_hh_l0": (4 * UNITS,),
        "mha.in_proj_weight": (3 * UNITS, UNITS), "mha.in_proj_bias": (3 * UNITS,),
        "mha.out_proj.weight": (UNITS, UNITS), "mha.out_proj.bias": (UNITS,),
        "norm.weight": (UNITS,), "norm.bias": (UNITS,), "fc.weight": (1, UNITS), "fc.bias": (1,),
    }  # fmt: skip
    return {name: rng.normal(size=shape, scale=0.4).astype(np.float32) for name, shape in shapes.items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def network(x, w):
    """PyTorch's equations of that network for one scaled sequence ``(time, features)``: a probability."""
    h, c, steps = np.zeros(UNITS), np.zeros(UNITS), []
    for row in x:
        gates = w["lstm.weight_ih_l0"] @ row + w["lstm.bias_ih_l0"] + w["lstm.weight_hh_l0"] @ h + w["lstm.bias_hh_l0"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        steps.append(h)
    y = np.array(steps)
    q, k, v = np.split(y @ w["mha.in_proj_weight"].T + w["mha.in_proj_bias"], 3, axis=1)
    size, joined = UNITS // HEADS, []
    for part in (slice(n * size, (n + 1) * size) for n in range(HEADS)):
        share = np.exp(q[:, part] @ k[:, part].T / np.sqrt(size))
        joined.append(share / share.sum(axis=1, keepdims=True) @ v[:, part])
    y = y + np.concatenate(joined, axis=1) @ w["mha.out_proj.weight"].T + w["mha.out_proj.bias"]
    normal = (y[-1] - y[-1].mean()) / np.sqrt(y[-1].var() + 1e-5) * w["norm.weight"] + w["norm.bias"]
    return sigmoid(w["fc.weight"] @ normal + w["fc.bias"])


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Configuration, weights and kept answers of real windows, as files; and the answers."""
    folder = tmp_path_factory.mktemp("bridge")
    model = {"family": "attention_lstm", "units": UNITS, "layers": 1, "heads": HEADS, "positional": "none"}
    tree = caster_tree(model={**model, "hidden_dims": []})
    experiment = placed(tree, folder, **{"export.saved_model": True, "evaluation.baseline": False})
    files.write_text(folder / "case.yaml", config.to_yaml(experiment))
    prepared = prepare(experiment.data)
    weights = state_dict(len(prepared.spec.features))
    np.savez(folder / "w.npz", **weights)
    series, index, scaling = prepared.series, prepared.index["test"], prepared.spec.scaling
    rows = [np.asarray(series.values[a : a + n], np.float64) for a, n in zip(index.start, index.length, strict=True)]
    answer = np.array([network((x - scaling.center[0]) / scaling.scale[0], weights) for x in rows])
    padded = np.zeros((len(rows), max(map(len, rows)), len(prepared.spec.features)), np.float32)
    for number, x in enumerate(rows):
        padded[number, : len(x)] = x
    np.savez(folder / "answers.npz", values=padded, lengths=[len(x) for x in rows], answer=answer)
    return folder, answer


def words(folder, run, *more):
    given = [folder / "w.npz", "--config", folder / "case.yaml", "--output", folder / run, *more]
    return [str(word) for word in given]


def test_a_state_dict_becomes_a_bundle(case):
    import tensorflow as tf

    folder, answer = case
    done = subprocess.run(
        [sys.executable, "-m", "keras_seq.bridge", *words(folder, "run", "--check", folder / "answers.npz")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| attention_1 | mha | nn.MultiheadAttention | shape |" in done.stdout
    assert "parity:" in done.stdout
    bundle = load_bundle(folder / "run")
    imported = bundle.data["imported"]
    assert imported["sha256"] == files.sha256(folder / "w.npz")
    assert imported["parity"]["largest"] < 1e-4
    assert bundle.model.get_layer("attention_norm_1").epsilon == 1e-5  # kept by the file
    prepared = prepare(bundle.experiment.data)
    found = predict_windows(bundle.model, prepared.series, prepared.index["test"], bundle.spec, bundle.experiment.data)
    np.testing.assert_allclose(found.ravel(), answer.ravel(), atol=1e-5)
    assert evaluate(folder / "run")["auc_roc"] == pytest.approx(bundle.metrics["test"]["auc_roc"], abs=1e-6)
    base = folder / "saved_models" / bundle.experiment.name
    (version,) = (path for path in base.iterdir() if path.name.isdigit())  # its lock lies beside it
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    kept = np.load(folder / "answers.npz")
    raw = served(values=tf.constant(kept["values"]), lengths=tf.constant(kept["lengths"], tf.int32))
    assert np.isfinite(raw["probability"]).all()


def test_answers_that_differ_leave_nothing(case):
    """Other activations cannot be seen in shapes; positions neither."""
    folder, _ = case
    more = ("--check", folder / "answers.npz", "--model.positional", "sinusoidal")
    with pytest.raises(ModelError, match="differs from the answers"):
        main(words(folder, "wrong", *more))
    assert not (folder / "wrong").exists()


def test_a_network_of_another_size_leaves_nothing(case):
    folder, _ = case
    with pytest.raises(ModelError, match=r"(?s)Tensors without a layer: 'lstm.l0' .* Layers without tensors: lstm_1"):
        main(words(folder, "larger", "--model.units", "8"))
    assert not (folder / "larger").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model.family", "random_forest"], "can be imported into lstm, gru"),
        (["--model.family", "lstmm"], "did you mean 'lstm'"),
        (["--map", "none.yaml"], "'none.yaml' does not exist"),
    ],
)
def test_mistakes_are_named_before_data_are_read(case, more, message):
    with pytest.raises(ConfigError, match=message):
        main(words(case[0], "mistake", *more))


def test_scalers_of_the_network_travel_with_the_bundle(case):
    folder, _ = case
    features = load_features(folder)
    numbers = {"center": [0.5] * features, "scale": [3.0] * features}
    files.write_text(folder / "map.yaml", yaml.safe_dump({"inputs": numbers}))
    assert main(words(folder, "scaled", "--map", folder / "map.yaml", "--export.saved_model", "false")) == 0
    bundle = load_bundle(folder / "scaled")
    assert bundle.spec.scaling.center == ((0.5,) * features,)
    assert bundle.model.get_layer("preprocess").scaling["scale"] == [[3.0] * features]


def load_features(folder):
    return len(prepare(config.load(folder / "case.yaml").data).spec.features)


def test_training_goes_on_from_an_import(case):
    """``training.warm_start`` takes every layer."""
    from keras_seq.models.build import build_model
    from keras_seq.models.inspect import warm_start
    from keras_seq.training.warm_start import load_source

    folder, _ = case
    main(words(folder, "base", "--export.saved_model", "false"))
    bundle = load_bundle(folder / "base")
    model = build_model(bundle.experiment.model, bundle.spec)
    copied = warm_start(model, load_source(folder / "base"))
    assert copied == [layer.name for layer in model.layers if layer.weights]
