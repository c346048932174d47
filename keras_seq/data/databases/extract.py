"""Rows of a database as a Parquet file in the cache: streamed in flat memory, whole or not there, named by content.

A process reads a selection once; it and the processes that it starts then take the same file, so that all of one
command (folds, seeds, workers, trials) see the same rows. The next command asks the database again, and what has not
changed there becomes the same file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import files
from keras_seq.config import DataConfig
from keras_seq.config.database import FIELDS, SQL
from keras_seq.data.databases import connect
from keras_seq.data.databases.columns import ColumnWriter
from keras_seq.data.databases.selection import Selection, check_statement, has_order, select_rows, sentence
from keras_seq.data.home import stores_home
from keras_seq.data.remote import local_path
from keras_seq.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, Engine, Executable

logger = logging.getLogger(__name__)
ROWS = 50_000  # fetched at once: some tens of MB of Python objects
EVERY = 2.0  # seconds between two lines of progress
WAITS = (1.0, 4.0)  # seconds before a lost connection is made anew
KEPT = 7 * 24 * 3600.0  # seconds that an older extract of the same rows is kept unused
VARIABLE = "KERAS_SEQ_EXTRACT_"  # and the key of a selection: the file that this command reads


def table_path(config: DataConfig) -> Path | None:
    """The table file of a data section: ``data.path`` (of an address its copy), or the extract of its database.

    None where neither is named.

    Raises:
        ConfigError, DataError: the database cannot be read.
    """
    if config.source == SQL:
        return extract(select_rows(config))
    return local_path(config.path) if config.path else None


def as_table(config: DataConfig) -> DataConfig:
    """The data section with the extract of its database as a table file; another source's as it is."""
    if config.source != SQL:
        return config
    gone = dict.fromkeys(FIELDS)
    return config.model_copy(update={**gone, "source": "table", "path": str(table_path(config))})


