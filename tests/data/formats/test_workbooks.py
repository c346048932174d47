"""Workbooks as tables: which sheet, which row of names, what stands around the table, dates, errors, damage."""

from __future__ import annotations

import datetime
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.formats import zipped
from keras_seq.data.formats.sheet_table import find_table
from keras_seq.data.home import data_home
from keras_seq.data.reading.settle import settle_table
from keras_seq.errors import ConfigError, DataError

FILES = Path(__file__).parent / "files"
ROWS = [["t", "x", "y"], *([i, i * 0.5, i**2] for i in range(12))]


def write(path, **sheets):
    """A workbook of sheets of rows, by openpyxl."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def facts(path, **options):
    return settle_table(path, DataConfig(source="table", path=str(path), **options))


@pytest.mark.parametrize("ending", ["xlsx", "xls", "ods"])
def test_each_kind_of_workbook_gives_the_same_table(same, frame, tmp_path, ending):
    path = FILES / f"small.{ending}"
    if ending == "xlsx":
        frame.to_excel(tmp_path / "small.xlsx", index=False, engine="openpyxl")
        path = tmp_path / "small.xlsx"
    same(path)


def test_the_sheet_with_most_cells_is_read_unless_one_is_named(tmp_path):
    path = write(tmp_path / "a.xlsx", Info=[["name", "value"], ["a", 1]], Data=ROWS)
    assert facts(path).names == ["t", "x", "y"]
    assert facts(path).remarks == ("is read from sheet 'Data' of 'Info', 'Data' (data.sheet)",)
    assert facts(path, sheet="Info").names == facts(path, sheet="1").names == ["name", "value"]
    with pytest.raises(DataError, match=r"no sheet 'data' \(data.sheet\); its sheets: 'Info', 'Data'"):
        facts(path, sheet="data")


def test_sheets_of_equal_columns_are_joined_with_their_names_as_units(tmp_path, load):
    path = write(tmp_path / "a.xlsx", Info=[["n"], [1]], ch_1=ROWS, ch_2=ROWS[:9])
    series = load(path, sheet="ch_*", time="t", targets=("y",), features=("x",))
    assert series.unit_ids.tolist() == ["ch_1", "ch_2"] and series.lengths.tolist() == [12, 8]
    with pytest.raises(DataError, match="has the columns n in sheet 'Info', but t, x, y in 'ch_1'"):
        facts(path, sheet="*")


def test_titles_units_notes_and_side_tables_are_passed_over(tmp_path):
    head = [["Plant 7"], [], ["t", "x", "y", None, "x", "sum"], ["h", "bar", "mm", None, None, None]]
    rows = [[*row, None, *extra] for row, extra in zip(ROWS[1:], [[1, 2], *([[None] * 2] * 11)], strict=True)]
    path = write(tmp_path / "a.xlsx", Data=[*head, *rows, [], ["measured in May"]])
    table = facts(path)
    assert table.kinds == {"t": "number", "x": "number", "y": "number"}
    remarks = " | ".join(table.remarks)
    assert "names in row 3" in remarks and "words in row 4" in remarks
    assert "notes in 1 rows" in remarks and "2 columns of another table" in remarks


def test_equal_names_take_the_title_above_them():
    rows = [
        ["", "Pump A", "", "Pump B", ""],
        ["t", "load", "wear", "load", "wear"],
        *([i, 1, 2, 3, 4] for i in range(9)),
    ]
    table = find_table(lambda: iter(rows), None, "Sheet")
    assert table.names == ["t", "Pump A load", "Pump A wear", "Pump B load", "Pump B wear"]
    with pytest.raises(DataError, match="names column 'a' twice"):
        find_table(lambda: iter([["a", "a"], [1, 2]]), None, "Sheet")


def test_a_header_row_that_is_named(tmp_path):
    path = write(tmp_path / "a.xlsx", Data=[[2019, 2020, 2021], *([i, i, i] for i in range(12))])
    with pytest.raises(DataError, match="no row of column names above rows of numbers"):
        facts(path)
    assert facts(path, header_row=1).names == ["2019", "2020", "2021"]
    with pytest.raises(DataError, match="nothing in row 40"):
        facts(path, header_row=40)


def test_kinds_of_cells(tmp_path, load):
    moment, names = datetime.datetime(2024, 3, 1), ["when", "day", "id", "on", "gap", "mixed", "span", "y"]
    rows = [
        [
            moment + datetime.timedelta(minutes=i),
            moment.date(),
            f"{i // 6:02d}",
            i % 2 == 0,
            "#N/A" if i == 3 else i * 1.5,
            "bad" if i == 4 else i,
            datetime.timedelta(hours=30),
            i,
        ]
        for i in range(12)
    ]
    path = write(tmp_path / "a.xlsx", Data=[names, *rows])
    series = load(path, unit="id", time="when", targets=("y",), features=("on", "gap", "span"))
    assert series.unit_ids.tolist() == ["00", "01"]
    assert series.time[0] == np.datetime64("2024-03-01") and series.time[1] - series.time[0] == np.timedelta64(1, "m")
    assert np.isnan(series.values[3, 1]) and series.values[4, 1] == 6
    assert (series.values[:, 2] == 30 * 3600).all() and series.values[:2, 0].tolist() == [1, 0]
    with pytest.raises(DataError, match=r"'bad'.*row 5"):
        load(path, unit="id", time="when", targets=("y",), features=("mixed",))


def test_text_under_a_workbooks_name_is_text(tmp_path):
    path = tmp_path / "export.xls"
    path.write_text("t\tx\n" + "".join(f"{i}\t{i * 2}\n" for i in range(12)))
    assert facts(path).names == ["t", "x"]


def test_a_workbook_under_another_name_is_one(tmp_path):
    path = write(tmp_path / "a.xlsx", Data=ROWS).rename(tmp_path / "a.csv")
    assert facts(path).names == ["t", "x", "y"]


def test_what_unpacks_into_too_much_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.xlsx", Data=ROWS)
    monkeypatch.setattr(zipped, "MOST_BYTES", 1000)
    with pytest.raises(DataError, match=r"unpacks into .* GB, at most"):
        zipped.check_zip(path)


def test_cells_far_apart_end_the_reader_and_not_the_program(tmp_path):
    book = openpyxl.Workbook()
    book.active["A1"], book.active["A2"], book.active["XFD1048576"] = "x", 1, 2
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match=r"the library that reads it broke off \(SIG"):
        facts(tmp_path / "a.xlsx")


def test_a_workbook_that_lies_about_its_parts(tmp_path):
    path = write(tmp_path / "a.xlsx", Data=ROWS)
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("xl/worksheets/sheet1.xml")
    damaged = bytearray(path.read_bytes())
    damaged[member.header_offset + 80 : member.header_offset + 120] = bytes(40)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"a\.xlsx'"):
        facts(path)


def real(folder, name):
    path = data_home() / folder / name
    if not path.is_file():
        pytest.skip(f"{folder} is not in the data home")
    return path


def test_air_quality_is_the_same_as_its_csv():
    book, text = (real("air_quality_italy", f"AirQualityUCI{end}") for end in (".xlsx", "_semicolon_decimal_comma.csv"))
    from keras_seq.data.sources import load_series

    names = ("CO(GT)", "PT08.S1(CO)", "NOx(GT)", "T", "RH", "AH")
    asked = {"targets": ("C6H6(GT)",), "features": names, "source": "table", "missing_codes": (-200.0,)}
    one, other = (load_series(DataConfig(path=str(path), **asked), checked=False) for path in (book, text))
    rows = len(one.values)
    assert rows == 9357
    # the text rounds to one decimal; hourly means of sensors to whole numbers
    np.testing.assert_allclose(one.values, other.values[:rows], atol=0.51)
    np.testing.assert_allclose(one.targets, other.targets[:rows], atol=0.051)


def test_calce_battery_is_read_from_its_second_sheet():
    table = facts(real("calce_battery", "CS2_35_8_18_10.xlsx"))
    assert "sheet 'Channel_1-008' of 'Info', 'Channel_1-008'" in table.remarks[0]
    assert table.kinds["Date_Time"] == "date" and table.kinds["Voltage(V)"] == "number" and len(table.names) == 17


@pytest.mark.parametrize(
    "below", [[["Total", 33.0, 506]], [["Total", 33.0, 506], [None, None, None], ["checked by", "A. B."]]]
)
def test_rows_below_the_table_are_left_out_where_asked_for(tmp_path, load, below):
    path = write(tmp_path / "a.xlsx", Data=[*ROWS, *below])
    footer = sum(any(row) for row in below)
    table = facts(path, skip_footer=footer)
    assert table.kinds == {"t": "number", "x": "number", "y": "number"} and table.reading.skip_footer == footer
    assert len(load(path, time="t", targets=("y",), features=("x",), skip_footer=footer).values) == 12


def test_a_footer_of_every_sheet_is_left_out(tmp_path, load):
    path = write(tmp_path / "a.xlsx", ch_1=[*ROWS, ["Sum", 1, 2]], ch_2=[*ROWS[:9], ["Sum", 1, 2]])
    series = load(path, sheet="ch_*", time="t", targets=("y",), features=("x",), skip_footer=1)
    assert list(series.lengths) == [12, 8]


@pytest.mark.parametrize(
    ("option", "told"), [("skip_lines", "--data.header_row 3"), ("skip_footer", "Take those rows out")]
)
def test_lines_of_text_that_a_format_cannot_leave_out_are_refused(tmp_path, option, told):
    path = tmp_path / "t.parquet"
    if option == "skip_lines":
        path = write(tmp_path / "a.xlsx", Data=ROWS)
    else:
        pd.DataFrame(ROWS[1:], columns=ROWS[0]).to_parquet(path)
    with pytest.raises(ConfigError, match=rf"data.{option}=2 leaves out lines of a text file, .* {told}"):
        facts(path, **{option: 2})
