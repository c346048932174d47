"""Answers into a table of a database: by key, in one transaction, so that a second run writes nothing twice."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.data.databases import connect
from keras_seq.data.databases.selection import sentence
from keras_seq.errors import ConfigError, DataError, hide_passwords, nearest

if TYPE_CHECKING:
    import pandas as pd
    import sqlalchemy as sa
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)
ROWS = 5_000  # sent at once
KEY_LENGTH = 191  # characters of a text in a key, where a database needs to know


@dataclass(frozen=True)
class AnswersTarget:
    """A table that takes answers.

    Attributes:
        url: SQLAlchemy URL without a password.
        table: its name; made if it is not there.
        table_schema: that holds it; None: the default one.
        key: columns that tell one answer from all others.
    """

    url: str
    table: str
    key: tuple[str, ...]
    table_schema: str | None = None

    @property
    def where(self) -> str:
        """The table as messages name it."""
        dotted = f"{self.table_schema}.{self.table}" if self.table_schema else self.table
        return f"table '{dotted}' (--to-table) of '{hide_passwords(self.url)}'"


def write_answers(table: pd.DataFrame, target: AnswersTarget) -> int:
    """Write answers by key: new ones are inserted, those that are there take the new values; all of them or none.

    Args:
        table: one row an answer, columns as ``predict`` names them.
        target: where to.

    Returns:
        How many rows the table did not hold before.

    Raises:
        ConfigError: a key that the answers do not have, or that does not tell them apart.
        DataError: the database cannot be reached, or its table does not take the answers.
    """
    _check_key(table, target)
    engine = connect.open_engine(target.url, reads=False)
    with connect.told(target.where), engine.begin() as connection:
        own = _table(connection, table, target)
        before = _count(connection, own)
        _upsert(connection, own, table, target)
        return _count(connection, own) - before


def _check_key(table: pd.DataFrame, target: AnswersTarget) -> None:
    """Refuse a key that is not among the answers, has holes, or names two of them."""
    for name in target.key:
        if name not in table:
            raise ConfigError(f"The answers have no column '{name}', named by --key{nearest(name, map(str, table))}")
        if table[name].isna().any():
            raise ConfigError(f"Column '{name}' of the answers, named by --key, is empty in some rows; leave it out.")
    doubled = table.duplicated(list(target.key))
    if doubled.any():
        row = table[doubled].iloc[0]
        values = ", ".join(f"{name}={row[name]}" for name in target.key)
        others = [name for name in map(str, table) if name not in target.key][:8]
        raise ConfigError(
            f"--key {','.join(target.key)} does not tell the answers apart: {int(doubled.sum())} rows have the key of "
            f"another one ({values}). Add a column to it, such as {', '.join(others)}."
        )


def _table(connection: Connection, answers: pd.DataFrame, target: AnswersTarget) -> sa.Table:
    """The table, made if it is not there, with the columns of the answers."""
    import sqlalchemy as sa

    there = sa.inspect(connection)
    columns: list[sa.Column[Any]] = [
        sa.Column(name, _kind(answers[name], name in target.key)) for name in map(str, answers)
    ]
    if not there.has_table(target.table, schema=target.table_schema):
        for column in columns:
            column.nullable = column.name not in target.key
        key = sa.PrimaryKeyConstraint(*target.key)
        made = sa.Table(target.table, sa.MetaData(), *columns, key, schema=target.table_schema)
        made.create(connection)
        return made
    known = {column["name"] for column in there.get_columns(target.table, schema=target.table_schema)}
    lost = [name for name in map(str, answers) if name not in known]
    if lost:
        raise DataError(
            f"{sentence(target.where)} has no column '{lost[0]}' ({len(lost)} of {len(columns)} that the "
            f"answers have){nearest(lost[0], known)} Add it, or name a new table, which is made."
        )
    if connection.dialect.name != "sqlite":  # SQLite takes any value in any column
        own = sa.Table(target.table, sa.MetaData(), schema=target.table_schema, autoload_with=connection)
        columns = [sa.Column(name, own.c[name].type) for name in map(str, answers)]
    return sa.Table(target.table, sa.MetaData(), *columns, schema=target.table_schema)


def _kind(values: pd.Series, in_key: bool) -> Any:
    """The type of a column of answers."""
    import pandas as pd
    import sqlalchemy as sa

    kind = values.dtype.kind
    if kind == "b":
        return sa.Boolean()
    if kind in "iu":
        return sa.BigInteger()
    if kind == "f":
        return sa.Double()
    first = next((value for value in values if not pd.isna(value)), "")
    if kind == "M" or isinstance(first, pd.Timestamp):
        zoned = getattr(first, "tzinfo", None) is not None
        return sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite") if zoned else sa.DateTime()
    text = sa.Text()
    return text.with_variant(sa.String(KEY_LENGTH), "mysql", "mariadb") if in_key else text


def _rows(table: pd.DataFrame, dialect: str) -> Iterator[list[dict[str, Any]]]:
    """Rows as plain values, some thousands at a time; None where missing, float32 by the digits that it has."""
    import pandas as pd

    for first in range(0, len(table), ROWS):
        part = table.iloc[first : first + ROWS]
        columns = {name: _plain(part[name], pd, dialect) for name in map(str, part)}
        yield [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(values: pd.Series, pd: Any, dialect: str) -> list[Any]:
    if values.dtype == np.float32:
        return [None if np.isnan(value) else float(str(value)) for value in values.to_numpy()]
    if values.dtype.kind == "f":
        return [None if np.isnan(value) else value for value in values.tolist()]
    if values.dtype.kind in "biu":
        return values.tolist()
    return [_plain_one(value, pd, dialect) for value in values]


def _plain_one(value: Any, pd: Any, dialect: str) -> Any:
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        texts = dialect == "sqlite" and value.tzinfo is not None  # it has no times with a zone
        return value.isoformat() if texts else value.to_pydatetime(warn=False)
    return value.item() if isinstance(value, np.generic) else value


def _count(connection: Connection, table: sa.Table) -> int:
    import sqlalchemy as sa

    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _upsert(connection: Connection, own: sa.Table, answers: pd.DataFrame, target: AnswersTarget) -> None:
    """Insert, or put in place of the row with the same key."""
    statement = _on_conflict(connection, own, target)
    for rows in _rows(answers, connection.dialect.name):
        if statement is None:
            _delete(connection, own, rows, target.key)
        connection.execute(own.insert() if statement is None else statement, rows)


def _on_conflict(connection: Connection, own: sa.Table, target: AnswersTarget) -> Any:
    """INSERT ... ON CONFLICT, where the database has it and a constraint on the key; else None."""
    from sqlalchemy.dialects import postgresql, sqlite

    dialects: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
    if connection.dialect.name not in dialects or not _is_unique(connection, target):
        return None
    insert = dialects[connection.dialect.name](own)
    rest = [column.name for column in own.columns if column.name not in target.key]
    if not rest:
        return insert.on_conflict_do_nothing(index_elements=list(target.key))
    return insert.on_conflict_do_update(
        index_elements=list(target.key), set_={name: insert.excluded[name] for name in rest}
    )


def _is_unique(connection: Connection, target: AnswersTarget) -> bool:
    """Whether the table itself keeps two rows of one key apart."""
    import sqlalchemy as sa

    there, place = sa.inspect(connection), {"schema": target.table_schema}
    groups: list[Sequence[str | None]] = [there.get_pk_constraint(target.table, **place)["constrained_columns"]]
    groups += [one["column_names"] for one in there.get_unique_constraints(target.table, **place)]
    groups += [
        one["column_names"]
        for one in there.get_indexes(target.table, **place)
        if one["unique"] and not one.get("dialect_options", {}).get("postgresql_where")
    ]
    return any(set(group) == set(target.key) for group in groups)


def _delete(connection: Connection, own: sa.Table, rows: list[dict[str, Any]], key: Sequence[str]) -> None:
    """Delete the rows that have the keys of ``rows``."""
    import sqlalchemy as sa

    same = sa.and_(*(own.c[name] == sa.bindparam(f"key_{number}") for number, name in enumerate(key)))
    keys = [{f"key_{number}": row[name] for number, name in enumerate(key)} for row in rows]
    connection.execute(own.delete().where(same), keys)
