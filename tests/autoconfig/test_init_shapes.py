"""Folders, labels and wide tables in ``init``: what it finds, and the note on a table that looks wide."""

from __future__ import annotations

import pytest

from keras_seq.autoconfig.look import look
from keras_seq.errors import ConfigError


@pytest.fixture(autouse=True)
def stores(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path_factory.mktemp("stores")))


def choices(findings):
    return {choice.key: choice for choice in findings.choices}


def wide_table(path, names):
    lines = [
        f"2020-01-{day:02},{','.join(str(day * i % 7 + i) for i in range(1, len(names) + 1))}" for day in range(1, 29)
    ]
    path.write_text(f"day,{','.join(names)}\n" + "\n".join(lines) + "\n")
    return path


def test_a_table_that_looks_wide_is_told_where_the_target_is_asked_for(tmp_path):
    path = wide_table(tmp_path / "a.csv", ["store_1", "store_2", "store_3"])
    with pytest.raises(ConfigError, match=r"Which column .* Or is the table wide\? 3 columns .*--data.wide true"):
        look(path, tmp_path / "a.yaml")
    findings = look(path, tmp_path / "a.yaml", targets=("store_1",))
    assert "--data.wide true" in choices(findings)["data.path"].instead
    assert any("--data.wide true" in note for note in findings.notes)


def test_columns_of_one_thing_are_not_taken_for_series(tmp_path):
    findings = look(wide_table(tmp_path / "a.csv", ["load", "wind", "sun"]), tmp_path / "a.yaml", targets=("load",))
    assert not choices(findings)["data.path"].instead


def test_a_wide_table_is_forecast_series_by_series(tmp_path):
    path = wide_table(tmp_path / "a.csv", ["A", "B", "C"])
    findings = look(path, tmp_path / "a.yaml", horizon=2, reading={"wide": {"shape": "columns"}})
    found = {key: choice.value for key, choice in choices(findings).items()}
    assert (found["data.unit"], found["data.targets"], found["data.task"]) == ("series", ["value"], "forecast")


def test_a_folder_with_labels(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    for unit in range(12):
        (runs / f"r{unit}.csv").write_text("t,x\n" + "".join(f"{i},{(i * 3 + unit) % 11}\n" for i in range(9)))
    (runs / "labels.csv").write_text("run,state\n" + "".join(f"r{i},{'good' if i % 2 else 'bad'}\n" for i in range(12)))
    findings = look(runs, tmp_path / "a.yaml", reading={"labels": "labels.csv"})
    found = {key: choice.value for key, choice in choices(findings).items()}
    assert (found["data.unit"], found["data.targets"], found["data.task"]) == ("file", ["state"], "binary")
    assert found["data.labels"] == "labels.csv"
