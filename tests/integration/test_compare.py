"""Bundles against each other: what is compared, what is refused, what is left behind."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from keras_seq import files
from keras_seq.bundle import write_manifest
from keras_seq.errors import ConfigError, DataError, ModelError
from keras_seq.pipeline.compare import compare
from keras_seq.pipeline.evaluate import evaluate
from tests.factories.bundles import CASTER, CO2, experiment, make_bundle


@pytest.fixture(scope="module")
def casters(tmp_path_factory):
    """Two seeds of one model and one of another."""
    folder = tmp_path_factory.mktemp("casters")
    small = [make_bundle(experiment(CASTER, folder, seed=seed)) for seed in (0, 1)]
    gru = make_bundle(experiment(CASTER, folder, name="gru", **{"model.family": "gru"}))
    return folder, small, gru


@pytest.fixture(scope="module")
def forecasts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("co2")
    lstm = make_bundle(experiment(CO2, folder))
    longer = make_bundle(experiment(CO2, folder, name="longer", **{"data.windows.length": 30}))
    return folder, lstm, longer


@pytest.mark.slow
def test_a_comparison_leaves_report_table_picture_and_record(casters, tmp_path):
    folder, _, gru = casters
    outcome = compare(
        [str(folder / "caster"), f"other={gru}"],
        output=tmp_path / "out",
        resamples=200,
        overrides={"tracking.backend": "mlflow", "tracking.uri": f"sqlite:///{tmp_path}/mlflow.db"},
    )
    assert {path.name for path in (tmp_path / "out").glob("comparison.*")} == {
        "comparison.md",
        "comparison.csv",
        "comparison.json",
        "comparison.png",
    }
    table = pd.read_csv(tmp_path / "out" / "comparison.csv").set_index("contender")
    assert dict(table["replicates"]) == {"caster": 2, "other": 1}
    costs = table[["training_minutes", "latency_ms_batch1", "latency_ms_batch64", "size_mb", "memory_mb"]]
    assert (costs > 0).all(axis=None)
    found = files.read_json(tmp_path / "out" / "comparison.json")
    assert found["winner"] == outcome.verdict.winner
    assert found["facts"]["deciding metric"] == "auc_pr" and found["pairs"][0]["test"] == "paired bootstrap"
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert outcome.verdict.words in text

    import mlflow

    run = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(outcome.run_id)
    assert run.data.params["winner"] == outcome.verdict.winner
    assert run.data.params["period"] == outcome.facts["period"]
    assert run.data.metrics["p_value"] == pytest.approx(outcome.verdict.pair.p_value)
    assert run.data.metrics["winner_auc_pr_low"] < run.data.metrics["winner_auc_pr_high"]
    assert run.data.metrics["points"] == 64


def test_estimates_are_those_of_evaluate(casters, tmp_path):
    _, small, gru = casters
    outcome = compare([str(small[0]), str(gru)], output=tmp_path, resamples=200, costs=False)
    for name, path in zip(outcome.comparison.estimates, (small[0], gru), strict=True):
        metrics = evaluate(path)
        assert outcome.comparison.estimates[name]["auc_roc"].value == pytest.approx(metrics["auc_roc"], abs=1e-6)
        assert outcome.comparison.estimates[name]["brier"].value == pytest.approx(metrics["brier"], abs=1e-6)


def test_lookbacks_may_differ_where_the_forecasts_are_of_the_same_rows(forecasts, tmp_path):
    _, lstm, longer = forecasts
    outcome = compare([f"a={lstm}", f"b={longer}"], output=tmp_path, resamples=200, costs=False)
    assert not outcome.comparison.pairs[0].told  # barely trained: their errors drift through all of the two years
    assert "too few independent blocks of time" in outcome.verdict.words
    assert outcome.facts["points"] == 103  # of horizon 2 within 104 weeks
    metrics = evaluate(lstm)
    assert outcome.comparison.estimates["a"]["rmse"].value == pytest.approx(metrics["rmse"], rel=1e-4)
    table = pd.read_csv(tmp_path / "comparison.csv").set_index("contender")
    assert table["mase"]["a"] == pytest.approx(metrics["mase"], rel=1e-4)
    assert "| mase | runs |" in (tmp_path / "comparison.md").read_text()


@pytest.mark.slow
def test_held_out_folds_are_put_together(tmp_path):
    change = {"data.split.folds": 3}
    for name, family in (("one", "cnn_lstm"), ("two", "gru")):
        for fold in range(3):
            one = experiment(CASTER, tmp_path, name=name, **change | {"data.split.fold": fold, "model.family": family})
            make_bundle(one)
    outcome = compare([str(tmp_path / "one"), str(tmp_path / "two")], output=tmp_path, resamples=200, costs=False)
    assert outcome.facts["points"] == 96  # all that is not test, each once
    assert len(np.unique(outcome.answers.unit)) == 96
    assert [len(of) for of in outcome.answers.predictions.values()] == [1, 1]
    on_test = compare(
        [str(tmp_path / "one"), str(tmp_path / "two")], output=tmp_path, part="test", resamples=200, costs=False
    )
    assert on_test.facts["points"] == 64
    assert [len(of) for of in on_test.answers.predictions.values()] == [3, 3]

    shutil.rmtree(tmp_path / "one" / "seed-0-fold-1")
    with pytest.raises(DataError, match="different split"):
        compare([str(tmp_path / "one"), str(tmp_path / "two")], output=tmp_path, resamples=200, costs=False)


@pytest.mark.slow
def test_an_ensemble_over_folds_is_not_judged_on_units_it_saw(tmp_path):
    changes = {"data.split.folds": 3, "data.split.fold": 0}
    runs = [make_bundle(experiment(CASTER, tmp_path, name=name, **changes)) for name in ("one", "both")]
    about = files.read_json(runs[1] / "bundle" / "data.json")
    files.write_json(runs[1] / "bundle" / "data.json", about | {"ensemble": {"saw_validation": True}})
    write_manifest(runs[1] / "bundle")
    words = [str(run) for run in runs]
    assert compare(words, output=tmp_path, resamples=200, costs=False).facts["part"] == "test"
    with pytest.raises(ConfigError, match="'both/seed-0-fold-0' is an ensemble"):
        compare(words, output=tmp_path, part="validation", resamples=200, costs=False)
    assert 0 < evaluate(runs[1])["auc_roc"] < 1
    for part in ("train", "validation"):
        assert 0 < evaluate(runs[0], part=part)["auc_roc"] < 1
        with pytest.raises(ConfigError, match=f"'--part {part}': .*both/seed-0-fold-0' is an ensemble"):
            evaluate(runs[1], part=part)


def test_a_broken_run_is_named_and_the_rest_compared(casters, tmp_path):
    folder, _, gru = casters
    shutil.copytree(folder / "caster", tmp_path / "caster")
    model = tmp_path / "caster" / "seed-1" / "bundle" / "model.keras"
    model.write_bytes(model.read_bytes()[:-10])
    outcome = compare([str(tmp_path / "caster"), str(gru)], output=tmp_path / "out", resamples=200, costs=False)
    assert [failure.folder for failure in outcome.answers.failures] == [str(tmp_path / "caster" / "seed-1")]
    assert "seed-1" in (tmp_path / "out" / "comparison.md").read_text()
    assert len(outcome.answers.predictions["caster"]) == 1


@pytest.mark.parametrize(
    ("tree", "changes", "error", "message"),
    [
        (CASTER, {"data.split.seed": 3}, DataError, r"'caster/seed-0' and 'other/seed-0' have different split"),
        (CASTER, {"data.caster.seed": 3}, DataError, r"have different data: fingerprints \w{8} and \w{8}"),
        (CASTER, {"evaluation.min_steps": 5}, ConfigError, r"evaluation\.min_steps is 0 for the first and 5"),
        (CO2, {}, ConfigError, r"data\.task is binary for the first and forecast for the second"),
    ],
)
def test_other_questions_are_refused(casters, tmp_path, tree, changes, error, message):
    other = make_bundle(experiment(tree, tmp_path, name="other", **changes))
    with pytest.raises(error, match=message):
        compare([str(casters[1][0]), str(other)], output=tmp_path, costs=False)


def test_other_horizons_are_refused(forecasts, tmp_path):
    other = make_bundle(experiment(CO2, tmp_path, name="far", **{"data.windows.horizon": 4}))
    with pytest.raises(ConfigError, match=r"data\.windows\.horizon is 2 for the first and 4 for the second"):
        compare([str(forecasts[1]), str(other)], output=tmp_path, costs=False)


def test_one_contender_is_not_enough(casters, tmp_path):
    with pytest.raises(ModelError, match=r"at least two contenders, 1 can be read.*nowhere.*neither a bundle"):
        compare([str(casters[2]), str(tmp_path / "nowhere")], output=tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "b", "--rule", "best"], "--rule"),
        (["a", "b", "--model.units", "3"], "cannot change a trained model"),
        (["a", "b", "--resamples", "5"], "--resamples must be at least 100"),
        (["a", "b"], "at least two contenders, 0 can be read"),
        (["a"], "at least two contenders"),
    ],
)
def test_mistakes_end_with_one_paragraph_and_code_2(tmp_path, words, message):
    command = [sys.executable, "-m", "keras_seq.compare", *words, "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
