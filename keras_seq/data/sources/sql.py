"""Rows of a database as a ``Series``: a table or query, read once a command and then as any Parquet file."""

from __future__ import annotations

from keras_seq.config import DataConfig
from keras_seq.data.series import Series
from keras_seq.data.sources.registry import SourceInfo, register
from keras_seq.data.sources.table import load_table


@register(
    SourceInfo(
        "sql",
        "rows of a database (--data.url, and --data.table or --data.query)",
        is_table=True,
        given_by="--data.url",
        rank=98,
    )
)
def load_rows(config: DataConfig) -> Series:
    """The rows that ``data.query`` or ``data.table`` selects, as ``load_table`` has them.

    Raises:
        ConfigError, DataError: as ``extract``, and as ``load_table``.
    """
    return load_table(config)
