"""Rows are brought onto a regular step: on the local calendar, reading no later rows, alike wherever a file is read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq import cli, config
from keras_seq.config import DataConfig
from keras_seq.data.bins import all_starts, bin_starts, next_starts, parse_step
from keras_seq.data.calendar import describe
from keras_seq.data.frame_rows import frame_rows
from keras_seq.data.line_reader import LineReader
from keras_seq.data.prepare import prepare, read_series
from keras_seq.data.quality import check
from keras_seq.data.reading.reading import Reading
from keras_seq.data.regular import ruled
from keras_seq.data.row_rules import RowRules
from keras_seq.data.series import Column, Schema, build_series
from keras_seq.data.table_rows import read_rows
from keras_seq.errors import ConfigError, DataError


def series_of(times, values, zone=None, units=None):
    schema = Schema(
        name="t",
        task="forecast",
        columns=(Column(name="x", missing=True),),
        targets=("x",),
        time_column="when",
        reading=Reading(zone=zone),
    )
    blocks = [np.asarray(block, np.float32)[:, None] for block in values]
    return build_series(schema, blocks, blocks, times=times, unit_ids=units)


def rules(every, how="mean", fill="none", rows=None):
    tree = {"resample": {"every": every, "how": how, "fill": fill}}
    return RowRules.model_validate({**tree, "rows": rows} if rows else tree)


def seconds(numbers):
    return np.datetime64("2024-01-01", "ns") + np.array(numbers, "timedelta64[s]")


@pytest.mark.parametrize(("how", "bins"), [
    ("mean", [1.5, 3.5]), ("sum", [3, 7]), ("first", [1, 3]), ("last", [2, 4]), ("min", [1, 3]), ("max", [2, 4]),
])  # fmt: skip
def test_bins_of_half_hours(how, bins):
    times = np.datetime64("2024-01-01", "ns") + np.arange(4) * np.timedelta64(30, "m")
    made = ruled(series_of([times], [[1, 2, 3, 4]]), rules("1h", how))
    assert made.series.values[:, 0].tolist() == bins and made.rows.tolist() == [1, 3]
    assert made.series.time.tolist() == times[::2].tolist()


def test_a_bin_that_may_lack_rows_is_left_out_and_told():
    times = np.datetime64("2024-01-01T00:30", "ns") + np.arange(6) * np.timedelta64(30, "m")
    made = ruled(series_of([times], [np.arange(6)]), rules("1h", "sum"))
    assert made.series.time.tolist() == times[[1, 3]].astype("datetime64[ns]").tolist()
    assert "bins that may lack rows are left out (1 first and 1 last of 1 units)" in made.remarks[0]


@pytest.mark.parametrize(("fill", "bins"), [
    ("none", [1, np.nan, np.nan, 4]), ("forward", [1, 1, 1, 4]), ("interpolate", [1, 2, 3, 4]),
])  # fmt: skip
def test_bins_without_rows(fill, bins):
    times = np.array(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], "datetime64[ns]")[[0, 3]]
    made = ruled(series_of([times], [[1, 4]]), rules("1d", "mean", fill, {"kind": "step", "step": 86400}))
    np.testing.assert_array_equal(made.series.values[:, 0], np.array(bins, np.float32))
    assert np.isnan(made.series.targets[1:3]).all(), "what no row tells is no truth"


@pytest.mark.parametrize(("zone", "hours"), [("Europe/Berlin", [24, 23, 24]), (None, [24, 24, 24])])
def test_a_day_is_one_of_the_local_calendar(zone, hours):
    begin = pd.Timestamp("2024-03-30", tz=zone or "UTC")
    times = pd.date_range(begin, periods=sum(hours), freq="h").tz_convert("UTC").tz_localize(None)
    made = ruled(series_of([times.to_numpy("datetime64[ns]")], [np.ones(sum(hours))], zone), rules("1d", "sum"))
    assert made.series.values[:, 0].tolist() == hours
    local = pd.DatetimeIndex(made.series.time, tz="UTC").tz_convert(zone or "UTC")
    assert (local == local.normalize()).all()


def test_a_day_of_twenty_five_hours_and_its_hours():
    times = pd.date_range("2024-10-26", periods=73, freq="h", tz="Europe/Berlin").tz_convert("UTC").tz_localize(None)
    series = series_of([times.to_numpy("datetime64[ns]")], [np.ones(73)], "Europe/Berlin")
    assert ruled(series, rules("1d", "sum")).series.values[:, 0].tolist() == [24, 25, 24]
    assert ruled(series, rules("1h", "sum")).series.values[:, 0].tolist() == [1] * 73
    assert ruled(series, rules("6h", "sum")).series.values[:, 0].tolist() == [6] * 4 + [7] + [6] * 7


ZONES = [None, "UTC", "Europe/Berlin", "America/New_York", "Australia/Melbourne", "Asia/Kolkata", "America/Santiago"]
STEPS = ["1min", "15min", "1h", "2h", "6h", "50min", "7h", "1d", "1w", "1mo", "1q", "1y", "10s"]


@given(st.sampled_from(ZONES), st.sampled_from(STEPS), st.integers(0, 10**9))
@settings(max_examples=150, deadline=None)
def test_every_stamp_lies_in_its_bin_and_bins_follow_one_another(zone, every, second):
    step = parse_step(every, numbers=False, zone=zone)
    stamp = np.array([np.datetime64("2000-01-01", "ns") + np.timedelta64(second, "s")])
    start = bin_starts(stamp, step)
    end = next_starts(start, step)
    assert start[0] <= stamp[0] < end[0]
    assert bin_starts(start, step)[0] == start[0] and bin_starts(end, step)[0] == end[0]
    assert bin_starts(end - np.timedelta64(1, "ns"), step)[0] == start[0]
    grid = all_starts(start[0], end[0], step)
    assert grid.tolist() == np.concatenate([start, end]).tolist()


rows = st.lists(st.tuples(st.integers(1, 4000), st.floats(-100, 100, width=32)), min_size=3, max_size=60)


@given(rows, st.integers(1, 59), st.sampled_from(["mean", "sum", "min", "max", "first", "last"]),
       st.sampled_from(["none", "forward"]), st.sampled_from(["5min", "1h", "7min"]))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_rows_appended_later_change_no_bin(steps, cut, how, fill, every):
    times = seconds(np.cumsum([gap for gap, _ in steps]))
    values = np.array([value for _, value in steps])
    wanted = rules(every, how, fill, {"kind": "irregular"})
    whole = ruled(series_of([times], [values]), wanted) if _bins(times, every) > 2 else None
    cut = min(cut, len(times))
    if whole is None or _bins(times[:cut], every) < 3:
        return
    part = ruled(series_of([times[:cut]], [values[:cut]]), wanted)
    many = len(part.series.time)
    np.testing.assert_array_equal(part.series.time, whole.series.time[:many])
    np.testing.assert_array_equal(part.series.values, whole.series.values[:many])


def _bins(times, every):
    return len(np.unique(bin_starts(times, parse_step(every, numbers=False, zone=None))))


@given(rows, st.sampled_from(["5min", "1h"]))
@settings(max_examples=100, deadline=None)
def test_totals_are_kept(steps, every):
    times = seconds(np.cumsum([gap for gap, _ in steps]))
    values = np.array([round(value) for _, value in steps], np.float64)
    if _bins(times, every) < 3:
        return
    made = {how: ruled(series_of([times], [values]), rules(every, how)).series for how in ("sum", "mean")}
    starts = made["sum"].time
    inside = (times >= starts[0]) & (
        times < starts[-1] + (np.timedelta64(5, "m") if every == "5min" else np.timedelta64(1, "h"))
    )
    assert np.nansum(made["sum"].values) == pytest.approx(values[inside].sum())
    counts = np.bincount(np.searchsorted(starts, times[inside], side="right") - 1, minlength=len(starts))
    assert np.nansum(made["mean"].values[:, 0] * counts) == pytest.approx(values[inside].sum(), abs=1e-2)


@pytest.mark.parametrize("every", ["1h", "1d", "15min"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_of_many_years_no_bin_is_lost(every, zone):
    times = np.datetime64("2010-01-01", "ns") + np.arange(60_000) * np.timedelta64(15, "m")
    step = parse_step(every, numbers=False, zone=zone)
    starts = np.unique(bin_starts(times, step))
    np.testing.assert_array_equal(all_starts(starts[0], starts[-1], step), starts)
    made = ruled(series_of([times], [np.arange(60_000)], zone), rules(every, "last")).series
    assert made.time.tolist() == starts[starts >= made.time[0]][: len(made.time)].tolist()
    assert made.values[-1, 0] >= 60_000 - 2 * 96 and len(starts) - len(made.time) <= 2


def test_numbers_as_time_and_several_units():
    series = series_of([np.arange(0.0, 10), np.arange(5.0, 9)], [np.arange(10), np.arange(4)], units=["a", "b"])
    made = ruled(series, rules("2", "sum"))
    assert made.series.time.tolist() == [0, 2, 4, 6, 8, 6] and made.series.lengths.tolist() == [5, 1]
    assert made.series.values[:, 0].tolist() == [1, 5, 9, 13, 17, 3]


@pytest.mark.parametrize("every", ["1m", "0h", "h2", "", "10", "-1h"])
def test_a_step_that_is_none_is_refused(every):
    with pytest.raises(ConfigError, match=r"data.resample.every.*15min"):
        parse_step(every, numbers=False, zone=None)


def test_words_are_the_last_and_static_columns_reach_over_gaps(tmp_path):
    table = pd.DataFrame({"u": "a", "t": [0, 1, 2, 7, 8, 9], "w": list("xyxyxx"), "y": np.arange(6.0)})
    table.to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"u": ["a"], "size": [5.0]}).to_csv(tmp_path / "s.csv", index=False)
    tree = {"source": "table", "path": str(tmp_path / "a.csv"), "unit": "u", "time": "t", "targets": ["y"]}
    tree |= {"task": "forecast", "features": ["w", "y", "size"], "static": {"path": str(tmp_path / "s.csv")}}
    config = DataConfig.model_validate({**tree, "impute": "forward", "resample": {"every": "2", "how": "sum"}})
    series = read_series(config)
    words = series.schema.vocabularies["w"]
    expected = [words.index("y") + 1, np.nan, np.nan, words.index("y") + 1, words.index("x") + 1]
    np.testing.assert_array_equal(series.values[:, 0], np.array([expected[0], words.index("x") + 1, *expected[2:]]))
    assert series.values[:, 2].tolist() == [5] * 5
    rows = read_rows(config.path, series.schema, config.covariates)
    np.testing.assert_array_equal(rows.series.values, series.values)


def test_a_step_far_too_fine_is_refused():
    with pytest.raises(DataError, match="coarser"):
        ruled(series_of([seconds([0, 10**7, 2 * 10**7])], [[1, 2, 3]]), rules("1s"))


TABLE = DataConfig.model_validate({
    "source": "table", "unit": "pump", "time": "when", "targets": ["state"], "task": "binary", "positive": "bad",
    "impute": "forward", "resample": {"every": "1h", "how": {"rain": "sum", "state": "any"}},
})  # fmt: skip


def pumps(path, hours=8):
    stamps = pd.date_range("2024-01-01", periods=4 * hours, freq="15min")
    parts = []
    for number, unit in enumerate(("01", "1")):
        rain = np.arange(len(stamps)) % 5 + number
        state = np.where(np.arange(len(stamps)) % 8 == 1, "bad", "good")
        parts.append(pd.DataFrame({"pump": unit, "when": stamps, "rain": rain, "heat": rain / 2, "state": state}))
    pd.concat(parts).to_csv(path, index=False, date_format="%d.%m.%Y %H:%M")
    return path


def test_a_file_a_frame_and_training_make_the_same_rows(tmp_path):
    path = pumps(tmp_path / "pumps.csv")
    config = TABLE.model_copy(update={"path": str(path)})
    series = read_series(config)
    assert describe(series.schema.calendar) == "every 1 hour" and series.lengths.tolist() == [8, 8]
    assert series.values[0].tolist() == [0 + 1 + 2 + 3, 0.75] and series.targets[:3, 0].tolist() == [1, 0, 1]
    rows = read_rows(path, series.schema, config.covariates, with_targets=True)
    for name in ("values", "targets", "offsets", "time", "unit_ids"):
        np.testing.assert_array_equal(getattr(rows.series, name), getattr(series, name))
    assert rows.stamps[:2].tolist() == ["01.01.2024 00:00", "01.01.2024 01:00"] and rows.file_row[0] == 4
    table = pd.read_csv(path, dtype={"pump": str}).assign(when=lambda t: pd.to_datetime(t["when"], dayfirst=True))
    framed = frame_rows(table, series.schema, config.covariates)
    np.testing.assert_array_equal(framed.series.values, series.values)
    assert pd.Timestamp(framed.stamps[1]) == pd.Timestamp("2024-01-01 01:00") and list(framed.unit_names) == ["01", "1"]
    with pytest.raises(DataError, match="stream"):
        LineReader(path.read_text().splitlines(keepends=True), series.schema)


def test_a_last_bin_that_is_not_whole_yet_is_not_answered(tmp_path):
    path = pumps(tmp_path / "pumps.csv")
    schema = read_series(TABLE.model_copy(update={"path": str(path)})).schema
    table = pd.read_csv(path, dtype={"pump": str})
    later = table[table.groupby("pump").cumcount() < 18]
    rows = frame_rows(later, schema, TABLE.covariates)
    assert rows.series.lengths.tolist() == [4, 4] and "2 last of 2 units" in rows.remarks[0]
    short = table[(table["pump"] == "1") | (table.groupby("pump").cumcount() < 3)]
    refused = frame_rows(short, schema, TABLE.covariates).refused
    assert [unit.unit for unit in refused] == ["01"] and "no whole bin of 1h" in refused[0].reason


def test_what_became_of_the_rows_is_told_by_the_check(tmp_path):
    series = read_series(TABLE.model_copy(update={"path": str(pumps(tmp_path / "pumps.csv"))}))
    assert any("64 rows became 16 of 1h" in str(finding) for finding in check(series).findings)


@pytest.mark.parametrize(("changes", "message"), [
    ({"resample": {"every": "1h", "how": {"flow": "sum"}}}, "names 'flow'"),
    ({"resample": {"every": "1h", "how": {"heat": "any"}}}, "'any' is for a target of two classes"),
    ({"resample": {"every": "1h", "how": {"state": "sum"}}}, "'state', a class"),
    ({"resample": {"every": "1h"}, "time": None, "features": ["heat"]}, "needs a time column"),
    ({"resample": {"every": "1h"}, "cache": False}, "data.cache=false"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path, changes, message):
    tree = TABLE.model_dump(exclude_unset=True) | {"path": str(pumps(tmp_path / "pumps.csv"))} | changes
    with pytest.raises(ConfigError, match=message):
        prepare(DataConfig.model_validate(tree))


def test_real_water_flow_by_the_day(data_home):
    path = data_home / "water_flow" / "water-flow.csv"
    if not path.is_file():
        pytest.skip("no water_flow in the data home")
    name = "Water flow [l/s]"
    tree = {"source": "table", "path": str(path), "time": "Time", "targets": [name], "task": "forecast"}
    config = DataConfig.model_validate({**tree, "impute": "forward", "resample": {"every": "1d", "how": "mean"}})
    series = read_series(config)
    frame = pd.read_csv(path)
    local = pd.to_datetime(frame["Time"], utc=True).dt.tz_convert("Europe/Berlin")
    expected = frame.groupby(local.dt.normalize())[name].mean().iloc[1:-1]
    means = pd.Series(series.values[:, 0], pd.DatetimeIndex(series.time, tz="UTC").tz_convert("Europe/Berlin"))
    np.testing.assert_allclose(means.reindex(expected.index), expected, rtol=1e-6)


def test_options_of_the_command_line():
    def read(*words):
        return config.from_dict(config.override({}, cli.read_overrides(words))).data

    resample = read("--data.resample.every", "10", "--data.resample.how", "{rain: sum, x: last}").resample
    assert resample.every == "10" and resample.how == {"rain": "sum", "x": "last"}
    assert read("--data.resample.how", "sum").resample.how == "sum"
    assert read("--data.time", "[day, hr]").time == ("day", "hr") and read("--data.time", "day").time == "day"
    assert read("--data.time", "Flow [l/s]").time == "Flow [l/s]" and read("--data.time", "null").time is None
