"""One small run from data to bundle, served version and record; then everything that reads them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq import cli, config, files
from keras_seq.bundle import load_bundle
from keras_seq.commands.train import main
from keras_seq.errors import DataError, ModelError, OutputError
from keras_seq.pipeline.evaluate import evaluate
from keras_seq.pipeline.predict import predict_file
from keras_seq.pipeline.train import train
from tests.factories.experiments import caster_tree, placed
from tests.factories.trained import trained_caster


@pytest.fixture(scope="module")
def run():
    return trained_caster()


def test_a_run_leaves_what_it_promises(run):
    names = {path.name for path in run.bundle.iterdir()}
    assert {"model.keras", "config.yaml", "schema.json", "spec.json", "decision.json", "metrics.json"} <= names
    assert {"data.json", "history.csv", "versions.json", "manifest.json", "plots"} <= names
    assert not {path.suffix for path in run.bundle.rglob("*")} & {".pkl", ".pickle", ".joblib", ".npy"}
    version = run.folder / "export" / "1"
    assert (version / "saved_model.pb").exists()
    assert (version / "BLESSED").exists() == (run.saved_model is not None)
    assert {path.name for path in (run.bundle / "plots").iterdir()} == {"history.png", "test_roc_pr_calibration.png"}
    assert not (run.folder / "checkpoints").exists()


def test_the_record_holds_parameters_metrics_and_model(run):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{run.folder.parents[2]}/mlflow.db")
    record = client.get_run(run.run_id)
    assert record.info.status == "FINISHED"
    assert record.data.params["model.family"] == "cnn_lstm"
    assert record.data.metrics["test_auc_roc"] == pytest.approx(run.metrics["test"]["auc_roc"])
    assert len(client.get_metric_history(run.run_id, "val_loss")) == 2
    assert {"bundle"} <= {item.path for item in client.list_artifacts(run.run_id)}
    models = client.search_logged_models([record.info.experiment_id])
    assert models and models[0].source_run_id == run.run_id


def test_baseline_ceiling_and_targets_are_said(run):
    assert 0 <= run.metrics["baseline"]["test"]["auc_roc"] <= 1
    assert run.metrics["baseline"]["name"]
    assert 0.85 < run.metrics["ceiling"]["auc_roc"] <= 1
    assert {"training_minutes", "latency_ms_batch1", "latency_ms_batch64", "model_size_mb", "parameters"} <= set(
        run.metrics["performance"]
    )
    assert {row["name"] for row in run.metrics["targets"]} == {"auc_roc", "latency_ms_batch1"}  # those that are set


def test_evaluate_repeats_the_test_metrics(run):
    again = evaluate(run.bundle)
    assert again == pytest.approx(run.metrics["test"], rel=1e-4, abs=1e-5)


def test_evaluate_refuses_another_split(run):
    with pytest.raises(DataError, match="differ from those bundle"):
        evaluate(run.bundle, overrides={"data.split.seed": 5})


def test_the_served_graph_takes_raw_units_and_answers_like_the_bundle(run, tmp_path):
    import tensorflow as tf

    from keras_seq.data.prepare import prepare

    bundle = load_bundle(run.folder)
    series = prepare(bundle.experiment.data).series
    signature = tf.saved_model.load(str(run.folder / "export" / "1")).signatures["serving_default"]
    units = [0, 1, 2]
    longest = max(series.lengths[units]) + 9  # padding beyond the longest must not matter
    values = np.zeros((3, longest, len(bundle.spec.features)), np.float32)
    for row, unit in enumerate(units):
        values[row, : series.lengths[unit]] = series.unit_values(unit)
    served = signature(values=tf.constant(values), lengths=tf.constant(series.lengths[units], tf.int32))
    table = pd.concat(
        [
            pd.DataFrame(series.unit_values(unit), columns=series.schema.features).assign(cast=f"c{unit}")
            for unit in units
        ]
    )
    table.to_csv(tmp_path / "casts.csv", index=False)
    with pytest.warns(UserWarning, match="no time column"):
        answers = predict_file(bundle, tmp_path / "casts.csv")
    assert list(answers["cast"]) == ["c0", "c1", "c2"]
    np.testing.assert_allclose(answers["probability"], served["probability"].numpy()[:, 0], atol=1e-5)
    expected = np.where(answers["probability"] >= bundle.threshold, "defect", "sound")
    assert list(answers["class"]) == list(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="superheat"), "'superheat'"),
        (lambda table: table.assign(superheat="hot"), "'superheat'.*must hold numbers.*'hot'"),
        (lambda table: table.assign(superheat=np.inf), "infinite 'superheat'"),
        (lambda table: table.assign(superheat=np.nan), "misses 'superheat'.*impute"),
        (lambda table: table.iloc[:0], "no rows"),
        (lambda table: table.assign(step=0.0, superheat=np.arange(len(table)) / 7), "'step'.*does not rise at row 2"),
        (lambda table: table.drop(columns="cast"), "lacks the unit column 'cast'"),
        (lambda table: table.assign(cast=["a"] * 119 + [""]), "names no unit in data row 120"),
    ],
)
def test_predict_names_what_is_wrong(run, tmp_path, change, message):
    bundle = load_bundle(run.folder)
    table = pd.DataFrame(np.ones((120, len(bundle.spec.features)), np.float32), columns=bundle.spec.features)
    table = table.assign(cast="a")
    change(table).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(DataError, match=message):
        predict_file(bundle, tmp_path / "bad.csv")


def test_predict_reads_and_writes_parquet(run, tmp_path):
    bundle = load_bundle(run.folder)
    rows = np.random.default_rng(0).normal(1, 0.1, (150, len(bundle.spec.features)))
    pd.DataFrame(rows, columns=bundle.spec.features).assign(cast=7).to_parquet(tmp_path / "one.parquet")
    with pytest.warns(UserWarning, match="no time column"):
        answers = predict_file(bundle, tmp_path / "one.parquet", every=50)
    assert list(answers["row"]) == [50, 100, 150]


def test_a_changed_file_is_refused(run, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(run.bundle, copy)
    (copy / "spec.json").write_text((copy / "spec.json").read_text().replace("1", "2", 1))
    with pytest.raises(ModelError, match=r"'spec\.json'.*sha256"):
        load_bundle(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(ModelError, match="not a bundle"):
        load_bundle(copy)


def test_a_bundle_of_a_newer_format_is_refused(run, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(run.bundle, copy)
    manifest = files.read_json(copy / "manifest.json")
    files.write_json(copy / "manifest.json", manifest | {"format": 99})
    with pytest.raises(ModelError, match="format 99"):
        load_bundle(copy)


def test_an_existing_version_is_refused_before_training(run):
    experiment = load_bundle(run.folder).experiment
    (Path(experiment.export.saved_models) / experiment.name / "1").mkdir(parents=True, exist_ok=True)
    again = config.replace(experiment, **{"export.version": 1})
    with pytest.raises(OutputError, match=r"exists already.*--export\.version 2"):
        train(again, quiet=True)


def command(*words):
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.source", "castr"], "did you mean 'caster'"),
        (["--data.source", "table", "--data.path", "nowhere.csv"], "nowhere.csv"),
        (["--training.device", "gpu:7"], "gpu:7"),
        (["--output", "/proc/runs"], "/proc/runs"),
        (["--tracking.uri", "sqlite:////proc/none/x.db"], "tracking"),
        (["--data.windows.pad_short", "false", "--data.windows.mode", "last"], "length"),
    ],
)
def test_mistakes_end_with_one_paragraph_and_code_2(tmp_path, capfd, words, message):
    places = [
        "--output",
        str(tmp_path / "r"),
        "--export.saved_models",
        str(tmp_path / "s"),
        "--tracking.backend",
        "none",
    ]
    if "--tracking.uri" in words:
        places = places[:-2]
    small = ["--data.caster.sequences", "60", "--data.caster.heats", "20", "--training.epochs", "1"]
    assert cli.run(main, [*places, *small, *words]) == 2
    said = capfd.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("s/*/[0-9]*"))


@pytest.mark.slow
def test_json_output_is_one_object(tmp_path):
    tree = caster_tree(60, **{"training": {"epochs": 1, "batch_size": 32}, "evaluation.baseline": False})
    path = tmp_path / "small.yaml"
    path.write_text(config.to_yaml(placed(tree, tmp_path, served=True, recorded=True)))
    done = command("keras_seq.train", "--config", str(path), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert os.path.isdir(found["bundle"])
    assert found["metrics"]["test"]
