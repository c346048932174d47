"""Rows that come after an origin never change what is computed or answered for it, nor do rows too old to matter."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.covariates.add import add_covariates
from keras_seq.data.covariates.history import history_rows
from keras_seq.data.observe_calendar import with_calendar
from keras_seq.data.series import Column, Schema, Series, build_series

ROWS = 420


def uneven() -> np.ndarray:
    steps = np.random.default_rng(3).integers(1, 5000, ROWS)
    return np.datetime64("2023-01-01", "ns") + np.cumsum(steps) * np.timedelta64(1, "s")


def with_holidays() -> np.ndarray:
    days = pd.bdate_range("2022-01-03", periods=ROWS + 20).to_numpy()
    return np.delete(days, np.random.default_rng(1).choice(ROWS, 20, replace=False))


def utc(freq: str, first: str, zone: str) -> np.ndarray:
    return pd.date_range(first, periods=ROWS, freq=freq, tz=zone).tz_convert("UTC").tz_localize(None).to_numpy()


TIMES = {
    "business days": lambda: pd.bdate_range("2022-01-03", periods=ROWS).to_numpy(),
    "business days with holidays": with_holidays,
    "month ends": lambda: pd.date_range("1990-01-31", periods=ROWS, freq="ME").to_numpy(),
    "quarter ends": lambda: pd.date_range("1920-03-31", periods=ROWS, freq="QE").to_numpy(),
    "half months": lambda: pd.date_range("2000-01-01", periods=ROWS, freq="SMS").to_numpy(),
    "half hours over a clock change": lambda: utc("30min", "2023-10-26", "Europe/Berlin"),
    "local days": lambda: utc("D", "2022-12-01", "America/New_York"),
    "numbers": lambda: np.arange(ROWS, dtype=np.float64) * 5 + 3,
    "uneven": uneven,
}
ZONES = {"half hours over a clock change": "Europe/Berlin", "local days": "America/New_York"}
KINDS = {
    "calendar": {"calendar": ("year", "month", "week", "hour"), "leads": (1, 3)},
    "own calendar": {"calendar": ("year", "week"), "events": {"sale": ("2023-05-01", "2023-10-29")}, "leads": (0,)},
    "events": {"events": {"sale": ("2023-05-01", "2023-05-02", "2023-10-29", "2004-02-29")}, "leads": (1, 2)},
    "holidays": {"holidays": "US"},
    "lags": {"lags": (1, 30)},
    "rolling": {"rolling": (4, 20)},
    "stl": {"stl": 6},
    "indicators": {"indicators": ("rsi", "macd", "bollinger", "atr", "momentum"), "speed": 0.3},
}
AHEAD = ("calendar", "own calendar", "events", "holidays")


@cache
def series_of(name: str) -> Series:
    """A unit with gaps in its values, whose schema holds the calendar of all its rows."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.02, (ROWS, 1)).astype(np.float32)
    values[rng.choice(ROWS, 20, replace=False)] = np.nan
    schema = Schema(
        name="made",
        task="forecast",
        columns=(Column(name="y", missing=True),),
        targets=("y",),
        time_column="at",
    )
    made = build_series(schema, [values], [values.copy()], times=[TIMES[name]()])
    if name not in ZONES:
        return with_calendar(made)
    from keras_seq.data.observe_calendar import observe

    calendar = observe([made.time], zone=ZONES[name])
    return dataclasses.replace(made, schema=schema.model_copy(update={"calendar": calendar}))


def rows_of(series: Series, low: int, high: int) -> Series:
    return dataclasses.replace(
        series,
        values=series.values[low:high],
        targets=series.targets[low:high],
        time=series.time[low:high],
        offsets=np.array([0, high - low]),
    )


def fits(name: str, kind: str) -> bool:
    if name == "numbers":
        return kind not in AHEAD
    return name != "uneven" or kind not in ("calendar", "events", "holidays")


@cache
def whole(name: str, kind: str) -> Series:
    return add_covariates(series_of(name), CovariatesConfig(**KINDS[kind]))


def compare(short: Series, full: Series, rows: slice, skip: int) -> float:
    """Largest difference of a column, in deviations, after ``skip`` rows; holidays without a day are 0."""
    largest = 0.0
    for j, column in enumerate(full.schema.features):
        wanted = full.values[rows, j]
        if column in short.schema.features:
            own = short.values[:, short.schema.features.index(column)]
        else:
            own = np.zeros(len(short.values), np.float32)
        scale = float(np.nanstd(full.values[:, j])) or 1.0
        difference = np.where(np.isnan(own) & np.isnan(wanted), 0, np.abs(own - wanted))[skip:]
        difference = np.nan_to_num(difference, nan=np.inf)  # missing in one of them only
        largest = max(largest, float(difference.max()) / scale)
    return largest


CASES = [(name, kind) for name in TIMES for kind in KINDS if fits(name, kind)]


@settings(max_examples=120)
@given(case=st.sampled_from(CASES), end=st.integers(20, ROWS - 1))
def test_later_rows_change_no_covariate(case: tuple[str, str], end: int) -> None:
    """The features of a file's last row are those it has with later rows behind it."""
    name, kind = case
    short = add_covariates(rows_of(series_of(name), 0, end), CovariatesConfig(**KINDS[kind]))
    assert compare(short, whole(name, kind), slice(0, end), 0) == 0


@settings(max_examples=120)
@given(case=st.sampled_from(CASES), first=st.integers(1, 120))
def test_rows_before_the_history_change_no_covariate(case: tuple[str, str], first: int) -> None:
    """With the rows that covariates look back on, a file gives what the whole unit gives."""
    name, kind = case
    config = CovariatesConfig(**KINDS[kind])
    before = history_rows(config, series_of(name).schema.calendar)
    if before == "unit":
        assert kind == "stl" and name == "uneven"
        return
    short = add_covariates(rows_of(series_of(name), first, ROWS), config)
    assert short.schema.history == before
    assert compare(short, whole(name, kind), slice(first, ROWS), before) < 1e-6
    lost = series_of(name).values[first - 1, 0]
    if kind in ("lags", "rolling") and np.isfinite(lost):  # the number is the least one
        assert compare(short, whole(name, kind), slice(first, ROWS), before - 1) > 1e-6
