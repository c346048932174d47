"""Files .ts and .tsf: header fields, missing values, stamps, ragged cases; the real ones against their text."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.config import DataConfig, SplitConfig, WindowsConfig
from keras_seq.data.home import data_home
from keras_seq.data.sources import load_series
from keras_seq.errors import DataError

HEAD = "#about\n@problemName toy\n@timeStamps {stamps}\n@missing true\n@classLabel {labels}\n@data\n"


def load(path, text=None, **options):
    if text is not None:
        path.write_text(text)
    return load_series(DataConfig(source="table", path=str(path), impute="forward", **options))


def test_ragged_cases_of_two_dimensions_keep_the_header_s_order_of_classes(tmp_path):
    text = HEAD.format(stamps="false", labels="true up down flat") + "1,2,?:4,5,6:flat\n7:8:down\n1,2:3,4:up\n"
    series = load(tmp_path / "a.ts", text)
    assert series.schema.classes == ("up", "down", "flat") and series.schema.features == ("dim_1", "dim_2")
    assert series.lengths.tolist() == [3, 1, 2] and series.targets[:, 0].tolist() == [2, 1, 0]
    np.testing.assert_array_equal(series.unit_values(0), [[1, 4], [2, 5], [np.nan, 6]])


def test_stamps_of_dimensions_are_brought_together(tmp_path):
    text = HEAD.format(stamps="true", labels="true a b") + "(0,1),(2,3):(1,5),(2,6):a\n(0,1):(0,?):b\n" * 2
    series = load(tmp_path / "a.ts", text)
    np.testing.assert_array_equal(series.unit_values(0), [[1, np.nan], [np.nan, 5], [3, 6]])
    assert series.time[:4].tolist() == [0, 1, 2, 0]


def test_dates_as_stamps(tmp_path):
    text = HEAD.format(stamps="true", labels="false") + (
        "(2007-01-01 00:00:00,1.5),(2007-01-01 01:00:00,2.5)\n(2007-01-02 00:00:00,3),(2007-01-02 01:00:00,4)\n"
    )
    series = load(tmp_path / "a.ts", text, task="forecast", windows=WindowsConfig(mode="sliding", length=1, horizon=1))
    assert series.time[1] == np.datetime64("2007-01-01T01:00") and series.values[:, 0].tolist() == [1.5, 2.5, 3, 4]


def test_a_number_for_each_case_is_a_regression(tmp_path):
    text = HEAD.format(stamps="false", labels="false").replace("@data", "@targetlabel true\n@data")
    series = load(tmp_path / "a.ts", text + "1,2:0.5\n3,4:?\n5,6:2.5\n")
    assert series.schema.task == "regression" and series.schema.target_per == "unit"
    np.testing.assert_array_equal(series.targets[:, 0], [0.5, np.nan, 2.5])


@pytest.mark.parametrize("name", ["TRAIN", "TEST"])
def test_basic_motions_is_what_stands_there(name):
    path = data_home() / "basic_motions" / f"BasicMotions_{name}.ts"
    if not path.is_file():
        pytest.skip("basic_motions is not in the data home")
    lines = [line.strip() for line in path.read_text().splitlines() if line[:1] not in "#@" and line.strip()]
    series = load(path)
    assert series.n_units == len(lines) == 40 and set(series.lengths.tolist()) == {100}
    assert series.schema.classes == ("Standing", "Running", "Walking", "Badminton")
    for unit in (0, 17, 39):
        *dimensions, label = lines[unit].split(":")
        expected = np.array([one.split(",") for one in dimensions], np.float32).T
        np.testing.assert_array_equal(series.unit_values(unit), expected)
        assert series.schema.classes[int(series.targets[unit, 0])] == label


TSF = "# about\n@relation m\n@attribute series_name string\n{start}@frequency {every}\n@horizon 2\n@data\n"


def test_series_of_a_tsf_file_have_stamps(tmp_path):
    head = TSF.format(start="@attribute start_timestamp date\n", every="monthly")
    windows = WindowsConfig(mode="sliding", length=2, horizon=2)
    split = SplitConfig(by="time")
    text = head + "T1:2020-01-31 00-00-00:1,2,3,4\nT2:1999-12-01 06-00-00:5,?,7\n"
    series = load(tmp_path / "a.tsf", text, windows=windows, split=split)
    assert series.schema.task == "forecast" and series.unit_ids.tolist() == ["T1", "T2"]
    assert series.time.astype("datetime64[h]").astype(str).tolist() == [
        *("2020-01-31T00", "2020-02-29T00", "2020-03-31T00", "2020-04-30T00"),
        *("1999-12-01T06", "2000-01-01T06", "2000-02-01T06"),
    ]
    np.testing.assert_array_equal(series.values[:, 0], [1, 2, 3, 4, 5, np.nan, 7])


@pytest.mark.parametrize(
    ("every", "second"),
    [("10_minutes", "2020-01-31T00:10"), ("half_hourly", "2020-01-31T00:30"), ("weekly", "2020-02-07T00:00")],
)
def test_frequencies(tmp_path, every, second):
    head = TSF.format(start="@attribute start date\n", every=every)
    series = load(tmp_path / "a.tsf", head + "T1:2020-01-31 00-00-00:1,2,3\n", windows={"length": 1, "horizon": 1})
    assert str(series.time.astype("datetime64[m]")[1]) == second


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("T1:x,2", "Line 7 of .*value 1: expected a number, got 'x'"),
        ("T1:1999:1,2", "has 2 attributes before its values, the header names 1"),
    ],
)
def test_tsf_refusals(tmp_path, line, message):
    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.tsf", TSF.format(start="", every="daily") + line, windows={"length": 1, "horizon": 1})
