"""A DataFrame as rows of a trained model: checked by the model's schema as a file is, its own values kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.observe_calendar import check_steps
from keras_seq.data.plans.take import open_schema, plan_schema, reads_plan, with_plan
from keras_seq.data.reading.dates import ISO, DateRule, parse_dates
from keras_seq.data.reading.joined_time import join_columns, joined_name
from keras_seq.data.reading.labels import number_text
from keras_seq.data.rows import Rows, arrange, stamps_like
from keras_seq.data.series import Schema
from keras_seq.data.static import StaticValues, lacking_static
from keras_seq.data.table_rows import complete, own_schema
from keras_seq.data.unseen_words import UnseenWords
from keras_seq.data.words import code_words
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

WHERE = "The table"


def frame_rows(
    table: pd.DataFrame,
    schema: Schema,
    covariates: CovariatesConfig,
    *,
    window: int | None = None,
    plan: pd.DataFrame | None = None,
) -> Rows:
    """A DataFrame as rows of a model; all features are there, computed covariates among them.

    Units are told apart by their text, as in a file; ``Rows.units`` and ``Rows.stamps`` keep the table's own values.

    Args:
        table: one row a step; columns that the schema does not name are passed over.
        schema: of the model.
        covariates: computed in training; those that the table does not hold are computed anew.
        window: as ``read_rows``.
        plan: DataFrame with the known-ahead columns of later steps; None: they are rows at the end of each unit.

    Raises:
        DataError: the table deviates from the schema; names row, column and value. A plan lacks steps of every unit.
    """
    later = None
    if plan is not None:
        of_plan = plan_schema(schema)
        typed = _typed(_joined(plan, of_plan, "The plan"), of_plan)
        later = arrange(typed, of_plan, where="The plan", alone="table", reading=of_plan.reading)
    table = _joined(table, schema, WHERE)
    names = list(table.columns)
    static = schema.static if schema.unit_column in names and lacking_static(schema, names) else None
    own = own_schema(schema, [*names, *(static.columns if static else ())], covariates)
    planning = reads_plan(schema, names)
    typed = _typed(table, own, StaticValues(schema) if static else None)
    rows = arrange(typed, open_schema(own) if planning else own, where=WHERE, alone="table", reading=own.reading)
    if planning:
        rows = with_plan(rows, schema, WHERE, later, needed=True)
    if rows.clock is not None:
        check_steps(schema.calendar, rows.series.time, rows.series.offsets, rows.series.unit_ids, Path("table"))
    rows = complete(rows, schema, covariates, WHERE, window)
    if own.unit_column:
        first = rows.file_row[rows.series.offsets[:-1]] - 1
        rows = dataclasses.replace(rows, units=table[own.unit_column].array[first])
    if rows.clock:
        rules, shown = schema.row_rules, table[rows.clock].array
        regular = rules is not None and rules.resample.every is not None
        stamps = stamps_like(shown, rows.series.time, own.reading) if regular else shown[rows.file_row - 1]
        rows = dataclasses.replace(rows, stamps=stamps)
    return rows


def _joined(table: pd.DataFrame, schema: Schema, where: str) -> pd.DataFrame:
    """The table with names that are texts, and its time in one column."""
    if not len(table):
        raise DataError(f"{where} holds no rows.")
    names = _names(table, schema, where)
    return _with_joined_time(table.set_axis(names, axis=1).reset_index(drop=True), schema)


def _typed(table: pd.DataFrame, own: Schema, static: StaticValues | None = None) -> pd.DataFrame:
    """The columns of a table that a schema names, as ``arrange`` takes them."""
    import pandas as pd

    columns: dict[str, Any] = {}
    unseen = UnseenWords({name: words for name, words in own.vocabularies.items() if name in table.columns})
    roles = dict.fromkeys([*own.features, own.unit_column, own.group_column, own.time_column])
    for name in (name for name in roles if name is not None and name in table.columns):
        if name == own.time_column:
            columns[name] = _times(table[name], own)
        elif name in (own.unit_column, own.group_column):
            columns[name] = _texts(table[name])
        if static and name in static.table.columns:
            continue
        if name in own.vocabularies:
            words = table[name].astype(object).where(table[name].notna(), None)
            columns[name] = code_words(words, own.vocabularies[name])
            unseen.add(name, table[name].value_counts(dropna=True).items())
        elif name in own.features:
            columns[name] = numbers_of(table[name], own.reading.missing_codes if own.reading else ())
    if static:
        columns |= static.columns(columns[str(own.unit_column)].to_numpy(object, na_value=None))
    typed = pd.DataFrame(columns, index=table.index)
    typed.attrs["remarks"] = unseen.remarks()
    return typed


def _names(table: pd.DataFrame, schema: Schema, where: str) -> list[str]:
    """Names of the columns as text, those of the schema once."""
    names = [str(name) for name in table.columns]
    wanted = {*schema.features, schema.unit_column, schema.group_column, schema.time_column}
    doubled = [name for name in names if name in wanted and names.count(name) > 1]
    if doubled:
        raise DataError(f"{where} names column '{doubled[0]}' twice; rename one of them.")
    index = [str(name) for name in table.index.names if name is not None]
    hidden = [name for name in index if name in wanted and name not in names]
    if hidden:
        raise DataError(f"{where} has '{hidden[0]}' as its index, not as a column; call table.reset_index() before.")
    return names


def _with_joined_time(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The table with the time joined of several columns, where the model's was and the table has its parts."""
    reading = schema.reading
    name = joined_name(reading) if reading else None
    if reading is None or name is None or name in table or not all(part in table for part in reading.time_parts):
        return table
    return table.assign(**{name: join_columns({part: table[part].to_numpy() for part in reading.time_parts}, reading)})


