"""Answers into a table: by key, once, all of them or none."""

from __future__ import annotations

import sqlite3

import numpy as np
import pandas as pd
import pytest

from keras_seq.data.databases.answers import AnswersTarget, write_answers
from keras_seq.errors import ConfigError, DataError


def answers(rows=4, shift=0.0):
    return pd.DataFrame(
        {
            "pump": [f"p{i % 2}" for i in range(rows)],
            "at": pd.to_datetime(["2026-03-01 12:00"] * 2 + ["2026-03-02 12:00"] * (rows - 2)),
            "wear": np.arange(rows, dtype=np.float32) / 10 + np.float32(shift),
            "wear_lower": np.array([0.1, np.nan] * (rows // 2)),
            "class": ["good"] * rows,
        }
    )


def target(path, **changes):
    return AnswersTarget(**{"url": f"sqlite:///{path}", "table": "answers", "key": ("pump", "at")} | changes)


def rows_of(path, table="answers"):
    with sqlite3.connect(path) as connection:
        return connection.execute(f'SELECT * FROM "{table}" ORDER BY 1, 2').fetchall()


def test_a_second_run_writes_nothing_twice(tmp_path):
    path = tmp_path / "a.db"
    assert write_answers(answers(), target(path)) == 4
    first = rows_of(path)
    assert first[0] == ("p0", "2026-03-01 12:00:00.000000", 0.0, 0.1, "good")
    assert first[2][2:4] == (0.1, None)  # float32 by its digits, NaN as NULL
    assert write_answers(answers(), target(path)) == 0
    assert rows_of(path) == first
    assert write_answers(answers(shift=1.0), target(path)) == 0
    assert [row[2] for row in rows_of(path)] == [1.0, 1.2, 1.1, 1.3]
    assert len(rows_of(path)) == 4


def test_a_table_without_a_constraint_takes_them_by_deleting(plant):
    path = plant('CREATE TABLE answers (pump TEXT, "at" TEXT, wear REAL, wear_lower REAL, "class" TEXT, note TEXT)')
    assert write_answers(answers(), target(path)) == 4
    assert write_answers(answers(shift=1.0), target(path)) == 0
    assert [row[2] for row in rows_of(path)] == [1.0, 1.2, 1.1, 1.3] and rows_of(path)[0][5] is None


def test_names_are_quoted(tmp_path):
    name = 'x"; DROP TABLE readings; --'
    table = answers().rename(columns={"pump": "pump %s :a", "wear": 'we"ar'})
    where = target(tmp_path / "a.db", table=name, key=("pump %s :a", "at"))
    assert write_answers(table, where) == 4 and write_answers(table, where) == 0
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [(name,)]


def test_all_of_them_or_none(tmp_path, monkeypatch):
    """An error half-way leaves neither rows nor the table."""
    import keras_seq.data.databases.answers as module

    path = tmp_path / "a.db"
    whole = module._rows

    def breaks(table, dialect):
        yield next(whole(table, dialect))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_rows", breaks)
    with pytest.raises(KeyboardInterrupt):
        write_answers(answers(), target(path))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


@pytest.mark.parametrize(
    ("key", "match"),
    [
        (("pmup",), "no column 'pmup', named by --key; did you mean 'pump'"),
        (
            ("pump",),
            r"--key pump does not tell the answers apart: 2 rows .* \(pump=p0\). Add a column to it, such as at",
        ),
        (("pump", "wear_lower"), "Column 'wear_lower' .* is empty in some rows"),
    ],
)
def test_a_key_must_be_one(tmp_path, key, match):
    with pytest.raises(ConfigError, match=match):
        write_answers(answers(), target(tmp_path / "a.db", key=key))


def test_a_table_must_have_the_columns(plant):
    path = plant("CREATE TABLE answers (pump TEXT, at TEXT, weer REAL)")
    with pytest.raises(DataError, match=r"Table 'answers' \(--to-table\) .* no column 'wear' \(3 of 5.*mean 'weer'"):
        write_answers(answers(), target(path))


def test_times_with_a_zone_stay_what_they_are(tmp_path):
    table = answers().assign(at=lambda frame: frame["at"].dt.tz_localize("Europe/Berlin"))
    assert write_answers(table, target(tmp_path / "a.db")) == 4
    assert rows_of(tmp_path / "a.db")[0][1] == "2026-03-01T12:00:00+01:00"
    assert write_answers(table, target(tmp_path / "a.db")) == 0
