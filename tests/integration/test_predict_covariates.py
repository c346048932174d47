"""A model with covariates answers a raw file: the columns it was trained with are computed anew, not asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.compare import compare
from keras_seq.data.prepare import prepare
from keras_seq.errors import DataError
from keras_seq.export.bundle import load_bundle
from keras_seq.predict import predict_file
from tests.integration.make_bundles import CO2, experiment, make_bundle

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