def numbers_of(column: pd.Series, codes: tuple[float, ...] = ()) -> NDArray[np.float64]:
    """A column of numbers ``(rows,)`` in float64, NaN where missing; flags are 0 and 1.

    Raises:
        DataError: a value is no number; names it and its row.
    """
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    kind = column.dtype
    if pd.api.types.is_object_dtype(kind) or pd.api.types.is_string_dtype(kind):
        missing = column.isna().to_numpy()
        for row, value in enumerate(column):
            if not missing[row] and (isinstance(value, (str, bytes)) or not np.isreal(value)):
                raise DataError(_not_numeric(column, row, value))
        column = column.where(~missing, np.nan)
    elif not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_complex_dtype(kind):
        raise DataError(_not_numeric(column, 0, column.iloc[0]))
    try:
        numbers = column.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(_not_numeric(column, 0, column.iloc[0])) from None
    return np.where(np.isin(numbers, codes), np.nan, numbers) if codes else numbers


def _not_numeric(column: pd.Series, row: int, value: object) -> str:
    return (
        f"Column '{column.name}' must be numeric, got {value!r} in row {row + 1} (type {column.dtype}); convert it, "
        "for instance with pandas.to_numeric."
    )


def _texts(column: pd.Series) -> pd.Series:
    """Units or groups as text, missing where they are missing.

    Raises:
        DataError: different values are written alike, so that a file could not tell them apart.
    """
    import pandas as pd

    texts = column.astype(object).map(str, na_action="ignore")
    own: dict[str, Hashable] = {}
    for text, value in zip(texts[texts.notna()], column[texts.notna()], strict=True):
        other = own.setdefault(text, value)
        if type(other) is not type(value):
            raise DataError(
                f"Column '{column.name}' holds {other!r} and {value!r}, which are written alike; give its values one "
                "type."
            )
    return texts.where(texts.notna(), pd.NA)


def _date_text(value: object) -> str:
    """A date as a file would write it: 2010.0 is the year 2010."""
    return number_text(float(value)) if isinstance(value, (float, np.floating)) else str(value)


def _times(column: pd.Series, schema: Schema) -> NDArray[Any]:
    """Times as numbers, or as the stamps that the schema's reading makes of them."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    dated = pd.api.types.is_datetime64_any_dtype(column.dtype)
    if pd.api.types.is_numeric_dtype(column.dtype) and not (schema.reading and schema.reading.date_format):
        return numbers_of(column)
    if not dated:
        dates = [_date_text(value) if there else None for value, there in zip(column, column.notna(), strict=True)]
        column = pd.Series(dates, index=column.index, name=column.name, dtype="str")
    reading = schema.reading
    if reading is None:  # a source of the project or an older bundle: the stamps are taken as they are
        zone = str(column.dt.tz) if dated and column.dt.tz is not None else None
        rule = DateRule(ISO, zone, zone is not None)
    else:
        rule = DateRule(reading.date_format or ISO, reading.zone, reading.offsets)
    return parse_dates(pa.Array.from_pandas(column), rule, str(column.name), Path("table"))
