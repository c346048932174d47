"""A file and a DataFrame are read for prediction by the schema of training; what deviates is refused by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.frame_rows import frame_rows
from keras_seq.data.sources.registry import load_series
from keras_seq.data.table_rows import read_rows
from keras_seq.errors import DataError

NOTHING = CovariatesConfig()
PUMPS = """pump;day;heat;flow;state
01;13.02.2018;1.000,5;;NA
1;13.02.2018;2,5;7;None
01;14.02.2018;3,5;-999;NA
1;14.02.2018;4,5;9;None
"""
OPTIONS = {
    "unit": "pump",
    "time": "day",
    "targets": ["state"],
    "task": "binary",
    "impute": "forward",
    "missing_codes": [-999.0],
}


def learnt(path, **options):
    """The series of a table, as training reads it."""
    return load_series(DataConfig.model_validate({"source": "table", "path": str(path), **options}))


@pytest.fixture
def pumps(tmp_path):
    path = tmp_path / "pumps.csv"
    path.write_text(PUMPS)
    return learnt(path, **OPTIONS), path


def test_a_file_is_read_as_training_reads_it(pumps):
    """Delimiter, decimal comma, thousands, missing code, day first, units and classes called 01, NA, None."""
    series, path = pumps
    rows = read_rows(path, series.schema, NOTHING, with_targets=True)
    for name in ("values", "targets", "offsets", "time", "unit_ids"):
        np.testing.assert_array_equal(getattr(rows.series, name), getattr(series, name))
    assert rows.series.unit_ids.tolist() == ["01", "1"] and series.schema.classes == ("NA", "None")
    assert rows.file_row.tolist() == [1, 3, 2, 4]
    assert rows.stamps.tolist() == ["13.02.2018", "14.02.2018", "13.02.2018", "14.02.2018"]
    np.testing.assert_array_equal(rows.series.values[:2], [[1000.5, np.nan], [3.5, np.nan]])


def changed(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(("old", "new", "message"), [
    (";heat;", ";heart;", r"lacks the input column 'heat'"),
    ("pump;", "pumpe;", r"lacks the unit column 'pump'"),
    ("\n1;13.02.2018", "\n;13.02.2018", r"names no unit in data row 2"),
    ("3,5", "warm", r"'heat'.*'warm' \(line 4\)"),
    ("3,5", "inf", r"infinite 'heat' in data row 3"),
    ("14.02.2018;3,5", "30.01.2018;3,5", r"'day' of unit '01' does not rise at row 3: 2018-01-30.* after 2018-02-13"),
    ("14.02.2018;3,5", "13.02.2018;3,5", r"does not rise at row 3"),
    ("14.02.2018;3,5", ";3,5", r"'day' of unit '01' is empty or infinite at row 3"),
    ("14.02.2018;3,5", "2018-02-14;3,5", r"'day'.*'2018-02-14' in data row 3"),
    ("9;None", "9;never", r"label 'never' in data row 4 of 'state'.*NA, None"),
])  # fmt: skip
def test_what_deviates_is_named(pumps, old, new, message):
    series, path = pumps
    with pytest.raises(DataError, match=message):
        read_rows(changed(path, old, new), series.schema, NOTHING, with_targets=True)


def test_other_columns_and_another_order_are_passed_over(pumps, tmp_path):
    series, path = pumps
    table = pd.read_csv(path, sep=";", dtype=str, keep_default_na=False).assign(remark="x")
    table[["remark", "flow", "heat", "day", "pump"]].to_csv(tmp_path / "more.csv", sep=";", index=False)
    rows = read_rows(tmp_path / "more.csv", series.schema, NOTHING)
    np.testing.assert_array_equal(rows.series.values, series.values)
    assert np.isnan(rows.series.targets).all()


def test_a_missing_value_where_none_is_allowed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,y\n1,2\n3,4\n")
    series = learnt(path, targets=["y"])
    path.write_text("a,y\n1,2\nNA,4\n")
    with pytest.raises(DataError, match=r"misses 'a' in data row 2.*impute"):
        read_rows(path, series.schema, NOTHING)


def test_units_are_apart_by_their_text(tmp_path):
    path = tmp_path / "a.csv"
    units = ["1", "01", "1.0", "1e0", " 1", "True", "NA", "null"]
    path.write_text("u,a,y\n" + "".join(f"{unit},{i},{i}\n" for i, unit in enumerate(units)))
    series = learnt(path, unit="u", targets=["y"])
    assert read_rows(path, series.schema, NOTHING).series.unit_ids.tolist() == series.unit_ids.tolist()
    assert series.n_units == len(units)


def test_stamps_with_offsets_over_a_clock_change(tmp_path):
    """Two hours called 02:00 have different offsets and rise."""
    local = pd.date_range("2023-10-28 22:00", periods=8, freq="h", tz="Europe/Berlin")
    path = tmp_path / "a.csv"
    texts = [stamp.isoformat() for stamp in local]
    pd.DataFrame({"when": texts, "a": range(8), "y": range(8)}).to_csv(path, index=False)
    series = learnt(path, time="when", targets=["y"])
    rows = read_rows(path, series.schema, NOTHING)
    assert rows.stamps.tolist() == texts
    np.testing.assert_array_equal(rows.series.time, series.time)


def test_parquet_beside_csv(pumps, tmp_path):
    """A model trained on CSV answers for Parquet: texts are texts, stamps are stamps."""
    series, _ = pumps
    table = pd.DataFrame(
        {
            "pump": pd.Categorical(["01", "1", "01", "1"]),
            "day": pd.to_datetime(["2018-02-13", "2018-02-13", "2018-02-14", "2018-02-14"]),
            "heat": pd.array([1000.5, 2.5, 3.5, 4.5], "float32"),
            "flow": pd.array([None, 7, -999, 9], "Int64"),
        }
    )
    table.to_parquet(tmp_path / "pumps.parquet")
    for rows in (
        read_rows(tmp_path / "pumps.parquet", series.schema, NOTHING),
        frame_rows(table, series.schema, NOTHING),
    ):
        np.testing.assert_array_equal(rows.series.values, series.values)
        np.testing.assert_array_equal(rows.series.time, series.time)
        assert rows.series.unit_ids.tolist() == ["01", "1"]


# --- DataFrames -------------------------------------------------------------------------------------------------


def frame(series):
    """The pumps as a DataFrame, texts where the file has dates."""
    return pd.DataFrame(
        {
            "pump": ["01", "1", "01", "1"],
            "day": ["13.02.2018", "13.02.2018", "14.02.2018", "14.02.2018"],
            "heat": [1000.5, 2.5, 3.5, 4.5],
            "flow": [np.nan, 7, -999, 9],
        }
    )


@pytest.mark.parametrize("change", [
    lambda table: table,
    lambda table: table.assign(day=pd.to_datetime(table["day"], format="%d.%m.%Y")),
    lambda table: table.assign(pump=table["pump"].astype("category")),
    lambda table: table.assign(flow=table["flow"].astype("Int64")),
    lambda table: table.assign(heat=table["heat"].astype("float32"), remark="x"),
    lambda table: table.convert_dtypes(dtype_backend="pyarrow"),
    lambda table: table.assign(flow=[None, 7, -999, 9]).astype({"flow": object}),
    lambda table: table.set_index(pd.Index([5, 5, 5, 5])),
])  # fmt: skip
def test_a_frame_is_read_as_its_file(pumps, change):
    series, _ = pumps
    rows = frame_rows(change(frame(series)), series.schema, NOTHING)
    np.testing.assert_array_equal(rows.series.values, series.values)
    np.testing.assert_array_equal(rows.series.time, series.time)
    assert list(rows.unit_names) == ["01", "1"] and rows.file_row.tolist() == [1, 3, 2, 4]


@pytest.mark.parametrize(("change", "message"), [
    (lambda table: table.assign(pump=[None, "1", "01", "1"]), "names no unit in data row 1"),
    (lambda table: table.assign(pump=["1", 1, "1", 1]), r"'pump' holds '1' and 1, which are written alike"),
    (lambda table: table.iloc[[0, 3, 2, 1]], "'day' of unit '1' does not rise at row"),
    (lambda table: table.assign(heat="warm"), "'heat' must be numeric, got 'warm' in row 1"),
    (lambda table: table.assign(heat=pd.to_datetime("2020-01-01")), "'heat' must be numeric"),
    (lambda table: table.drop(columns="flow"), "lacks the input column 'flow'"),
    (lambda table: table.set_index("pump"), r"has 'pump' as its index.*reset_index"),
    (lambda table: pd.concat([table, table[["heat"]]], axis=1), "names column 'heat' twice"),
    (lambda table: table.iloc[:0], "holds no rows"),
    (lambda table: table.assign(day=pd.to_datetime(table["day"], format="%d.%m.%Y").dt.tz_localize("UTC")), "offset"),
])  # fmt: skip
def test_frames_that_deviate_are_refused(pumps, change, message):
    series, _ = pumps
    with pytest.raises(DataError, match=message):
        frame_rows(change(frame(series)), series.schema, NOTHING)


def test_a_frame_keeps_its_own_units_and_stamps(tmp_path):
    path = tmp_path / "a.csv"
    hours = pd.date_range("2023-10-28 22:00", periods=8, freq="h", tz="Europe/Berlin")
    texts = [stamp.isoformat() for stamp in hours]
    pd.DataFrame({"u": 7, "when": texts, "a": range(8), "y": range(8)}).to_csv(path, index=False)
    series = learnt(path, unit="u", time="when", targets=["y"])
    rows = frame_rows(pd.DataFrame({"u": 7, "when": hours, "a": range(8)}), series.schema, NOTHING)
    assert list(rows.unit_names) == [7] and rows.stamps[0] == hours[0]
    np.testing.assert_array_equal(rows.series.time, series.time)


def test_covariates_are_computed_and_what_they_need_is_asked_for(tmp_path):
    path = tmp_path / "a.csv"
    days = pd.date_range("2020-01-01", periods=30)
    pd.DataFrame({"day": days, "y": np.arange(30.0)}).to_csv(path, index=False)
    covariates = CovariatesConfig(calendar=("week",), lags=(1,))
    from keras_seq.data.prepare import read_series

    config = {"source": "table", "path": str(path), "time": "day", "targets": ["y"], "task": "forecast"}
    series = read_series(
        DataConfig.model_validate(config | {"covariates": covariates.model_dump(), "windows": {"horizon": 1}})
    )
    rows = read_rows(path, series.schema, covariates)
    np.testing.assert_allclose(rows.series.values, series.values)
    pd.DataFrame({"y": np.arange(30.0)}).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"dates in the time column 'day', which file .* lacks"):
        read_rows(path, series.schema, covariates)
