"""Wide tables: a column a series, or a row a series; ragged ends; the same again at prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig, from_dict
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.home import data_home
from keras_seq.data.sources import load_series
from keras_seq.data.table_rows import read_rows
from keras_seq.errors import ConfigError, DataError

FORECAST = {"mode": "sliding", "length": 2, "horizon": 1}
WIDE = "month,A,B,note\n2020-01,1.5,,x\n2020-02,2,20,y\n2020-03,3,,z\n2020-04,,40,w\n"
ROWS = 'id,kind,V2,V3,V4\n"H1",a,1,2,\n"H2",b,,5,6\n"H3",a,7,8,9\n'


@pytest.fixture(autouse=True)
def stores(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path_factory.mktemp("stores")))


def config(path, text=None, **options):
    if text is not None:
        path.write_text(text)
    return from_dict(
        {"data": {"source": "table", "path": str(path), "windows": FORECAST, "impute": "forward"} | options}
    ).data


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_column_a_series_from_its_first_to_its_last_value(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    (tmp_path / "a.csv").write_text(WIDE)
    if suffix == "parquet":
        pd.read_csv(tmp_path / "a.csv").to_parquet(path)
    series = load_series(config(path, wide=True))
    assert series.schema.unit_column == "series" and series.schema.targets == ("value",)
    assert series.unit_ids.tolist() == ["A", "B"] and series.lengths.tolist() == [3, 3]
    np.testing.assert_array_equal(series.values[:, 0], [1.5, 2, 3, 20, np.nan, 40])
    assert series.time.astype("datetime64[M]").astype(str).tolist() == [
        *("2020-01", "2020-02", "2020-03"),
        *("2020-02", "2020-03", "2020-04"),
    ]


def test_names_and_kept_columns(tmp_path):
    wide = {"name": "store", "value": "sales", "keep": ["open"]}
    text = "day;open;n1;n2\n01.02.2020;1;1.000,5;2\n02.02.2020;0;3;4,25\n03.02.2020;1;5;6\n"
    series = load_series(config(tmp_path / "a.csv", text, wide=wide))
    assert series.schema.unit_column == "store" and series.schema.features == ("open", "sales")
    assert series.values.tolist() == [[1, 1000.5], [0, 3], [1, 5], [1, 2], [0, 4.25], [1, 6]]


def test_a_row_a_series_with_steps_as_columns(tmp_path):
    series = load_series(config(tmp_path / "a.csv", ROWS, wide="rows"))
    assert series.unit_ids.tolist() == ["H1", "H2", "H3"] and series.schema.unit_column == "id"
    np.testing.assert_array_equal(series.values[:, 0], [1, 2, 5, 6, 7, 8, 9])
    assert series.time.tolist() == [2, 3, 3, 4, 2, 3, 4]


def test_a_row_a_series_with_dates_as_columns(tmp_path):
    text = "Page,2015-07-01,2015-07-02,2015-07-03\na,1,2,3\nb,,,6\n"
    series = load_series(config(tmp_path / "a.csv", text, wide="rows"))
    assert series.time.astype("datetime64[D]").astype(str).tolist() == [
        *("2015-07-01", "2015-07-02", "2015-07-03"),
        "2015-07-03",
    ]
    assert series.values[:, 0].tolist() == [1, 2, 3, 6]


def test_a_new_table_is_turned_the_same_way(tmp_path):
    schema = load_series(config(tmp_path / "a.csv", WIDE, wide=True)).schema
    (tmp_path / "new.csv").write_text("month,C,A\n2021-01,7,1\n2021-02,8,2\n")
    found = read_rows(tmp_path / "new.csv", schema, CovariatesConfig()).series
    assert found.unit_ids.tolist() == ["C", "A"] and found.values[:, 0].tolist() == [7, 8, 1, 2]


def test_many_series_are_read_in_several_passes(tmp_path, monkeypatch):
    from keras_seq.data.formats import wide

    monkeypatch.setattr(wide, "CELLS", 100)
    values = np.arange(40 * 7.0).reshape(40, 7)
    frame = pd.DataFrame(values, columns=[f"s{i}" for i in range(7)])
    frame.insert(0, "t", range(40))
    frame.to_csv(tmp_path / "a.csv", index=False)
    series = load_series(config(tmp_path / "a.csv", wide=True))
    np.testing.assert_array_equal(series.values[:, 0], values.T.ravel())
    frame.drop(columns="t").T.to_csv(tmp_path / "b.csv", index_label="id")
    across = load_series(config(tmp_path / "b.csv", wide="rows"))
    np.testing.assert_array_equal(across.values, series.values)


def test_what_cannot_be_turned_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.wide\.keep names 'none'"):
        load_series(config(tmp_path / "a.csv", WIDE, wide={"keep": ["none"]}))
    with pytest.raises(ConfigError, match="fewer than two columns of numbers"):
        load_series(config(tmp_path / "a.csv", "id,a\nx,1\ny,2\n", wide="rows"))
    with pytest.raises(DataError, match="two columns 'month'"):
        load_series(config(tmp_path / "a.csv", WIDE, wide={"value": "month"}))
    with pytest.raises(DataError, match=r"got 'bad' \(row 2 of series 'B'\)"):
        load_series(config(tmp_path / "a.csv", "t,A,B\n0,1,4\n1,2,bad\n2,3,5\n3,4,6\n", wide=True))


def test_the_monthly_table_is_three_series():
    path = data_home() / "tiny" / "28_wide_monthly.csv"
    if not path.is_file():
        pytest.skip("tiny is not in the data home")
    series = load_series(config(path, wide=True))
    table = pd.read_csv(path)
    assert series.unit_ids.tolist() == ["A", "B", "C"]
    for unit, name in enumerate("ABC"):
        np.testing.assert_array_equal(series.unit_values(unit)[:, 0], table[name].to_numpy(np.float32))


def test_one_word_or_a_mapping_says_it():
    assert DataConfig(wide="rows").wide.shape == "rows" and DataConfig(wide=True).wide.shape == "columns"
    assert DataConfig(wide={"value": "y"}).wide.shape == "columns" and DataConfig(wide=False).wide.shape is None


@pytest.mark.parametrize("names", [["V3", "V2", "V1"], ["V1", "V10", "V2"]])
def test_the_steps_of_rows_go_by_the_numbers_in_their_names(tmp_path, names):
    from keras_seq.data.formats.wide import read_rows as read_wide
    from keras_seq.data.reading.reading import Reading, Shape

    path = tmp_path / "rows.csv"
    path.write_text(f"id,{','.join(names)}\na,{','.join(name[1:] for name in names)}\n")
    shape = Shape(kind="rows", file=Reading(), unit="id", keep=("id",))
    (batch,) = read_wide(path, Reading(shape=shape))
    steps = sorted(int(name[1:]) for name in names)
    assert batch.column("step").to_pylist() == steps
    assert [float(one) for one in batch.column("value").to_pylist()] == steps


@pytest.mark.parametrize(
    "names",
    [["2020Q4", "2021Q1"], ["1.0", "1.25", "1.5"], ["a-3", "a-2"]],
)
def test_steps_whose_names_are_no_plain_numbers_keep_the_order_of_the_file(names):
    from keras_seq.data.formats.wide import _numbers

    assert _numbers(names).tolist() == list(range(len(names)))


@pytest.mark.parametrize(("names", "steps"), [
    (["minus3", "minus2", "minus1"], [-3, -2, -1]),
    (["before 1", "before 2", "before 3"], [-1, -2, -3]),
    (["t-3", "t-2", "t-1", "t"], [-3, -2, -1, 0]),
    (["t", "t-1", "t-2", "t+1"], [0, -1, -2, 1]),
    (["lag3", "lag2", "lag1"], [-3, -2, -1]),
    (["10_days_ago", "9_days_ago"], [-10, -9]),
    (["T \u2212 2", "T \u2212 1", "T"], [-2, -1, 0]),
])  # fmt: skip
def test_steps_that_count_backwards_go_forwards(tmp_path, names, steps):
    pd.DataFrame([[f"r{i}", *steps] for i in range(3)], columns=["id", *names]).to_csv(tmp_path / "t.csv", index=False)
    config = DataConfig(source="table", path=str(tmp_path / "t.csv"), wide="rows", task="forecast")
    series = load_series(config, checked=False)
    assert series.values[: len(steps), 0].tolist() == series.time[: len(steps)].tolist() == sorted(steps)


@pytest.mark.parametrize("names", [
    ["Jan-10", "Feb-10", "Mar-10", "Apr-10"],
    ["Jan 2010", "Feb 2010", "Mar 2010", "Apr 2010"],
    ["2010-Jan", "2010-Feb", "2010-Mar", "2010-Apr"],
    ["2010M01", "2010M02", "2010M03", "2010M04"],
    ["2010Q1", "2010Q2", "2010Q3", "2010Q4"],
    ["2010-Q1", "2010-Q2", "2010-Q3", "2010-Q4"],
    ["Q1 2010", "Q2 2010", "Q3 2010", "Q4 2010"],
    ["2010-W01", "2010-W02", "2010-W03", "2010-W04"],
])  # fmt: skip
def test_periods_as_columns_are_dates(tmp_path, names):
    rows = [[f"r{i}", *range(i, i + 4)] for i in range(3)]
    pd.DataFrame(rows, columns=["id", *names]).to_csv(tmp_path / "t.csv", index=False)
    series = load_series(DataConfig(source="table", path=str(tmp_path / "t.csv"), wide="rows", task="forecast"))
    assert (
        series.time.dtype.kind == "M" and str(series.time[0])[:7] == "2010-01" and (np.diff(series.time[:4]) > 0).all()
    )
