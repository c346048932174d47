"""Rows of a database that ``init`` looks at: read now, named in the configuration by database and selection."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from keras_seq.autoconfig.facts import Choice
from keras_seq.config import from_dict, override
from keras_seq.data.databases.extract import table_path
from keras_seq.errors import ConfigError, hide_passwords

SCHEMES = ("postgresql", "postgres", "sqlite", "mysql", "mariadb", "oracle", "mssql")  # of SQLAlchemy


@dataclasses.dataclass(frozen=True)
class DatabaseTable:
    """A table or query of a database.

    Attributes:
        path: of its rows on this machine.
        options: fields of ``data`` that name it, without a password.
    """

    path: Path
    options: dict[str, Any]

    @property
    def words(self) -> tuple[str, ...]:
        """Of the command that names it."""
        named = [name for name in ("query", "table", "table_schema") if name in self.options]
        rows = [word for name in named for word in (f"--{name.replace('_', '-')}", self.options[name])]
        return (self._place, *rows)

    @property
    def shown(self) -> str:
        """As messages call it."""
        return f"{self.options.get('table', 'query')} of {self._place}"

    @property
    def _place(self) -> str:
        return str(self.options.get("url") or self.options["path"])

    def named(self, choices: list[Choice]) -> list[Choice]:
        """Choices of a file, with the database in place of it."""
        place = next(i for i, choice in enumerate(choices) if choice.key == "data.path")
        own = [Choice(f"data.{name}", value, "as asked for") for name, value in self.options.items()]
        rest = [choice for choice in choices[:place] if choice.key != "data.source"]
        return [*rest, *own, *choices[place + 1 :]]


def is_database(where: str) -> bool:
    """Whether a word names a database, as SQLAlchemy writes them."""
    return "://" in where and where.partition("://")[0].partition("+")[0].lower() in SCHEMES


def read_database(
    where: str, rows: dict[str, str | None], *, unit: str | None = None, time: str | None = None
) -> DatabaseTable:
    """Rows of a database, read now.

    Args:
        where: URL of the database, or an SQLite file.
        rows: ``query`` or ``table``, and maybe ``table_schema``.
        unit: column by which rows are ordered, then by ``time``; ``none`` is none.
        time: as ``unit``; several, which are joined, with commas.

    Raises:
        ConfigError, DataError: the database cannot be read, or not exactly one of query and table is given.
    """
    place = {"url" if "://" in where else "path": where}
    options = {"source": "sql", **place, **{name: value for name, value in rows.items() if value}}
    times = [name.strip() for name in (time or "").strip("[] ").split(",") if name.strip() not in ("", "none")]
    order = {"unit": None if unit == "none" else unit, "time": times or None}
    if not rows.get("query") and not rows.get("table"):
        raise ConfigError(
            f"'{hide_passwords(where)}' is a database; say which rows: --table NAME or --query 'SELECT ...'."
        )
    data = from_dict(override({}, {f"data.{name}": value for name, value in (options | order).items() if value})).data
    path = table_path(data)
    assert path is not None  # a database that is not named is refused
    return DatabaseTable(path, {name: getattr(data, name) for name in options})