def extract(selection: Selection) -> Path:
    """The Parquet file with the rows of a selection, read now or by this command before.

    Raises:
        ConfigError: a package is missing, or a column that is named is not there.
        DataError: the database cannot be reached or read, or there are no rows.
        OutputError: the cache cannot be written.
    """
    key = _key(selection)
    named = os.environ.get(VARIABLE + key)
    if named and Path(named).is_file():
        return Path(named)
    home = stores_home() / "databases"
    files.ensure_writable(home)
    files.sweep(home)
    partial = home / f".{key}.partial-{files.owner()}"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        written = partial / f"{selection.name}.parquet"
        _read(selection, written)
        folder = home / f"{key}-{files.sha256(written)[:16]}"
        if not folder.is_dir():
            with suppress(OSError):  # another process has just put the same there
                os.rename(partial, folder)
        os.utime(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _forget_older(home, key, folder)
    os.environ[VARIABLE + key] = str(folder / written.name)
    return folder / written.name


def forget_extracts() -> None:
    """Ask databases again in this process: rows may have come."""
    for name in [name for name in os.environ if name.startswith(VARIABLE)]:
        del os.environ[name]


def _key(selection: Selection) -> str:
    """Name of a selection, the same for every password and time limit."""
    parts = [selection.url, selection.query, selection.table_schema, selection.table, selection.columns]
    text = json.dumps([*parts, selection.unit, selection.time])
    return hashlib.sha256(text.encode()).hexdigest()[:16].upper()


def _forget_older(home: Path, key: str, newest: Path) -> None:
    for folder in home.glob(f"{key}-*"):
        with suppress(OSError):
            if folder != newest and time.time() - folder.stat().st_mtime > KEPT:
                shutil.rmtree(folder)


def _read(selection: Selection, path: Path) -> None:
    """Write the rows to ``path``; a lost connection begins anew, for rows of two moments would not fit together."""
    engine = connect.open_engine(selection.url, reads=True, timeout=selection.timeout)
    from sqlalchemy.exc import SQLAlchemyError

    for attempt, wait in enumerate((*WAITS, None)):
        try:
            _read_once(engine, selection, path)
            return
        except SQLAlchemyError as error:
            lost = connect.is_lost(error) or attempt > 0
            if not lost:
                raise connect.explain(error, selection.where, selection.timeout) from None
            if wait is None:
                reason = connect.explain(error, selection.where)
                raise DataError(f"{reason} The connection was lost {attempt + 1} times; nothing was kept.") from None
            logger.warning(
                f"note: the connection to {selection.where} is lost; reading begins anew in {wait:g} s "
                f"({attempt + 2} of {len(WAITS) + 1})"
            )
            time.sleep(wait)


def _read_once(engine: Engine, selection: Selection, path: Path) -> None:
    with engine.connect() as connection:
        names, kinds = _columns(connection, selection)
        statement = _statement(connection, selection, names)
        started = told = time.monotonic()
        with ColumnWriter(path, names, kinds, selection.where) as writer:
            for rows in _partitions(connection, statement):
                writer.add(rows)
                if time.monotonic() - told > EVERY:
                    told = time.monotonic()
                    logger.info(f"reading {selection.where}: {writer.rows:,} rows so far")
            if not writer.rows:
                raise DataError(f"{sentence(selection.where)} has no rows; nothing can be learnt or answered.")
            writer.close()
    if (seconds := time.monotonic() - started) > EVERY:
        logger.info(f"read {selection.where}: {writer.rows:,} rows in {seconds:.0f} s")


def _partitions(connection: Connection, statement: Executable) -> Iterator[Any]:
    """Rows by a cursor of the server where there are such, ``ROWS`` at a time."""
    result = connection.execution_options(stream_results=True, yield_per=ROWS).execute(statement)
    try:
        yield from result.partitions(ROWS)
    finally:
        with suppress(Exception):  # of a connection that is gone
            result.close()


def _source(selection: Selection) -> Any:
    """The table, or the query as a table of its own; names are quoted by SQLAlchemy, never put into text."""
    import sqlalchemy as sa

    if selection.table is not None:
        return sa.table(selection.table, schema=selection.table_schema)
    return sa.text(f"(\n{_text(selection.query or '')}\n) AS rows_of_query")


def _text(query: str) -> str:
    """A query in which SQLAlchemy sees no parameters."""
    return check_statement(query).replace("\\", "\\\\").replace(":", "\\:")


def _columns(connection: Connection, selection: Selection) -> tuple[list[str], dict[str, pa.DataType]]:
    """Names of the columns that are read, and the types that are known without a row.

    Raises:
        ConfigError: a column that is named is not there.
        DataError: two columns of one name.
    """
    import sqlalchemy as sa

    nothing = sa.select(sa.text("*")).select_from(_source(selection)).where(sa.text("1 = 0"))
    with connection.execute(nothing) as result:
        names = list(result.keys())
        described = result.cursor.description if result.cursor is not None else ()
        kinds = _known_kinds(connection.dialect.name, described)
    plain = [name.rpartition(":")[0] or name for name in names]  # SQLite calls a second "load" "load:1"
    doubled = next((name for name in plain if plain.count(name) > 1 and name in names), None)
    if doubled is not None:
        raise DataError(f"The query (data.query) names column '{doubled}' twice; call one of them otherwise with AS.")
    selection.check_columns(names)
    if selection.columns is not None:
        names = [name for name in names if name in selection.columns]
    return names, {name: kind for name, kind in kinds.items() if name in names}


def _known_kinds(dialect: str, described: Any) -> dict[str, pa.DataType]:
    """Arrow types by column, where the driver says a type: a column without a value still has one."""
    import pyarrow as pa

    if dialect != "postgresql":
        return {}
    codes = {
        **dict.fromkeys((20, 21, 23), pa.int64()),  # int8, int2, int4
        **dict.fromkeys((700, 701, 1700), pa.float64()),  # float4, float8, numeric
        **dict.fromkeys((18, 19, 25, 1042, 1043, 2950), pa.string()),  # "char", name, text, bpchar, varchar, uuid
        16: pa.bool_(),
        1082: pa.date32(),
        1114: pa.timestamp("us"),
        1184: pa.timestamp("us", "UTC"),
    }
    return {column[0]: codes[column[1]] for column in described if column[1] in codes}


def _statement(connection: Connection, selection: Selection, names: list[str]) -> Executable:
    """All rows, those of a unit together and in the order of time; a query's own order stays."""
    import sqlalchemy as sa

    if selection.query is not None and has_order(selection.query):
        return sa.text(_text(selection.query))
    columns: list[Any] = [sa.column(name) for name in names]
    order = _order(connection, selection, names)
    return sa.select(*columns).select_from(_source(selection)).order_by(*(sa.column(name) for name in order))


def _order(connection: Connection, selection: Selection, names: list[str]) -> list[str]:
    """Columns that order the rows: unit and time; without a time the table's key, or the query's own order.

    Raises:
        ConfigError: a table has neither.
    """
    import sqlalchemy as sa

    unit = [selection.unit] if selection.unit in names else []
    if selection.time and set(selection.time) <= set(names):
        return [*unit, *selection.time]
    if selection.table is None:
        return []
    key: list[str] = []
    with suppress(sa.exc.NoSuchTableError):  # a view
        constraint = sa.inspect(connection).get_pk_constraint(selection.table, schema=selection.table_schema)
        key = list(constraint.get("constrained_columns") or ())
    if key:
        return [*unit, *(name for name in key if name != selection.unit)]
    if connection.dialect.name == "sqlite":
        return []  # as they were written
    raise ConfigError(
        f"{sentence(selection.where)} has no primary key and data.time is not given, so its rows "
        "come in no certain order. Name the time column with data.time, or give data.query with ORDER BY."
    )
