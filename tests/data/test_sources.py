"""Known sources: facts of the real files, the .ts reader, choice of columns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.config import DataConfig
from keras_seq.data.formats.ts_cases import open_ts
from keras_seq.data.home import data_home
from keras_seq.data.sources import known_sources, load_series
from keras_seq.errors import ConfigError, DataError


def load(home: Path, source: str, **options):
    return load_series(DataConfig(source=source, home=str(home), **options))


# --- registry


def test_registry_is_light():
    heavy = ("pandas", "scipy", "pyarrow", "tensorflow")
    known = "from keras_seq.data.sources import known_sources; known_sources()"
    code = f"import sys; {known}; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_every_loader_exists():
    for info in known_sources().values():
        assert callable(info.load)
        assert info.files_of() or info.embedded or info.is_table or info.is_shards


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"source": "cmaps"}, ConfigError, "Unknown data.source 'cmaps'; did you mean 'cmapss'"),
        ({"source": "cmapss", "subset": "FD01"}, ConfigError, "no subset 'FD01'; did you mean 'FD001'"),
        ({"source": "co2", "subset": "x"}, ConfigError, "has no subsets"),
        ({"source": "co2", "path": "x.csv"}, ConfigError, "set --data.source table"),
        ({"source": "co2", "features": ("co",)}, ConfigError, "Unknown feature 'co'.*did you mean 'co2'"),
        ({"source": "co2", "targets": ("c2",)}, ConfigError, "Unknown target 'c2'.*did you mean 'co2'"),
        ({"source": "co2", "features": ("co2", "co2")}, ConfigError, "names a column twice"),
        ({"source": "co2", "task": "regression"}, ConfigError, "Task 'regression' does not fit"),
        ({"source": "co2", "task": "binary", "targets": ("co2",)}, ConfigError, "to hold 0 and 1; it holds"),
    ],
)
def test_bad_choice(options, error, match):
    with pytest.raises(error, match=match):
        load_series(DataConfig(**options))


def test_missing_home_names_folder_variable_option_and_files(tmp_path):
    with pytest.raises(DataError) as caught:
        load(tmp_path / "none", "cmapss", subset="FD003")
    for part in ("none/cmapss", "KERAS_SEQ_DATA", "--data.home", "train_FD003.txt", "RUL_FD003.txt", "fetch cmapss"):
        assert part in str(caught.value)


def test_home_precedence(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_SEQ_DATA", str(tmp_path / "a"))
    assert data_home() == tmp_path / "a"
    assert data_home(str(tmp_path / "b")) == tmp_path / "b"
    monkeypatch.delenv("KERAS_SEQ_DATA")
    assert data_home() == Path.home() / ".cache" / "keras_seq"


# --- facts of the real files


@pytest.mark.parametrize(
    ("subset", "train", "test", "rows"), [("FD001", 100, 100, 20631 + 13096), ("FD004", 249, 248, 61249 + 41214)]
)
def test_cmapss(data_home, subset, train, test, rows):
    series = load(data_home, "cmapss", subset=subset)
    assert series.values.shape == (rows, 24) and series.targets.shape == (rows, 1)
    assert (series.official == "train").sum() == train and (series.official == "test").sum() == test
    assert series.schema.condition_indices == (0, 1, 2)
    assert series.unit_ids[0] == "train-1" and series.unit_ids[-1] == f"test-{test}"
    last = series.targets[series.offsets[1:] - 1, 0]
    truth = np.loadtxt(data_home / "cmapss" / f"RUL_{subset}.txt")
    assert (last[:train] == 0).all() and (last[train:] == truth).all()
    steps = np.diff(series.targets[:, 0])
    steps = np.delete(steps, series.offsets[1:-1] - 1)
    assert (steps == -1).all()


def test_cmapss_first_row_and_names(data_home):
    series = load(data_home, "cmapss", features=("T24", "W32", "setting_1"))
    assert series.schema.features == ("T24", "W32", "setting_1")
    assert series.schema.condition_indices == (2,)
    np.testing.assert_allclose(series.values[0], [641.82, 23.4190, -0.0007], rtol=1e-6)


def test_wafer(data_home):
    series = load(data_home, "wafer")
    assert (series.official == "train").sum() == 298 and (series.official == "test").sum() == 896
    assert series.values.shape == (163283, 6) and (series.lengths.min(), series.lengths.max()) == (104, 198)
    assert series.schema.target_per == "unit" and series.schema.classes == ("normal", "abnormal")
    assert series.targets[:298].sum() == 32 and series.targets[298:].sum() == 95
    assert series.unit_values(0)[0].tolist() == [2, -11, -1, 2, 23, 38]


def test_jvowels(data_home):
    series = load(data_home, "jvowels")
    assert (series.official == "train").sum() == 270 and (series.official == "test").sum() == 370
    assert (series.lengths.min(), series.lengths.max()) == (7, 29) and series.values.shape[1] == 12
    assert series.schema.classes == tuple("123456789")
    assert np.bincount(series.targets[:270, 0].astype(int)).tolist() == [30] * 9
    np.testing.assert_allclose(series.values[0, :2], [1.860936, -0.207383])
    assert series.targets[-1, 0] == 8


def test_gasoline(data_home):
    series = load(data_home, "gasoline")
    assert series.values.shape == (628, 1) and (series.values == series.targets).all()
    assert str(series.time[-1])[:10] == "2019-12-27" and (np.diff(series.time) > np.timedelta64(0)).all()


def test_ett(data_home):
    series = load(data_home, "ett")
    assert series.values.shape == (14400, 7) and series.schema.targets == series.schema.features
    only = load(data_home, "ett", targets=("OT",))
    assert only.targets.shape == (14400, 1) and (only.targets[:, 0] == series.values[:, 6]).all()
    virtual = load(data_home, "ett", task="regression", targets=("OT",))
    assert virtual.schema.features == series.schema.features[:6] and virtual.schema.target_unit == "degC"
    with pytest.raises(ConfigError, match="leave out 'HULL', the series to be forecast"):
        load(data_home, "ett", features=("HUFL",))
    with pytest.raises(ConfigError, match="cannot be its own input"):
        load(data_home, "ett", task="regression", targets=("OT",), features=("OT", "HUFL"))
    with pytest.raises(DataError, match=r"ETTh2\.csv"):
        load(data_home, "ett", subset="ETTh2")


def test_co2_is_embedded(tmp_path):
    series = load(tmp_path, "co2")
    assert series.values.shape == (2284, 1) and np.isnan(series.values).sum() == 59
    assert series.schema.columns[0].missing and series.schema.task == "forecast"


@pytest.mark.parametrize(("subset", "up"), [("sp500", 0.531), ("nasdaq", 0.540)])
def test_market_direction(data_home, subset, up):
    series = load(data_home, "market", subset=subset, task="binary")
    assert series.values.shape == (5029, 3) and str(series.time[-1]) < "2018-12-31"
    assert abs(series.targets.mean() - up) < 1e-3
    forecast = load(data_home, "market", subset=subset)
    assert (series.targets[:, 0] == (forecast.targets[1:, 0] > 0)).all()
    following = load(data_home, "market", subset=subset, task="regression")
    assert (following.targets[:, 0] == forecast.values[1:, 0]).all()


def test_market_features_do_not_look_ahead(data_home, tmp_path):
    """A changed future leaves every feature of the days before unchanged."""
    folder = tmp_path / "market"
    folder.mkdir()
    last = pd.Timestamp("2016-12-01")
    for name in ("sp500.csv", "vix.csv", "wti.csv"):
        head, *lines = (data_home / "market" / name).read_text().splitlines()
        dates = pd.to_datetime([line.split(",")[0] for line in lines], format="%m/%d/%Y")
        kept = [line for line, date in zip(lines, dates, strict=True) if date <= last]
        (folder / name).write_text("\n".join([head, *kept]) + "\n")
    names = ("return", "range", "volume_change", "vix", "wti_return")
    whole, part = (load(home, "market", task="binary", features=names) for home in (data_home, tmp_path))
    rows = len(part.time)
    assert rows > 4400 and part.time[-1] == last - pd.Timedelta(days=1)
    np.testing.assert_array_equal(part.time, whole.time[:rows])
    np.testing.assert_array_equal(part.values, whole.values[:rows])
    np.testing.assert_array_equal(part.targets, whole.targets[:rows])


def test_market_vix_is_of_an_earlier_day(data_home):
    series = load(data_home, "market", features=("return", "vix"))
    row = int(np.searchsorted(series.time, np.datetime64("2014-01-06")))
    assert np.isnan(series.values[row - 1, 1])  # 2014-01-03: the first known value is of that day itself
    assert series.values[row, 1] == np.float32(13.76)


# --- malformed files of known sources


def engine(unit: int, cycle: int, words: int = 24) -> str:
    return " ".join([str(unit), str(cycle), *["1.5"] * words])


@pytest.mark.parametrize(
    ("train", "left", "match"),
    [
        ([engine(1, 1), engine(1, 2, 23)], "1\n", r"Line 2 of '.*train_FD001.txt' has 25 columns, expected 26"),
        ([engine(1, 1), engine(1, 2, 25)], "1\n", r"Line 2 of '.*' has 27 columns, expected 26"),
        ([engine(1, 1), engine(1, 2).replace("1.5", "x", 1)], "1\n", r"Line 2, column 3 of .* got 'x'"),
        ([engine(1, 1), engine(1, 2).replace("1.5", "nan", 1)], "1\n", r"Line 2, column 3 of .* got 'nan'"),
        ([engine(1, 1), engine(1, 3)], "1\n", r"Row 2 of .*\(engine 1\) is cycle 3, expected 2"),
        ([engine(1, 1), engine(2, 1), engine(1, 1)], "1\n", "Rows of engine 1 are not together"),
        ([engine(1, 1)], "1\n2\n", r"RUL_FD001.txt' has 2 lines, but .* has 1 engines"),
        ([], "1\n", "is empty"),
    ],
)
def test_malformed_cmapss(tmp_path, train, left, match):
    folder = tmp_path / "cmapss"
    folder.mkdir()
    (folder / "train_FD001.txt").write_text("".join(line + "\n" for line in train))
    (folder / "test_FD001.txt").write_text(engine(1, 1) + "\n")
    (folder / "RUL_FD001.txt").write_text(left)
    with pytest.raises(DataError, match=match):
        load(tmp_path, "cmapss")


def test_malformed_wafer_and_weekly(tmp_path):
    for folder, name in (("wafer_mts", "Wafer.mat"), ("us_gasoline", "us_gasoline.csv")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(b"Week,Gasoline\n04/30/2021,8864\n04/23/2021,many\n")
    with pytest.raises(DataError, match=r"is not the Wafer \.mat file"):
        load(tmp_path, "wafer")
    with pytest.raises(DataError, match=r"Line 3 of .*column 'Gasoline': expected a number, got 'many'"):
        load(tmp_path, "gasoline")
    (tmp_path / "us_gasoline" / "us_gasoline.csv").write_text("Week,Gas\n04/30/2021,8864\n")
    with pytest.raises(DataError, match="has no column 'Gasoline'"):
        load(tmp_path, "gasoline")
    (tmp_path / "us_gasoline" / "us_gasoline.csv").write_text("Week,Gasoline\n04/30/2019,8\n04/30/2019,9\n")
    with pytest.raises(DataError, match="holds the date 2019-04-30 twice"):
        load(tmp_path, "gasoline")


HEADER = "@problemName toy\n@timeStamps false\n@classLabel true a b\n@data\n"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "holds no cases and no @data line"),
        (HEADER, "holds no cases"),
        ("1,2:3,4:a\n", "must be an '@key value' line"),
        (HEADER + "1,2:3,4:c\n", "Line 5 of .* ends with class 'c', the header names a, b"),
        (HEADER + "1,2:3,x:a\n", "Line 5 of .*, dimension 2, step 2: expected a number, got 'x'"),
        (HEADER + "1,2:3:a\n", r"different length \(1 and 2 steps\)"),
        (HEADER + "1,2:3,4:a\n\n1:b\n", "Line 7 of .* has 1 dimensions, the cases before have 2"),
        (HEADER + "a\n", "must hold dimensions and a class"),
        (HEADER.replace("timeStamps false", "timeStamps true") + "1:a\n", r"expected pairs '\(time,value\)', got '1'"),
        (HEADER.replace("classLabel true a b", "targetLabel true") + "1,2:a\n", "value 1: expected a number, got 'a'"),
    ],
)
def test_malformed_ts(tmp_path, text, match):
    path = tmp_path / "toy.ts"
    path.write_text(text)
    with pytest.raises(DataError, match=match):
        list(open_ts(path)[1])


def test_absent_ts(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        open_ts(tmp_path / "none.ts")


@st.composite
def cases(draw):
    dimensions = draw(st.integers(1, 4))
    value = st.one_of(st.floats(width=32, allow_nan=True, allow_infinity=False), st.just(float("nan")))
    units = []
    for _ in range(draw(st.integers(1, 5))):
        steps = draw(st.integers(1, 6))
        units.append(np.array([draw(st.lists(value, min_size=dimensions, max_size=dimensions)) for _ in range(steps)]))
    return [unit.astype(np.float32) for unit in units], [draw(st.sampled_from("ab")) for _ in units]


@settings(max_examples=50, deadline=None)
@given(case=cases(), blank=st.booleans())
def test_ts_round_trip(tmp_path_factory, case, blank):
    units, labels = case
    lines = [
        ":".join(",".join("?" if np.isnan(v) else repr(float(v)) for v in row) for row in unit.T) + f":{label}"
        for unit, label in zip(units, labels, strict=True)
    ]
    path = tmp_path_factory.mktemp("ts") / "toy.ts"
    path.write_text("# comment\n" + HEADER + ("\n\n" if blank else "\n").join(lines) + "\n")
    header, found = open_ts(path)
    assert header.classes == ("a", "b") and header.name == "toy"
    for case, unit, label in zip(found, units, labels, strict=True):
        np.testing.assert_array_equal(case.values, unit)
        assert case.label == label
