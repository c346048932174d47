"""Stamps with offsets: days, weeks and hours are those of the local clock, in training and beyond the last row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.prepare import read_series
from keras_seq.data.series import Series

ZONE = "Europe/Berlin"


def read(folder: Path, stamps: list[str], covariates: dict, **options) -> Series:
    path = folder / "table.csv"
    pd.DataFrame({"at": stamps, "y": np.arange(len(stamps)) % 7.0}).to_csv(path, index=False)
    tree = {
        "source": "table",
        "path": str(path),
        "time": "at",
        "targets": ["y"],
        "task": "forecast",
        "windows": {"mode": "sliding", "length": 3, "horizon": 1},
        "covariates": covariates,
    }
    return read_series(DataConfig.model_validate(tree | options))


def with_offsets(first: str, last: str, freq: str, zone: str = ZONE) -> tuple[list[str], pd.DatetimeIndex]:
    local = pd.date_range(first, last, freq=freq, tz=zone)
    return [stamp.isoformat() for stamp in local], local


def column(series: Series, name: str) -> np.ndarray:
    return series.values[:, series.schema.features.index(name)]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Sydney"])
def test_local_midnights_are_local_days(tmp_path, zone):
    """A day whose midnight is 22:00 of the day before in UTC is still that day."""
    texts, local = with_offsets("2023-02-01", "2023-12-20", "D", zone)
    events = {"sale": ["2023-07-01", "2023-11-05"]}
    series = read(tmp_path, texts, {"calendar": ["week", "year"], "events": events, "leads": [0, 1]})
    sale = column(series, "sale+0").astype(bool)
    assert [day.date().isoformat() for day in local[sale]] == events["sale"]
    ahead = column(series, "sale+1").astype(bool)
    assert [day.date().isoformat() for day in local[ahead]] == ["2023-06-30", "2023-11-04"]
    weekday = local.dayofweek.to_numpy()
    np.testing.assert_allclose(column(series, "week_sin1+0"), np.sin(2 * np.pi * weekday / 7), atol=1e-6)
    np.testing.assert_allclose(column(series, "week_sin1+1"), np.sin(2 * np.pi * (weekday + 1) / 7), atol=1e-6)


def test_holidays_are_those_of_the_local_day(tmp_path):
    texts, local = with_offsets("2023-06-01", "2023-09-30", "D", "America/New_York")
    series = read(tmp_path, texts, {"holidays": "US", "leads": [0]})
    found = local[column(series, "independence_day+0") > 0]
    assert [day.date().isoformat() for day in found] == ["2023-07-04"]


@pytest.mark.parametrize("freq", ["h", "30min"])
def test_the_hour_of_day_goes_with_the_clock_change(tmp_path, freq):
    texts, local = with_offsets("2023-03-01", "2023-11-20", freq)
    series = read(tmp_path, texts, {"calendar": ["hour"], "leads": [1]})
    after = local[1:]
    share = (after.hour + after.minute / 60) / 24
    np.testing.assert_allclose(column(series, "hour_sin1+1")[:-1], np.sin(2 * np.pi * share), atol=1e-6)
    np.testing.assert_allclose(column(series, "hour_cos1+1")[:-1], np.cos(2 * np.pi * share), atol=1e-6)


def test_months_that_begin_at_local_midnight(tmp_path):
    """In UTC they are on the last of the month before; an event every day counts the days of the month."""
    texts, local = with_offsets("2019-01-01", "2023-12-01", "MS")
    days = {"day": [day.isoformat() for day in pd.date_range("2018-12-01", "2024-03-01").date]}
    series = read(tmp_path, texts, {"events": days, "leads": [0, 1]})
    assert series.schema.calendar.kind == "months" and not series.schema.calendar.ends
    assert column(series, "day+0").tolist() == local.days_in_month.tolist()
    assert column(series, "day+1").tolist() == [*local.days_in_month[1:].tolist(), 31]


def test_offsets_and_universal_time_hold_the_same_rows(tmp_path):
    texts, local = with_offsets("2023-09-01", "2023-11-20", "h")
    offsets = read(tmp_path, texts, {"lags": [1]})
    universal = read(tmp_path, [stamp.isoformat() for stamp in local.tz_convert("UTC")], {"lags": [1]})
    np.testing.assert_array_equal(offsets.values, universal.values)
    np.testing.assert_array_equal(offsets.time, universal.time)
    named = read(tmp_path, [stamp.isoformat() for stamp in local.tz_convert("UTC")], {"calendar": ["hour"]}, zone=ZONE)
    again = read(tmp_path, texts, {"calendar": ["hour"]})
    np.testing.assert_array_equal(named.values, again.values)
