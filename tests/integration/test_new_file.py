"""A bundle is judged on a new labelled file as it is, and its official files each by name."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from keras_seq import cli, config
from keras_seq.commands.evaluate import main
from keras_seq.errors import ConfigError, DataError
from keras_seq.pipeline.evaluate import evaluate, evaluate_file
from keras_seq.pipeline.predict import answer_file
from keras_seq.pipeline.train import train

QUICK = {"evaluation": {"baseline": False}, "tracking": {"backend": "none"}, "export": {"saved_model": False}}


def rows(seed, count, units=("a",)):
    """y follows x with noise; an hour a row."""
    rng = np.random.default_rng(seed)
    parts = []
    for unit in units:
        x = rng.normal(size=count)
        hours = pd.date_range("2024-01-01", periods=count, freq="h")
        parts.append(pd.DataFrame({"unit": unit, "hour": hours, "x": x, "y": 3 * x + rng.normal(0, 0.1, count)}))
    return pd.concat(parts, ignore_index=True)


def write(table, path):
    """As people in many countries do."""
    table.to_csv(path, index=False, sep=";", decimal=",")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new_file")
    write(rows(0, 300), folder / "train.csv")
    for number in (1, 2):
        write(rows(number, 60), folder / f"test{number}.csv")
    data = {"source": "table", "path": str(folder / "train.csv"), "unit": "unit", "time": "hour", "targets": ["y"]}
    data |= {"features": ["x"], "windows": {"mode": "sliding", "length": 3, "pad_short": False}}
    data |= {"test_path": [str(folder / "test1.csv"), str(folder / "test2.csv")]}
    data |= {"split": {"by": "official", "validation": 0.2}}
    tree = {"name": "new", "output": str(folder / "runs"), "data": data, "model": {"family": "ridge"}, **QUICK}
    return train(config.from_dict(tree), quiet=True), folder


def test_each_official_file_is_judged_by_name(run):
    made, folder = run
    by_file = made.metrics["test_files"]
    assert set(by_file) == {"test1", "test2"} and by_file["test1"]["rmse"] != by_file["test2"]["rmse"]
    squares = [58 * by_file[name]["rmse"] ** 2 for name in by_file]
    assert made.metrics["test"]["rmse"] == pytest.approx(np.sqrt(sum(squares) / 116), rel=1e-5)
    for name, own in by_file.items():
        alone = evaluate_file(made.bundle, folder / f"{name}.csv")
        assert alone.answers == 58 and alone.metrics["rmse"] == pytest.approx(own["rmse"], rel=1e-5)


def test_a_new_file_is_judged_as_it_is(run, tmp_path, capsys):
    """The truth laid by hand beside the answers of predict at every row; a short unit is named."""
    made, _ = run
    table = pd.concat([rows(7, 50, units=("01", "1", "NA")), rows(8, 2, units=("short",))])
    path = write(table, tmp_path / "may.csv")
    from keras_seq.bundle import load_bundle

    answers = answer_file(load_bundle(made.bundle), path, every=1)
    assert answers.table["unit"].unique().tolist() == ["01", "1", "NA"]
    truth = table.assign(hour=table["hour"].astype(str)).merge(
        answers.table, on=["unit", "hour"], suffixes=("", "_told")
    )
    assert len(truth) == 3 * 48
    by_hand = float(np.sqrt(np.mean((truth["y"] - truth["y_told"]) ** 2)))
    judged = evaluate_file(made.bundle, path)
    assert judged.metrics["rmse"] == pytest.approx(by_hand, rel=1e-4) and judged.answers == 144
    assert [one.unit for one in judged.refused] == ["short"]
    assert cli.run(main, [str(made.bundle), str(path), "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["refused"][0]["unit"] == "short" and document["metrics"]["rmse"] == pytest.approx(by_hand, rel=1e-4)
    assert "'short' has 2 rows" in captured.err


def test_a_file_without_labels_or_rows_enough(run, tmp_path):
    made, _ = run
    with pytest.raises(DataError, match="lacks the target column 'y'"):
        evaluate_file(made.bundle, write(rows(3, 20).drop(columns="y"), tmp_path / "a.csv"))
    with pytest.raises(DataError, match="holds no value of y"):
        evaluate_file(made.bundle, write(rows(3, 20).assign(y=np.nan), tmp_path / "b.csv"))
    with pytest.raises(DataError, match=r"No unit .* can be judged: 1 unit was not answered: 'a' has 2 rows"):
        evaluate_file(made.bundle, write(rows(3, 2), tmp_path / "c.csv"))


def test_another_file_is_not_divided_again(run, tmp_path):
    """Even one of as many rows, whose split looks like the bundle's own."""
    made, _ = run
    path = write(rows(9, 300), tmp_path / "train.csv")
    with pytest.raises(DataError, match=r"divided into train, validation and test again.*evaluate .*train\.csv"):
        evaluate(made.bundle, overrides={"data.path": str(path)})
    with pytest.raises(ConfigError, match="concerns the bundle's own data"):
        main([str(made.bundle), str(path), "--data.impute", "forward"])
    with pytest.raises(ConfigError, match="--part"):
        main([str(made.bundle), str(path), "--part", "train"])


def test_the_same_file_elsewhere_is_its_own(run, tmp_path):
    made, folder = run
    (tmp_path / "moved.csv").write_bytes((folder / "train.csv").read_bytes())
    found = evaluate(made.bundle, overrides={"data.path": str(tmp_path / "moved.csv")})
    assert found["rmse"] == pytest.approx(made.metrics["test"]["rmse"], rel=1e-5)
