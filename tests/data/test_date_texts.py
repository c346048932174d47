"""Periods, epochs and serial days are read as dates, kept in the schema, and written as the table writes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq.autoconfig.table import read_table
from keras_seq.config import DataConfig
from keras_seq.data.frame_rows import frame_rows
from keras_seq.data.line_reader import LineReader
from keras_seq.data.reading.by_schema import format_stamps
from keras_seq.data.reading.dates import compact_format, parse_dates, settle_dates
from keras_seq.data.reading.named_dates import EPOCHS, parse_named, write_named
from keras_seq.data.reading.reading import Reading
from keras_seq.data.sources.registry import load_series
from keras_seq.data.table_rows import read_rows
from keras_seq.errors import ConfigError, DataError


def read(texts, path, date_format=None, zone=None):
    rule = settle_dates(pd.Series(texts, dtype="str"), "when", path, date_format=date_format, zone=zone)
    return parse_dates(pa.array(texts), rule, "when", path), Reading(**rule.fields)


@pytest.mark.parametrize(("texts", "asked", "stamps"), [
    (["2010Q1", "2010Q2"], None, ["2010-01-01", "2010-04-01"]),
    (["2010-Q4", "2011-Q1"], None, ["2010-10-01", "2011-01-01"]),
    (["Q1 2010", "Q2 2010"], None, ["2010-01-01", "2010-04-01"]),
    (["Q1/10", "Q2/10"], None, ["2010-01-01", "2010-04-01"]),
    (["2020-W53", "2021-W01"], None, ["2020-12-28", "2021-01-04"]),
    (["2010M01", "2010M02"], None, ["2010-01-01", "2010-02-01"]),
    (["2010-01", "2010-02"], None, ["2010-01-01", "2010-02-01"]),
    (["Jan 2010", "Feb 2010"], None, ["2010-01-01", "2010-02-01"]),
    (["May 2010", "June 2010"], None, ["2010-05-01", "2010-06-01"]),
    (["2010", "2011"], "year", ["2010-01-01", "2011-01-01"]),
    (["1577836800", "1577840400"], "epoch_s", ["2020-01-01T00", "2020-01-01T01"]),
    (["1577836800.5", "1577840400"], "epoch_s", ["2020-01-01T00:00:00.5", "2020-01-01T01"]),
    (["1577836800000000001", "1577836800000000002"], "epoch_ns",
     ["2020-01-01T00:00:00.000000001", "2020-01-01T00:00:00.000000002"]),
    (["45292.25", "45292.5"], "excel", ["2024-01-01T06", "2024-01-01T12"]),
    (["13/03/2004 18.00.00", "13/03/2004 19.00.00"], None, ["2004-03-13T18", "2004-03-13T19"]),
])  # fmt: skip
def test_a_text_is_a_date_and_comes_back(tmp_path, texts, asked, stamps):
    times, reading = read(texts, tmp_path / "a.csv", asked)
    assert times.tolist() == np.array(stamps, "datetime64[ns]").tolist()
    assert format_stamps(times, reading).tolist() == texts


def test_an_hour_that_ends_its_day_belongs_to_the_next(tmp_path):
    times, _ = read(["2011-01-31 23:00", "2011-01-31 24:00", "2011-02-01 01:00"], tmp_path / "a.csv")
    assert times[1] == np.datetime64("2011-02-01T00:00")


def test_epochs_are_universal_time_whatever_the_zone(tmp_path):
    times, reading = read(["1577836800", "1577840400"], tmp_path / "a.csv", "epoch_s", "Europe/Berlin")
    assert times[0] == np.datetime64("2020-01-01") and reading.zone == "Europe/Berlin"
    assert format_stamps(times, reading)[0] == "1577836800"


@given(st.integers(-(2**62), 2**62), st.sampled_from(list(EPOCHS)))
def test_an_epoch_is_exact(ticks, date_format):
    ticks -= ticks % EPOCHS[date_format]
    stamps = pd.DatetimeIndex([pd.Timestamp(ticks, tz="UTC")])
    text = write_named(stamps.tz_localize(None), date_format)
    assert parse_named(pd.Series(text, dtype="str"), date_format).astype("int64").iloc[0] == ticks


def test_a_bad_one_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("when,y\n2010Q1,1\n2010Q5,2\n")
    with pytest.raises(DataError, match="'2010Q5'"):
        load_series(DataConfig(source="table", path=str(path), time="when", targets=("y",), task="forecast"))


BIKES = "day,hr,y\n2011-01-01,22,1\n2011-01-01,23,2\n2011-01-02,0,3\n2011-01-02,1,4\n"


def joined(tmp_path, text, time, **options):
    path = tmp_path / "table.csv"
    path.write_text(text)
    tree = {"source": "table", "path": str(path), "time": time, "targets": ["y"], "task": "forecast", **options}
    config = DataConfig.model_validate(tree)
    return load_series(config), path, config


def test_a_joined_time_is_read_alike_from_file_frame_and_stream(tmp_path):
    series, path, config = joined(tmp_path, BIKES, ["day", "hr"])
    assert series.schema.time_column == "day hr" and series.schema.features == ("y",)
    hours = np.datetime64("2011-01-01T22") + np.arange(4)
    assert series.time.tolist() == hours.astype("datetime64[ns]").tolist()
    rows = read_rows(path, series.schema, config.covariates)
    assert rows.stamps.tolist()[1:3] == ["2011-01-01 23:00", "2011-01-02 00:00"]
    np.testing.assert_array_equal(
        frame_rows(pd.read_csv(path), series.schema, config.covariates).series.time, series.time
    )
    assert [line.clock for line in LineReader(BIKES.splitlines(keepends=True), series.schema)] == rows.stamps.tolist()


@pytest.mark.parametrize(("header", "row", "time", "stamp"), [
    ("year,month,day,hour", "2010,3,31,24", ["year", "month", "day", "hour"], "2010-04-01"),
    ("Year,DOY", "2010,60", ["Year", "DOY"], "2010-03-01"),
    ("yr,qtr", "2010,3", ["yr", "qtr"], "2010-07-01"),
    ("year,week", "2020,53", ["year", "week"], "2020-12-28"),
    ("a,b,c", "2010,2,28", ["a", "b", "c"], "2010-02-28"),
    ("Date,Time", "31/03/2004,18.30.00", ["Date", "Time"], "2004-03-31T18:30"),
    ("Date,hr,min", "31/03/2004,18,5", ["Date", "hr", "min"], "2004-03-31T18:05"),
])  # fmt: skip
def test_parts_are_told_by_their_names_and_their_order(tmp_path, header, row, time, stamp):
    series, *_ = joined(tmp_path, f"{header},y\n{row},1\n", time)
    assert series.time[0] == np.datetime64(stamp)


def test_parts_of_a_parquet_file_and_parts_as_inputs(tmp_path):
    path = tmp_path / "table.parquet"
    day = pd.to_datetime(["2011-01-01", "2011-01-01", "2011-01-02"])
    pd.DataFrame({"day": day, "hour": [22, 23, 0], "y": [1.0, 2.0, 3.0]}).to_parquet(path)
    tree = {"source": "table", "path": str(path), "time": ["day", "hour"], "targets": ["y"], "features": ["y", "hour"]}
    series = load_series(DataConfig.model_validate({**tree, "task": "forecast"}))
    assert series.time[2] == np.datetime64("2011-01-02") and series.values[:, 1].tolist() == [22, 23, 0]


@pytest.mark.parametrize(("text", "time", "error", "message"), [
    ("year,month,day,y\n2010,2,30,1\n", ["year", "month", "day"], DataError, "2010-2-30"),
    ("month,day,y\n2,3,1\n", ["month", "day"], ConfigError, "lack a year or a date"),
    ("year,hour,y\n2010,3,1\n", ["year", "hour"], ConfigError, "lack a day"),
    ("day,hr,y\n2011-01-01,1,1\n", ["day", "hour"], ConfigError, "no column 'hour'"),
])  # fmt: skip
def test_parts_that_make_no_time_are_refused(tmp_path, text, time, error, message):
    with pytest.raises(error, match=message):
        joined(tmp_path, text, time)


def test_the_real_files(data_home):
    beijing = data_home / "beijing_pm25" / "pollution.csv"
    if not beijing.is_file():
        pytest.skip("no beijing_pm25 in the data home")
    tree = {"source": "table", "path": str(beijing), "time": ["year", "month", "day", "hour"], "impute": "forward"}
    series = load_series(
        DataConfig.model_validate({**tree, "targets": ["pm2.5"], "features": ["pm2.5"], "task": "forecast"})
    )
    assert (np.diff(series.time) == np.timedelta64(1, "h")).all() and len(series.time) == 43_824


MARKS = str.maketrans("/.: ", "----")  # between the parts of a date; digits alone have none


@pytest.mark.parametrize(
    ("date_format", "step"),
    [
        ("%y-%m-%d", "D"), ("%y/%m/%d", "D"), ("%y.%m.%d %H:%M", "h"), ("%y-%m-%d", "W"),
        ("%Y%m%d", "D"), ("%Y%m%d%H", "h"), ("%Y%m%d%H%M", "15min"), ("%Y%m%d%H%M%S", "s"), ("%Y%m", "MS"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", ["2020-01-01", "2022-11-01", "2009-10-27"])
def test_years_first_and_digits_alone(tmp_path, date_format, step, start):
    """As pandas reads them with the format given."""
    stamps = pd.date_range(start, periods=80, freq=step)
    texts = stamps.strftime(date_format)
    frame = pd.DataFrame({"time": texts, "x": np.arange(80) % 7 / 3, "y": np.arange(80.0)})
    digits = frame.assign(time=frame["time"].astype("int64")) if "-" not in date_format.translate(MARKS) else frame
    frame.to_csv(tmp_path / "t.csv", index=False)
    digits.to_parquet(tmp_path / "t.parquet")
    digits.to_json(tmp_path / "t.json", orient="records")
    wanted = pd.to_datetime(texts, format=date_format).to_numpy("datetime64[ns]")
    for name in ("t.csv", "t.parquet", "t.json"):
        config = DataConfig(source="table", path=str(tmp_path / name), time="time", targets=("y",), features=("x",))
        series = load_series(config)
        np.testing.assert_array_equal(series.time, wanted)
        assert read_table(tmp_path / name).columns["time"].kind == "date"
        rows = read_rows(tmp_path / name, series.schema, config.covariates)
        np.testing.assert_array_equal(rows.series.time, wanted)


def test_numbers_of_six_digits_are_no_months():
    from keras_seq.data.reading.dates import compact_format

    assert compact_format(pa.array(["200001", "201511", "190303", "209912"])) is None
    assert compact_format(pa.array(["20231399", "20230101", "20230102"])) is None


HALF_HOURS = pd.date_range("2023-03-05 22:00", periods=60, freq="37min")


def half_days(form: str, words: tuple[str, str]) -> list[str]:
    return [stamp.strftime(form) + words[stamp.hour >= 12] for stamp in HALF_HOURS]


@pytest.mark.parametrize(("texts", "unit"), [
    (HALF_HOURS.strftime("%y-%m-%dT%H:%M"), "min"),
    (HALF_HOURS.strftime("%y/%m/%dT%H:%M:%S"), "min"),
    (HALF_HOURS.strftime("%Y-%m-%d %H:%M:%S,000"), "min"),
    (HALF_HOURS.strftime("%Y-%m-%dT%H:%M:%S,000"), "min"),
    (HALF_HOURS.strftime("%d.%m.%Y %H:%M:%S,000"), "min"),
    (half_days("%d/%m/%Y %I:%M ", ("a.m.", "p.m.")), "min"),
    (half_days("%m/%d/%Y %I:%M:%S ", ("a. m.", "p. m.")), "min"),
    (half_days("%m/%d/%Y %I:%M ", ("am", "pm")), "min"),
    (half_days("%Y-%m-%d %I:%M", ("am", "pm")), "min"),
    ([f"{stamp.year}/{stamp.month}" for stamp in pd.date_range("1975-01-01", periods=60, freq="MS")], "M"),
    (HALF_HOURS.strftime("%d/%b/%Y:%H:%M:%S"), "min"),
    (HALF_HOURS.strftime("%d/%b/%Y:%H:%M:%S +0000"), "min"),
    (HALF_HOURS.strftime("[%d/%b/%Y:%H:%M:%S +0000]"), "min"),
    (HALF_HOURS.strftime("%Y-%m-%d_%H:%M:%S"), "min"),
    (HALF_HOURS.strftime("%Y%m%d_%H%M"), "min"),
    (HALF_HOURS.strftime("%Y年%m月%d日 %H时%M分"), "min"),
], ids=lambda value: value[0] if not isinstance(value, str) else "")  # fmt: skip
def test_dates_of_logs_and_people_are_read_alike_in_files_and_streams(tmp_path, texts, unit):
    wanted = HALF_HOURS if unit == "min" else pd.date_range("1975-01-01", periods=60, freq="MS")
    pd.DataFrame({"when": list(texts), "y": range(60)}).to_csv(tmp_path / "t.csv", index=False, sep=";")
    config = DataConfig(source="table", path=str(tmp_path / "t.csv"), time="when", targets=("y",), task="forecast")
    series = load_series(config, checked=False)
    np.testing.assert_array_equal(series.time, wanted.to_numpy("datetime64[ns]"))
    assert not [one for one in series.info.get("choices", ()) if "separators" in one]
    lines = (tmp_path / "t.csv").read_text().splitlines(keepends=True)
    assert len(list(LineReader(lines, series.schema))) == 60


def test_an_offset_of_a_log_is_taken_off(tmp_path):
    times, reading = read([f"1{i}/Oct/2000:13:55:36 -0700" for i in range(9)], tmp_path / "a.csv")
    assert times[0] == np.datetime64("2000-10-10T20:55:36") and reading.zone == "-07:00"


@pytest.mark.parametrize(("numbers", "is_date"), [
    (pd.date_range("2023-01-20", periods=60).strftime("%y%m%d"), True),
    (np.arange(100101, 100131), False),  # a counter inside one month
    (np.arange(230101, 230201), False),
    (pd.date_range("2024-01-01", periods=60, freq="h").strftime("%Y%m%d%H"), True),
    (1901010100 + np.arange(60), False),  # seconds from March 2030 on
    (1901010100 + 100 * np.arange(12), False),
])  # fmt: skip
def test_digits_are_dates_only_where_their_steps_say_so(tmp_path, numbers, is_date):
    assert (compact_format(pa.array([str(number) for number in numbers])) is not None) == is_date
    path = tmp_path / "t.csv"
    pd.DataFrame({"datum": numbers, "x": np.arange(len(numbers)) % 7, "y": range(len(numbers))}).to_csv(
        path, index=False
    )
    profile = read_table(path)
    assert (profile.columns["datum"].kind == "date") == (is_date or int(numbers[0]) > 1e9)
    if not is_date and int(numbers[0]) > 1e9:
        assert profile.formats == {"datum": "epoch_s"}
