"""The user's own CSV or Parquet file: what is read, what is inferred, what is refused and how."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.config import DataConfig
from keras_seq.data.sources import load_series
from keras_seq.data.sources.table import iter_table_chunks
from keras_seq.data.sources.table_layout import plan_table
from keras_seq.errors import ConfigError, DataError

BASE = "unit,at,x,z,y\na,1,1.5,7,0.5\na,2,2.5,8,1.5\nb,1,3.5,9,2.5\nb,2,4.5,9,3.5\n"
ROLES = {"unit": "unit", "time": "at", "targets": ("y",)}


def write(folder: Path, text: str | bytes, name: str = "plant.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def read(folder: Path, text: str | bytes, name: str = "plant.csv", **options):
    return load_series(DataConfig(source="table", path=write(folder, text, name), **options))


def test_plain_file(tmp_path):
    series = read(tmp_path, BASE, **ROLES)
    assert series.schema.task == "regression" and series.schema.features == ("x", "z")
    assert series.values.tolist() == [[1.5, 7], [2.5, 8], [3.5, 9], [4.5, 9]] and series.values.dtype == np.float32
    assert series.targets.tolist() == [[0.5], [1.5], [2.5], [3.5]]
    assert series.unit_ids.tolist() == ["a", "b"] and series.offsets.tolist() == [0, 2, 4]
    assert series.time.tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("plant.tsv", lambda t: t.replace(",", "\t").encode()),
        ("semicolon.csv", lambda t: t.replace(",", ";").encode()),
        ("bom.csv", lambda t: b"\xef\xbb\xbf" + t.encode()),
        ("crlf.csv", lambda t: t.replace("\n", "\r\n").encode()),
        ("blank.csv", lambda t: t.replace("\nb,1", "\n\nb,1").rstrip().encode()),
        ("quoted.csv", lambda t: t.replace("2.5", '"2.5"').encode()),
        ("packed.csv.gz", lambda t: gzip.compress(t.encode())),
    ],
)
def test_same_content_in_other_clothes(tmp_path, name, change):
    series, plain = read(tmp_path, change(BASE), name, **ROLES), read(tmp_path, BASE, **ROLES)
    assert series.fingerprint() == plain.fingerprint()


def test_parquet_equals_csv(tmp_path):
    plain = read(tmp_path, BASE, **ROLES)
    table = pd.read_csv(tmp_path / "plant.csv")
    table["unit"] = table["unit"].astype("category")
    table.to_parquet(tmp_path / "plant.parquet")
    series = load_series(DataConfig(source="table", path=str(tmp_path / "plant.parquet"), **ROLES))
    assert series.fingerprint() == plain.fingerprint() and series.schema == plain.schema


def test_interleaved_units_are_brought_together(tmp_path):
    lines = BASE.splitlines()
    mixed = "\n".join([lines[0], lines[3], lines[1], lines[4], lines[2]]) + "\n"
    series = read(tmp_path, mixed, **ROLES)
    assert series.unit_ids.tolist() == ["b", "a"]
    assert series.values[:, 0].tolist() == [3.5, 4.5, 1.5, 2.5] and series.time.tolist() == [1, 2, 1, 2]


def test_without_unit_and_time(tmp_path):
    series = read(tmp_path, "x,y\n1,2\n2,3\n3,5\n", targets=("y",))
    assert series.unit_ids.tolist() == ["plant"] and series.time.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        (("2024-01-31", "2024-02-01"), "2024-01-31"),
        (("2024-01-31 10:00:00", "2024-01-31 10:00:00.5"), "2024-01-31T10:00:00"),
        (("2024-01-31T10:00:00Z", "2024-01-31T11:00:00Z"), "2024-01-31T10:00:00"),
        (("01/31/2024", "02/01/2024"), "2024-01-31"),
        (("31/01/2024", "01/02/2024"), "2024-01-31"),
    ],
)
def test_dates(tmp_path, dates, first):
    text = "t,x,y\n" + "".join(f"{date},{i},{i * i}\n" for i, date in enumerate(dates))
    series = read(tmp_path, text, time="t", targets=("y",))
    assert series.time.dtype.kind == "M" and series.time[0] == np.datetime64(first)
    assert series.time[1] > series.time[0]


def test_classes_per_unit_and_per_step(tmp_path):
    text = "u,x,state\na,1,ok\na,2,ok\nb,3,bad\nb,4,bad\nc,5,odd\n"
    series = read(tmp_path, text, unit="u", targets=("state",))
    assert series.schema.task == "multiclass" and series.schema.classes == ("bad", "odd", "ok")
    assert series.schema.target_per == "unit" and series.targets[:, 0].tolist() == [2, 0, 1]
    series = read(tmp_path, text.replace("a,2,ok", "a,2,bad"), unit="u", targets=("state",))
    assert series.schema.target_per == "step" and series.targets[:, 0].tolist() == [2, 0, 0, 0, 1]
    series = read(tmp_path, text, unit="u", targets=("state",), windows={"per_step": True})
    assert series.schema.target_per == "step" and len(series.targets) == 5


def test_class_numbers_in_the_file(tmp_path):
    text = "u,x,k\na,1,10\na,2,10\nb,3,2\nb,4,2\nc,5,7\n"
    series = read(tmp_path, text, unit="u", targets=("k",), task="multiclass")
    assert series.schema.classes == ("2", "7", "10") and series.targets[:, 0].tolist() == [2, 0, 1]
    assert read(tmp_path, text, unit="u", targets=("k",)).schema.task == "regression"
    binary = read(tmp_path, "u,x,k\na,1,0\nb,2,1\n", unit="u", targets=("k",))
    assert binary.schema.task == "binary" and binary.schema.classes == ("0", "1")
    flags = read(tmp_path, "u,x,k\na,1,true\nb,2,false\n", unit="u", targets=("k",))
    assert flags.schema.task == "binary" and flags.targets[:, 0].tolist() == [1, 0]


def test_forecast_targets_are_features(tmp_path):
    series = read(tmp_path, BASE, **{**ROLES, "targets": ()}, task="forecast")
    assert series.schema.targets == series.schema.features == ("x", "z", "y")
    series = read(tmp_path, BASE, **ROLES, windows={"horizon": 1, "mode": "sliding", "length": 1})
    assert series.schema.task == "forecast" and series.schema.targets == ("y",) and "y" in series.schema.features
    assert (series.targets[:, 0] == series.values[:, 2]).all()


def test_groups(tmp_path):
    series = read(tmp_path, "u,g,x,y\na,p,1,1\na,p,2,2\nb,q,3,1\nc,p,1,0.5\n", unit="u", group="g", targets=("y",))
    assert series.groups.tolist() == ["p", "q", "p"] and series.schema.features == ("x",)


def test_schema_file(tmp_path):
    schema = tmp_path / "plant.yaml"
    schema.write_text(
        "columns: [{name: x, unit: K, minimum: 0, maximum: 9}, z]\n"
        "task: multiclass\ntargets: [state]\nclasses: [ok, bad, worse]\nunit_column: u\n"
    )
    text = "u,x,z,other,state\na,1,2,text,ok\nb,2,3,text,bad\n"
    series = read(tmp_path, text, schema_file=str(schema))
    assert series.schema.features == ("x", "z") and series.schema.columns[0].unit == "K"
    assert series.schema.classes == ("ok", "bad", "worse") and series.targets[:, 0].tolist() == [0, 1]
    with pytest.raises(DataError, match=r"holds 'oops' \(unit 'b', data row 2\).*ok, bad, worse"):
        read(tmp_path, text.replace("bad", "oops"), schema_file=str(schema))
    with pytest.raises(DataError, match=r"\[range\] column 'x', unit 'b', row 1: 20 is above"):
        read(tmp_path, text.replace("b,2", "b,20"), schema_file=str(schema))
    only = read(tmp_path, text, schema_file=str(schema), features=("z",))
    assert only.schema.features == ("z",)


@pytest.mark.parametrize(
    ("schema", "error", "match"),
    [
        ("columns: [x]\ntargets: [y]\nclases: [a]\n", DataError, "unknown key 'clases'; did you mean 'classes'"),
        ("columns: [{name: x, unti: K}]\ntargets: [y]\n", DataError, "unknown key 'columns.0.unti'.*'unit'"),
        ("columns: [xx]\ntargets: [y]\n", ConfigError, "no column 'xx', named as a column of the schema"),
        ("columns: [x]\ntargets: [y]\nunit_column: unti\n", ConfigError, "'unti', named as the unit column.*'unit'"),
        ("columns: [x]\ntargets: [y]\ntask: guess\n", DataError, "'task'.*got 'guess'"),
        ("columns: [x]\ntargets: [y]\nunit_column: unit\ntarget_per: unit\n", DataError, "'y' changes within unit 'a'"),
        ("- x\n", DataError, "must hold a mapping"),
        ("{", DataError, "not valid YAML"),
    ],
)
def test_bad_schema_file(tmp_path, schema, error, match):
    (tmp_path / "s.yaml").write_text(schema)
    with pytest.raises(error, match=match):
        read(tmp_path, BASE, schema_file=str(tmp_path / "s.yaml"))


BAD_FILES = {
    "empty": ("", r"is empty; it needs a header"),
    "only blank lines": ("\n\n", r"is empty"),
    "no rows": ("unit,at,x,z,y\n", "has a header but no rows"),
    "too few columns": (BASE + "c,1,2\n", r"Line 6 of .* has 3 columns, the header has 5: 'c,1,2'"),
    "too many columns": (BASE + "\n\nc,1,2,3,4,5\n", r"Line 8 of .* has 6 columns, the header has 5"),
    "text for a number": (BASE + "c,1,warm,7,1\n", r"Column 'x' of .* must hold numbers, got 'warm' \(line 6\)"),
    "text for a target": (BASE + "c,1,1,7,much\n", r"Column 'y' of .* must hold numbers, got 'much' \(line 6\)"),
    "text in a later block": (
        BASE + "".join(f"c,{i},1,7,1\n" for i in range(400_000)) + "d,1,1,?,1\n",
        r"Column 'z'.*got '\?' \(line 400006\)",
    ),
    "doubled name": (BASE.replace("z", "x", 1), r"names column 'x' twice \(columns \[3, 4\]\)"),
    "missing value": (BASE + "c,1,,7,1\n", r"\[missing\] column 'x', unit 'c', row 1"),
    "infinite target": (BASE + "c,1,1,7,inf\n", r"\[target\] column 'y', unit 'c', row 1: must be a finite number"),
    "infinite": (BASE + "c,1,inf,7,1\n", r"\[infinite\] column 'x', unit 'c', row 1"),
    "unsorted": (BASE + "b,1.5,1,7,1\n", r"\[time order\] unit 'b', row 3: time 1.5 goes back"),
    "doubled time": (BASE + "a,2,1,7,1\n", r"\[duplicate time\] unit 'a', row 3: time 2 has the same time"),
    "no unit": (BASE + ",1,1,7,1\n", r"Column 'unit' of .* names no unit in data row 5"),
    "no time": (BASE + "c,,1,7,1\n", r"\[time\] column 'at', unit 'c', row 1: the time is missing"),
    "bad time": (BASE.replace("a,1,", "a,soon,"), r"Column 'at' of .* must hold a time.*'soon'"),
    "not text": (b"\xff\xfe\x00\x01" * 9, "has a header but no rows"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_bad_file(tmp_path, fault):
    text, match = BAD_FILES[fault]
    with pytest.raises(DataError, match=match):
        read(tmp_path, text, **ROLES)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"unit": "unti"}, "no column 'unti', named as the unit column; did you mean 'unit'"),
        ({"targets": ("w",)}, "no column 'w', named as a target"),
        ({"features": ("xx",)}, "no column 'xx', named as a feature; did you mean 'x'"),
        ({"features": ("x", "y")}, "'y' is a target and a feature"),
        ({"features": ("x", "at")}, "'at' is the time column and also a feature"),
        ({"targets": ()}, "needs data.targets"),
        ({"targets": ("x", "y"), "task": "binary"}, "takes one target column"),
        ({"targets": ("x", "y", "z")}, "has no input column besides"),
    ],
)
def test_bad_options(tmp_path, options, match):
    with pytest.raises(ConfigError, match=match):
        read(tmp_path, BASE, **{**ROLES, **options})


def test_no_path_and_no_file(tmp_path):
    with pytest.raises(ConfigError, match=r"needs data\.path"):
        load_series(DataConfig(source="table"))
    for name, match in (("none.csv", "does not exist"), ("", "is a folder")):
        with pytest.raises(DataError, match=match):
            load_series(DataConfig(source="table", path=str(tmp_path / name), **ROLES))
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(tmp_path, BASE, "plant.parquet", **ROLES)


def test_parquet_with_text_for_numbers(tmp_path):
    pd.DataFrame({"x": ["1", "u"], "y": [1.0, 2.0]}).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(DataError, match=r"Column 'x' of .* holds text such as '1' where a number is expected"):
        load_series(DataConfig(source="table", path=str(tmp_path / "p.parquet"), targets=("y",)))


def test_parquet_with_numbers_written_as_text(tmp_path):
    texts = {"x": ["1.234,5", "2,25", None] * 4, "on": ["true", "False", "TRUE"] * 4}
    pd.DataFrame({**texts, "y": np.arange(12.0)}).to_parquet(tmp_path / "p.parquet")
    config = DataConfig(source="table", path=str(tmp_path / "p.parquet"), targets=("y",), impute="forward")
    series = load_series(config)
    np.testing.assert_array_equal(series.values[:3], np.array([[1234.5, 1], [2.25, 0], [np.nan, 1]], np.float32))


def test_missing_values_are_allowed_with_imputation(tmp_path):
    series = read(tmp_path, BASE + "c,1,,7,1\n", impute="forward", **ROLES)
    assert np.isnan(series.values[4, 0]) and series.schema.columns[0].missing


def test_a_group_that_changes_within_a_unit(tmp_path):
    with pytest.raises(DataError, match=r"Unit 'a' belongs to group 'p' and, in data row 3, to group 'q'"):
        read(tmp_path, "u,g,x,y\na,p,1,1\nb,p,1,1\na,q,2,2\n", unit="u", group="g", targets=("y",))


@pytest.mark.parametrize("rows", [1, 3, 4, 100])
def test_chunks(tmp_path, rows):
    config = DataConfig(source="table", path=write(tmp_path, BASE), **ROLES)
    chunks = list(iter_table_chunks(config, rows=rows))
    assert [len(chunk) for chunk in chunks[:-1]] == [rows] * (len(chunks) - 1) and len(chunks[-1]) <= rows
    joined = pd.concat(chunks, ignore_index=True)
    assert joined["unit"].tolist() == ["a", "a", "b", "b"] and joined["x"].dtype == np.float32
    assert joined["y"].tolist() == [0.5, 1.5, 2.5, 3.5] and joined["at"].dtype == np.float64
    assert plan_table(config).schema.features == ("x", "z")


@st.composite
def tables(draw):
    number = st.one_of(st.floats(width=32, allow_nan=False, allow_infinity=False), st.none())
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    rows = [
        (f"u {i}", t, draw(number), draw(number), draw(st.floats(-9, 9, width=32)))
        for i, n in enumerate(lengths)
        for t in range(n)
    ]
    return rows, draw(st.permutations(range(len(lengths))))


@settings(max_examples=60, deadline=None)
@given(table=tables(), parquet=st.booleans())
def test_any_table_comes_back(tmp_path_factory, table, parquet):
    """Units in any order of the file, missing values anywhere: every number is where it was."""
    rows, order = table
    folder = tmp_path_factory.mktemp("table")
    frame = pd.DataFrame(rows, columns=["u", "t", "x", "z", "y"]).astype({"x": "float64", "z": "float64"})
    shuffled = pd.concat([frame[frame["u"] == f"u {i}"] for i in order]).sort_values("t", kind="stable")
    path = folder / ("t.parquet" if parquet else "t.csv")
    shuffled.to_parquet(path, index=False) if parquet else shuffled.to_csv(path, index=False, float_format="%.9g")
    config = DataConfig(source="table", path=str(path), unit="u", time="t", targets=("y",), task="regression")
    series = load_series(config.model_copy(update={"impute": "mean"}), checked=False)
    assert sorted(series.unit_ids) == sorted(frame["u"].unique())
    for i, name in enumerate(series.unit_ids):
        expected = frame[frame["u"] == name]
        np.testing.assert_array_equal(series.unit_values(i), expected[["x", "z"]].to_numpy(np.float32))
        low, high = series.offsets[i : i + 2]
        np.testing.assert_array_equal(series.targets[low:high, 0], expected["y"].to_numpy(np.float32))
        assert series.time[low:high].tolist() == list(range(high - low))


def test_marks_without_effect_are_refused(tmp_path):
    """Without steps ahead no column can be known ahead; the lookback follows from the covariates."""
    schema, text = tmp_path / "plan.yaml", "day,sales,promo\n2024-01-01,1,0\n2024-01-02,2,1\n2024-01-03,2,0\n"
    options = {"time": "day", "targets": ("sales",), "schema_file": str(schema)}
    schema.write_text("columns: [sales, {name: promo, known_ahead: true}]\n")
    with pytest.raises(ConfigError, match=r"'promo' is marked as known ahead \(known_ahead: true in its schema\)"):
        read(tmp_path, text, task="forecast", **options)
    schema.write_text("columns: [{name: promo, known_ahead: yes}]\n")
    with pytest.raises(ConfigError, match=r"the task is regression.*remove the mark"):
        read(tmp_path, text, **options)
    schema.write_text("columns: [promo]\nhistory: 30\n")
    with pytest.raises(ConfigError, match="'history'"):
        read(tmp_path, text, **options)
    schema.write_text("columns: [{name: promo, known_ahead: false}]\n")
    assert read(tmp_path, text, **options).schema.features == ("promo",)


def test_the_calendar_of_a_schema_file_is_used(tmp_path):
    schema, text = tmp_path / "plan.yaml", "day,y,x\n2024-01-01,1,0\n2024-01-02,2,1\n"
    options = {"time": "day", "targets": ("y",), "schema_file": str(schema)}
    schema.write_text("columns: [x]\ncalendar: {kind: cycle, cycle: 604800, slots: [0, 86400, 172800]}\n")
    assert read(tmp_path, text, **options).schema.calendar.slots == (0, 86400, 172800)
    schema.write_text("columns: [x]\ncalendar: {kind: step}\n")
    with pytest.raises(DataError, match="needs a step above 0"):
        read(tmp_path, text, **options)


def test_columns_of_numbers_beside_one_of_decimal_commas(tmp_path):
    """Marks are those of the columns that are written as text; the others are numbers already."""
    from keras_seq.autoconfig.table import read_table

    frame = pd.DataFrame({"wear": np.arange(20) / 4 + 0.5, "code": ["12,5", "7,25"] * 10})
    for name, write in (("p.parquet", frame.to_parquet), ("p.feather", frame.to_feather)):
        write(tmp_path / name)
        table = read_table(tmp_path / name)
        assert {name: column.kind for name, column in table.columns.items()} == {"wear": "number", "code": "number"}
        np.testing.assert_array_equal(table.head["wear"], frame["wear"])
        assert table.head["code"].tolist()[:2] == [12.5, 7.25]
