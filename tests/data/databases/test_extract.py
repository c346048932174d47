"""Rows of SQLite files: read once a command, in the order of time, as the same rows of a CSV file."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.databases import extract as module
from keras_seq.data.databases.extract import forget_extracts, table_path
from keras_seq.data.prepare import prepare
from keras_seq.data.sources.registry import load_series
from keras_seq.data.store.cache import store_key
from keras_seq.errors import ConfigError, DataError

ROWS = [(f"p{u}", t, round(t * 0.5 + u, 2), round(t * 0.01 + u, 2)) for u in range(3) for t in range(40)]
TABLE = "CREATE TABLE readings (pump TEXT, t INTEGER, load REAL, wear NUMERIC(10,2))"
FILL = "INSERT INTO readings VALUES (?, ?, ?, ?)"
ROLES = {"unit": "pump", "time": "t", "targets": ("wear",)}


def shuffled(rows=ROWS):
    rows = list(rows)
    random.Random(3).shuffle(rows)
    return rows


def of_csv(tmp_path, rows=ROWS, **options):
    path = tmp_path / "readings.csv"
    path.write_text("pump,t,load,wear\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return load_series(DataConfig(source="table", path=str(path), **ROLES | options))


@pytest.mark.parametrize(
    "which", [{"table": "readings"}, {"query": "SELECT * FROM readings WHERE t >= 0;"}], ids=["table", "query"]
)
def test_rows_are_those_of_a_csv_file(plant, tmp_path, which):
    path = plant(TABLE, (FILL, shuffled()))
    series = load_series(DataConfig(source="sql", path=str(path), **which, **ROLES))
    same = of_csv(tmp_path)
    assert series.content() == same.content() and series.fingerprint() == same.fingerprint()
    assert series.schema.features == same.schema.features
    assert series.time.tolist() == same.time.tolist()


def test_a_url_and_columns_with_strange_names(plant):
    odd = 'the "load", in %s :t'
    quoted = odd.replace('"', '""')
    path = plant(
        f'CREATE TABLE "my readings" ("a b" TEXT, "when" INTEGER, "{quoted}" REAL, wear REAL)',
        ('INSERT INTO "my readings" VALUES (?, ?, ?, ?)', shuffled()),
    )
    config = DataConfig(
        source="sql", url=f"sqlite:///{path}", table="my readings", unit="a b", time="when", targets=("wear",)
    )
    series = load_series(config)
    assert series.schema.features == (odd,) and len(series.values) == 120
    named = load_series(config.model_copy(update={"features": (odd,)}))
    assert named.content() == series.content()
    query = config.model_copy(update={"table": None, "query": "SELECT * FROM \"my readings\" WHERE '%:x' <> ':y'"})
    assert load_series(query).content() == series.content()


def test_a_query_keeps_its_own_order(plant):
    """Days that are no ISO text rise otherwise than as texts."""
    days = [(f"{day:02d}.{month:02d}.2026", float(month), float(day)) for month in range(1, 7) for day in range(1, 29)]
    path = plant("CREATE TABLE r (at TEXT, load REAL, wear REAL)", ("INSERT INTO r VALUES (?, ?, ?)", days))
    query = "SELECT * FROM r ORDER BY substr(at, 7) || substr(at, 4, 2) || substr(at, 1, 2)"
    config = DataConfig(source="sql", path=str(path), query=query, time="at", targets=("wear",), date_format="%d.%m.%Y")
    assert load_series(config).time[[0, -1]].astype("M8[D]").astype(str).tolist() == ["2026-01-01", "2026-06-28"]


def test_without_a_time_the_key_orders_the_rows(plant):
    path = plant(
        "CREATE TABLE r (id INTEGER PRIMARY KEY, load REAL, wear REAL)",
        ("INSERT INTO r VALUES (?, ?, ?)", [(i, float(i), float(i)) for i in shuffled(range(50))]),
    )
    series = load_series(DataConfig(source="sql", path=str(path), table="r", features=("load",), targets=("wear",)))
    assert series.values[:, 0].tolist() == list(range(50))
    assert series.unit_ids.tolist() == ["r"]


def test_a_command_reads_once_and_the_next_one_sees_new_rows(plant, monkeypatch):
    path = plant(TABLE, (FILL, ROWS))
    config = DataConfig(source="sql", path=str(path), table="readings", **ROLES)
    first = table_path(config)
    with sqlite3.connect(path) as connection:
        connection.execute(FILL, ("p0", 40, 1.0, 1.0))
    connection.close()
    assert table_path(config) == first
    child = f"from keras_seq.data.databases.extract import extract; print(extract({module.select_rows(config)!r}))"
    code = "from keras_seq.data.databases.selection import Selection; " + child
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(first)  # a process that this one starts sees the same rows
    forget_extracts()
    second = table_path(config)
    assert second != first and second.name == "readings.parquet"
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM readings WHERE t = 40")
    connection.close()
    forget_extracts()
    assert table_path(config) == first  # what it was before is found again
    os.utime(second.parent, (0, 0))
    forget_extracts()
    table_path(config)
    assert not second.exists() and first.exists()  # long unused


def test_streamed_from_a_store(plant):
    path = plant(TABLE, (FILL, shuffled()))
    config = DataConfig(
        source="sql",
        path=str(path),
        table="readings",
        **ROLES,
        windows={"mode": "sliding", "length": 5},
        split={"test": 1, "validation": 1},
    )
    whole, streamed = prepare(config), prepare(config.model_copy(update={"cache": False}))
    assert np.array_equal(np.asarray(streamed.series.values), whole.series.values)
    assert whole.spec == streamed.spec
    assert store_key(config).startswith("readings-")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"table": "reading"}, DataError, "Table 'reading' of 'sqlite:.*' cannot be used: no such table: reading"),
        ({"query": "SELECT pmup FROM readings"}, DataError, "no such column: pmup.* Check data.table"),
        ({"query": "SELECT FROM"}, DataError, "syntax error"),
        (
            {"table": "readings", "unit": "pumpe"},
            ConfigError,
            "no column 'pumpe', named by data.unit; did you mean 'pump'",
        ),
        ({"table": "readings", "targets": ("ware",)}, ConfigError, "by data.targets; did you mean 'wear'"),
        ({"query": "SELECT *, load FROM readings"}, DataError, "names column 'load' twice"),
        ({"query": "SELECT * FROM readings WHERE t < 0"}, DataError, "The query .* has no rows"),
        ({"table": "readings", "path": "missing.db"}, DataError, "SQLite file '.*missing.db' does not exist"),
        ({"table": "r", "path": None, "url": "sqlite://"}, ConfigError, "in memory"),
        ({"table": "r", "path": None, "url": "nonsense"}, ConfigError, "must be a URL such as postgresql://"),
        ({"table": "r", "path": None, "url": "oracle://x/y"}, ConfigError, "needs the package 'oracledb'|'cx_Oracle'"),
        ({"table": "r", "path": None, "url": "mysql+pymysql://h/d"}, ConfigError, r"'pymysql'.*keras-seq\[sql\]"),
    ],
)
def test_what_cannot_be_read_is_one_paragraph(plant, options, error, match):
    path = plant(TABLE, (FILL, ROWS))
    with pytest.raises(error, match=match) as told:
        load_series(DataConfig(**{"source": "sql", "path": str(path), **ROLES} | options))
    assert "\n" not in str(told.value) and "sqlalche.me" not in str(told.value)


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "x.db").write_text("unit,time\n1,2\n" * 100)
    with pytest.raises(DataError, match="file is not a database"):
        load_series(DataConfig(source="sql", path=str(tmp_path / "x.db"), table="readings", **ROLES))


def test_nothing_is_written_to_what_is_read(plant):
    path = plant(TABLE, (FILL, ROWS))
    from keras_seq.data.databases.connect import open_engine, told

    engine = open_engine(f"sqlite:///{path}", reads=True)
    with pytest.raises(DataError, match="readonly"), told("the rows"), engine.connect() as connection:
        connection.exec_driver_sql("DELETE FROM readings")


def test_a_statement_that_takes_too_long_ends(plant):
    path = plant(TABLE, (FILL, ROWS))
    query = (
        "SELECT a.*, 1 AS n FROM readings a, readings b, readings c, readings d, readings e WHERE a.load + e.load < 0"
    )
    config = DataConfig(source="sql", path=str(path), query=query, statement_timeout=0.3, **ROLES)
    with pytest.raises(DataError, match=r"data.statement_timeout=0.3 seconds"):
        load_series(config)


def test_without_its_package_the_extra_is_named(plant, monkeypatch):
    path = plant(TABLE, (FILL, ROWS))
    monkeypatch.setattr("keras_seq.data.databases.connect.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'sqlalchemy', which is not installed: pip install 'keras-seq\[sql\]'"):
        load_series(DataConfig(source="sql", path=str(path), table="readings", **ROLES))


def test_progress_is_told(plant, monkeypatch, caplog):
    path = plant(TABLE, (FILL, ROWS))
    monkeypatch.setattr(module, "EVERY", 0.0)
    monkeypatch.setattr(module, "ROWS", 50)
    caplog.set_level("INFO", "keras_seq")
    load_series(DataConfig(source="sql", path=str(path), table="readings", **ROLES))
    assert "50 rows so far" in caplog.text and "120 rows in" in caplog.text


def test_stopped_half_way_leaves_nothing(plant, monkeypatch, tmp_path):
    path = plant(TABLE, (FILL, ROWS))
    monkeypatch.setattr(module, "ROWS", 50)

    def stop(self, rows):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.ColumnWriter, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        table_path(DataConfig(source="sql", path=str(path), table="readings", **ROLES))
    assert not list((tmp_path / "stores" / "databases").iterdir())
