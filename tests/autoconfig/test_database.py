"""``init`` of rows of a database, and how the configuration names them."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from keras_seq import config
from keras_seq.autoconfig import database
from keras_seq.autoconfig.database import is_database, read_database
from keras_seq.commands import init
from keras_seq.data.sources.registry import load_series
from keras_seq.errors import ConfigError


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """An SQLite file with eight pumps, their rows in any order."""
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path / "stores"))
    monkeypatch.chdir(tmp_path)
    rows = [(f"p{u}", t, float(np.sin(t / 5) + u), t / 100 + u) for u in range(8) for t in range(40)]
    order = np.random.default_rng(0).permutation(len(rows))
    with sqlite3.connect("plant.db") as connection:
        connection.execute("CREATE TABLE readings (pump TEXT, t INTEGER, load REAL, wear REAL)")
        connection.executemany("INSERT INTO readings VALUES (?, ?, ?, ?)", [rows[i] for i in order])
    connection.close()


@pytest.mark.parametrize(
    "words",
    [
        ["sqlite:///plant.db", "--table", "readings", "--unit", "pump", "--time", "t"],
        ["plant.db", "--table", "readings", "--unit", "pump", "--time", "t"],
        ["sqlite:///plant.db", "--query", "SELECT * FROM readings ORDER BY pump, t"],
    ],
    ids=["table", "file", "query"],
)
def test_init_of_a_database_writes_what_training_reads(plant, words, capsys):
    assert init.main([*words, "--target", "wear", "--budget", "0", "--out", "made.yaml"]) == 0
    assert f"of {words[0]}: 320 rows, 4 columns" in capsys.readouterr().out
    data = config.load("made.yaml").data
    assert (data.source, data.unit, data.time, data.targets) == ("sql", "pump", "t", ("wear",))
    assert (data.query or data.table) == words[2] and (data.url or data.path) == words[0]
    assert load_series(data).lengths.tolist() == [40] * 8


def test_a_database_needs_rows(plant, capsys):
    with pytest.raises(ConfigError, match=r"'postgresql://lab:\*\*\*@h/plant' is a database; say which rows: --table"):
        read_database("postgresql://lab:s3cret@h/plant", {})
    with pytest.raises(ConfigError, match="both are given"):
        read_database("plant.db", {"query": "SELECT 1", "table": "readings"})


def test_no_password_is_written_down(monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_SQL_PASSWORD", "")
    monkeypatch.setattr(database, "table_path", lambda data: data)
    table = read_database("postgresql://lab:s3cret@h/plant", {"table": "readings", "table_schema": "lab"})
    assert table.options["url"] == "postgresql://lab:***@h/plant" and "s3cret" not in repr(table)
    assert table.words == ("postgresql://lab:***@h/plant", "--table", "readings", "--table-schema", "lab")


def test_databases_are_told_from_files():
    assert is_database("postgresql+psycopg://lab@h/plant") and is_database("sqlite:///plant.db")
    assert not is_database("s3://plant/rows.csv") and not is_database("rows.csv")
