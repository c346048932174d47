"""A real PostgreSQL: the series of the same CSV, every type, lost connections, answers that are whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.config.database import VARIABLE
from keras_seq.data.databases import extract as module
from keras_seq.data.databases.answers import AnswersTarget, write_answers
from keras_seq.data.databases.extract import forget_extracts
from keras_seq.data.sources.registry import load_series
from keras_seq.errors import ConfigError, DataError
from tests.factories.postgres import PASSWORD

TABLE = """CREATE TABLE readings (
    pump text, at timestamp, load double precision, price numeric(10,2), hot boolean, level integer, flow real,
    wear numeric)"""
ROLES = {"unit": "pump", "time": "at", "targets": ("wear",), "impute": "forward"}


def csv_text(rows=60):
    """Three pumps, sorted, with holes; numbers as people write them."""
    rng = np.random.default_rng(5)
    lines = ["pump,at,load,price,hot,level,flow,wear"]
    for pump in ("a", "b", "c"):
        for i in range(rows):
            stamp = pd.Timestamp("2026-03-28 22:00") + pd.Timedelta(minutes=10 * i)
            load = "" if i % 7 == 3 else repr(rng.normal())
            flow = np.float32(rng.normal())
            price, hot = rng.integers(1000) / 100, "true" if i % 3 else "false"
            lines.append(f"{pump},{stamp},{load},{price:.2f},{hot},{i - 9},{flow},{i}.1")
    return "\n".join(lines) + "\n"


def sql(server, **options):
    return DataConfig(**{"source": "sql", "url": server.url(), "table": "readings"} | ROLES | options)


@pytest.fixture
def readings(server):
    """The table filled, its rows in another order than that of time."""
    server.run(TABLE, "CREATE TABLE sorted (LIKE readings)")
    server.copy("sorted", csv_text())
    server.run("INSERT INTO readings SELECT * FROM sorted ORDER BY md5(at::text || pump)")
    return server


@pytest.mark.parametrize(
    "which", [{}, {"table": None, "query": "SELECT * FROM readings WHERE level::float > -100 AND pump LIKE '%' -- all"}]
)
def test_the_series_is_that_of_the_same_csv(readings, tmp_path, which):
    (tmp_path / "readings.csv").write_text(csv_text())
    of_csv = load_series(DataConfig(source="table", path=str(tmp_path / "readings.csv"), **ROLES))
    series = load_series(sql(readings, **which))
    assert series.content() == of_csv.content()
    assert series.schema.features == of_csv.schema.features
    assert np.array_equal(series.time, of_csv.time) and series.time.dtype == of_csv.time.dtype
    assert series.schema.reading.flags == of_csv.schema.reading.flags == ("hot",)


def test_only_the_columns_that_are_named_are_read(readings):
    readings.run("ALTER TABLE readings ADD meta jsonb DEFAULT '{\"a\": 1}', ADD raw bytea DEFAULT 'x'")
    with pytest.raises(DataError, match=r"Column 'meta' of table 'readings' .* holds JSON.*data.features"):
        load_series(sql(readings))
    assert load_series(sql(readings, features=("load", "price"))).schema.features == ("load", "price")
    query = "SELECT pump, at, wear, (meta->>'a')::int AS a FROM readings"
    assert load_series(sql(readings, table=None, query=query)).values[0, 0] == 1


def test_a_table_of_another_schema_and_a_view(readings):
    readings.run('CREATE SCHEMA "Werk 1"', 'CREATE TABLE "Werk 1"."Mess-Werte" AS SELECT * FROM readings')
    readings.run("CREATE VIEW latest AS SELECT * FROM readings")
    try:
        series = load_series(sql(readings, table="Mess-Werte", table_schema="Werk 1"))
        assert series.content() == load_series(sql(readings, table="latest")).content()
        assert series.schema.name == "Mess-Werte"
        with pytest.raises(ConfigError, match=r"Table 'latest' .* no primary key and data.time is not given"):
            load_series(sql(readings, table="latest", time=None, features=("load",)))
    finally:
        readings.run("DROP VIEW latest")


def test_times_with_a_zone_are_moments(server, tmp_path):
    """An hour that a clock shows twice is two hours."""
    lines = [f"2026-10-25T{hour:02d}:30:00+00:00,{hour},{hour}" for hour in range(6)]
    (tmp_path / "r.csv").write_text("at,load,wear\n" + "\n".join(lines) + "\n")
    server.run("CREATE TABLE r (at timestamptz, load float8, wear float8)", "SET TIME ZONE 'Europe/Berlin'")
    server.copy("r", (tmp_path / "r.csv").read_text())
    roles = {"unit": None, "zone": "Europe/Berlin"}
    series = load_series(sql(server, table="r", **roles))
    of_csv = load_series(DataConfig(source="table", path=str(tmp_path / "r.csv"), **ROLES | roles))
    assert series.content() == of_csv.content()
    assert series.schema.reading.zone == of_csv.schema.reading.zone == "Europe/Berlin"


def test_a_column_without_a_value_keeps_its_type(server):
    server.run("CREATE TABLE r (at date, load numeric(8,3), wear float8)")
    server.run("INSERT INTO r SELECT '2026-01-01'::date + i, NULL, i FROM generate_series(1, 30) i")
    series = load_series(sql(server, table="r", unit=None), checked=False)
    assert np.isnan(series.values).all() and series.time[0] == np.datetime64("2026-01-02")
    with pytest.raises(DataError, match=r"Table 'empty' .* has no rows"):
        server.run("CREATE TABLE empty (LIKE r)")
        load_series(sql(server, table="empty", unit=None))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"table": "reading"}, DataError, 'relation "reading" does not exist.* Check data.table'),
        ({"table": None, "query": "SELECT laod FROM readings"}, DataError, 'column "laod" does not exist'),
        ({"targets": ("ware",)}, ConfigError, "no column 'ware', named by data.targets; did you mean 'wear'"),
        ({"url": "postgresql://lab@127.0.0.1:1/x"}, DataError, "Connection refused.* Check host, port and name"),
        ({"url": "postgresql://lab@no.such.host.invalid/x"}, DataError, "resolve|not known|name"),
        ({"url": "postgresql://nobody@127.0.0.1:PORT/postgres"}, DataError, f"authentication failed.*{VARIABLE}"),
        ({"url": "postgresql://lab@127.0.0.1:PORT/plant"}, DataError, 'database "plant" does not exist'),
        (
            {"table": None, "query": "SELECT pg_sleep(9), 1 AS wear", "statement_timeout": 0.2},
            DataError,
            "=0.2 seconds",
        ),
    ],
)
def test_what_is_wrong_is_one_paragraph(readings, change, error, match):
    if "url" in change:
        change = change | {"url": change["url"].replace("PORT", str(readings.port))}
    roles = {"unit": None, "time": None} if "statement_timeout" in change else {}
    with pytest.raises(error, match=match) as told:
        load_series(sql(readings, **roles | change))
    assert "\n" not in str(told.value) and PASSWORD not in str(told.value)


def test_a_wrong_password_and_none(readings, monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, "wrong1word")
    with pytest.raises(DataError, match=f"password authentication failed.*{VARIABLE}") as told:
        load_series(sql(readings))
    assert "wrong1word" not in str(told.value)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(DataError, match=f"no password supplied.*{VARIABLE}"):
        load_series(sql(readings))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)  # as the driver reads it
    load_series(sql(readings))
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / "pgpass").write_text(f"127.0.0.1:*:*:lab:{PASSWORD}\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    forget_extracts()
    load_series(sql(readings))
    monkeypatch.setenv("PGPASSFILE", "/nowhere")
    forget_extracts()
    quoted = PASSWORD.replace("%", "%25").replace(" ", "%20")
    given = sql(readings, url=readings.url().replace("lab@", f"lab:{quoted}@"))
    assert given.url == readings.url().replace("lab@", "lab:***@") and os.environ[VARIABLE] == PASSWORD
    load_series(given)


def test_reading_changes_nothing(readings):
    """A function that writes is refused by the database."""
    readings.run("CREATE FUNCTION grow() RETURNS int LANGUAGE sql AS 'DELETE FROM sorted RETURNING 1'")
    try:
        with pytest.raises(DataError, match="read-only transaction"):
            load_series(sql(readings, table=None, query="SELECT *, grow() AS g FROM readings"))
    finally:
        readings.run("DROP FUNCTION grow")
    assert readings.run("SELECT count(*) FROM sorted") == [(180,)]


# --- connections that are lost


def losing(monkeypatch, server, times):
    """End the backend that reads after its first rows, the first ``times`` times."""
    whole, left = module._partitions, [times]
    monkeypatch.setattr(module, "ROWS", 50)
    monkeypatch.setattr(module, "WAITS", (0.01, 0.01))

    def partitions(connection, statement):
        number = connection.connection.driver_connection.info.backend_pid
        for rows in whole(connection, statement):
            yield rows
            if left[0]:
                left[0] -= 1
                server.run(f"SELECT pg_terminate_backend({number})")

    monkeypatch.setattr(module, "_partitions", partitions)


def test_a_lost_connection_begins_anew(readings, monkeypatch, caplog):
    expected = load_series(sql(readings)).content()
    forget_extracts()
    losing(monkeypatch, readings, 1)
    assert load_series(sql(readings)).content() == expected
    assert "is lost; reading begins anew" in caplog.text


def test_a_connection_that_is_always_lost_ends_in_a_paragraph(readings, monkeypatch, tmp_path):
    losing(monkeypatch, readings, 9)
    with pytest.raises(DataError, match=r"terminating connection.* lost 3 times; nothing was kept") as told:
        load_series(sql(readings))
    assert "\n" not in str(told.value)
    assert not list((tmp_path / "stores" / "databases").iterdir())


# --- answers


def answers(rows=20_000, shift=0.0):
    return pd.DataFrame(
        {
            "pump": np.arange(rows) % 4,
            "at": pd.date_range("2026-01-01", periods=rows, freq="min", tz="UTC"),
            "wear": np.arange(rows, dtype=np.float32) / 10 + np.float32(shift),
            "class": ["good"] * rows,
        }
    )


def target(server, **changes):
    return AnswersTarget(**{"url": server.url(), "table": "answers", "key": ("pump", "at")} | changes)


def test_answers_are_written_once(server):
    assert write_answers(answers(), target(server)) == 20_000
    assert write_answers(answers(shift=1), target(server)) == 0
    kinds = dict(
        server.run("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'answers'")
    )
    assert kinds == {
        "pump": "bigint",
        "at": "timestamp with time zone",
        "wear": "double precision",
        "class": "text",
    }
    assert server.run("SELECT count(*), min(wear), max(wear) FROM answers") == [(20_000, 1.0, 2000.9)]


@pytest.mark.parametrize("constraint", ["", ", UNIQUE (at, pump)", ", PRIMARY KEY (pump, at)"])
def test_a_table_of_their_own_is_used_as_it_is(server, constraint):
    """Numbers for texts, times for texts: the table's types hold."""
    server.run(
        f'CREATE TABLE answers (id serial, pump text, at timestamptz, wear real, "class" varchar(9){constraint})'
    )
    assert write_answers(answers(100), target(server)) == 100
    assert write_answers(answers(120, shift=1), target(server)) == 20
    assert server.run("SELECT count(*), max(id) > 0, min(wear) FROM answers") == [(120, True, 1.0)]
    with pytest.raises(DataError, match=r"Table 'answers' .* cannot be used: .*too long"):
        write_answers(answers(9).assign(**{"class": "a very long word"}), target(server))


