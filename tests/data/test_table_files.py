"""Test and validation rows from files of their own: read as the first, never joined to its units."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq import config
from keras_seq.config import DataConfig
from keras_seq.data.prepare import prepare
from keras_seq.data.sources.registry import load_series
from keras_seq.errors import ConfigError, DataError


def write(path, rows, unit=None, start=0):
    """A file of ``rows`` rows, semicolons and decimal commas, whose values tell file and row."""
    head = "u;t;a;y\n" if unit else "t;a;y\n"
    first = f"{unit};" if unit else ""
    path.write_text(head + "".join(f"{first}{start + i};{i},5;{start + i}\n" for i in range(rows)))
    return str(path)


def section(folder, **options):
    tree = {"source": "table", "path": str(folder / "train.csv"), "time": "t", "targets": ["y"]}
    tree |= {"split": {"by": "official", "validation": 0.25}, "windows": {"mode": "sliding", "length": 4}}
    return DataConfig.model_validate(tree | options)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train.csv", 40)
    write(tmp_path / "test1.csv", 12, start=100)
    write(tmp_path / "test2.csv", 9, start=50)
    write(tmp_path / "held.csv", 8, start=500)
    return tmp_path


def test_two_test_files_beside_one_training_file(folder):
    prepared = prepare(section(folder, test_path=[str(folder / "test1.csv"), str(folder / "test2.csv")]))
    series, parts = prepared.series, dict(prepared.splits.items())
    assert series.unit_ids.tolist() == ["train", "test1 (test 1)", "test2 (test 2)"]
    assert (parts["train"].first[0], parts["train"].last[0]) == (0, 30)
    assert (parts["validation"].first[0], parts["validation"].last[0]) == (30, 40)
    assert parts["test"].units.tolist() == [1, 2] and parts["test"].rows == 21
    assert series.info["test_files"] == {"test1": [1, 2], "test2": [2, 3]}
    index = prepared.index["test"]
    assert (series.offsets[index.unit] <= index.start).all()  # no window crosses from file to file
    np.testing.assert_array_equal(series.values[40:43, 0], [0.5, 1.5, 2.5])
    assert prepared.spec.target_mean[0] == pytest.approx(np.arange(30).mean())  # fitted on train only


def test_a_validation_file(folder):
    prepared = prepare(section(folder, test_path=str(folder / "test1.csv"), validation_path=str(folder / "held.csv")))
    assert [part.units.tolist() for _, part in prepared.splits.items()] == [[0], [1], [2]]


def test_a_unit_of_two_files_is_two_units(tmp_path):
    write(tmp_path / "train.csv", 20, unit="p")
    write(tmp_path / "test1.csv", 12, unit="p", start=20)
    series = load_series(section(tmp_path, unit="u", test_path=str(tmp_path / "test1.csv")))
    assert series.unit_ids.tolist() == series.groups.tolist() == ["p", "p (test 1)"]


def test_files_of_one_stem_are_named_by_their_path(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "rows.csv", 12, start=100)
    write(tmp_path / "train.csv", 40)
    paths = [str(tmp_path / name / "rows.csv") for name in ("a", "b")]
    series = load_series(section(tmp_path, test_path=paths))
    assert list(series.info["test_files"]) == paths and len(set(series.unit_ids.tolist())) == 3


@pytest.mark.parametrize(("text", "message"), [
    ("t;a\n1;2\n", "lacks the target column 'y'"),
    ("t;y\n1;2\n", "lacks the input column 'a'"),
    ("t,a,y\n1,2,3\n", "separated by ','"),
    ("t;a;y\n1;warm;3\n", "'a'.*'warm'"),
    ("t;a;y\n2;1;3\n1;1;3\n3;1;3\n", "'t' of unit 'test1' does not rise at row 2"),
])  # fmt: skip
def test_a_file_that_deviates_is_refused(folder, text, message):
    (folder / "test1.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_series(section(folder, test_path=str(folder / "test1.csv")))


def test_labels_are_those_of_the_first_file(folder):
    for name in ("train", "test1"):
        (folder / f"{name}.csv").write_text(
            "t;a;y\n" + "".join(f"{i};{i};{'good' if i % 2 else 'NA'}\n" for i in range(12))
        )
    series = load_series(section(folder, test_path=str(folder / "test1.csv")))
    np.testing.assert_array_equal(series.targets[:12], series.targets[12:])
    (folder / "test1.csv").write_text("t;a;y\n0;1;worn\n")
    with pytest.raises(DataError, match="label 'worn' in data row 1"):
        load_series(section(folder, test_path=str(folder / "test1.csv")))


def test_a_file_named_twice_is_refused(folder):
    with pytest.raises(ConfigError, match="named twice"):
        load_series(section(folder, test_path=str(folder / "train.csv")))


def test_shards_are_of_one_table(folder):
    from keras_seq.data.store.plan import input_files

    with pytest.raises(ConfigError, match=r"shards are written of data\.path alone"):
        input_files(section(folder, test_path=str(folder / "test1.csv")))


@pytest.mark.parametrize(("options", "message"), [
    ({"data.test_path": "t.csv"}, "test_path is for source 'table'"),
    ({"data.source": "table", "data.test_path": "t.csv"}, "test_path needs data.split.by=official"),
    ({"data.source": "table", "data.validation_path": "t.csv", "data.split.by": "official"}, "needs test_path too"),
    ({"data.source": "table", "data.test_path": "t.csv", "data.split.by": "official", "data.cache": "false"}, "cache"),
])  # fmt: skip
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ConfigError, match=message):
        config.from_dict(config.override({}, options))
