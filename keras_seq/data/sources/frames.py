"""Small dated CSV files of the known sets, read and checked alike."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def read_dated(
    path: Path, date: str, columns: tuple[str, ...], date_format: str, missing: Collection[str] = ()
) -> pd.DataFrame:
    """Columns ``columns`` as float64 by rising date (index, ``datetime64[s]``).

    ``missing`` lists the texts that stand for a missing value.

    Raises:
        DataError: a column is missing, a date or a value cannot be read; names file, line and column.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError, OSError) as error:
        raise DataError(f"File '{path}' cannot be read as CSV: {str(error).splitlines()[0]}.") from None
    absent = [name for name in (date, *columns) if name not in table.columns]
    if absent or table.empty:
        what = f"has no column '{absent[0]}' (it has {', '.join(table.columns)})" if absent else "holds no rows"
        raise DataError(f"File '{path}' {what}; expected {date}, {', '.join(columns)}.")
    dates = pd.to_datetime(table[date], format=date_format, errors="coerce")
    _refuse(path, date, table[date], dates.isna(), f"a date like {date_format}")
    result = {}
    for name in columns:
        text = table[name].str.strip()
        numbers = pd.to_numeric(text, errors="coerce").replace([np.inf, -np.inf], np.nan)
        _refuse(path, name, text, numbers.isna() & ~text.isin(missing), "a number")
        result[name] = numbers.to_numpy(np.float64)
    frame = pd.DataFrame(result, index=dates.to_numpy("datetime64[s]")).sort_index()
    if frame.index.has_duplicates:
        raise DataError(f"File '{path}' holds the date {frame.index[frame.index.duplicated()][0]:%Y-%m-%d} twice.")
    return frame


def _refuse(path: Path, name: str, text: pd.Series, bad: pd.Series, wanted: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"Line {row + 2} of '{path}', column '{name}': expected {wanted}, got {text.iloc[row]!r}.")
