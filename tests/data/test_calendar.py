"""The rule of a table's stamps: read off, and continued from any row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keras_seq.data.calendar import Calendar, describe, forecast_stamps, later, shift
from keras_seq.data.covariates.calendar import happens
from keras_seq.data.observe_calendar import check_steps, observe
from keras_seq.errors import DataError

SUNDAY_TO_THURSDAY = pd.offsets.CustomBusinessDay(weekmask="Sun Mon Tue Wed Thu")


def stamps(text: str) -> np.ndarray:
    """Dates apart by a space."""
    return np.array(text.split(), "datetime64[ns]")


def last_days_of(month: int, years: range) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([pd.Timestamp(year, month, 1) + pd.offsets.MonthEnd(0) for year in years])


def dekads(years: range) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([pd.Timestamp(y, m, d) for y in years for m in range(1, 13) for d in (1, 11, 21)])


def hours(first: str, last: str, keep) -> pd.DatetimeIndex:
    every = pd.date_range(first, last, freq="h")
    return every[[keep(stamp) for stamp in every]]


@pytest.mark.parametrize("freq", [
    "D", "h", "15min", "s", "W-SUN", "W-WED", "14D", "28D", "B", SUNDAY_TO_THURSDAY, "ME", "MS", "QE", "QS", "QS-FEB",
    "YE", "YS", "BME", "BMS", "BQE", "SMS", "SME", "WOM-3FRI", "LWOM-FRI",
])  # fmt: skip
def test_what_pandas_calls_a_frequency_goes_on(freq) -> None:
    whole = pd.date_range("2019-01-01", periods=80, freq=freq).to_numpy()
    for seen in (60, 67, 71):
        rule = observe([whole[:seen]])
        np.testing.assert_array_equal(later(rule, whole[seen - 1], 9), whole[seen : seen + 9])
        np.testing.assert_array_equal(shift(rule, whole[20:40], -3), whole[17:37])


@pytest.mark.parametrize("whole", [
    last_days_of(2, range(1996, 2030)),
    pd.DatetimeIndex([pd.Timestamp(year, 2, 29) for year in range(1904, 2040, 4)]),
    pd.date_range("2015-01-01", periods=60, freq="MS") + pd.Timedelta(days=14),
    pd.date_range("2015-01-31", periods=60, freq="ME") + pd.Timedelta(hours=23, minutes=59),
    pd.DatetimeIndex([min(t, t.replace(day=min(t.day, 30))) for t in pd.date_range("2015", periods=60, freq="ME")]),
    dekads(range(2019, 2022)),
    pd.date_range("2020-01-05", periods=200, freq="D")[[d % 7 in (0, 2, 4) for d in range(200)]],
    hours("2023-01-02", "2023-04-01", lambda t: t.dayofweek < 5 and 9 <= t.hour < 17),
    hours("2023-01-02", "2023-06-01", lambda t: 9 <= t.hour < (20 if t.dayofweek < 5 else 14) and t.dayofweek < 6),
    hours("2023-01-02", "2023-03-01", lambda t: t.hour != 3),
    pd.Timestamp("2020-01-05") + pd.to_timedelta(np.cumsum([28, 28, 35] * 12), unit="D"),
    pd.Timestamp("2020-01-05") + pd.to_timedelta(np.cumsum([1, 1, 1, 1, 4] * 20) * 12, unit="h"),
])  # fmt: skip
def test_other_rules_go_on(whole: pd.DatetimeIndex) -> None:
    whole = whole.to_numpy("datetime64[ns]")
    seen = len(whole) - 8
    np.testing.assert_array_equal(later(observe([whole[:seen]]), whole[seen - 1], 8), whole[seen:])


@pytest.mark.parametrize(("numbers", "following"), [
    (np.arange(40.0), [40, 41]),
    (np.arange(40) * 0.1, [4.0, 4.1]),
    (np.r_[1.0:50.0, 60.0:99.0], [99, 100]),
    (1e9 + 30.0 * np.arange(40), [1e9 + 1200, 1e9 + 1230]),
    (np.array([100.0 * y + m for y in range(2012, 2020) for m in range(1, 13)]), [202001, 202002]),
    (np.array([10.0 * y + q for y in range(2012, 2020) for q in range(1, 5)]), [20201, 20202]),
])  # fmt: skip
def test_numbers_go_on(numbers: np.ndarray, following: list[float]) -> None:
    np.testing.assert_allclose(later(observe([numbers]), numbers[-1], 2), following, rtol=1e-12)


def test_holidays_are_gaps_and_no_rule() -> None:
    """A shop open from Monday to Saturday, closed on some holidays and open on four Sundays."""
    days = pd.date_range("2020-01-01", "2022-12-30")
    closed = set(pd.to_datetime(["2020-12-25", "2020-12-26", "2021-12-25", "2021-01-01", "2022-04-15", "2022-04-18"]))
    extra = set(pd.to_datetime(["2020-12-20", "2021-12-19", "2022-12-11", "2022-12-18"]))
    kept = [day for day in days if (day.dayofweek < 6 and day not in closed) or day in extra]
    rule = observe([pd.DatetimeIndex(kept).to_numpy()])
    assert later(rule, np.datetime64("2022-12-30"), 3).astype("datetime64[D]").astype(str).tolist() == [
        "2022-12-31", "2023-01-02", "2023-01-03"
    ]  # fmt: skip
    # a row on a day that is usually closed goes on with the next open one
    assert later(rule, np.datetime64("2022-12-18"), 1).astype("datetime64[D]") == np.datetime64("2022-12-19")


def test_rows_missing_by_chance_leave_a_daily_rule() -> None:
    rows = np.sort(np.random.default_rng(0).choice(400, 280, replace=False))
    rule = observe([np.datetime64("2020-01-01", "ns") + rows * np.timedelta64(1, "D")])
    assert rule.kind == "step" and rule.step == 86_400


@pytest.mark.parametrize("steps", [
    np.arange(60, 0, -1),
    np.random.default_rng(0).integers(1, 500, 200),
    2 ** np.arange(20),
])  # fmt: skip
def test_irregular_stamps_have_no_next(steps: np.ndarray) -> None:
    rule = observe([np.datetime64("2020-01-01", "ns") + np.cumsum(steps) * np.timedelta64(1, "m")])
    assert rule.kind == "irregular"
    with pytest.raises(DataError, match="no rule"):
        later(rule, np.datetime64("2020-06-01"), 1)
    assert not observe([stamps("2020-01-01")]).regular and not observe([]).regular


def test_a_trembling_clock_has_a_step() -> None:
    tremble = np.random.default_rng(0).integers(-20, 20, 300)
    rule = observe([np.datetime64("2020-01-01", "ns") + (1000 * np.arange(300) + tremble) * np.timedelta64(1, "ms")])
    assert rule.kind == "step" and rule.step == pytest.approx(1.0, abs=0.01)


ZONE = "Europe/Berlin"


@pytest.mark.parametrize(("freq", "seen"), [
    ("h", "2023-10-29 01:00"), ("30min", "2023-03-26 00:30"), ("D", "2023-10-27"), ("MS", "2023-03-01"),
    ("B", "2023-03-24"), ("QE", "2023-09-30"),
])  # fmt: skip
def test_stamps_follow_the_clock_of_their_zone(freq: str, seen: str) -> None:
    """Half hours go on through the doubled hour of October; days and months keep their local midnight."""
    local = pd.date_range("2019-01-01" if freq in ("MS", "QE") else "2022-11-01", "2025-01-01", freq=freq, tz=ZONE)
    whole = local.tz_convert("UTC").tz_localize(None).to_numpy()
    at = int(np.flatnonzero(local == pd.Timestamp(seen, tz=ZONE))[0])
    rule = observe([whole[: at + 1]], zone=ZONE)
    np.testing.assert_array_equal(later(rule, whole[at], 4), whole[at + 1 : at + 5])
    told = forecast_stamps(rule, whole[at : at + 1], 4, np.array(["a"]))
    assert list(told) == list(local[at + 1 : at + 5])


def test_units_may_follow_rules_of_their_own() -> None:
    daily, weekly = (pd.date_range("2020-01-01", periods=n, freq=f).to_numpy() for n, f in ((200, "D"), (40, "7D")))
    uneven = np.datetime64("2020-01-01", "ns") + np.cumsum(np.arange(40, 0, -1)) * np.timedelta64(1, "h")
    rule = observe([daily, weekly, daily[:2], uneven, daily], ["a", "b", "short", "d", "e"])
    assert rule.step == 86_400 and set(rule.units) == {"b", "d"}
    found = forecast_stamps(rule, stamps("2020-05-01 2020-05-01 2020-05-01"), 2, np.array(["new", "b", "d"]))
    assert found[:4].tolist() == stamps("2020-05-02 2020-05-03 2020-05-08 2020-05-15").tolist()
    assert np.isnat(found[4:]).all()


def test_many_short_units_tell_a_rule_together() -> None:
    """Units of five rows each, from Monday to Friday or over a weekend."""
    days = pd.bdate_range("2020-01-01", periods=300).to_numpy()
    rule = observe([days[i : i + 5] for i in range(0, 300, 5)])
    assert later(rule, np.datetime64("2023-12-22"), 1).astype("datetime64[D]") == np.datetime64("2023-12-25")


def count(rule: Calendar, time: np.ndarray, dates: np.ndarray, lead: int = 1) -> list[int]:
    return happens(rule, time, lead, list(dates)).astype(int).tolist()


def test_events_are_counted_between_consecutive_stamps() -> None:
    every_day = np.arange("2018-01-01", "2026-01-01", dtype="datetime64[D]")
    ends, starts = (pd.date_range("2019-01-01", periods=60, freq=freq).to_numpy() for freq in ("ME", "MS"))
    month = ends.astype("datetime64[M]") + 1
    days = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(int).tolist()
    assert (
        count(observe([ends]), ends, every_day) == days
    )  # a month's last day ends it: the row ahead is all of its month
    assert count(observe([starts]), starts, every_day) == days  # its first begins it
    new_year = [np.datetime64("2022-01-01")]
    assert np.flatnonzero(count(observe([ends]), ends, new_year, lead=0)) == np.flatnonzero(
        ends == np.datetime64("2022-01-31")
    )
    assert np.flatnonzero(count(observe([starts]), starts, new_year, 0)) == np.flatnonzero(
        starts == np.datetime64("2022-01-01")
    )


@pytest.mark.parametrize(
    ("freq", "each"), [("D", 1), ("h", 1), ("7D", 7), ("QE", None), ("QS", None), ("SME", None), ("BME", None)]
)
def test_every_day_is_counted_once(freq: str, each: int | None) -> None:
    time = pd.date_range("2020-01-03", periods=48, freq=freq).to_numpy()
    rule = observe([time])
    every_day = np.arange("2018-01-01", "2034-01-01", dtype="datetime64[D]")
    counted = count(rule, time, every_day)
    if each is not None:
        assert counted == [each] * 48
    else:
        begin, end = (
            (time[1], shift(rule, time[-1:], 2)[0]) if not rule.ends else (time[0], shift(rule, time[-1:], 1)[0])
        )
        assert sum(counted) == (end - begin) // np.timedelta64(1, "D")


def test_events_of_a_weekend_come_with_monday() -> None:
    days = pd.bdate_range("2023-01-02", "2023-12-22").to_numpy()
    saturday = [np.datetime64("2023-07-01")]
    found = count(observe([days]), days, saturday)
    assert days[np.flatnonzero(found)].astype("datetime64[D]").astype(str).tolist() == ["2023-06-30"]


def test_a_day_of_the_zone_is_the_local_one() -> None:
    local = pd.date_range("2023-06-01", "2023-07-10", tz="Australia/Sydney")
    time = local.tz_convert("UTC").tz_localize(None).to_numpy()
    found = count(observe([time], zone="Australia/Sydney"), time, [np.datetime64("2023-07-01")], lead=0)
    assert local[int(np.flatnonzero(found)[0])].date().isoformat() == "2023-07-01"


@pytest.mark.parametrize(("freq", "words"), [
    ("D", "every 1 day"), ("30min", "every 30 minutes"), ("14D", "every 14 days"), ("B", "Mon, Tue, Wed, Thu, Fri"),
    ("QE", "last day of every 3 months"), ("SMS", "first day, day 15 of every 1 months"),
    ("BMS", "first business day of every 1 months"), ("WOM-3FRI", "Fri 3 of every 1 months"),
])  # fmt: skip
def test_a_rule_has_words(freq: str, words: str) -> None:
    assert describe(observe([pd.date_range("2020-01-01", periods=60, freq=freq).to_numpy()])) == words


def test_rows_of_another_step_are_refused() -> None:
    """Hours where training had days, month ends where it had first days; single gaps and three rows are not."""
    days, hours_ = (pd.date_range("2020-01-01", periods=40, freq=freq).to_numpy() for freq in ("D", "h"))
    starts, ends = (pd.date_range("2020-01-01", periods=40, freq=freq).to_numpy() for freq in ("MS", "ME"))
    path, both = Path("new.csv"), np.array([0, 40, 80])
    names = np.array(["a", "b"])
    check_steps(observe([days]), np.concatenate([days, days[::3]]), np.array([0, 40, 54]), names, path)
    check_steps(observe([days]), hours_[:3], np.array([0, 3]), names, path)
    check_steps(None, hours_, np.array([0, 40]), names, path)
    with pytest.raises(DataError, match=r"'b' of 'new.csv' do not go on as in training \(every 1 day\)"):
        check_steps(observe([days]), np.concatenate([days, hours_]), both, names, path)
    with pytest.raises(DataError, match="first day of every 1 months"):
        check_steps(observe([starts]), np.concatenate([starts, ends]), both, names, path)
    with pytest.raises(DataError, match="every 1"):
        check_steps(observe([np.arange(50.0)]), np.arange(20) * 0.25, np.array([0, 20]), names, path)


@settings(max_examples=150)
@given(
    freq=st.sampled_from(["D", "h", "15min", "W-SUN", "14D", "B", "ME", "MS", "QE", "YS", "BME", "SMS", "WOM-3FRI"]),
    day=st.integers(0, 6000),
    rows=st.integers(12, 150),
    missing=st.sets(st.integers(1, 140), max_size=6),
)
def test_single_missing_rows_leave_the_rule(freq: str, day: int, rows: int, missing: set[int]) -> None:
    """Wherever a table begins and whichever twentieth of its rows is missing."""
    first = pd.Timestamp("2000-01-01") + pd.Timedelta(days=day)
    whole = pd.date_range(first, periods=rows + 5, freq=freq).to_numpy("datetime64[ns]")
    gaps = sorted(row for row in missing if row < rows - 1)[: rows // 20]
    assume(len(gaps) < 3 or len(set(np.diff(gaps))) > 1)  # those are a rule of their own
    rule = observe([np.delete(whole[:rows], gaps)])
    np.testing.assert_array_equal(later(rule, whole[rows - 1], 5), whole[rows:])


def test_three_missing_days_at_equal_distances_are_no_cycle() -> None:
    whole = pd.date_range("2005-08-22", periods=108, freq="D").to_numpy("datetime64[ns]")
    rule = observe([np.delete(whole[:103], [38, 61, 84])])
    np.testing.assert_array_equal(later(rule, whole[102], 5), whole[103:])


def test_a_short_unit_with_gaps_follows_the_rule_of_all() -> None:
    weeks = pd.date_range("2020-01-05", periods=60, freq="7D").to_numpy()
    rule = observe([weeks, weeks, weeks[[0, 1, 5, 9]]], ["a", "b", "short"])
    assert not rule.units


def test_large_numbers_are_no_rule_by_rounding() -> None:
    """Nanoseconds as numbers: their uneven steps are not taken for even ones."""
    steps = np.random.default_rng(0).integers(1, 10_000_000_000, 200)
    assert not observe([1.7e18 + np.cumsum(steps).astype(np.float64)]).regular
    assert observe([1.7e18 + 1e9 * np.arange(200)]).step == pytest.approx(1e9)


def test_time_never_goes_back_in_an_hour_that_comes_twice() -> None:
    """Half hours of the local clock, but for those of the night's upkeep, over the change in October."""
    local = pd.date_range("2023-07-01", "2023-11-20", freq="30min", tz=ZONE)
    local = local[local.hour != 4]
    whole = local.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[ns]")
    rule = observe([whole], zone=ZONE)
    assert rule.kind == "cycle"
    ahead = shift(rule, whole[:-1], 1)
    assert (ahead > whole[:-1]).all() and (ahead == whole[1:]).mean() > 0.999


def test_units_without_a_rule_in_common_have_each_their_own() -> None:
    """The rule of most rows stands for new units."""
    every = {"a": "7h", "b": "10h", "c": "10h"}
    times = [pd.date_range("2020-01-01", periods=50, freq=freq).to_numpy() for freq in every.values()]
    rule = observe(times, list(every))
    assert rule.step == 36_000 and {name: own.step for name, own in rule.units.items()} == {"a": 25_200}
