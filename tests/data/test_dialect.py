"""Text files as people and programs write them: with and without a header, lines around the table, odd separators."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.home import data_home
from keras_seq.data.reading.batches import read_batches
from keras_seq.data.reading.by_schema import read_by_schema
from keras_seq.data.reading.dialect import csv_names
from keras_seq.data.reading.settle import TableFacts, settle_table
from keras_seq.data.sources import load_series
from keras_seq.errors import ConfigError, DataError

ROWS = [(i, i + 0.5, i * i % 7) for i in range(12)]


def facts(path: Path, content: str | bytes, **options) -> TableFacts:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return settle_table(path, DataConfig(source="table", path=str(path), **options))


def columns(table: TableFacts) -> dict[str, list]:
    """Every column as it is read: numbers and texts."""
    kinds = {name: "number" if kind == "number" else "text" for name, kind in table.kinds.items()}
    parts = [batch.to_pydict() for batch in read_batches(table.path, kinds, table.reading)]
    return {name: [value for part in parts for value in part[name]] for name in kinds}


def text_of(rows, delimiter: str = ",", header: str = "") -> str:
    return "".join(f"{line}\n" for line in ([header] if header else []) + [delimiter.join(map(str, r)) for r in rows])


def real(name: str) -> Path:
    path = data_home() / name
    if not path.exists():
        pytest.skip(f"{name} is not in the data home")
    return path


# ---------------------------------------------------------------- no header


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " ", "   "])
def test_a_file_without_a_header_is_read_and_read_alike_again(tmp_path, delimiter):
    path = tmp_path / "t.csv"
    table = facts(path, text_of(ROWS, delimiter))
    assert table.names == ["column_1", "column_2", "column_3"] and table.reading.header == "none"
    assert columns(table)["column_2"] == [row[1] for row in ROWS]
    assert any("has no header: its 3 columns are called 'column_1' ..." in remark for remark in table.remarks)
    series = load_series(
        DataConfig(source="table", path=str(path), names=("t", "x", "y"), time="t", targets=("y",)), checked=False
    )
    assert series.values[:, 0].tolist() == [row[1] for row in ROWS]
    path.write_text(text_of(ROWS[:3], delimiter))
    assert read_by_schema(path, series.schema)["x"].tolist() == [0.5, 1.5, 2.5]
    path.write_text(text_of([row[:2] for row in ROWS], delimiter))
    with pytest.raises(DataError, match=r"Line 1 of .* has 2 columns, its first line has 3"):
        read_by_schema(path, series.schema)
    path.write_text(text_of(ROWS, delimiter, delimiter.join("txy")))
    with pytest.raises(DataError, match=r"must hold .*'[tx]'.* \(line 1"):
        read_by_schema(path, series.schema)


@pytest.mark.parametrize(("first", "kinds"), [
    ("2020-01-{day:02d},{i}.5,{i}", ["text", "number", "number"]),
    ("{day:02d}.01.2020 18:00;{i},5;{i}", ["text", "number", "number"]),
    ("pump A,{i},{i}.25", ["text", "number", "number"]),
    ("u{i},{i}.5,0.{i}", ["text", "number", "number"]),
    ("{i}.5,,NA", ["number", "empty", "empty"]),
    ('"{i}","a, b",{i}.5', ["number", "text", "number"]),
])  # fmt: skip
def test_a_row_is_told_by_the_kinds_of_the_others(tmp_path, first, kinds):
    lines = [first.format(i=9 - i % 3, day=1 + i) for i in range(9)]
    table = facts(tmp_path / "t.csv", "\n".join(lines) + "\n")
    assert list(table.kinds.values()) == kinds and table.reading.header == "none"
    assert {len(values) for values in columns(table).values()} == {9}


@pytest.mark.parametrize("header", ["t,x,y", "time,2001,2002", ",x,y", "a,b,", "1st,2nd,3rd", "2001,2002,2003"])
def test_a_header_stays_one(tmp_path, header):
    table = facts(tmp_path / "t.csv", text_of(ROWS, ",", header))
    assert len(columns(table)[table.names[1]]) == 12
    assert table.names[1] == header.split(",")[1]


def test_numbers_that_may_be_names_are_told_and_strict_refuses(tmp_path):
    text = text_of([(f"u{i}", 2.5, i) for i in range(9)], ",", "site,0.5,1.0")
    table = facts(tmp_path / "t.csv", text)
    assert "can name the columns or be a row" in table.choices[0] and table.names == ["site", "0.5", "1.0"]
    assert len(columns(facts(tmp_path / "t.csv", text, header=False))["column_1"]) == 10


def test_names_for_a_file_that_has_them_or_has_more_columns(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.names names the columns of a file without a header, but .* 't,x,y'"):
        facts(tmp_path / "t.csv", text_of(ROWS, ",", "t,x,y"), names=("a", "b", "c"))
    with pytest.raises(ConfigError, match=r"data\.names holds 2 names, but .* has 3 columns"):
        facts(tmp_path / "t.csv", text_of(ROWS), names=("a", "b"))
    with pytest.raises(ValueError, match="names must be different"):
        facts(tmp_path / "t.csv", text_of(ROWS), names=("a", "b", "a"))


def test_exchange_rates_need_no_hand_work():
    path = real("exchange_rate/exchange_rate.txt.gz")
    rows = [[float(x) for x in line.split(",")] for line in gzip.decompress(path.read_bytes()).decode().split()]
    table = settle_table(path, DataConfig(source="table", path=str(path)))
    read = columns(table)
    assert [list(row) for row in zip(*read.values(), strict=True)] == rows and len(rows) == 7588


def test_engine_files_between_blanks_need_no_hand_work():
    path = real("cmapss/train_FD001.txt")
    expected = np.loadtxt(path)
    table = settle_table(path, DataConfig(source="table", path=str(path)))
    np.testing.assert_array_equal(np.array(list(columns(table).values())).T, expected)


# ---------------------------------------------------------------- lines around the table


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_lines_before_the_header_are_passed_over(tmp_path, delimiter):
    head = "Station Nord\nexported 2024-01-01\n\nSerial: 7\n"
    path = tmp_path / "t.csv"
    table = facts(path, head + text_of(ROWS, delimiter, delimiter.join("txy")))
    assert table.reading.skip_lines == 4 and table.names == ["t", "x", "y"] and len(columns(table)["x"]) == 12
    assert "4 lines before its header, line 5" in table.remarks[0]
    path.write_text(path.read_text() + delimiter.join(("12", "warm", "0")) + "\n")
    with pytest.raises(DataError, match=r"'warm' \(line 18\)"):
        columns(table)


def test_lines_before_rows_without_a_header_are_told_by_the_user(tmp_path):
    text = "Station Nord\nSerial: 7\n" + text_of(ROWS)
    with pytest.raises(DataError, match=r"no header.*--data\.skip_lines 2 --data\.header false"):
        facts(tmp_path / "t.csv", text)
    assert len(columns(facts(tmp_path / "t.csv", text, skip_lines=2, header=False))["column_1"]) == 12


@pytest.mark.parametrize("units", ["s,m³/h,°C", "s,bar,-", "[s],[kW],[-]", "sec,kW,bar", "s,%,°C"])
@pytest.mark.parametrize("packed", [False, True])
def test_units_below_the_header_are_passed_over(tmp_path, units, packed):
    path = tmp_path / "t.csv"
    text = f"t,x,y\n{units}\n" + text_of(ROWS)
    table = facts(path, gzip.compress(text.encode()) if packed else text)
    assert columns(table)["x"] == [row[1] for row in ROWS]
    assert any("a line of units below its header" in remark for remark in table.remarks)
    path.write_text("t,x,y\n" + text_of(ROWS))  # a file without that line loses no row
    assert columns(table)["x"] == [row[1] for row in ROWS]
    path.write_text(text + "12,warm,1\n")
    with pytest.raises(DataError, match=r"'warm' \(line 15\)"):
        columns(table)


@pytest.mark.parametrize("second", ["0,NA,NA", "0,?,?", "0,bad,bad", ",,", "?,?,?"])
def test_a_first_row_of_missing_values_is_no_line_of_units(tmp_path, second):
    text = f"t,x,y\n{second}\n" + text_of(ROWS) + "20,bad,?\n"
    table = facts(tmp_path / "t.csv", text, missing_texts=("?", "bad"))
    assert not table.reading.units_line


@pytest.mark.parametrize("lines", [["# pause"], ["#", "# sensor changed, by A, on Monday, late"]])
@pytest.mark.parametrize("first", ["", "# logger 2\n"])
def test_comments_among_the_rows_are_passed_over(tmp_path, lines, first):
    rows = [",".join(map(str, row)) for row in ROWS]
    text = first + "t,x,y\n" + "\n".join(rows[:5] + lines + rows[5:]) + "\n"
    table = facts(tmp_path / "t.csv", text)
    assert columns(table)["x"] == [row[1] for row in ROWS]
    (tmp_path / "t.csv").write_text(text + "1,warm,2\n")
    with pytest.raises(DataError, match=rf"'warm' \(line {14 + len(lines) + bool(first)}\)"):
        columns(table)


def test_rows_that_begin_with_a_hash_are_never_dropped(tmp_path):
    text = "unit,x,y\n" + "".join(f"#{i},{i},{i}\n" for i in range(9)) + "# end of part, 1\n" + "#9,9,9\n"
    assert columns(facts(tmp_path / "t.csv", text))["unit"] == [f"#{i}" for i in range(10)]
    with pytest.raises(DataError, match=r"line 3"):  # a row that somebody took out is told
        columns(facts(tmp_path / "t.csv", "t,x,y\n1,2,3\n#2,3,4\n3,4,5\n# note\n4,5,6\n"))


def test_comments_that_come_late_and_other_marks_are_told_by_the_user(tmp_path):
    text = text_of(ROWS * 60, ",", "t,x,y") + "// restart\n" + text_of(ROWS)
    with pytest.raises(DataError, match=r"Line 722 .*'// restart'.*--data\.comment '//'"):
        columns(facts(tmp_path / "t.csv", text))
    assert len(columns(facts(tmp_path / "t.csv", text, comment="//"))["x"]) == 61 * 12


@pytest.mark.parametrize(("below", "count"), [
    ("-- end --\n", 1), ("\nRows: 12\n\n", 1), ("Total,,\nmean,5.5,\n;end\n", 3),
])  # fmt: skip
@pytest.mark.parametrize("block", [7, 2**20])
def test_lines_below_the_table_are_told_by_the_user(tmp_path, below, count, block, monkeypatch):
    from keras_seq.data.reading import stream

    monkeypatch.setattr(stream, "BLOCK", block)
    text = text_of(ROWS, ",", "t,x,y") + below
    if count < 3:
        with pytest.raises(DataError, match=r"If the table ends above it, say --data\.skip_footer 1"):
            columns(facts(tmp_path / "t.csv", text))
    assert columns(facts(tmp_path / "t.csv", text, skip_footer=count))["x"] == [row[1] for row in ROWS]


# ---------------------------------------------------------------- blanks


@pytest.mark.parametrize("text", [
    "  t    x   y\n" + "".join(f"{a:5d} {b:8.2f}\t{c}  \n" for a, b, c in ROWS),
    "t x y\n" + "".join(f"{a} {b} {c}\n" for a, b, c in ROWS),
    "# made by savetxt\n# t x y\n" + "".join(f"{a:.18e} {b:.18e} {c:.18e}\n" for a, b, c in ROWS),
    '"t" "x" "y"\n' + "".join(f'"{a + 1}" {a} {b} {c}\n' for a, b, c in ROWS),
    "t x y\n" + "".join(f"{a} {str(b).replace('.', ',')} {c}\n" for a, b, c in ROWS),
    "t x y\n" + "".join(f"{a},0 {str(b).replace('.', ',')} {c},0\n" for a, b, c in ROWS),
])  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_fields_between_blanks(tmp_path, text, packed):
    table = facts(tmp_path / "t.dat", gzip.compress(text.encode()) if packed else text)
    assert columns(table) == {name: [row[i] for row in ROWS] for i, name in enumerate("txy")}
    assert table.reading.delimiter == " "


def test_quoted_texts_keep_their_blanks(tmp_path):
    text = "unit x\n" + "".join(f'"pump  {i}"   {i}\n' for i in range(5))
    assert columns(facts(tmp_path / "t.txt", text))["unit"] == [f"pump  {i}" for i in range(5)]


def test_a_gap_between_blanks_is_refused_by_line(tmp_path):
    text = "t x y\n" + "".join(f"{a} {b} {c}\n" for a, b, c in ROWS * 30) + "9   9\n"
    with pytest.raises(DataError, match=r"Line 362 of .* has 2 columns, the header has 3"):
        columns(facts(tmp_path / "t.txt", text))


# ---------------------------------------------------------------- encodings, quotes, line ends


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", [True, False])
def test_encodings(tmp_path, encoding, end, header):
    text = text_of([(*row, "größer") for row in ROWS], ";", "t;x;y;Wörter" if header else "").replace("\n", end)
    table = facts(tmp_path / "t.csv", text.encode(encoding))
    read = columns(table)
    assert read[table.names[3]] == ["größer"] * 12 and read[table.names[0]] == [row[0] for row in ROWS]


@pytest.mark.parametrize("block", [1, 3, 64])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_fall_on_any_border_of_blocks(tmp_path, monkeypatch, block, end):
    from keras_seq.data.reading import stream

    monkeypatch.setattr(stream, "BLOCK", block)
    text = ("t;x;y;;\n" + "".join(f"{a};{b};{c};;\n" for a, b, c in ROWS) + ";;;;\n" * 3).replace("\n", end)
    read = columns(facts(tmp_path / "t.csv", text.encode("utf-16")))
    assert read == {name: [row[i] for row in ROWS] for i, name in enumerate("txy")}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("block", [16, 2**20])
def test_line_ends_inside_quotes(tmp_path, monkeypatch, end, block):
    from keras_seq.data.reading import stream

    monkeypatch.setattr(stream, "BLOCK", block)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    rows = [(a, b, 'say ""\n\n# no comment\n;;' if a % 3 == 0 else f"note {a}") for a, b, _ in ROWS * 3]
    writer.writerows([("t", "x", "note"), *rows])
    path = tmp_path / "t.csv"
    table = facts(path, file.getvalue().replace("\n", end).encode())
    assert table.reading.quoted_lines
    assert columns(table) == {name: [row[i] for row in rows] for i, name in enumerate(("t", "x", "note"))}
    path.write_text(file.getvalue() + "1,warm,x\n")
    with pytest.raises(DataError, match=r"'warm' \(line 74\)"):
        columns(table)


def test_a_quote_that_never_closes_is_refused(tmp_path):
    text = "t,x,note\n" + "".join(f"{i},{i},a\n" for i in range(200_000)) + '1,2,"open\n' + "1,2,a\n" * 200_000
    with pytest.raises(DataError, match=r"opens a quote and does not close it: '1,2,\"open'"):
        columns(facts(tmp_path / "t.csv", text))
    text = "t,x,note\n" + "".join(f'{i},{i},5" pipe\n' for i in range(9))  # a quote inside a field is none
    assert columns(facts(tmp_path / "t.csv", text))["note"] == ['5" pipe'] * 9


@pytest.mark.parametrize("mark", ["\u00a0", "\u202f", "\u2009", " ", "'", "."])
def test_thousands_of_every_mark(tmp_path, mark):
    text = "t;x\n" + "".join(f"{i};{i + 1}{mark}234{mark}567,25\n" for i in range(9))
    assert columns(facts(tmp_path / "t.csv", text))["x"] == [1e6 * (i + 1) + 234567.25 for i in range(9)]


@pytest.mark.parametrize("value", ["{}.5%", "{} %", "${}", "€ {}", "{} €", "{},50 €"])
def test_signs_of_per_cent_and_money_are_refused_with_the_reason(tmp_path, value):
    text = "t;x;y\n" + "".join(f"{i};{value.format(i) if i > 9 else i};{i}\n" for i in range(12))
    with pytest.raises(DataError, match=r"signs of per cent and of money are no part of a number"):
        columns(facts(tmp_path / "t.csv", text))


# ---------------------------------------------------------------- one file, six writings


def air(name: str) -> dict[str, list]:
    path = real("air_quality_italy") / f"AirQualityUCI{name}.csv"
    return columns(settle_table(path, DataConfig(source="table", path=str(path))))


def test_air_quality_is_one_series_in_all_its_writings():
    plain, *others = [
        air(name) for name in ("", "_bom_mixed_date_order", "_bom_quoted_decimal_comma", "_semicolon_decimal_comma")
    ]
    names = [name for name in others[0] if name not in ("Date", "Time")]
    for other in others:
        rows = min(len(other["T"]), 9356)  # one writing lacks the last row
        assert len(other["T"]) in (9356, 9357) and [n for n in other if n not in ("Date", "Time")] == names
        for name, own in zip(names, list(plain)[2:], strict=True):
            same = np.equal(other[name][:rows], plain[own][:rows])
            assert same.all() or (name == "AH" and np.max(np.array(other[name])[:rows][~same]) > 10)  # "10,086" in one


def test_lost_decimal_commas_are_refused():
    path = real("air_quality_italy/AirQualityUCI_decimal_comma_lost.csv")
    with pytest.raises(DataError, match=r"has lost decimal commas: column 'PT08\.S1\(CO\)' holds one digit in 77% of"):
        settle_table(path, DataConfig(source="table", path=str(path)))
    assert len(settle_table(path, DataConfig(source="table", path=str(path), decimal=".")).names) == 5


def test_lost_decimal_commas_by_rule_and_no_false_alarm(tmp_path):
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(5, 2, 300).clip(0).round(1), rng.integers(600, 1500, 300), rng.integers(20, 90, 300)
    whole = text_of(zip(x, y, z, strict=True), ",", "x,y,z").replace(".0,", ",")
    with pytest.raises(DataError, match="lost decimal commas"):
        cut = [line.replace(".", ",").split(",")[:3] for line in whole.split("\n")[:-1]]
        facts(tmp_path / "t.csv", text_of(cut))
    for columns_ in ((z, y, x.round()), (x.round(), rng.integers(0, 10, 300), y), (y, rng.choice([3, 5, 700], 300), z)):
        rows = [tuple(int(value) for value in row) for row in zip(*columns_, strict=True)]
        facts(tmp_path / "t.csv", text_of(rows, ",", "x,y,z"))


@pytest.mark.parametrize("above", ["Plant report\n\n", "Plant report\nline 4\n\n\n"])
def test_a_preamble_above_semicolons_and_decimal_commas(tmp_path, above):
    path = tmp_path / "plant.csv"
    path.write_text(above + "time;load;temp\n" + "".join(f"{i};{i},5;{20 + i},25\n" for i in range(12)))
    reading = settle_table(path, DataConfig(source="table", path=str(path))).reading
    assert (reading.delimiter, reading.decimal) == (";", ",")
    assert list(csv_names(path, reading)) == ["time", "load", "temp"]
