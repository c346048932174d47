"""JSON as tables: lines, arrays, columns in an object, nested records, whole series a record; faults by line."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq.config import DataConfig, WindowsConfig
from keras_seq.data.formats import json_records
from keras_seq.data.formats.json_records import json_records as records_of
from keras_seq.data.home import data_home
from keras_seq.data.reading.settle import settle_table
from keras_seq.data.sources import load_series
from keras_seq.errors import DataError

ROWS = [{"t": i, "x": i * 0.5, "word": "ab"[i % 2]} for i in range(12)]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "lines"])
def test_what_pandas_writes(same, frame, tmp_path, orient):
    path = tmp_path / "a.json"
    as_lines = orient == "lines"
    frame.to_json(path, orient="records" if as_lines else orient, lines=as_lines, date_format="iso")
    same(path)


def test_an_array_over_several_lines_inside_an_object(tmp_path):
    path = write(tmp_path / "a.json", json.dumps({"meta": {"n": 12}, "result": {"data": ROWS}}, indent=2))
    assert list(records_of(path)) == ROWS


def test_columns_inside_an_object(tmp_path):
    hourly = {"time": ["2024-01-01T00:00", "2024-01-01T01:00"], "temperature": [1.5, None]}
    path = write(tmp_path / "a.json", json.dumps({"latitude": 52, "hourly": hourly, "hourly_units": {"time": "iso"}}))
    assert list(records_of(path)) == [
        {"time": "2024-01-01T00:00", "temperature": 1.5},
        {"time": "2024-01-01T01:00", "temperature": None},
    ]


def test_rows_as_lists_take_the_names_of_the_first(tmp_path):
    path = write(tmp_path / "a.json", json.dumps([["t", "x"], [1, 2], [2, 3]]))
    assert list(records_of(path)) == [{"t": 1, "x": 2}, {"t": 2, "x": 3}]


def test_nested_records_and_names_that_come_later(tmp_path, load):
    rows = [{"t": i, "at": {"x": i, "v": [i, 2 * i]}} | ({"late": 1} if i > 5 else {}) for i in range(12)]
    series = load(write(tmp_path / "a.jsonl", lines(rows)), time="t", targets=("at.x",))
    assert series.schema.features == ("at.v.0", "at.v.1", "late")
    assert np.isnan(series.values[5, 2]) and series.values[6].tolist() == [6, 12, 1]


def test_one_series_a_record(tmp_path, load):
    record = {"start": "2024-01-01", "freq": "H", "feat_static_cat": [3], "item_id": "a"}
    rows = [
        record | {"target": [1, 2, 3.5, "NaN"], "feat_dynamic_real": [[1, 2, 3, 4, 5]]},
        record | {"target": [1, 2], "feat_dynamic_real": [[1, 2]], "item_id": "b"},
    ]
    windows = WindowsConfig(mode="sliding", length=1, horizon=1)
    series = load(write(tmp_path / "a.json", lines(rows)), windows=windows)
    assert series.unit_ids.tolist() == ["a", "b"] and series.lengths.tolist() == [4, 2]
    assert series.schema.targets == ("target",) and series.schema.task == "forecast"
    assert series.time[1] == np.datetime64("2024-01-01T01") and np.isnan(series.targets[3, 0])
    assert "feat_static_cat.0" in series.schema.features and "feat_dynamic_real" in series.schema.features


@given(st.lists(st.dictionaries(st.text(max_size=4), st.integers() | st.text() | st.none()), min_size=2), st.booleans())
def test_records_come_out_as_they_went_in_however_small_the_pieces(tmp_path_factory, rows, as_lines):
    path = tmp_path_factory.mktemp("pieces") / "a.json"
    write(path, lines(rows) if as_lines else json.dumps(rows, indent=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "CHUNK", 3)
        assert list(records_of(path)) == rows


def test_a_fault_names_its_line(tmp_path):
    path = write(tmp_path / "a.jsonl", lines(ROWS) + '{"t": 13, "x": \n')
    with pytest.raises(DataError, match="not JSON from line 13 on, in record 13"):
        list(records_of(path))
    with pytest.raises(DataError, match=r"Record 1 of .* is 5; objects"):
        list(records_of(write(tmp_path / "b.json", "5\n6")))


def test_deepar_lines_are_the_parquet_file():
    path = data_home() / "m4_hourly" / "m4_hourly_20_deepar_converted.jsonl"
    if not path.is_file():
        pytest.skip("m4_hourly is not in the data home")
    from pyarrow import compute, parquet

    from keras_seq.data.formats.converted import parquet_of

    facts = settle_table(path, DataConfig(source="table", path=str(path)))
    assert "counted" in facts.remarks[1]
    lined = parquet.read_table(parquet_of(path, facts.reading))
    table = parquet.read_table(path.parent / "m4_hourly.parquet")
    table = table.filter(compute.is_in(table["series_id"], value_set=lined["item_id"].unique()))
    np.testing.assert_array_equal(lined["target"].to_numpy(), table["value"].to_numpy())


@pytest.mark.parametrize("orient", ["split", "index", "columns"])
@pytest.mark.parametrize("stamps", [True, False])
def test_an_index_that_pandas_writes_is_a_column(tmp_path, orient, stamps):
    days = pd.date_range("2024-03-01", periods=12, freq="h") if stamps else pd.RangeIndex(12)
    frame = pd.DataFrame({"x": np.arange(12) / 4, "y": np.arange(12.0)}, index=days)
    frame.to_json(tmp_path / "t.json", orient=orient, date_format="epoch", date_unit="ms")
    config = DataConfig(
        source="table", path=str(tmp_path / "t.json"), time="index" if stamps else None, targets=("y",), features=("x",)
    )
    series = load_series(config)
    np.testing.assert_array_equal(series.values[:, 0], frame["x"])
    if stamps:
        np.testing.assert_array_equal(series.time, days.to_numpy("datetime64[ns]"))
