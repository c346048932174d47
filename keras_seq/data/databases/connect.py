"""Engines of databases: lazily imported, bounded in time, read only where asked; driver's errors as one paragraph."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq.config.database import VARIABLE
from keras_seq.data.databases.selection import sentence
from keras_seq.errors import HIDDEN, ConfigError, DataError, hide_passwords

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine
    from sqlalchemy.exc import SQLAlchemyError

CONNECT = 10  # seconds
EXTRA = "pip install 'keras-seq[sql]'"
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_KEEPALIVE = {"keepalives_idle": 20, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 40_000}


def open_engine(url: str, *, reads: bool, timeout: float | None = None) -> Engine:
    """An engine without a pool; nothing is connected yet.

    Args:
        url: SQLAlchemy URL; its password is taken from the environment (``KERAS_SEQ_SQL_PASSWORD``), else left to the
            driver (``PGPASSWORD``, ``~/.pgpass``).
        reads: connections are read only where the database can make them so.
        timeout: most seconds of one statement, where the database can bound it.

    Raises:
        ConfigError: the URL is none, or a package is missing.
        DataError: an SQLite file that is not there.
    """
    if find_spec("sqlalchemy") is None:
        raise ConfigError(f"Databases need the package 'sqlalchemy', which is not installed: {EXTRA}.")
    import sqlalchemy as sa

    parsed = _parse(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        _check_file(parsed, url, reads)
    try:
        engine = sa.create_engine(parsed, poolclass=sa.NullPool, connect_args=_arguments(backend))
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Database '{hide_passwords(url)}' needs the package '{error.name}', which is not installed: {EXTRA} has "
            "that of PostgreSQL; SQLite needs none."
        ) from None
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError) as error:
        raise ConfigError(f"Database '{hide_passwords(url)}' (data.url) cannot be opened: {_first(error)}.") from None
    _settle_connections(engine, _session(backend, reads, timeout), timeout)
    return engine


@contextmanager
def told(where: str, timeout: float | None = None) -> Iterator[None]:
    """Turn what a database or its driver raises into one paragraph without a password.

    Args:
        where: the rows or the table, as a sentence has them.
        timeout: of statements, for the message.

    Raises:
        DataError: in place of their errors.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        raise explain(error, where, timeout) from None


def explain(error: SQLAlchemyError, where: str, timeout: float | None = None) -> DataError:
    """One paragraph of an error of a database: what, where, how to mend it."""
    text = _first(error)
    low = text.lower()
    hint = ""
    if "password" in low or "authentication" in low or "access denied" in low:
        hint = (
            f" Give the password in the environment variable {VARIABLE}, or as the driver reads it (PGPASSWORD, "
            "~/.pgpass), and the user in data.url."
        )
    elif timeout and any(word in low for word in ("statement timeout", "interrupted", "execution time")):
        hint = f" It may take data.statement_timeout={timeout:g} seconds; raise that, or select less."
    elif any(word in low for word in ("could not connect", "connection", "resolve", "timeout", "unreachable")):
        hint = " Check host, port and name in data.url, and that the server runs and lets this machine in."
    elif any(word in low for word in ("does not exist", "no such", "unknown", "undefined")):
        hint = " Check data.table, data.table_schema and data.query against what the database holds."
    return DataError(f"{sentence(where)} cannot be used: {text}.{hint}")


def is_lost(error: SQLAlchemyError) -> bool:
    """Whether the connection is gone, so that another one may do."""
    state = str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")
    return bool(getattr(error, "connection_invalidated", False)) or state.startswith(("08", "57P0"))


def _parse(url: str) -> URL:
    """A URL for SQLAlchemy, with the password."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(
            f"Option 'data.url' must be a URL such as postgresql://user@host:5432/name or sqlite:///file.db, got "
            f"'{hide_passwords(url)}'."
        ) from None
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
    password = os.environ.get(VARIABLE)
    if parsed.get_backend_name() != "sqlite":
        hidden = parsed.password == HIDDEN
        if password and (hidden or (parsed.password is None and HIDDEN not in parsed.query.values())):
            parsed = parsed.set(password=password)
        elif hidden:
            parsed = parsed._replace(password=None)  # the driver's own ways
    query = {name: password if value == HIDDEN else value for name, value in parsed.query.items()}
    return parsed.set(query={name: value for name, value in query.items() if value is not None})


def _check_file(parsed: URL, url: str, reads: bool) -> None:
    """Refuse an SQLite file that is not there, which SQLite would make."""
    name = parsed.database
    if not name or name == ":memory:":
        raise ConfigError(f"Database '{url}' lies in memory and holds nothing; name a file: sqlite:///file.db.")
    if reads and not name.startswith("file:") and not Path(name).is_file():
        raise DataError(f"The SQLite file '{name}' does not exist; give the right one with data.url or data.path.")


def _arguments(backend: str) -> dict[str, Any]:
    """Of the driver: seconds until it gives up connecting, and how it notices that the other side is gone."""
    if backend == "postgresql":
        return {"connect_timeout": CONNECT, **_KEEPALIVE}
    if backend == "sqlite":
        return {"timeout": CONNECT}
    return {"connect_timeout": CONNECT} if backend in ("mysql", "mariadb") else {}


def _session(backend: str, reads: bool, timeout: float | None) -> list[str]:
    """Statements that begin a connection."""
    milliseconds = int(timeout * 1000) or 1 if timeout else 0
    statements = []
    if backend == "postgresql":
        statements += ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"] if reads else []
        statements += [f"SET statement_timeout = {milliseconds}"] if timeout else []
    elif backend in ("mysql", "mariadb"):
        statements += ["SET SESSION TRANSACTION READ ONLY"] if reads else []
        statements += [f"SET SESSION MAX_EXECUTION_TIME = {milliseconds}"] if timeout and backend == "mysql" else []
    elif backend == "sqlite":
        statements += ["PRAGMA query_only = ON"] if reads else []
    return statements


def _settle_connections(engine: Engine, statements: list[str], timeout: float | None) -> None:
    from sqlalchemy import event

    sqlite = engine.dialect.name == "sqlite"

    @event.listens_for(engine, "connect")
    def begin_session(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()
        connection.commit()
        if sqlite:
            connection.isolation_level = None  # its driver would commit before CREATE TABLE
            _bound(connection, timeout)

    if sqlite:
        begin = "BEGIN" if "PRAGMA query_only = ON" in statements else "BEGIN IMMEDIATE"
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))


def _bound(connection: Any, timeout: float | None) -> None:
    """End a connection to SQLite that works longer than ``timeout`` seconds."""
    if timeout:
        import time

        end = time.monotonic() + timeout
        connection.set_progress_handler(lambda: time.monotonic() > end, 100_000)


def _first(error: Exception) -> str:
    """What the driver says, in one line, without the statement."""
    text = str(getattr(error, "orig", None) or error)
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("^", "[SQL", "(Background", "LINE "))]
    line = re.sub(r"\s+", " ", "; ".join(kept[:4])).rstrip(".")
    password = os.environ.get(VARIABLE)
    return hide_passwords(line.replace(password, HIDDEN) if password else line)
