"""Real bundles compressed: what was asked for is reached, kept and served."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_seq import cli, files
from keras_seq.errors import ConfigError, ExportError
from tests.factories.bundles import CASTER, CO2, experiment, make_bundle
from tests.factories.tiers import tiers

pytestmark = pytest.mark.slow

SIZES = {"model.units": 16, "model.filters": 16, "model.heads": 2, "model.ff_dim": 32, "training.epochs": 3}


def bundle_of(folder, family, tree=CASTER, **changes):
    return make_bundle(experiment(tree, folder, **{"model.family": family, **SIZES, **changes})) / "bundle"


def options(model, **changes):
    from keras_seq.compress.kernels import compressible

    sparsity = dict.fromkeys(compressible(model), 0.7)
    return {"sparsity": sparsity, "clusters": 8, "epochs": 3, "learning_rate": 1e-3, **changes}


def stage(bundle, name, folder, weights="", **changes):
    """The model after a stage, and what the stage told."""
    from keras_seq.bundle import load_bundle
    from keras_seq.compress.finetune import read_weights, run_stage

    model, out = load_bundle(bundle).model, str(folder / f"{name}.npz")
    told = run_stage(str(bundle), name, options(model, **changes), weights, out)
    model.set_weights(read_weights(out))
    return model, told, out


@pytest.mark.parametrize("family", tiers(["bilstm", "gru", "tcn", "transformer"], slow=["gru"]))
def test_every_kind_of_layer_takes_every_treatment(tmp_path, family):
    from keras_seq.bundle import load_bundle
    from keras_seq.compress.kernels import compressible, distinct, sparsity

    bundle = bundle_of(tmp_path, family)
    first = load_bundle(bundle).model
    pruned, told, weights = stage(bundle, "prune", tmp_path)
    assert np.isfinite(told["history"]["loss"]).all()
    assert sparsity(pruned) == pytest.approx(dict.fromkeys(compressible(pruned), 0.7), abs=0.01)
    for before, after in zip(first.trainable_variables, pruned.trainable_variables, strict=True):
        assert np.any(before.numpy() != after.numpy()), f"{before.path} did not train"
    clustered, _, _ = stage(bundle, "cluster", tmp_path, weights)
    assert max(distinct(clustered).values()) <= 8
    assert all(share >= 0.69 for share in sparsity(clustered).values())
    trained, _, _ = stage(bundle, "qat", tmp_path, weights)
    assert sparsity(trained) == pytest.approx(sparsity(pruned), abs=0.002)
    assert max(distinct(trained).values()) > 8


def test_rounding_in_training_is_that_of_the_forms(tmp_path):
    """The forward pass of a treated twin is the model with kernels rounded to int8 (and outputs nearly)."""
    from keras_seq.bundle import load_bundle
    from keras_seq.compress.kernels import compressible
    from keras_seq.compress.scoring import round_int8
    from keras_seq.compress.tfmot import Quantise
    from keras_seq.compress.twin import make_twin
    from keras_seq.export.samples import sample_windows
    from keras_seq.models.views import plain_twin

    bundle = load_bundle(bundle_of(tmp_path, "transformer"))
    inputs = sample_windows(bundle, count=8)
    plain = plain_twin(bundle.model)
    exact = plain(inputs).numpy()
    twin = make_twin(plain, Quantise().wrap)
    answers = twin.model(inputs, training=True)
    answers = twin.model(inputs).numpy()
    rounded = plain_twin(bundle.model)
    for kernels in compressible(rounded).values():
        for kernel in kernels:
            kernel.assign(round_int8(kernel.numpy()))
    np.testing.assert_allclose(answers, rounded(inputs), atol=1e-5)
    assert np.abs(answers - exact).max() > 1e-5


@pytest.mark.nightly
def test_a_bundle_pruned_and_clustered(tmp_path):
    """From the command line to a bundle that is loaded, judged, exported and as small as it says."""
    from keras_seq.bundle import load_bundle
    from keras_seq.compress.kernels import distinct, sparsity, weight_sizes
    from keras_seq.export.formats import write_formats
    from keras_seq.export.parity import check_parity
    from keras_seq.export.samples import sample_windows
    from keras_seq.pipeline.evaluate import evaluate

    source = bundle_of(tmp_path, "lstm", CO2)
    done = command(source, "--method", "prune+cluster", "--epochs", "3", "--clusters", "8", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    folder = source.parent.with_name(f"{source.parent.name}-prune-cluster")
    bundle = load_bundle(folder)
    assert told["bundle"] == str(bundle.folder) and not (folder / "stages").exists()
    report = files.read_json(bundle.folder / "compression.json")
    assert all(share >= 0.69 for share in sparsity(bundle.model).values())
    assert sparsity(bundle.model) == report["sparsity"] and distinct(bundle.model) == report["distinct"]
    assert max(distinct(bundle.model).values()) <= 8
    sizes = report["weights"]
    assert weight_sizes(bundle.model) == sizes["after"]
    assert sizes["after"]["gzip"] < 0.35 * sizes["before"]["gzip"]
    assert evaluate(folder)["rmse"] == pytest.approx(report["metrics"]["after"]["test"]["rmse"], rel=1e-4)
    assert evaluate(source)["rmse"] == pytest.approx(report["metrics"]["before"]["test"]["rmse"], rel=1e-4)
    assert bundle.spec == load_bundle(source).spec and bundle.decision
    written, failed = write_formats(bundle, tmp_path / "files", ["onnx"])
    parity = check_parity(bundle, sample_windows(bundle, part="test", count=16), written)
    assert not failed and parity.passed, parity.reasons


@pytest.mark.nightly
def test_killed_half_way_it_goes_on(tmp_path):
    source = bundle_of(tmp_path, "lstm", CO2)
    words = [str(source), "--method", "prune+cluster", "--epochs", "4", "--output", str(tmp_path / "out")]
    with subprocess.Popen([sys.executable, "-m", "keras_seq.compress", *words], env=environment(), text=True) as run:
        until = time.monotonic() + 300
        while not list((tmp_path / "out" / "stages").glob("1-prune-*.npz")):
            assert time.monotonic() < until and run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
    assert not (tmp_path / "out" / "bundle").exists()
    done = command(*words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "prune: taken from an interrupted run" in done.stdout
    assert (tmp_path / "out" / "bundle" / "compression.json").exists()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bundle"]


@pytest.mark.nightly
def test_forms_are_measured(tmp_path):
    """ptq keeps the files that pay; qat says how int8 did without it."""
    from keras_seq.compress.plan import CompressionPlan
    from keras_seq.compress.run import compress

    source = bundle_of(tmp_path, "lstm", CO2, **{"model.units": 32, "model.hidden_dims": [32]})
    done = compress(source, CompressionPlan("qat+ptq", epochs=2, loss=0.5))
    forms = done.report["forms"]
    assert forms["after"]["onnx-int8"]["ratio"]["raw"] < 0.6
    assert {"validation", "test"} <= set(forms["before"]["onnx-int8"]) & set(forms["after"]["onnx-int8"])
    kept = {found["file"] for found in forms["after"].values() if found.get("kept")}
    lying = {path.name for path in (done.bundle / "forms").iterdir() if path.suffix != ".sha256"}
    assert lying == kept and "model.int8.onnx" in kept


@pytest.mark.nightly
def test_files_of_a_small_model_that_are_larger_are_not_kept(tmp_path):
    from keras_seq.compress.plan import CompressionPlan
    from keras_seq.compress.run import compress

    done = compress(bundle_of(tmp_path, "lstm", CO2), CompressionPlan("ptq", loss=0.5))
    forms = done.report["forms"]["after"]
    for found in forms.values():
        assert not found.get("kept") or (found["ratio"]["raw"] <= 1.01 and found["ratio"]["gzip"] < 0.9)
    assert set(forms["tflite-float16"]["holds"]) == {"float32"} and not forms["tflite-float16"]["kept"]
    assert "int8" in forms["onnx-int8"]["holds"]
    lying = {path.name for path in (done.bundle / "forms").glob("model.*") if path.suffix != ".sha256"}
    assert lying == {found["file"] for found in forms.values() if found.get("kept")}


@pytest.mark.nightly
def test_chosen_sparsity_reaches_the_target(tmp_path):
    from keras_seq.compress.plan import CompressionPlan
    from keras_seq.compress.run import compress

    source = bundle_of(tmp_path, "cnn_lstm")
    done = compress(source, CompressionPlan("auto", sparsity=0.6, epochs=2))
    assert done.report["total_sparsity"] == pytest.approx(0.6, abs=0.01)
    assert done.report["sensitivity"]["layers"]


def test_sensitivity_command(tmp_path, capsys):
    from keras_seq.commands.compress import main

    source = bundle_of(tmp_path, "cnn_lstm")
    assert cli.run(main, [str(source), "--sensitivity", "--output", str(tmp_path / "found")]) == 0
    assert "| lstm_1 |" in capsys.readouterr().out
    assert (tmp_path / "found" / "sensitivity.png").stat().st_size > 5000


def test_what_cannot_be_compressed_is_refused(tmp_path):
    from keras_seq.compress.plan import CompressionPlan
    from keras_seq.compress.run import compress
    from keras_seq.pipeline.train import train

    small = make_bundle(experiment(CO2, tmp_path))
    with pytest.raises(ConfigError, match="no layer with 256 or more kernel weights"):
        compress(small, CompressionPlan("prune"))
    ridge = train(experiment(CO2, tmp_path, **{"model.family": "ridge", "evaluation.baseline": False}), quiet=True)
    with pytest.raises(ConfigError, match="family 'ridge', which is fitted"):
        compress(ridge.folder, CompressionPlan("prune"))


def test_a_stage_that_takes_too_long_leaves_nothing(tmp_path):
    from keras_seq.compress.plan import CompressionPlan
    from keras_seq.compress.run import compress

    source = bundle_of(tmp_path, "lstm", CO2)
    with pytest.raises(ExportError, match=r"stopped after 0\.5 s"):
        compress(source, CompressionPlan("prune", seconds=0.5), output=tmp_path / "out")
    assert not (tmp_path / "out" / "bundle").exists()
    assert not list((tmp_path / "out" / "stages").iterdir())


def environment():
    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "keras_seq.compress", *map(str, words)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
