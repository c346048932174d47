"""A cache of the test's own, and a PostgreSQL for those that ask for one."""

from __future__ import annotations

import os
import sqlite3

import pytest

from keras_seq.config.database import VARIABLE
from keras_seq.data.databases.extract import forget_extracts
from tests.factories.postgres import PASSWORD, postgres


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """No extract of another test, no password."""
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path / "stores"))
    monkeypatch.delenv(VARIABLE, raising=False)
    forget_extracts()
    yield
    forget_extracts()
    os.environ.pop(VARIABLE, None)


@pytest.fixture(scope="session")
def cluster():
    """A PostgreSQL that runs as long as the tests do."""
    with postgres() as server:
        yield server


@pytest.fixture
def server(cluster, monkeypatch):
    """The PostgreSQL without a table, its password in the environment."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    yield cluster
    names = cluster.run(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    for schema, name in names:
        cluster.run(f'DROP TABLE "{schema}"."{name}" CASCADE')


@pytest.fixture
def plant(tmp_path):
    """Makes an SQLite file of statements: ``plant("create table r(...)", ("insert ...", rows))``."""

    def make(*statements, name="plant.db"):
        path = tmp_path / name
        with sqlite3.connect(path) as connection:
            for statement in statements:
                if isinstance(statement, str):
                    connection.execute(statement)
                else:
                    connection.executemany(*statement)
        connection.close()
        return path

    return make
