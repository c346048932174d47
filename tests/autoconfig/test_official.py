"""Parts that come with a table: files named as train and test, a column of parts."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from keras_seq import config
from keras_seq.commands import init
from keras_seq.data.prepare import prepare

ROWS = "".join(f"{i / 7:.3f},{(i * 37) % 11},{(i * 5) % 3}\n" for i in range(60))


def made(name, *words):
    init.main([name, "--out", "made.yaml", "--target", "y", "--task", "regression", *words])
    with open("made.yaml") as file:
        return yaml.safe_load(file)


@pytest.mark.parametrize(
    ("train", "others", "wanted"),
    [
        ("pump_train.csv", ["pump_test.csv"], ["pump_test.csv"]),
        ("datatraining.txt", ["datatest.txt", "datatest2.txt"], ["datatest.txt", "datatest2.txt"]),
        ("X_TRAIN.csv", ["X_TEST.csv", "Y_TEST.csv"], ["X_TEST.csv"]),
        ("train.csv", ["test.csv", "contest.csv", "test.csv.bak"], ["test.csv"]),
        ("strain.csv", ["stest.csv"], None),
        ("trained.csv", ["tested.csv"], None),
    ],
)
def test_files_named_as_test_parts(here, train, others, wanted):
    for name in (train, *others):
        (here / name).write_text("a,b,y\n" + ROWS)
    data = made(train)["data"]
    assert data.get("test_path") == wanted
    assert (data["split"]["by"] == "official") == (wanted is not None)


def test_a_validation_file_is_named_too_and_both_are_used(here):
    for name in ("train.csv", "valid.csv", "test.csv"):
        (here / name).write_text("a,b,y\n" + ROWS)
    tree = made("train.csv")
    assert tree["data"]["validation_path"] == ["valid.csv"] and "validation" not in tree["data"]["split"]
    prepared = prepare(config.from_dict(tree).data)
    assert [len(part) for _, part in prepared.splits.items()] == [1, 1, 1]


def test_a_column_of_parts_is_no_input(here):
    parts = ["train"] * 7 + ["test"] * 2
    lines = [f"u{unit},{part},{row * 5 % 7},{row * unit}" for unit, part in enumerate(parts) for row in range(12)]
    (here / "table.csv").write_text("id,fold,a,y\n" + "\n".join(lines) + "\n")
    tree = made("table.csv", "--unit", "id")
    assert tree["data"]["part"] == "fold" and tree["data"]["features"] == ["a"]
    prepared = prepare(config.from_dict(tree).data)
    assert np.unique(prepared.series.unit_ids[prepared.splits.test.units]).tolist() == ["u7", "u8"]
