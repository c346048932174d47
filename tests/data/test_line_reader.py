"""Rows that come one by one are read as their file would be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.line_reader import LineReader
from keras_seq.data.series import Column, Schema
from keras_seq.data.sources.registry import load_series
from keras_seq.data.table_rows import read_rows
from keras_seq.errors import DataError

PUMPS = """pump;day;heat;flow;y
01;13.02.2018;1.000,5;;1
1;13.02.2018;2,5;7;2
01;14.02.2018;3,5;-999;3
1;14.02.2018;4,5;NA;4
"""


@pytest.fixture
def schema(tmp_path):
    path = tmp_path / "pumps.csv"
    path.write_text(PUMPS)
    options = {"unit": "pump", "time": "day", "targets": ["y"], "impute": "forward", "missing_codes": [-999.0]}
    return load_series(DataConfig.model_validate({"source": "table", "path": str(path), **options})).schema


def lines(text):
    return text.splitlines(keepends=True)


def test_lines_are_read_as_their_file(schema, tmp_path):
    rows = list(LineReader(lines(PUMPS), schema))
    file = read_rows(tmp_path / "pumps.csv", schema, CovariatesConfig())
    assert [row.unit for row in rows] == ["01", "1", "01", "1"]
    np.testing.assert_array_equal(np.stack([row.values for row in rows])[file.file_row - 1], file.series.values)
    assert [row.clock for row in rows] == ["13.02.2018", "13.02.2018", "14.02.2018", "14.02.2018"]


@pytest.mark.parametrize(("old", "new", "message"), [
    ("heat", "heart", "Line 1, the header, lacks the feature column 'heat'"),
    ("pump;", "pumps;", "Line 1, the header, lacks the unit column 'pump'"),
    ("flow", "heat", "Line 1, the header, lacks the feature column 'flow'"),
    ("heat", "day", "Line 1, the header, lacks the feature column 'heat'"),
    ("2,5;7", "2.5.1;7", r"Line 3: column 'heat' holds '2.5.1', expected a number \(decimal mark ','\)"),
    ("2,5;7", "warm;7", "Line 3: column 'heat' holds 'warm'"),
    ("\n1;13", "\n;13", "Line 3: column 'pump' names no unit"),
    ("14.02.2018;3,5", "12.02.2018;3,5", "Line 4: time column 'day' of unit '01' does not rise, got '12.02.2018'"),
    ("14.02.2018;3,5", "13.02.2018;3,5", "Line 4: time column 'day' of unit '01' does not rise"),
    ("14.02.2018;3,5", "2018-02-14;3,5", "Line 4: column 'day' holds '2018-02-14', expected a time"),
    (";NA;4", "", "Line 5 has 3 fields"),
])  # fmt: skip
def test_what_deviates_is_named_by_its_line(schema, old, new, message):
    assert old in PUMPS
    with pytest.raises(DataError, match=message):
        list(LineReader(lines(PUMPS.replace(old, new, 1)), schema))


def test_an_hour_that_comes_twice_rises(tmp_path):
    hours = pd.date_range("2023-10-28 22:00", periods=8, freq="h", tz="Europe/Berlin")
    path = tmp_path / "a.csv"
    pd.DataFrame({"when": [hour.isoformat() for hour in hours], "a": range(8), "y": range(8)}).to_csv(path, index=False)
    options = {"source": "table", "path": str(path), "time": "when", "targets": ["y"]}
    schema = load_series(DataConfig.model_validate(options)).schema
    rows = list(LineReader(lines(path.read_text()), schema))
    assert [row.values[0] for row in rows] == list(range(8)) and rows[0].unit == "stdin"


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_schema_that_says_nothing_of_the_file(mark):
    schema = Schema(name="a", task="regression", columns=(Column(name="a"), Column(name="b")), targets=("y",))
    rows = list(LineReader([f"b{mark}a\n", "\n", f"1.5{mark}2\n"], schema))
    assert [row.values.tolist() for row in rows] == [[2.0, 1.5]]


def test_times_without_a_known_format_rise_as_numbers_or_dates():
    schema = Schema(name="a", task="regression", columns=(Column(name="a"),), targets=("y",), time_column="t")
    for times in (["9", "10", "1e2"], ["2020-01-09", "2020-01-10T00:00:00Z", "2020-02-01 10:00"]):
        assert len(list(LineReader(["t,a\n", *(f"{time},1\n" for time in times)], schema))) == 3
        with pytest.raises(DataError, match="Line 3: time column 't' of unit 'stdin' does not rise"):
            list(LineReader(["t,a\n", *(f"{time},1\n" for time in reversed(times))], schema))


NUMBERS = [(i, i + 0.5, i * i % 7) for i in range(12)]


@pytest.mark.parametrize("text", [
    "".join(f"{a},{b},{c}\n" for a, b, c in NUMBERS),
    "".join(f"  {a}   {b}\t{c} \n" for a, b, c in NUMBERS),
    "# made by savetxt\n# t x y\n" + "".join(f"{a} {b} {c}\n" for a, b, c in NUMBERS),
    "Station Nord\n\nt;x;y\ns;bar;-\n" + "".join(f"{a};{b};{c}\n# pause\n" for a, b, c in NUMBERS),
])  # fmt: skip
def test_streams_of_every_dialect_are_read_as_their_file(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    names = ("column_1", "column_3") if text[:1] in "0 " else ("t", "y")
    options = {"source": "table", "path": str(path), "time": names[0], "targets": names[1:]}
    series = load_series(DataConfig(**options), checked=False)
    rows = list(LineReader(lines(text), series.schema))
    np.testing.assert_array_equal(np.stack([row.values for row in rows]), series.values)
    assert [lines(text)[row.number - 1].split()[0][:1] for row in rows][:3] == ["0", "1", "2"]
