"""The database of source ``sql``: where it is and what is read of it; its password never among them.

``postgresql://lab:word@host/plant`` becomes ``postgresql://lab:***@host/plant`` while it is validated, so that bundles,
records, reports and messages cannot hold the password. It goes on in the environment of this process, which those it
starts inherit; whoever opens a bundle later gives it there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from keras_seq.errors import HIDDEN, find_passwords, hide_passwords

VARIABLE = "KERAS_SEQ_SQL_PASSWORD"
SQL = "sql"
WHERE = ("url", "path")  # where the rows are: one of the two
WHAT = ("query", "table")  # which rows: one of the two
FIELDS = ("url", "query", "table", "table_schema", "statement_timeout")  # of the data section, for source sql alone


def keep_sql_password(url: str) -> str:
    """The URL without its password, which goes to the environment variable ``VARIABLE``.

    Raises:
        ValueError: it holds two different passwords.
    """
    passwords = find_passwords(url) - {HIDDEN}
    if len(passwords) > 1:
        raise ValueError("holds more than one password; give one in the URL and the rest in the driver's own files")
    if passwords:
        os.environ[VARIABLE] = unquote(passwords.pop())
    return hide_passwords(url)


def check_source(source: str, options: Mapping[str, Any]) -> None:
    """Refuse options of a database for another source.

    Args:
        source: of the data section.
        options: ``FIELDS`` with their values.

    Raises:
        ValueError: names the option.
    """
    named = [name for name, value in options.items() if value is not None]
    if named and source != SQL:
        raise ValueError(f"{named[0]} is read by source 'sql' only, but source is '{source}'")


def replaced_by(overrides: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What dotted ``overrides`` of an experiment take the place of: a query that of a table, a URL that of a file.

    Args:
        overrides: new options, such as ``data.query``.
        source: of the data section that they change.

    Returns:
        The options that they replace, as None; empty where source ``sql`` is not asked for.
    """
    if overrides.get("data.source", source) != SQL:
        return {}
    others = {"url": ("path",), "path": ("url",), "query": ("table", "table_schema"), "table": ("query",)}
    gone = [f"data.{other}" for name, rest in others.items() if overrides.get(f"data.{name}") for other in rest]
    return {name: None for name in gone if name not in overrides}
