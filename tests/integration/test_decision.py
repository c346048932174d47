"""The decision layer from training to the served graph: one set of numbers, the same answers everywhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq import files
from keras_seq.bundle import load_bundle
from keras_seq.commands.evaluate import main
from keras_seq.errors import ConfigError
from keras_seq.pipeline.evaluate import evaluate
from keras_seq.pipeline.predict import predict_file
from keras_seq.pipeline.train import train
from tests.factories.experiments import placed
from tests.factories.trained import CO2, trained_caster, trained_co2


@pytest.fixture(scope="module")
def classed():
    return trained_caster()


@pytest.fixture(scope="module")
def valued():
    return trained_co2()


def units(bundle, numbers):
    from keras_seq.data.prepare import prepare

    series = prepare(bundle.experiment.data).series
    return series, [series.unit_values(unit) for unit in numbers]


@pytest.mark.slow
def test_the_server_gives_calibrated_probabilities_and_calls(classed, tmp_path):
    import tensorflow as tf

    bundle = load_bundle(classed.bundle)
    assert bundle.decision["calibration"]["method"] == "platt"
    series, values = units(bundle, range(6))
    batch = np.zeros((6, 150, values[0].shape[1]), np.float32)
    for row, unit in enumerate(values):
        batch[row, : len(unit)] = unit
    lengths = np.array([len(unit) for unit in values], np.int32)
    served = tf.saved_model.load(str(classed.saved_model)).signatures["serving_default"]
    found = served(values=tf.constant(batch), lengths=tf.constant(lengths))
    raw = np.asarray(bundle.model({"values": batch, "lengths": lengths}))[:, 0]
    numbers = bundle.decision["calibration"]
    expected = 1 / (1 + np.exp(-(numbers["slope"] * np.log(raw / (1 - raw)) + numbers["offset"])))
    np.testing.assert_allclose(found["probability"][:, 0], expected, atol=1e-5)
    assert np.abs(expected - raw).max() > 0.01
    np.testing.assert_array_equal(found["class"][:, 0], expected >= bundle.threshold)
    table = pd.concat(
        pd.DataFrame(unit, columns=series.schema.features).assign(cast=f"c{k}") for k, unit in enumerate(values)
    )
    table.to_csv(tmp_path / "casts.csv", index=False)
    with pytest.warns(UserWarning, match="no time column"):
        answers = predict_file(bundle, tmp_path / "casts.csv")
    np.testing.assert_allclose(answers["probability"], expected, atol=1e-4)


@pytest.mark.slow
def test_a_class_run_reports_both_calibration_errors(classed):
    test = classed.metrics["test"]
    assert 0 <= test["ece"] <= 1
    assert test["ece_raw"] != test["ece"]
    assert classed.metrics["validation"]["recall"] >= 0.8
    assert evaluate(classed.bundle) == pytest.approx(test, rel=1e-4, abs=1e-5)


@pytest.mark.slow
def test_the_server_gives_intervals(valued, tmp_path):
    import tensorflow as tf

    bundle = load_bundle(valued.bundle)
    series, (values,) = units(bundle, [0])
    served = tf.saved_model.load(str(valued.saved_model)).signatures["serving_default"]
    found = {name: value.numpy() for name, value in served(values=tf.constant(values[None, -26:])).items()}
    assert {name: value.shape for name, value in found.items()} == dict.fromkeys(
        ("prediction", "lower", "upper"), (1, 2, 1)
    )
    width = np.array(bundle.decision["interval"]["width"])
    np.testing.assert_allclose(found["upper"][0] - found["prediction"][0], width, rtol=1e-4)
    pd.DataFrame(values[-40:], columns=series.schema.features).to_csv(tmp_path / "weeks.csv", index=False)
    with pytest.warns(UserWarning, match="no time column"):
        answers = predict_file(bundle, tmp_path / "weeks.csv")
    target = bundle.spec.targets[0]
    for name, column in (("prediction", target), ("lower", f"{target}_lower"), ("upper", f"{target}_upper")):
        np.testing.assert_allclose(answers[column], found[name][0, :, 0], rtol=1e-5)


@pytest.mark.slow
def test_a_forecast_run_reports_coverage_and_width(valued):
    test = valued.metrics["test"]
    assert {"coverage", "interval_width", "coverage_followed", "interval_width_followed"} <= set(test)
    assert test["coverage_followed"] == pytest.approx(0.8, abs=0.1)
    assert evaluate(valued.bundle) == pytest.approx(test, rel=1e-4, abs=1e-5)
    assert (valued.bundle / "plots" / "test_intervals.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_bundle_without_decision_still_answers(classed, tmp_path):
    import shutil

    from keras_seq.bundle import write_manifest

    copy = tmp_path / "bundle"
    shutil.copytree(classed.bundle, copy)
    files.write_json(copy / "decision.json", {"threshold": 0.4})
    write_manifest(copy)
    assert evaluate(copy)["ece"] == pytest.approx(classed.metrics["test"]["ece_raw"], abs=1e-5)


def test_what_was_fitted_cannot_be_changed_when_judging(classed):
    with pytest.raises(ConfigError, match=r"'--evaluation\.coverage' was fitted on validation"):
        main([str(classed.bundle), "--evaluation.coverage", "0.8"])


def test_too_few_units_are_said_in_the_summary(tmp_path, capsys):
    tree = {**CO2, "evaluation": {"coverage": 0.999, "baseline": False}, "training": {"epochs": 1, "batch_size": 64}}
    run = train(placed(tree, tmp_path, name="few"))
    assert "intervals left out" in " ".join(capsys.readouterr().out.split())
    assert "coverage" not in run.metrics["test"]
