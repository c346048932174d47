"""Steps that follow no rule are told with their spread and remedies; the time between rows is an input if asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.frame_rows import frame_rows
from keras_seq.data.prepare import prepare, read_series
from keras_seq.data.quality import check
from keras_seq.data.table_rows import read_rows
from keras_seq.errors import ConfigError, DataError


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    frames = []
    for unit in "ab":
        seconds = rng.exponential(40, 60).astype(int).cumsum() + np.arange(60)
        stamps = pd.Timestamp("2024-01-01") + pd.to_timedelta(seconds, "s")
        frames.append(pd.DataFrame({"u": unit, "time": stamps, "y": rng.normal(size=60)}))
    pd.concat(frames).to_csv(tmp_path / "a.csv", index=False)
    return tmp_path / "a.csv"


def config_of(path, **changes):
    tree = {"source": "table", "path": str(path), "unit": "u", "time": "time", "targets": ["y"], "task": "forecast"}
    windows = {"mode": "sliding", "length": 4, "horizon": 1}
    return DataConfig.model_validate({**tree, "windows": windows, "split": {"by": "time"}, **changes})


def test_irregular_steps_are_told_in_one_line_with_remedies(path):
    told = [finding for finding in check(read_series(config_of(path))).warnings if finding.rule == "irregular"]
    assert len(told) == 1 and "median" in str(told[0])
    assert "data.resample.every" in str(told[0]) and "data.covariates.elapsed" in str(told[0])
    for remedy in ({"resample": {"every": "1min"}, "impute": "forward"}, {"covariates": {"elapsed": True}}):
        report = check(read_series(config_of(path, **remedy)))
        assert "irregular" not in {finding.rule for finding in report.warnings} and not report.errors


def test_the_time_since_the_row_before_is_an_input_of_its_own_unit(path):
    config = config_of(path, covariates={"elapsed": True})
    series = prepare(config).series
    frame = pd.read_csv(path, parse_dates=["time"])
    expected = np.log1p(frame.groupby("u")["time"].diff().dt.total_seconds())
    np.testing.assert_allclose(series.values[:, 1], expected, rtol=1e-6)
    assert series.schema.features == ("y", "elapsed") and series.schema.history == 1
    rows = read_rows(path, series.schema, config.covariates, window=4)
    np.testing.assert_array_equal(rows.series.values, series.values)
    part = frame_rows(frame.groupby("u").tail(6), series.schema, config.covariates, window=4)
    np.testing.assert_allclose(part.series.values[1:6, 1], expected[55:60], rtol=1e-6)
    refused = frame_rows(frame.drop(frame.index[60:117]), series.schema, config.covariates, window=4).refused
    assert [unit.unit for unit in refused] == ["b"] and "elapsed" in refused[0].reason


def test_it_needs_a_time(path):
    with pytest.raises(ConfigError, match=r"data.covariates.elapsed needs a time column"):
        read_series(config_of(path, time=None, features=["y"], covariates={"elapsed": True}))
    series = read_series(config_of(path, covariates={"elapsed": True}))
    with pytest.raises(DataError, match="covariates read dates"):
        frame_rows(
            pd.read_csv(path).drop(columns="time"),
            series.schema,
            config_of(path, covariates={"elapsed": True}).covariates,
        )
