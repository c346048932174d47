"""Covariates: past-only columns never see the future, known-ahead ones tell of the right row."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.covariates import calendar, indicators, past
from keras_seq.data.covariates.add import add_covariates
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.errors import ConfigError, DataError

EVERYTHING = CovariatesConfig(
    calendar=("year", "week"),
    holidays="US",
    events={"shutdown": ("2015-03-06",)},
    leads=(1, 2),
    lags=(1, 5),
    rolling=(3, 10),
    stl=12,
    indicators=("rsi", "macd", "bollinger", "atr", "momentum"),
    speed=0.5,
)
ROWS = 120


def weekly(values: np.ndarray, first: str = "2014-01-03") -> Series:
    time = np.datetime64(first) + 7 * np.arange(len(values)) * np.timedelta64(1, "D")
    schema = Schema(name="w", task="forecast", columns=(Column(name="return"),), targets=("return",))
    rows = values.astype(np.float32)[:, None]
    return build_series(schema, [rows], [rows.copy()], times=[time.astype("datetime64[s]")])


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=ROWS) * 0.02


@settings(max_examples=15)
@given(cut=st.integers(1, ROWS - 1), seed=st.integers(0, 99))
def test_changing_the_future_changes_nothing_before_it(cut: int, seed: int) -> None:
    """A tell-tale planted in every later row shows in no column of the rows before."""
    base, planted = noise(seed), noise(seed)
    planted[cut:] += 1.0
    before, after = add_covariates(weekly(base), EVERYTHING), add_covariates(weekly(planted), EVERYTHING)
    np.testing.assert_array_equal(before.values[:cut], after.values[:cut])
    past_only = [i for i, column in enumerate(before.schema.columns) if not column.known_ahead]
    assert (before.values[cut:, past_only] != after.values[cut:, past_only]).any()
    ahead = [i for i, column in enumerate(before.schema.columns) if column.known_ahead]
    np.testing.assert_array_equal(before.values[:, ahead], after.values[:, ahead])


def test_later_rows_change_nothing_when_they_arrive() -> None:
    """The columns of a series cut short are those of the whole one: what training saw, serving can compute."""
    whole = add_covariates(weekly(noise()), EVERYTHING)
    short = add_covariates(weekly(noise()[:70]), EVERYTHING)
    assert short.schema.features == whole.schema.features
    np.testing.assert_allclose(short.values, whole.values[:70], rtol=1e-6)


def test_known_ahead_tells_of_the_named_row() -> None:
    series = add_covariates(weekly(noise()), EVERYTHING)
    names = list(series.schema.features)
    one, two = (series.values[:, names.index(f"shutdown+{lead}")] for lead in (1, 2))
    row = int(np.flatnonzero(series.time == np.datetime64("2015-03-06"))[0])
    assert np.flatnonzero(one).tolist() == [row - 1]
    assert np.flatnonzero(two).tolist() == [row - 2]
    july = series.values[:, names.index("independence_day+1")]
    weeks = series.time[np.flatnonzero(july) + 1].astype("datetime64[D]")
    assert weeks.astype(str).tolist() == ["2014-07-04", "2015-07-03"]  # 4 July 2015 was observed on the 3rd
    marks = {column.name: column.known_ahead for column in series.schema.columns}
    assert marks["year_sin1+1"] and marks["shutdown+2"]
    assert not marks["return_lag1"] and not marks["rsi"] and not marks["return_season12"]


def test_cycles() -> None:
    time = np.array(["2019-01-01", "2019-07-02T12:00:00", "2020-07-02"], "datetime64[s]")
    year = calendar.cycle(time, "year", 1)
    np.testing.assert_allclose(year["year_cos1"], [1, -1, -1], atol=1e-5)
    days = np.arange("2024-01-01", "2024-01-08", dtype="datetime64[D]").astype("datetime64[s]")
    np.testing.assert_allclose(
        calendar.cycle(days, "week", 1)["week_sin1"], np.sin(2 * np.pi * np.arange(7) / 7), atol=1e-6
    )


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=40), st.integers(1, 9))
def test_rolling_is_pandas(values: list[float], window: int) -> None:
    import pandas as pd

    x = np.array(values)
    mean, deviation = past.rolling(x, window)
    rolled = pd.Series(x).rolling(window, min_periods=1)
    known = rolled.count().to_numpy() > 0
    scale = max(1.0, float(np.nanmax(np.abs(x))) if np.isfinite(x).any() else 1.0)
    np.testing.assert_allclose(mean[known] / scale, rolled.mean().to_numpy()[known] / scale, atol=1e-9)
    np.testing.assert_allclose(deviation[known] / scale, rolled.std(ddof=0).to_numpy()[known] / scale, atol=1e-5)


def test_indicators_by_hand() -> None:
    rising = np.exp(0.01 * np.arange(50))
    assert indicators.rsi(rising)[-1] == pytest.approx(100.0)
    assert indicators.rsi(np.ones(9)).tolist() == [50.0] * 9
    assert indicators.momentum(rising, 10)[-1] == pytest.approx(0.1)
    assert indicators.macd(rising)[0][-1] > 0 > indicators.macd(1 / rising)[0][-1]
    flat, width = indicators.bollinger(np.ones(30))
    assert flat.tolist() == [0.5] * 30 and width.max() == 0.0
    assert indicators.atr(np.full(40, 0.02), np.full(40, -0.05))[-1] == pytest.approx(0.05)
    price = np.array([10.0, 11.0, 10.5, 10.5])  # Wilder's means with alpha 1/2, first change 0
    gain, loss = ((0 / 2 + 1) / 2 / 2) / 2, (0.5 / 2) / 2
    assert indicators.rsi(price, 2)[-1] == pytest.approx(100 * gain / (gain + loss))


def test_season_is_found_from_the_past() -> None:
    wave = np.sin(2 * np.pi * np.arange(100) / 10)
    season, trend = past.seasonal(wave, 10, "wave")
    np.testing.assert_allclose(season[40:-1], wave[41:], atol=0.05)
    np.testing.assert_allclose(trend[40:], 0.0, atol=0.05)


def test_refusals() -> None:
    series = weekly(noise())
    with pytest.raises(DataError, match="two periods"):
        add_covariates(series, CovariatesConfig(stl=80))
    with pytest.raises(ConfigError, match="dates"):
        add_covariates(
            dataclasses.replace(series, time=np.arange(ROWS, dtype=float)), CovariatesConfig(calendar=("year",))
        )
    with pytest.raises(ConfigError, match="positive prices"):
        add_covariates(series, CovariatesConfig(indicators=("rsi",), price="level"))
    with pytest.raises(ConfigError, match="2019-07-04"):
        add_covariates(series, CovariatesConfig(events={"x": ("yesterday",)}))
    with pytest.raises(ConfigError, match="holidays"):
        add_covariates(series, CovariatesConfig(holidays="XX"))