WRITER = """
import sys, time
import keras_seq.data.databases.answers as module
from tests.data.databases.test_postgres import answers
whole = module._rows
def slow(table, dialect):
    for rows in whole(table, dialect):
        yield rows
        print("sent", flush=True)
        time.sleep(60 if sys.argv[1] == "hang" else 0)
module._rows = slow
module.write_answers(answers(shift=5), module.AnswersTarget(sys.argv[2], "answers", ("pump", "at")))
"""


@pytest.mark.parametrize("there", [False, True], ids=["new", "there"])
def test_killed_half_way_leaves_nothing_half(server, there):
    if there:
        write_answers(answers(100), target(server))
    words = [sys.executable, "-c", WRITER, "hang", server.url()]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.getcwd()}) as process:
        assert process.stdout.readline() == b"sent\n"
        process.send_signal(signal.SIGKILL)
    for _ in range(100):  # the server notices in its own time
        if server.run("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'") == [(0,)]:
            break
        time.sleep(0.1)
    if there:
        assert server.run("SELECT count(*), min(wear) FROM answers") == [(100, 0.0)]
    else:
        assert server.run("SELECT to_regclass('answers')") == [(None,)]
    assert write_answers(answers(), target(server)) == 20_000 - 100 * there


# --- many rows

MANY = '''
import resource, sys, time
from keras_seq.config import DataConfig
from keras_seq.data.databases.extract import table_path
import sqlalchemy, psycopg, pyarrow.parquet
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
query = f"""SELECT i / 100000 AS pump, i AS t, i * 0.5::float8 AS load, (i % 97)::numeric(10,2) AS wear
FROM generate_series(0, {sys.argv[2]} - 1) i"""
start = time.monotonic()
roles = {"unit": "pump", "time": "t", "targets": ("wear",)}
path = table_path(DataConfig(source="sql", url=sys.argv[1], query=query, **roles))
seconds = time.monotonic() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(pyarrow.parquet.ParquetFile(path).metadata.num_rows, peak - idle, round(int(sys.argv[2]) / seconds))
'''


def read_many(server, rows):
    """Rows read, MB more than before at most, and rows a second."""
    words = [sys.executable, "-c", MANY, server.url(), str(rows)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return tuple(map(int, done.stdout.split()))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(server):
    few, many = read_many(server, 100_000), read_many(server, 400_000)
    assert (few[0], many[0]) == (100_000, 400_000)
    assert many[1] < few[1] + 40, (few, many)


@pytest.mark.nightly
def test_ten_million_rows_in_flat_memory(server):
    rows, more_mb, per_second = read_many(server, 10_000_000)
    print(f"{rows:,} rows, {more_mb} MB, {per_second:,} rows/s")
    assert rows == 10_000_000 and more_mb < 300 and per_second > 10_000
