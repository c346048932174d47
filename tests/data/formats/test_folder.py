"""Folders and patterns: a file a unit, parts and classes by sub-folders, labels by unit, other files passed over."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.config import DataConfig, SplitConfig, WindowsConfig
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.formats.converted import parquet_of
from keras_seq.data.home import data_home
from keras_seq.data.reading.batches import column_roles
from keras_seq.data.reading.settle import settle_table
from keras_seq.data.sources import load_series
from keras_seq.data.table_rows import read_rows
from keras_seq.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def stores(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path_factory.mktemp("stores")))


def rows(*values, head="t,x,y"):
    return f"{head}\n" + "".join(f"{i},{x},{x * 2}\n" for i, x in enumerate(values))


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "run10.csv").write_text(rows(7, 8))
    (folder / "run2.csv").write_text(rows(1, 2, 3))
    (folder / "run1.csv").write_text("y,t,x\n10,0,5\n")
    for name in ("README.txt", "SOURCE.md", ".DS_Store", "empty.csv"):
        (folder / name).write_text("" if name == "empty.csv" else "about")
    return folder


def config(path, **options):
    return DataConfig(source="table", path=str(path), **({"targets": ("y",)} | options))


def remarks(data):
    facts = settle_table_of(data)
    return "; ".join(column_roles(facts.path, facts.reading).remarks)


def settle_table_of(data):
    from pathlib import Path

    return settle_table(Path(data.path), data)


def test_a_file_is_a_unit_in_natural_order(runs):
    data = config(runs, time="t")
    series = load_series(data)
    assert series.unit_ids.tolist() == ["run1", "run2", "run10"] and series.schema.unit_column == "file"
    assert series.lengths.tolist() == [1, 3, 2] and series.schema.features == ("x",)
    assert series.values[:, 0].tolist() == [5, 1, 2, 3, 7, 8] and series.targets[:, 0].tolist()[:2] == [10, 2]
    assert remarks(data) == "holds files that are no tables and passed over: README.txt, SOURCE.md, empty.csv"


def test_a_pattern_takes_the_files_that_it_fits(runs):
    assert load_series(config(runs / "run1*.csv", time="t")).unit_ids.tolist() == ["run1", "run10"]


def test_numbers_are_written_alike_in_all_files(tmp_path):
    for name, x in (("a", "1.000,5"), ("b", "2,25")):
        (tmp_path / f"{name}.csv").write_text(f"x;y\n{x};3\n")
    assert load_series(config(tmp_path)).values[:, 0].tolist() == [1000.5, 2.25]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,x\n0,1\n", r"run3.csv' has no column 'y', which 'run1.csv' has"),
        ("t;x;y\n0;1;2\n", r"run3.csv'.*separated by ';'|run3.csv' has no column"),
        ("t,x,y\n0,1,2\n1,bad,3\n", r"Column 'x' of .*got 'bad' \(row 2 of file 'run3'\)"),
        ("t,x,y\n0,1\n", r"Line 2 of '.*run3.csv' has 2 columns, the header has 3"),
    ],
)
def test_a_file_that_differs_is_named(runs, text, message):
    (runs / "run3.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_series(config(runs, time="t"))


def test_own_units_get_the_file_s_name_in_front(tmp_path):
    for name in ("north", "south"):
        (tmp_path / f"{name}.csv").write_text("id,x,y\n01,1,2\n01,2,3\n1,4,5\n")
    series = load_series(config(tmp_path, unit="id"))
    assert series.unit_ids.tolist() == ["north/01", "north/1", "south/01", "south/1"]
    assert series.schema.features == ("x",)


def test_sub_folders_of_parts_are_the_official_split(tmp_path):
    for part, names in (("train", "abc"), ("test", "de")):
        (tmp_path / part).mkdir()
        for name in names:
            (tmp_path / part / f"{name}.csv").write_text(rows(1, 2, 3))
    series = load_series(config(tmp_path, part="part", time="t", split=SplitConfig(by="official")))
    assert dict(zip(series.unit_ids.tolist(), series.official.tolist(), strict=True)) == {
        **dict.fromkeys("abc", "train"),
        **dict.fromkeys("de", "test"),
    }


def test_sub_folders_of_classes_are_the_target(tmp_path):
    for kind, names in (("normal", "ab"), ("faulty", "a")):
        (tmp_path / kind).mkdir()
        for name in names:
            (tmp_path / kind / f"{name}.csv").write_text(rows(1, 2))
    series = load_series(config(tmp_path, targets=(), time="t"))
    assert series.unit_ids.tolist() == ["faulty/a", "normal/a", "normal/b"]
    assert series.schema.task == "binary" and series.schema.target_per == "unit"
    assert [series.schema.classes[int(one)] for one in series.targets[:, 0]] == ["faulty", "normal", "normal"]


def test_files_of_the_same_content_are_told(runs):
    (runs / "run4.csv").write_text(rows(1, 2, 3))
    assert "holds the same content 2 times: run2, run4" in remarks(config(runs, time="t"))


def test_labels_by_unit_are_joined(runs):
    (runs / "labels.csv").write_text("name,life\nrun1.csv,5\nrun10,7\nrun99,3\n")
    data = config(runs, labels="labels.csv", targets=(), features=("x",), time="t")
    series = load_series(data)
    assert series.schema.targets == ("life",) and series.schema.target_per == "unit"
    np.testing.assert_array_equal(series.targets[:, 0], [5, np.nan, 7])
    told = remarks(data)
    assert "1 of its units have no label there (run2)" in told and "1 labels belong to no unit of it (run99)" in told


def test_several_labels_are_inputs_only_when_named(runs):
    (runs / "labels.csv").write_text("file,life,age\nrun1,5,1\nrun2,4,2\nrun10,7,3\n")
    series = load_series(config(runs, labels="labels.csv", targets=("life",), features=("x", "age"), time="t"))
    assert series.schema.target_per == "unit" and series.values[:, 1].tolist() == [1, 2, 2, 2, 3, 3]
    assert "age" not in load_series(config(runs, labels="labels.csv", targets=("life",), time="t")).schema.features


def test_labels_that_are_not_there_are_refused(runs):
    with pytest.raises(ConfigError, match=r"data\.labels='none.csv' is no file"):
        load_series(config(runs, labels="none.csv"))


@pytest.mark.parametrize(("labels", "hint"), [
    ("name,life\nA,5\nB,7\n", r"so no row would have a label\. Write"),
    ("name,life\nRUN_01,5\nrun_02,7\n", r"'run1' here may be 'RUN_01' there"),
])  # fmt: skip
def test_labels_of_other_units_are_refused_with_units_of_both(runs, labels, hint):
    (runs / "labels.csv").write_text(labels)
    names = r"None of the 3 units of .* \(column 'file': run1, run2, run10\) stands in 'labels.csv' \(column 'name': "
    with pytest.raises(DataError, match=f"{names}.*{hint}"):
        load_series(config(runs, labels="labels.csv", targets=("life",), features=("x",), time="t"))


def test_units_of_a_file_and_new_ones_without_labels(tmp_path):
    table, labels = tmp_path / "t.csv", tmp_path / "labels.csv"
    table.write_text("pump,t,x\n" + "".join(f"p{i},{t},{t * i}\n" for i in range(4) for t in range(5)))
    labels.write_text("pump,life\n" + "".join(f"p{i},{i}\n" for i in range(4)))
    data = config(table, labels=str(labels), targets=("life",), features=("x",), time="t", unit="pump")
    schema = load_series(data).schema
    new = tmp_path / "new.csv"
    new.write_text("pump,t,x\n" + "".join(f"q,{t},{t}\n" for t in range(5)))
    assert read_rows(new, schema, CovariatesConfig()).series.unit_ids.tolist() == ["q"]  # nothing is asked of labels
    labels.write_text("pump,life\nx0,1\n")
    with pytest.raises(DataError, match=r"None of the 4 units of .*p0, p1, p2, p3.* stands in .*x0; data.labels"):
        load_series(data)


def test_new_files_are_read_by_the_schema(runs, tmp_path):
    schema = load_series(config(runs, time="t")).schema
    new = tmp_path / "new"
    new.mkdir()
    (new / "b.csv").write_text("t,x\n0,1\n1,2\n")
    (new / "a.csv").write_text("t,x,note\n0,3,?\n".replace(",note", "").replace(",?", ""))
    found = read_rows(new, schema, CovariatesConfig()).series
    assert found.unit_ids.tolist() == ["a", "b"] and found.values[:, 0].tolist() == [3, 1, 2]
    alone = read_rows(new / "b.csv", schema, CovariatesConfig()).series
    assert alone.unit_ids.tolist() == ["b"] and alone.values[:, 0].tolist() == [1, 2]


def test_it_is_converted_anew_when_a_file_changes(runs):
    data = config(runs, time="t")
    reading = settle_table_of(data).reading
    first = parquet_of(runs, reading)
    assert parquet_of(runs, reading) == first
    (runs / "run2.csv").write_text(rows(1, 2, 4))
    assert parquet_of(runs, reading) != first


def test_nasa_battery_is_four_units():
    folder = data_home() / "nasa_battery"
    if not folder.is_dir():
        pytest.skip("nasa_battery is not in the data home")
    series = load_series(config(folder, targets=("soh",), windows=WindowsConfig(mode="sliding", length=8)))
    lines = [len((folder / f"{name}.csv").read_text().strip().splitlines()) - 1 for name in series.unit_ids]
    assert series.unit_ids.tolist() == ["B0005", "B0006", "B0007", "B0018"] and series.lengths.tolist() == lines


def test_a_folder_for_a_model_of_one_file_is_a_unit_a_file(runs, tmp_path):
    (tmp_path / "one.csv").write_text(rows(1, 2, 3, 4))
    schema = load_series(config(tmp_path / "one.csv", time="t")).schema
    found = read_rows(runs, schema, CovariatesConfig()).series
    assert schema.unit_column is None and found.unit_ids.tolist() == ["run1", "run2", "run10"]
