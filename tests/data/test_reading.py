"""How a table is understood: dialects, numbers, dates, zones, labels, missing values; and read again by the schema."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.config import DataConfig
from keras_seq.data.reading import Marks
from keras_seq.data.reading.by_schema import format_stamps, read_by_schema
from keras_seq.data.reading.numbers import inspect_numbers, to_numbers
from keras_seq.data.reading.zones import to_local
from keras_seq.data.sources import load_series
from keras_seq.errors import ConfigError, DataError, KerasSeqError


def load(path: Path, content: str | bytes, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_series(DataConfig(source="table", path=str(path), **options), checked=False)


def column(tmp_path, name: str, values, **options) -> np.ndarray:
    """A column of a file beside a target that counts, as it is read."""
    text = "t;x;y\n" + "".join(f"{i};{value};{i}.5\n" for i, value in enumerate(values))
    series = load(tmp_path / name, text, time="t", targets=("y",), **options)
    return series.values[:, 0]


# ---------------------------------------------------------------- dialects


MARKS = {"point": (".", ""), "comma": (",", ""), "english": (".", ","), "german": (",", "."), "french": (",", "\u00a0")}


def write_number(value: float, marks: tuple[str, str]) -> str:
    text = f"{value:,.3f}"
    return text.replace(",", "T").replace(".", marks[0]).replace("T", marks[1])


@settings(max_examples=60)
@given(
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    marks=st.sampled_from(sorted(MARKS)),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    packed=st.booleans(),
    trailing=st.booleans(),
    comment=st.booleans(),
    blanks=st.integers(0, 3),
    values=st.lists(st.floats(-2e6, 2e6), min_size=8, max_size=20),
)
def test_one_table_in_every_dialect(
    tmp_path_factory, delimiter, marks, encoding, end, packed, trailing, comment, blanks, values
):
    values = [round(value, 3) for value in [*values, 1234567.891, 0.25]]  # marks that leave no choice
    name = "Kühlwasser °C"
    quote = '"' if delimiter == "," else ""
    rows = [
        f"01.02.2024 {i:02d}:00{delimiter}{quote}{write_number(v, MARKS[marks])}{quote}" for i, v in enumerate(values)
    ]
    lines = [f"Datum{delimiter}{name}", *rows]
    lines = [line + delimiter * trailing for line in lines] + [delimiter] * blanks
    text = end.join(["# logger 2"] * comment + lines) + end
    content = text.encode(encoding)
    path = tmp_path_factory.mktemp("dialect") / ("t.csv.gz" if packed else "t.csv")
    options = {"time": "Datum", "targets": (name,), "task": "forecast", "date_format": "%d.%m.%Y %H:%M"}
    series = load(path, gzip.compress(content) if packed else content, **options)
    assert series.values[:, 0].tolist() == np.float32(values).tolist()
    assert series.time[:2].astype(str).tolist() == ["2024-02-01T00:00:00.000000000", "2024-02-01T01:00:00.000000000"]
    again = read_by_schema(path, series.schema)
    assert again[name].tolist() == values and (again["Datum"].to_numpy() == series.time).all()


def test_row_names_of_a_quoted_file_are_left_out(tmp_path):
    text = '"date","x","y"\n' + "".join(f'"{i}","2024-01-0{i} 00:00:00",{i}.5,{i}\n' for i in range(1, 9))
    series = load(tmp_path / "t.txt", text, time="date", targets=("y",))
    assert series.schema.features == ("x",) and series.values[:2, 0].tolist() == [1.5, 2.5]
    assert series.time[0] == np.datetime64("2024-01-01")


@pytest.mark.parametrize("text", [
    "t,y\n" + "".join(f"{i},2,{i}\n" for i in range(9)),  # 2,0 2,1 ...
    "time,y\n" + "".join(f"2024-01-0{i},2,6\n" for i in range(1, 9)),
    '"t",y\n' + "".join(f'"{i}",2,6\n' for i in range(9)),
])  # fmt: skip
def test_numbers_cut_in_two_by_a_decimal_comma_are_refused(tmp_path, text):
    with pytest.raises(DataError, match=r"rows of .* have 3 fields, its header names 2.*data.row_names"):
        load(tmp_path / "t.csv", text, targets=("y",))


def test_a_file_with_row_names_by_the_users_word(tmp_path):
    text = "x,y\n" + "".join(f"r{i},{i},{i * i}\n" for i in range(9))
    series = load(tmp_path / "t.csv", text, targets=("y",), row_names=True)
    assert series.values[:3, 0].tolist() == [0, 1, 2] and series.targets[:3, 0].tolist() == [0, 1, 4]


def test_an_index_without_a_name_can_be_the_time(tmp_path):
    frame = pd.DataFrame({"a": range(9), "y": range(9)}, index=pd.date_range("2024-01-01", periods=9))
    frame.to_csv(tmp_path / "t.csv")
    series = load_series(DataConfig(source="table", path=str(tmp_path / "t.csv"), time="unnamed_1", targets=("y",)))
    assert series.time[1] == np.datetime64("2024-01-02") and series.schema.features == ("a",)


def test_encodings_told_by_the_user(tmp_path):
    text = "t;größe;y\n" + "".join(f"{i};{i};{i}\n" for i in range(9))
    series = load(tmp_path / "t.csv", text.encode("mac-roman"), time="t", targets=("y",), encoding="mac-roman")
    assert series.schema.features == ("größe",)


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(("values", "expected"), [
    (["1,5", "2,25"], [1.5, 2.25]),
    (["1.234,5", "2,5"], [1234.5, 2.5]),
    (["1,234.5", "2.5"], [1234.5, 2.5]),
    (["1'234.5", "12"], [1234.5, 12]),
    (["1 234,5", "12"], [1234.5, 12]),
    (["1\u202f234,5", "12"], [1234.5, 12]),
    (["1,000,000", "2,000"], [1e6, 2e3]),
    (["0,125", "0,250"], [0.125, 0.25]),
    (["1.5e3", "2E-1"], [1500, 0.2]),
    (["1,5e3", "2"], [1500, 2]),
    (["-1,5", "+2,5"], [-1.5, 2.5]),
    ([".5", "5."], [0.5, 5]),
    (["<NA>", "None", "3"], [np.nan, np.nan, 3]),
])  # fmt: skip
def test_numbers_as_people_write_them(tmp_path, values, expected):
    np.testing.assert_allclose(column(tmp_path, "n.csv", values * 4), expected * 4)


def test_a_target_with_thousands_is_a_number_and_no_class(tmp_path):
    text = "t,x,y\n" + "".join(f'{i},{i}.5,"{i % 3 + 1},{i:03d}"\n' for i in range(12))
    series = load(tmp_path / "t.csv", text, time="t", targets=("y",))
    assert series.schema.task == "regression"
    assert series.targets[:3, 0].tolist() == [1000, 2001, 3002]
    assert any("both fit its numbers" in choice for choice in series.info["choices"])


def test_where_two_readings_fit_a_semicolon_decides_for_decimals_and_the_user_over_it(tmp_path):
    values = ["1,000", "2,500", "3,125"] * 4
    assert column(tmp_path, "a.csv", values)[:2].tolist() != [1.0, 2.5]  # y has points: commas stand between thousands
    text = "t;x\n" + "".join(f"{i};{value}\n" for i, value in enumerate(values))
    options = {"time": "t", "targets": ("x",), "task": "forecast"}
    assert load(tmp_path / "b.csv", text, **options).values[:2, 0].tolist() == [1.0, 2.5]
    assert load(tmp_path / "b.csv", text, thousands=",", decimal=".", **options).values[:2, 0].tolist() == [1e3, 2.5e3]
    with pytest.raises(DataError, match=r"can be read in two ways .*data\.strict.*column 'x'"):
        load(tmp_path / "b.csv", text, strict=True, **options)


def test_a_mark_that_comes_later_is_refused_by_line_and_value(tmp_path):
    text = "t,x\n" + "".join(f"{i},{i}\n" for i in range(300_000)) + '300000,"1,5"\n'
    with pytest.raises(DataError, match=r"'x' .* must hold numbers, got '1,5' \(line 300002; .*data\.decimal"):
        load(tmp_path / "t.csv", text, time="t", targets=("x",), task="forecast")


@pytest.mark.parametrize("marks", ["point", "german"])
def test_a_bad_word_is_named_itself_with_its_line(tmp_path, marks):
    decimal = MARKS[marks][0]
    values = [f"{i}{decimal}25" for i in range(20)]
    values[7] = "warm"
    values[0] = f"1234567{decimal}5" if marks == "point" else "1.234.567,5"
    with pytest.raises(DataError, match=r"Column 'x' of .* must hold numbers, got 'warm' \(line 9\)"):
        column(tmp_path, "t.csv", values, decimal=decimal) if marks == "german" else column(tmp_path, "t.csv", values)


def test_parquet_decimals_and_flags_with_gaps(tmp_path):
    columns = {"x": pa.array([Decimal("1.25"), None, Decimal("-3.50")] * 4, pa.decimal128(9, 2)),
               "open": pa.array([True, None, False] * 4), "y": pa.array(range(12))}  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    config = DataConfig(source="table", path=str(tmp_path / "t.parquet"), targets=("y",), impute="forward")
    series = load_series(config)
    np.testing.assert_array_equal(series.values[:3], np.float32([[1.25, 1], [np.nan, np.nan], [-3.5, 0]]))
    pd.DataFrame({"x": [1.25, None, -3.5] * 4, "open": ["TRUE", "", "FALSE"] * 4, "y": range(12)}).to_csv(
        tmp_path / "t.csv", index=False
    )
    again = load_series(config.model_copy(update={"path": str(tmp_path / "t.csv")}))
    np.testing.assert_array_equal(again.values, series.values)
    for path in ("t.csv", "t.parquet"):
        frame = read_by_schema(tmp_path / path, series.schema)
        np.testing.assert_array_equal(frame[["x", "open"]].to_numpy(np.float32)[:3], series.values[:3])


# ---------------------------------------------------------------- missing values


def test_codes_and_words_that_stand_for_missing(tmp_path):
    values = ["1.5", "-200", "?", "", "bad", "2.5", "-200.0", "3"]
    read = column(tmp_path, "t.csv", values, missing_codes=(-200,), missing_texts=("?", "bad"))
    np.testing.assert_array_equal(read, np.float32([1.5, np.nan, np.nan, np.nan, np.nan, 2.5, np.nan, 3]))


def test_codes_are_taken_out_of_targets_and_at_prediction_too(tmp_path):
    text = "t,x,y\n" + "".join(f"{i},{-200 if i % 4 == 1 else i},{-200 if i % 5 == 2 else i}\n" for i in range(20))
    series = load(tmp_path / "t.csv", text, time="t", targets=("y",), missing_codes=(-200,))
    assert np.isnan(series.values[1::4]).all() and np.isfinite(series.values[::4]).all()
    assert np.isnan(series.targets[2::5]).all() and np.isfinite(series.targets[::5]).all()
    assert np.isnan(read_by_schema(tmp_path / "t.csv", series.schema)["x"].to_numpy()[1::4]).all()


# ---------------------------------------------------------------- texts of units and labels


@pytest.mark.parametrize(("labels", "classes"), [
    (["100000001", "100000002", "200000001", "200000002"], ("100000001", "100000002", "200000001", "200000002")),
    (["01", "1", "001"], ("001", "01", "1")),
    (["NA", "DE", "None", "null"], ("DE", "NA", "None", "null")),
    (["0.0", "1.0", "2.0"], ("0", "1", "2")),
    (["1e5", "2e5", "100000"], ("100000", "1e5", "2e5")),
    (["0.1", "0.30000001", "0.3"], ("0.1", "0.3", "0.30000001")),
    (["no", "off", "yes"], ("no", "off", "yes")),
    (["16777216", "16777217", "16777218"], ("16777216", "16777217", "16777218")),
])  # fmt: skip
@pytest.mark.parametrize("cache", [True, False])
def test_labels_are_the_files_own_text(tmp_path, labels, classes, cache):
    text = "unit,t,x,y\n" + "".join(
        f"u{i:02d},{j},{i},{labels[i % len(labels)]}\n" for i in range(24) for j in range(2)
    )
    options = {"unit": "unit", "time": "t", "targets": ("y",), "task": "multiclass", "cache": cache}
    path = tmp_path / "t.csv"
    path.write_text(text)
    from keras_seq.data.prepare import prepare

    config = DataConfig(source="table", path=str(path), split={"by": "unit", "seed": 1}, **options)
    if cache:
        series = load_series(config)
    else:
        from keras_seq.data.store.cache import stored_series

        series = stored_series(config)
    assert sorted(series.schema.classes) == sorted(classes)
    own = [labels[i % len(labels)].removesuffix(".0") for i in range(24)]
    assert [series.schema.classes[int(c)] for c in np.asarray(series.targets)[:, 0]] == own
    assert prepare is not None


def test_parquet_labels_that_are_large_numbers(tmp_path):
    pd.DataFrame(
        {"u": np.repeat(range(8), 2), "x": 1.0 * np.arange(16), "y": np.repeat([100000001, 100000002] * 4, 2)}
    ).to_parquet(tmp_path / "t.parquet")
    config = DataConfig(source="table", path=str(tmp_path / "t.parquet"), unit="u", targets=("y",), task="binary")
    assert load_series(config).schema.classes == ("100000001", "100000002")


@pytest.mark.parametrize("ids", [["01", "1"], ["NA", "None"], ["1.0", "1"], ["a", " a"], ["1e5", "100000"]])
def test_units_are_the_files_own_text(tmp_path, ids):
    text = "unit,t,x,y\n" + "".join(f"{unit},{t},{t},{t}\n" for unit in ids for t in range(3))
    series = load(tmp_path / "t.csv", text, unit="unit", time="t", targets=("y",))
    assert series.unit_ids.tolist() == ids and series.lengths.tolist() == [3, 3]
    assert read_by_schema(tmp_path / "t.csv", series.schema)["unit"].drop_duplicates().tolist() == ids


# ---------------------------------------------------------------- dates and zones


def dates(tmp_path, texts, **options):
    text = "when,y\n" + "".join(f"{one},{i}\n" for i, one in enumerate(texts))
    return load(tmp_path / "d.csv", text, time="when", targets=("y",), task="forecast", **options)


def test_months_by_the_first_of_the_month_are_read_day_first(tmp_path):
    texts = [f"01/{month:02d}/{year}" for year in (2018, 2019) for month in range(1, 13)]
    series = dates(tmp_path, texts)
    assert series.time[:3].astype("M8[D]").astype(str).tolist() == ["2018-01-01", "2018-02-01", "2018-03-01"]
    assert "can be read as %d/%m/%Y and as %m/%d/%Y; %d/%m/%Y is taken" in series.info["choices"][0]
    assert series.schema.reading.date_format == "%d/%m/%Y"
    few = tmp_path / "few.csv"
    few.write_text("when,y\n01/02/2020,1\n02/02/2020,1\n")  # by itself it would rather be read month first
    frame = read_by_schema(few, series.schema)
    assert frame["when"].astype(str).tolist() == ["2020-02-01", "2020-02-02"]


@pytest.mark.parametrize(("texts", "first"), [
    ([f"{month:02d}/01/{year}" for year in (2018, 2019) for month in range(1, 13)], "2018-01-01 2018-02-01"),
    ([f"{day:02d}.03.2020" for day in range(1, 13)], "2020-03-01 2020-03-02"),
    ([f"03-{day:02d}-2020" for day in range(1, 13)], "2020-03-01 2020-03-02"),
    ([f"01/{q:02d}/{year}" for year in range(2010, 2016) for q in (1, 4, 7, 10)], "2010-01-01 2010-04-01"),
    ([f"1/{m}/1{y}" for y in range(0, 6) for m in range(1, 13)], "2010-01-01 2010-02-01"),
    ([f"05/{number:02d}/2020" for number in range(2, 13)], "2020-05-02 2020-05-03"),
])  # fmt: skip
def test_the_more_even_reading_is_taken_and_said(tmp_path, texts, first):
    series = dates(tmp_path, texts)
    assert series.time[:2].astype("M8[D]").astype(str).tolist() == first.split()
    assert "data.date_format says another" in series.info["choices"][0]


def test_dates_of_eight_digits_are_dates(tmp_path):
    days = pd.date_range("2023-12-30", periods=9)
    series = dates(tmp_path, [f"{day:%Y%m%d}" for day in days])
    assert (series.time == days.to_numpy("datetime64[ns]")).all() and series.schema.reading.date_format == "%Y%m%d"
    assert format_stamps(series.time[:1], series.schema.reading).tolist() == ["20231230"]
    assert (read_by_schema(tmp_path / "d.csv", series.schema)["when"].to_numpy() == series.time).all()
    counts = dates(tmp_path, ["20240130", "20240131", "20240132", "20240133"])  # the 32nd: no dates
    assert counts.time.dtype == np.float64
    years = dates(tmp_path, ["2019", "2020", "2021", "2022"], date_format="%Y")
    assert years.time[1] == np.datetime64("2020-01-01")


def test_a_late_row_decides_about_day_and_month(tmp_path):
    texts = ["01/02/2020"] * 120_000 + ["13/02/2020"]
    assert dates(tmp_path, texts).schema.reading.date_format == "%d/%m/%Y"


def test_dates_that_nothing_decides_are_refused_when_strict(tmp_path):
    with pytest.raises(DataError, match="can be read in two ways"):
        dates(tmp_path, [f"01/{month:02d}/2020" for month in range(1, 13)], strict=True)
    assert dates(tmp_path, ["03/04/2020", "04/04/2020"] * 3, date_format="%d/%m/%Y").time[0] == np.datetime64(
        "2020-04-03"
    )


@pytest.mark.parametrize(("zone", "found"), [
    ("Europe/Rome", "Europe/Berlin"), ("America/New_York", "America/New_York"),
    ("Australia/Adelaide", "Australia/Adelaide"),
    ("Asia/Kolkata", "+05:30"), ("UTC", "UTC"), ("America/St_Johns", "America/St_Johns"),
])  # fmt: skip
def test_local_midnights_with_offsets_keep_their_day(tmp_path, zone, found):
    stamps = pd.date_range("2023-07-01", periods=300, tz=zone)
    series = dates(tmp_path, [stamp.isoformat() for stamp in stamps])
    assert series.schema.reading.zone == found
    assert (to_local(series.time, found) == stamps.tz_localize(None).to_numpy("datetime64[ns]")).all()
    assert (series.time == stamps.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[ns]")).all()
    written = format_stamps(series.time, series.schema.reading)
    assert written[0] == stamps[0].isoformat().replace("+00:00", "Z") and written[-1].startswith("2024-04-25T00:00:00")


def test_a_zone_of_the_user_tells_the_clock_of_stamps_in_universal_time(tmp_path):
    stamps = pd.date_range("2023-01-01", periods=9, freq="h", tz="UTC")
    series = dates(tmp_path, [f"{stamp:%Y-%m-%dT%H:%M:%SZ}" for stamp in stamps], zone="Australia/Melbourne")
    assert to_local(series.time, series.schema.reading.zone)[0] == np.datetime64("2023-01-01T11:00")
    local = [
        f"{stamp:%Y-%m-%d %H:%M}" for stamp in pd.date_range("2023-10-28", periods=60, freq="h", tz="Europe/Berlin")
    ]
    series = dates(tmp_path, local, zone="Europe/Berlin")  # the hour that comes twice goes on
    assert (np.diff(series.time) == np.timedelta64(1, "h")).all()


def test_stamps_unlike_the_schemas_are_refused_by_row(tmp_path):
    series = dates(tmp_path, [f"2024-01-{day:02d} 00:00" for day in range(1, 20)])
    new = tmp_path / "new.csv"
    new.write_text("when,y\n2024-02-01 00:00,1\n2024-02-02T00:00:00+02:00,2\n")
    with pytest.raises(DataError, match=r"'when' .* holds .*\+02:00 in data row 2, expected a stamp without an offset"):
        read_by_schema(new, series.schema)
    with pytest.raises(DataError, match=r"stamps with an offset .* and stamps without"):
        dates(tmp_path, ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00"] * 3)


@pytest.mark.parametrize("bad", ["9999-12-31", "0001-01-01", "1500-06-01"])
def test_years_that_nanoseconds_do_not_reach_are_named(tmp_path, bad):
    with pytest.raises(DataError, match=rf"holds '{bad}' in data row 5; stamps are counted in nanoseconds"):
        dates(tmp_path, ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", bad])


def test_another_format_in_a_later_row_is_named(tmp_path):
    with pytest.raises(DataError, match=r"got '03-10-2004'|got '13/10/2004'"):
        dates(tmp_path, ["13/10/2004", "14/10/2004", "15/10/2004", "03-10-2004"])


# ---------------------------------------------------------------- read again by the schema


def test_a_file_written_otherwise_than_the_schema_says_is_refused(tmp_path):
    series = load(
        tmp_path / "t.csv", "t;x;y\n" + "".join(f"{i};{i},5;{i}\n" for i in range(9)), time="t", targets=("y",)
    )
    other = tmp_path / "other.csv"
    other.write_text("t,x,y\n0,0.5,1\n")
    with pytest.raises(DataError, match="separated by ',', expected ';'"):
        read_by_schema(other, series.schema)
    other.write_text("t;x;y\n0;0.5;1\n")
    with pytest.raises(DataError, match=r"'x' .* must hold numbers, got '0\.5' \(line 2; numbers are read with ','"):
        read_by_schema(other, series.schema)


def test_one_row_is_read_as_the_whole_table_was(tmp_path):
    text = "t;x;y\n" + "".join(f"{i};{i}.{i % 10}00,5;{i}\n" for i in range(1, 99))
    series = load(tmp_path / "t.csv", text, time="t", targets=("y",))
    one = tmp_path / "one.csv"
    one.write_text("t;x;y\n1;1.234;0\n")  # of itself a decimal point
    assert read_by_schema(one, series.schema)["x"].tolist() == [1234.0]


@pytest.mark.parametrize("cache", [True, False])
def test_the_check_and_init_tell_which_reading_was_taken(tmp_path, cache, capsys):
    from keras_seq.commands import init
    from keras_seq.data.prepare import prepare

    path = tmp_path / "t.csv"
    months = [f"01/{month:02d}/{year}" for year in (2018, 2019, 2020, 2021) for month in range(1, 13)]
    path.write_text("when,x,y\n" + "".join(f"{month},{i % 7},{i * i % 5}\n" for i, month in enumerate(months)))
    split = {"by": "time"}
    windows = {"mode": "sliding", "length": 4}
    config = DataConfig(
        source="table", path=str(path), time="when", targets=("y",), cache=cache, split=split, windows=windows,
        task="regression",
    )  # fmt: skip
    warnings = [finding.message for finding in prepare(config).quality.warnings if finding.rule == "reading"]
    assert len(warnings) == 1 and "%d/%m/%Y is taken" in warnings[0]
    init.main([str(path), "--target", "y", "--horizon", "2", "--out", str(tmp_path / "t.yaml")])
    assert "%d/%m/%Y is taken" in capsys.readouterr().out


DAMAGE = [
    b'"',
    b"\n",
    b"\r",
    b",",
    b";",
    b"\x00",
    b"\xff",
    b"#",
    b"1e400",
    b"-",
    b"\xe2\x80\xaf",
    b"9999-12-31",
    b"+02:00",
    b"",
]
WHOLE = "when,unit,größe,y\n" + "".join(
    f"2024-01-{d:02d} 00:00,{u},{d}.5,{d * d}\n" for u in "ab" for d in range(1, 29)
)


@settings(max_examples=150)
@given(
    places=st.lists(
        st.tuples(st.integers(0, 1500), st.sampled_from(DAMAGE), st.integers(0, 30)), min_size=1, max_size=4
    ),
    commas=st.sampled_from([b",", b";", b"\t", b"|"]),
)
def test_a_damaged_file_is_read_or_refused_in_one_paragraph(tmp_path_factory, places, commas):
    content = bytearray(WHOLE.encode().replace(b",", commas))
    for place, what, length in places:
        content[place : place + length] = what
    path = tmp_path_factory.mktemp("damaged") / "t.csv"
    try:
        series = load(path, bytes(content), time="when", unit="unit", targets=("y",))
    except KerasSeqError as error:
        assert str(path) in str(error) and len(str(error)) < 1500
    else:
        assert series.schema.features == ("größe",) or "y" not in series.schema.features


def test_init_takes_dates_of_eight_digits_for_the_time(tmp_path, capsys):
    from keras_seq.commands import init
    from keras_seq.config import load as load_config

    days = pd.date_range("2021-01-01", periods=400)
    table = pd.DataFrame({"day": days.strftime("%Y%m%d"), "x": np.arange(400) % 11, "y": np.arange(400) % 7 + 0.5})
    table.to_csv(tmp_path / "t.csv", index=False)
    init.main([str(tmp_path / "t.csv"), "--target", "y", "--horizon", "2", "--out", str(tmp_path / "t.yaml")])
    experiment = load_config(tmp_path / "t.yaml")
    assert experiment.data.time == "day" and experiment.data.windows.length == 28  # whole weeks: it knows the days


@pytest.mark.parametrize(("stamps", "gaps"), [
    (pd.bdate_range("2024-01-01", periods=60), 0),
    (pd.bdate_range("2024-01-01", periods=60).delete([20, 21, 40]), 2),
    (pd.date_range("2020-01-31", periods=40, freq="ME"), 0),
    (pd.date_range("2020-01-31", periods=40, freq="ME").delete(30), 1),
    (pd.date_range("2024-01-01", periods=90, freq="h").delete([40]), 1),
    (pd.date_range("2015-01-01", periods=30, freq="QS"), 0),
])  # fmt: skip
def test_gaps_are_stamps_that_the_rule_has_and_the_table_lacks(tmp_path, stamps, gaps):
    from keras_seq.data.quality import check

    found = [finding for finding in check(dates(tmp_path, list(stamps))).findings if finding.rule == "gap"]
    assert sum(finding.count for finding in found) == gaps


def test_init_reads_as_it_is_told_and_writes_it_down(tmp_path):
    from keras_seq.commands import init
    from keras_seq.config import load as load_config

    path, out = tmp_path / "t.csv", tmp_path / "t.yaml"
    days = [f"{i % 12 + 1:02d}/{i // 12 + 1:02d}/2020" for i in range(144)]
    path.write_text("day;x;y\n" + "".join(f"{day};{i % 5},125;{i % 7}\n" for i, day in enumerate(days)))
    told = ["--data.date_format", "%m/%d/%Y", "--data.decimal", ",", "--data.missing_codes", "[0.125]"]
    init.main([str(path), "--target", "y", "--horizon", "1", "--time", "none", "--out", str(out), *told])
    data = load_config(out).data
    assert (data.date_format, data.decimal, data.missing_codes) == ("%m/%d/%Y", ",", (0.125,))
    with pytest.raises(ConfigError, match=r"'--data\.delimeter' is none of init; did you mean 'data\.delimiter'"):
        init.main([str(path), "--target", "y", "--data.delimeter", ";"])
    unsure = tmp_path / "u.csv"
    unsure.write_text("t;y\n" + "".join(f"{i};{i % 7 + 1},{i % 5}00\n" for i in range(20)))
    with pytest.raises(DataError, match="can be read in two ways"):
        init.main([str(unsure), "--target", "y", "--horizon", "1", "--strict", "--out", str(tmp_path / "u.yaml")])
    assert not (tmp_path / "u.yaml").exists()


def test_a_date_format_that_fits_no_column_is_refused_by_init(tmp_path):
    from keras_seq.commands import init

    path = tmp_path / "t.csv"
    path.write_text("when,y\n" + "".join(f"01/{day}/2024,{day % 7}\n" for day in range(10, 30)))
    with pytest.raises(ConfigError, match=r"No column of .* holds dates of the format %d/%m/%Y \(data\.date_format\)"):
        init.main([str(path), "--target", "y", "--data.date_format", "%d/%m/%Y", "--out", str(tmp_path / "t.yaml")])


def test_a_mark_of_thousands_stands_before_no_exponent():
    texts = pa.array(["1,668E+01", "2,5e3", "7,000e-1"])
    assert inspect_numbers(texts).fitting == (Marks(decimal=","),)
    np.testing.assert_array_equal(to_numbers(texts, Marks(decimal=","))[0], [16.68, 2500.0, 0.7])
    assert to_numbers(pa.array(["1,668", "1,668E+01"]), Marks(thousands=","))[1].tolist() == [False, True]


COMMAS = [f"101,{257 + i}" for i in range(20)]


@pytest.mark.parametrize(("columns", "delimiter", "expected"), [
    ({"p": COMMAS}, ";", 101.257),
    ({"p": COMMAS}, "|", 101.257),
    ({"p": COMMAS, "n": range(20)}, " ", 101.257),
    ({"p": COMMAS}, ",", 101257),
    ({"p": COMMAS, "q": [f"0,{123 + i}" for i in range(20)]}, ",", 101.257),  # zeros in front: decimals
    ({"p": COMMAS, "q": [f"{i},5" for i in range(20)], "lat": [f"48.{i:02d}5" for i in range(20)],
      "lon": [f"8.1{i:02d}5" for i in range(20)]}, ";", 101.257),  # commas elsewhere are decimals, whatever points are
    ({"p": COMMAS, "q": [f"1,{234 + i},567" for i in range(20)]}, ";", 101257),  # two commas: thousands
    ({"p": COMMAS, "q": [f"{i}.25" for i in range(20)]}, ";", 101257),  # points are decimals, so commas are none
    ({"clock": [f"08.{10 + i}" for i in range(20)], "p": COMMAS}, ";", 101.257),
    ({"month": [f"2024.{i % 12 + 1:02d}" for i in range(20)], "p": COMMAS}, ";", 101.257),
])  # fmt: skip
def test_a_comma_before_three_digits_is_decided_by_the_whole_file(tmp_path, columns, delimiter, expected):
    days = pd.date_range("2024-01-01", periods=20).strftime("%Y-%m-%d")
    pd.DataFrame({"t": days, **columns}).to_csv(tmp_path / "t.csv", sep=delimiter, index=False)
    config = DataConfig(source="table", path=str(tmp_path / "t.csv"), time="t", targets=("p",), task="forecast")
    series = load_series(config, checked=False)
    assert series.values[0, series.schema.features.index("p")] == np.float32(expected)
    if len(columns) == 1:
        assert any("'p': " in choice and "data.decimal" in choice for choice in series.info["choices"])


def test_small_numbers_without_a_comma_beside_larger_ones_are_counts(tmp_path):
    counts = [f"{n:,}" for n in range(900, 1100, 10)]
    pd.DataFrame({"t": range(20), "n": counts}).to_csv(tmp_path / "t.csv", sep=";", index=False)
    config = DataConfig(source="table", path=str(tmp_path / "t.csv"), time="t", targets=("n",), task="forecast")
    assert load_series(config, checked=False).values[[0, -1], 0].tolist() == [900, 1090]
