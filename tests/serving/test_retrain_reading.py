"""A retraining reads its new table as the champion's was read, not as the new rows may look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_seq import config
from keras_seq.data.sources.registry import load_series
from keras_seq.errors import DataError
from serving.retrain.job import RetrainRequest, Start, plan_experiment

HEAD = "pump{0}day{0}heat{0}state\n"


def champion(folder, rows, mark=";", **options):
    path = folder / "old.csv"
    path.write_text(HEAD.format(mark) + "".join(mark.join(row) + "\n" for row in rows))
    data = {"source": "table", "path": str(path), "unit": "pump", "time": "day", "targets": ["state"], **options}
    experiment = config.from_dict({"name": "pumps", "data": data})
    return Start(experiment, None, "", Path(), load_series(experiment.data).schema)


def planned(start, folder, rows, mark=";", **overrides):
    path = folder / "new.csv"
    path.write_text(HEAD.format(mark) + "".join(mark.join(row) + "\n" for row in rows))
    return plan_experiment(RetrainRequest("pumps", folder, folder, {"data.path": str(path), **overrides}), start).data


OLD = [("1", "13.02.2018", "1,5", "good"), ("1", "14.02.2018", "2,5", "worn"), ("1", "15.02.2018", "3,5", "good")]


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_day_first_and_the_decimal_comma_stay(tmp_path, mark):
    """Alone, the new rows would be read month first, and their numbers as thousands."""
    start = champion(tmp_path, OLD, mark)
    data = planned(start, tmp_path, [("1", "01.03.2018", "1,500", "good"), ("1", "02.03.2018", "2,500", "worn")], mark)
    series = load_series(data)
    assert series.time.astype("datetime64[D]").astype(str).tolist() == ["2018-03-01", "2018-03-02"]
    np.testing.assert_array_equal(series.values[:, 0], [1.5, 2.5])
    assert (data.delimiter, data.date_format, data.decimal) == (mark, "%d.%m.%Y", ",")


def test_the_positive_class_stays(tmp_path):
    """The rarer class of the new rows is another one."""
    start = champion(tmp_path, OLD)
    assert start.schema.classes == ("good", "worn")
    rows = [(unit, day, heat, {"good": "worn", "worn": "good"}[state]) for unit, day, heat, state in OLD]
    assert load_series(planned(start, tmp_path, rows)).schema.classes == ("good", "worn")


def test_a_table_written_otherwise_is_refused_and_an_option_says_so(tmp_path):
    start = champion(tmp_path, OLD)
    rows = [("1", "2018-03-01", "1.5", "good"), ("1", "2018-03-02", "2.5", "worn")]
    with pytest.raises(DataError, match=r"Column 'heat' .* holds text such as '1\.5' where a number is expected"):
        load_series(planned(start, tmp_path, rows))
    options = {"data.date_format": "ISO8601", "data.decimal": ".", "data.thousands": "null"}
    assert load_series(planned(start, tmp_path, rows, **options)).values[:, 0].tolist() == [1.5, 2.5]


def test_what_the_configuration_says_stays(tmp_path):
    start = champion(tmp_path, OLD, delimiter=";", positive="good")
    data = planned(start, tmp_path, OLD)
    assert data.positive == "good" and data.delimiter == ";"


def series_of_files(folder, units, rows=4):
    folder.mkdir()
    for unit in units:
        lines = [f"{day:02d}.02.2018;{day}" + (",5" if day else "") + ";1" for day in range(1, rows + 1)]
        (folder / f"pump{unit}.csv").write_text("day;heat;wear\n" + "\n".join(lines) + "\n")
    return folder


def start_of(data):
    experiment = config.from_dict({"name": "pumps", "data": data})
    return Start(experiment, None, "", Path(), load_series(experiment.data).schema)


def replanned(start, folder, **overrides):
    return plan_experiment(RetrainRequest("pumps", folder, folder, overrides), start).data


def test_a_folder_of_files_is_read_as_the_folder_before(tmp_path):
    """Decimal commas and days first are those of the champion; the new folder has other files."""
    old = series_of_files(tmp_path / "old", (1, 2))
    start = start_of({"source": "table", "path": str(old), "time": "day", "targets": ["wear"], "unit": "file"})
    new = series_of_files(tmp_path / "new", (1, 2, 3))
    series = load_series(replanned(start, tmp_path, **{"data.path": str(new)}))
    assert series.unit_ids.tolist() == ["pump1", "pump2", "pump3"]
    assert series.time.astype("datetime64[D]").astype(str).tolist()[:2] == ["2018-02-01", "2018-02-02"]
    np.testing.assert_array_equal(series.unit_values(2)[:, 0], [1.5, 2.5, 3.5, 4.5])


def test_a_wide_table_stays_wide(tmp_path):
    def write(name, columns):
        path = tmp_path / name
        rows = [";".join([f"{day:02d}.02.2018", *(f"{day + k},5" for k in range(len(columns)))]) for day in range(1, 7)]
        path.write_text(";".join(["day", *columns]) + "\n" + "\n".join(rows) + "\n")
        return path

    data = {"source": "table", "path": str(write("old.csv", ["a", "b"])), "time": "day", "wide": "columns"}
    start = start_of({**data, "unit": "series", "targets": ["value"], "windows": {"horizon": 1}, "task": "forecast"})
    planned = replanned(start, tmp_path, **{"data.path": str(write("new.csv", ["a", "b", "c"]))})
    series = load_series(planned)
    assert planned.wide.shape == "columns" and series.unit_ids.tolist() == ["a", "b", "c"]
    assert series.values[:, 0].tolist()[:2] == [1.5, 2.5]


def plant_rows(folder, monkeypatch):
    """Rows of three pumps, which table "readings" of "plant.db" holds."""
    import sqlite3

    monkeypatch.setenv("KERAS_SEQ_STORES", str(folder / "stores"))
    rows = [(f"p{unit}", day, day * 0.5, day * 0.1) for unit in range(3) for day in range(10)]
    with sqlite3.connect(folder / "plant.db") as connection:
        connection.execute("CREATE TABLE readings (pump TEXT, day INTEGER, heat REAL, wear REAL)")
        connection.executemany("INSERT INTO readings VALUES (?, ?, ?, ?)", rows)
    connection.close()
    return rows


def test_a_champion_of_a_database_takes_new_rows_of_it(tmp_path, monkeypatch):
    plant_rows(tmp_path, monkeypatch)
    data = {"source": "sql", "path": str(tmp_path / "plant.db"), "table": "readings", "unit": "pump", "time": "day"}
    start = start_of({**data, "targets": ["wear"]})
    planned = replanned(start, tmp_path, **{"data.query": "SELECT * FROM readings WHERE day >= 4"})
    assert (planned.source, planned.table) == ("sql", None)
    assert load_series(planned).lengths.tolist() == [6, 6, 6]


def test_a_champion_of_a_file_takes_rows_of_a_database_and_the_other_way_round(tmp_path, monkeypatch):
    rows = plant_rows(tmp_path, monkeypatch)
    path = tmp_path / "rows.csv"
    path.write_text("pump,day,heat,wear\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    roles = {"unit": "pump", "time": "day", "targets": ["wear"]}
    database = {"data.source": "sql", "data.url": f"sqlite:///{tmp_path / 'plant.db'}", "data.table": "readings"}
    of_rows = load_series(replanned(start_of({"source": "table", "path": str(path), **roles}), tmp_path, **database))
    assert (
        of_rows.content()
        == load_series(config.from_dict({"data": {"source": "table", "path": str(path), **roles}}).data).content()
    )
