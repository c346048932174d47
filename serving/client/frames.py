"""DataFrames: numeric columns, answers as rows, and signs that a table holds several units."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from keras_seq.errors import DataError
from keras_seq.evaluation.answer_columns import output_columns
from serving.client.arrays import Arrays

if TYPE_CHECKING:
    import pandas as pd

    from keras_seq.data.series import Schema


def is_frame(values: object) -> TypeGuard[pd.DataFrame]:
    """Whether it is a DataFrame; pandas is not imported to find out."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(values, pandas.DataFrame)


def numeric_columns(table: pd.DataFrame, *others: str | None) -> list[str]:
    """Columns that hold numbers, but for ``others``.

    Raises:
        DataError: there are none.
    """
    numeric = [str(name) for name in table.columns if table[name].dtype.kind in "fiub" and name not in others]
    if not numeric:
        raise DataError(f"The table has no numeric columns to predict from (columns: {', '.join(map(str, table))}).")
    return numeric


def as_values(rows: Sequence[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    """Windows of one length as one array, others as the list they are."""
    return np.stack(rows) if rows and len({len(part) for part in rows}) == 1 else list(rows)


def answers_frame(
    answers: Arrays, names: Sequence[Any], unit: str | None, beside: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Answers by output as columns, one row a unit; an output of several numbers has ``name_0``, ``name_1``, ...

    ``beside``: columns after the unit's, such as the time of the last row.
    """
    import pandas as pd

    columns: dict[str, Any] = {unit: names} if unit else {}
    columns |= beside or {}
    flat = {}
    for name, value in answers.items():
        if value.shape[:1] != (len(names),):
            raise DataError(f"Output '{name}' has shape {value.shape} for {len(names)} windows and cannot be a column.")
        flat[name] = value.reshape(len(names), -1)
    called = output_columns(list(columns), {name: value.shape[1] for name, value in flat.items()})
    for name, value in flat.items():
        columns |= {column: value[:, number] for number, column in enumerate(called[name])}
    return pd.DataFrame(columns)


def check_one_unit(table: pd.DataFrame, schema: Schema) -> None:
    """Refuse a table in which a column that plays no part looks as if it told units apart, or as if time went back.

    A schema that names units settles it.

    Raises:
        DataError: names the column.
    """
    import pandas as pd

    if schema.unit_column:
        return
    for name in table.columns:
        column = table[name]
        if (
            str(name) in (*schema.features, schema.time_column)
            or isinstance(column, pd.DataFrame)
            or column.nunique() < 2
        ):
            continue
        if column.is_unique and column.notna().all():
            ordered = column.infer_objects()
            if not _falls(ordered):
                continue
            what = "does not rise, so there may be several units in the table, or its rows are not in order of time"
        elif pd.api.types.is_float_dtype(column.dtype):
            continue
        else:
            what = "has values that come again, as the names of units do"
        raise DataError(
            f"The model's version does not say what the columns are, no unit is named, and column '{name}' {what}. "
            "Name the column of units (unit=, --unit) or of time (time=, --time), or leave the column out."
        )


def _falls(column: pd.Series) -> bool:
    """Whether a column that looks like stamps or numbers goes back somewhere."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_datetime64_any_dtype(column.dtype):
        column = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
        if column.isna().any():
            return False
    return not column.is_monotonic_increasing
