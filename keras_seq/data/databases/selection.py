"""``Selection``: which rows of which database, from the data section; one SELECT and nothing else."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_seq.config import DataConfig, yaml_text
from keras_seq.errors import ConfigError, hide_passwords, nearest

SQLITE = (".sqlite", ".sqlite3", ".db")
_SKIPPED = re.compile(
    r"'(?:[^']|'')*'"  # texts
    r'|"(?:[^"]|"")*"|`[^`]*`'  # names
    r"|\$(\w*)\$.*?\$\1\$"  # texts of PostgreSQL
    r"|--[^\n]*|/\*.*?\*/",
    re.DOTALL,
)
_CHANGES = re.compile(
    r"(?i)\binto\b|\(\s*delete\s+from\b|\(\s*update\b.*?\bset\b|^\s*with\b.*\)\s*(?:update|delete)\b", re.DOTALL
)


@dataclass(frozen=True)
class Selection:
    """Rows of a database.

    Attributes:
        url: SQLAlchemy URL without a password.
        query: one SELECT; None: ``table``.
        table: a table or view.
        table_schema: that holds it; None: the default one.
        roles: names of columns by the option that gives them: ``data.unit``, ``data.time``, ``data.targets`` ...
        columns: the only ones that are read, of a table; None: all.
        unit: column of units, by which rows are ordered.
        time: column of time, by which rows are ordered; several that are joined, the largest part first.
        timeout: most seconds of one statement; None: as the server has it.
    """

    url: str
    query: str | None
    table: str | None
    table_schema: str | None = None
    roles: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] | None = None
    unit: str | None = None
    time: tuple[str, ...] = ()
    timeout: float | None = None

    @property
    def name(self) -> str:
        """A word for files and units: the table's name, or "query"."""
        return re.sub(r"[^\w.-]", "_", self.table or "query")

    @property
    def where(self) -> str:
        """The rows as messages name them."""
        dotted = f"{self.table_schema}.{self.table}" if self.table_schema else self.table
        return f"{f'table {dotted!r}' if self.table else 'the query (data.query)'} of '{hide_passwords(self.url)}'"

    def check_columns(self, there: Collection[str]) -> None:
        """Refuse names of columns that the rows do not have.

        Raises:
            ConfigError: names the option, the column and the nearest one.
        """
        for option, name in self.roles:
            if name not in there:
                raise ConfigError(
                    f"{sentence(self.where)} has no column '{name}', named by {option}{nearest(name, there)}"
                )


def sentence(text: str) -> str:
    """A text as a sentence begins."""
    return text[:1].upper() + text[1:]


def select_rows(config: DataConfig) -> Selection:
    """The selection of a data section.

    Raises:
        ConfigError: no database, or not exactly one of query and table; a statement that is no single SELECT.
    """
    if (config.query is None) == (config.table is None):
        given = "neither is given" if config.query is None else "both are given; leave one out with null"
        raise ConfigError(
            f"Source 'sql' needs either data.query, one SELECT, or data.table, the rows to read; {given}."
        )
    if config.query is not None:
        check_statement(config.query)
    described = _described(config)
    roles = {name: getattr(config, name) or described.get(f"{name}_column") for name in ("unit", "group", "time")}
    time = roles.pop("time") or ()
    times = (time,) if isinstance(time, str) else tuple(time)
    roles["part"] = config.part
    named = [(f"data.{name}", column) for name, column in roles.items() if column]
    features = () if config.static.path else config.features  # some may be the companion table's
    for option, columns in {"time": times, "targets": config.targets, "features": features}.items():
        named += [(f"data.{option}", name) for name in columns]
    only = config.table is not None and config.features and not config.schema_file
    own = (*(str(name) for name in roles.values() if name), *times, *config.features, *config.targets)
    return Selection(
        url=database_url(config),
        query=config.query,
        table=config.table,
        table_schema=config.table_schema,
        roles=tuple(named),
        columns=tuple(dict.fromkeys(own)) if only else None,
        unit=roles["unit"],
        time=times,
        timeout=config.statement_timeout,
    )


def database_url(config: DataConfig) -> str:
    """The URL of a data section's database; of an SQLite file where ``data.path`` names one.

    Raises:
        ConfigError: there is none, or both are given.
    """
    if config.url and config.path:
        raise ConfigError(
            f"Source 'sql' takes data.url or data.path, an SQLite file; got data.url '{config.url}' and data.path "
            f"'{config.path}'. Leave one out (--data.path null)."
        )
    if config.url:
        return config.url
    if not config.path:
        raise ConfigError(
            "Source 'sql' needs data.url, the database (--data.url postgresql://user@host/name), or data.path, an "
            "SQLite file."
        )
    path = Path(config.path).expanduser()
    if path.suffix.lower() not in SQLITE:
        raise ConfigError(
            f"Source 'sql' reads data.path '{config.path}' as an SQLite file, whose name ends with "
            f"{', '.join(SQLITE)}. Rename it, or give data.url (sqlite:////folder/file)."
        )
    return f"sqlite:///{path.resolve()}"


def check_statement(query: str) -> str:
    """The query without a semicolon at its end.

    Raises:
        ConfigError: it is not one SELECT (or WITH ... SELECT), or changes something.
    """
    bare = _SKIPPED.sub(lambda match: "''" if match[0][0] in "'$" else '""' if match[0][0] in '"`' else " ", query)
    bare = bare.strip().rstrip("; \n\t")
    first = re.match(r"[\s(]*(\w*)", bare)
    word = first[1] if first else ""
    problem = ""
    if word.lower() not in ("select", "with", "values"):
        problem = f"it begins with '{word or bare[:20]}'"
    elif ";" in bare:
        problem = "it holds several statements"
    elif changed := _CHANGES.search(bare):
        problem = f"it holds '{changed[0].split()[-1].lstrip('(')}', which writes"
    if problem:
        raise ConfigError(
            f"Option 'data.query' must be one SELECT (or WITH ... SELECT) that only reads; {problem}. Got "
            f"'{hide_passwords(query.strip())[:200]}'."
        )
    return query.strip().rstrip("; \n\t")


def has_order(query: str) -> bool:
    """Whether a query orders its rows itself, outside all brackets."""
    bare = _SKIPPED.sub(" ", query)
    while (inner := re.sub(r"\([^()]*\)", " ", bare)) != bare:
        bare = inner
    return re.search(r"(?i)\border\s+by\b", bare) is not None


def _described(config: DataConfig) -> Mapping[str, Any]:
    """What a schema file says, as far as it can be read; what is wrong in it is told where it is checked."""
    if not config.schema_file:
        return {}
    try:
        tree = yaml_text.read_file(Path(config.schema_file))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}
