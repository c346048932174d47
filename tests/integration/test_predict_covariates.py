"""A model with covariates answers a raw file: the columns it was trained with are computed anew, not asked for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from keras_seq.bundle import load_bundle
from keras_seq.data.prepare import prepare
from keras_seq.errors import DataError
from keras_seq.pipeline.compare import compare
from keras_seq.pipeline.predict import answer_file, predict_file
from tests.factories.bundles import CO2, experiment, make_bundle

COVARIATES = {"calendar": ["week"], "lags": [1, 52], "rolling": [4]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    given = experiment(CO2, tmp_path_factory.mktemp("co2"), **{"data.impute": "forward", "data.covariates": COVARIATES})
    return load_bundle(make_bundle(given))


def test_a_raw_file_gets_the_covariates_of_training(bundle, tmp_path):
    series = prepare(bundle.experiment.data).series
    assert len(bundle.spec.features) > 4
    raw = pd.DataFrame({"week": series.time, "co2": series.values[:, 0]})
    ready = pd.DataFrame(series.values, columns=series.schema.features).assign(week=series.time)
    raw.to_csv(tmp_path / "raw.csv", index=False)
    ready.to_csv(tmp_path / "ready.csv", index=False)
    answers = predict_file(bundle, tmp_path / "raw.csv", every=400)
    assert len(answers) >= 10 and np.isfinite(answers["co2"]).all()
    np.testing.assert_allclose(
        answers["co2"], predict_file(bundle, tmp_path / "ready.csv", every=400)["co2"], rtol=1e-5
    )


def test_a_missing_own_column_is_named(bundle, tmp_path):
    pd.DataFrame({"week": pd.date_range("2020-01-04", periods=80, freq="W"), "other": 1.0}).to_csv(
        tmp_path / "bad.csv", index=False
    )
    with pytest.raises(DataError, match="'co2'"):
        predict_file(bundle, tmp_path / "bad.csv")


def test_models_with_and_without_covariates_are_compared(bundle, tmp_path):
    plain = make_bundle(experiment(CO2, tmp_path, name="plain", **{"data.impute": "forward"}))
    words = [f"with={bundle.folder}", f"without={plain}"]
    outcome = compare(words, output=tmp_path / "report", resamples=200, costs=False)
    assert set(outcome.answers.predictions) == {"with", "without"}


@pytest.fixture
def raw(bundle):
    series = prepare(bundle.experiment.data).series
    return pd.DataFrame({"week": series.time, "co2": series.values[:, 0]})


def test_the_rows_that_covariates_look_back_on_are_needed(bundle, raw, tmp_path):
    """Lag 52 before a window of 20: 72 rows give what all give, 71 are refused."""
    raw.to_csv(tmp_path / "all.csv", index=False)
    raw.tail(72).to_csv(tmp_path / "enough.csv", index=False)
    raw.tail(71).to_csv(tmp_path / "short.csv", index=False)
    whole = predict_file(bundle, tmp_path / "all.csv")
    np.testing.assert_allclose(predict_file(bundle, tmp_path / "enough.csv")["co2"], whole["co2"], rtol=1e-6)
    assert bundle.schema.history == 52
    with pytest.raises(DataError, match=r"'short' has 71 rows and the model needs 72: .*lags 52.*--whole"):
        predict_file(bundle, tmp_path / "short.csv")
    units = pd.concat([raw.tail(90).assign(site="a"), raw.tail(30).assign(site="b"), raw.tail(9).assign(site="c")])
    told = dataclasses.replace(bundle, schema=bundle.schema.model_copy(update={"unit_column": "site"}))
    units.to_csv(tmp_path / "units.csv", index=False)
    answers = answer_file(told, tmp_path / "units.csv")
    assert answers.table["site"].tolist() == ["a", "a"]
    assert [(one.unit, one.rows) for one in answers.refused] == [("b", 30), ("c", 9)]


def test_a_file_of_whole_units_is_answered_as_in_training(bundle, raw, tmp_path):
    raw.head(60).to_csv(tmp_path / "young.csv", index=False)
    with pytest.raises(DataError, match="60 rows"):
        predict_file(bundle, tmp_path / "young.csv")
    young = predict_file(bundle, tmp_path / "young.csv", whole=True, every=10)
    series = prepare(bundle.experiment.data).series
    ready = pd.DataFrame(series.values, columns=series.schema.features).assign(week=series.time)
    ready.head(60).to_csv(tmp_path / "ready.csv", index=False)
    np.testing.assert_allclose(young["co2"], predict_file(bundle, tmp_path / "ready.csv", every=10)["co2"], rtol=1e-6)
    raw.head(80).to_csv(tmp_path / "some.csv", index=False)
    assert len(predict_file(bundle, tmp_path / "some.csv", every=1)) == 2 * 9  # windows with all their history


def test_a_forecast_names_the_stamp_it_speaks_of(bundle, raw, tmp_path):
    raw.tail(100).to_csv(tmp_path / "weeks.csv", index=False)
    answers = predict_file(bundle, tmp_path / "weeks.csv")
    last = pd.Timestamp(raw["week"].iloc[-1])
    assert answers["steps_ahead"].tolist() == [1, 2]
    assert answers["forecast_time"].tolist() == [last + pd.Timedelta(weeks=1), last + pd.Timedelta(weeks=2)]
    with pytest.raises(DataError, match=r"dates in the time column 'week'.*lacks"):
        raw[["co2"]].tail(100).to_csv(tmp_path / "no_time.csv", index=False)
        predict_file(bundle, tmp_path / "no_time.csv")


def test_a_file_with_rows_of_another_step_is_refused(bundle, tmp_path):
    days = pd.date_range("2020-01-04", periods=90, freq="D")
    pd.DataFrame({"week": days, "co2": 410.0}).to_csv(tmp_path / "days.csv", index=False)
    with pytest.raises(DataError, match=r"do not go on as in training \(every 7 days\)"):
        predict_file(bundle, tmp_path / "days.csv")
