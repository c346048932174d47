"""One SELECT of one database; everything else is refused by name."""

from __future__ import annotations

import os

import pytest

from keras_seq import config
from keras_seq.config import DataConfig
from keras_seq.config.database import VARIABLE, replaced_by
from keras_seq.data.databases.selection import check_statement, has_order, select_rows
from keras_seq.errors import ConfigError

SECRET = "hunter2secret"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    yield
    os.environ.pop(VARIABLE, None)


@pytest.mark.parametrize(
    "query",
    [
        "select * from readings",
        "  SELECT a, b::float FROM r WHERE note = 'x; DELETE FROM y' ;  ",
        "WITH w AS (SELECT * FROM r) SELECT * FROM w -- ; drop table r",
        "(SELECT 1) UNION (SELECT 2)",
        '/* update r set a = 1 */ SELECT "into", updated_at FROM r',
        "SELECT sum(update_count), $$;$$ FROM r",
        "VALUES (1, 2)",
    ],
)
def test_what_only_reads_is_taken(query):
    assert check_statement(query) == query.strip().rstrip("; ")


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("DELETE FROM r", "begins with 'DELETE'"),
        ("drop table r", "begins with 'drop'"),
        ("", "begins with ''"),
        ("SELECT 1; DROP TABLE r", "several statements"),
        ("SELECT * INTO copy FROM r", "'INTO', which writes"),
        ("WITH gone AS (DELETE FROM r RETURNING *) SELECT * FROM gone", "which writes"),
        ("WITH w AS (SELECT 1) UPDATE r SET a = 1", "'UPDATE', which writes"),
        ("WITH w AS (UPDATE r SET a = 1 RETURNING a) SELECT * FROM w", "which writes"),
        ("PRAGMA query_only = OFF", "begins with 'PRAGMA'"),
    ],
)
def test_what_changes_something_is_refused(query, problem):
    with pytest.raises(ConfigError, match=problem):
        check_statement(query)


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("SELECT * FROM r ORDER BY a", True),
        ("SELECT * FROM (SELECT * FROM r ORDER BY a) AS x", False),
        ("SELECT row_number() OVER (ORDER BY a) FROM r -- ORDER BY b", False),
        ("SELECT 'order by', (1) FROM r order\n by (a)", True),
    ],
)
def test_whether_a_query_orders_its_rows(query, ordered):
    assert has_order(query) is ordered


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"url": "sqlite:///x.db"}, "either data.query, one SELECT, or data.table, .* neither is given"),
        ({"url": "sqlite:///x.db", "query": "SELECT 1", "table": "r"}, "both are given"),
        ({"table": "r"}, "needs data.url, the database"),
        ({"table": "r", "path": "x.csv"}, "as an SQLite file, whose name ends with .sqlite"),
        ({"table": "r", "path": "x.db", "url": "sqlite:///y.db"}, "Leave one out"),
    ],
)
def test_half_a_database_is_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        select_rows(DataConfig(source="sql", **options))


def test_options_of_databases_are_for_databases():
    with pytest.raises(ConfigError, match="query is read by source 'sql' only, but source is 'table'"):
        config.from_dict({"data": {"source": "table", "path": "x.csv", "query": "SELECT 1"}})


def test_only_named_columns_of_a_table_are_read():
    options = {"source": "sql", "url": "sqlite:///x.db", "unit": "u", "time": "t", "targets": ("y",)}
    assert select_rows(DataConfig(**options, table="r", features=("a",))).columns == ("u", "t", "a", "y")
    assert select_rows(DataConfig(**options, table="r")).columns is None
    assert select_rows(DataConfig(**options, query="SELECT 1", features=("a",))).columns is None


def test_a_schema_file_names_unit_and_time(tmp_path):
    (tmp_path / "s.yaml").write_text("unit_column: pump\ntime_column: at\n")
    selection = select_rows(
        DataConfig(source="sql", url="sqlite:///x.db", table="r", schema_file=str(tmp_path / "s.yaml"))
    )
    assert (selection.unit, selection.time) == ("pump", ("at",))


@pytest.mark.parametrize(
    "url", [f"postgresql://lab:{SECRET}@db.example/plant", f"mysql+pymysql://db.example/plant?password={SECRET}"]
)
def test_a_password_leaves_the_configuration(url):
    found = config.from_dict({"data": {"source": "sql", "url": url, "table": "r"}})
    for text in (config.to_yaml(found), repr(found), str(select_rows(found.data)), select_rows(found.data).where):
        assert SECRET not in text
    assert os.environ[VARIABLE] == SECRET
    with pytest.raises(ConfigError, match="more than one password") as error:
        config.from_dict({"data": {"source": "sql", "url": f"x://u:{SECRET}@h/d?sslpassword=another1", "table": "r"}})
    assert SECRET not in str(error.value) and "another1" not in str(error.value)


def test_new_options_take_the_place_of_old_ones():
    assert replaced_by({"data.query": "SELECT 1"}, "sql") == {"data.table": None, "data.table_schema": None}
    assert replaced_by({"data.source": "sql", "data.url": "x://"}, "table") == {"data.path": None}
    assert replaced_by({"data.path": "y.csv"}, "table") == {}
