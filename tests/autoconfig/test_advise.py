"""Seasons and windows that the dates of a table suggest."""

from __future__ import annotations

import pytest

from keras_seq.autoconfig.advise import seasons, windows
from keras_seq.autoconfig.facts import ConfigurationFacts
from keras_seq.autoconfig.question import TargetQuestion

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def facts(step, rows, **others):
    return ConfigurationFacts({}, TargetQuestion(("y",), "forecast", "", False), [rows], step, **others)


@pytest.mark.parametrize(
    ("step", "rows", "wanted"),
    [
        (5 * MINUTE, 20_000, [288, 2016]),  # a day and a week
        (15 * MINUTE, 20_000, [96, 672]),
        (HOUR, 20_000, [24, 168, 8766]),
        (HOUR, 300, [24]),  # a week is not there twice
        (DAY, 2000, [7, 365]),
        (7 * DAY, 143, [52]),
        (30 * DAY, 120, [12]),
        (91 * DAY, 60, [4]),
        (0.0078, 15_000, []),  # 128 a second: no calendar
        (0.0, 500, []),  # no dates
    ],
)
def test_every_season_of_the_calendar_that_the_rows_hold_twice(step, rows, wanted):
    assert [steps for steps, _ in seasons(facts(step, rows))] == wanted


def test_working_days_have_a_week_of_five():
    assert seasons(facts(DAY, 1500, weekdays=True)) == [(5, "a week of working days")]


@pytest.mark.parametrize(
    ("step", "rows", "horizon", "length"),
    [
        (5 * MINUTE, 20_000, 12, 288),
        (HOUR, 20_000, 24, 48),
        (0.0, 5000, 96, 96),
        (0.0, 5000, 1, 48),
        (HOUR, 20_000, 100, 120),  # whole days, no fewer steps than are foretold
        (5 * MINUTE, 20_000, 300, 576),
        (HOUR, 900, 134, 144),
        (HOUR, 800, 119, 120),
    ],
)
def test_a_window_holds_a_season_and_is_no_shorter_than_the_horizon(step, rows, horizon, length):
    chosen = {choice.key: choice.value for choice in windows(facts(step, rows), horizon)}
    assert chosen["data.windows.length"] == length
