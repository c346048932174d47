"""DataFrames in and out: units become windows, answers become rows."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.errors import DataError
from keras_seq.evaluation.answer_columns import output_columns
from serving.client.arrays import Arrays, frame_units
from serving.contract.signatures import DEFAULT

if TYPE_CHECKING:
    import pandas as pd

    from serving.client.base import BaseClient


def is_frame(values: Any) -> bool:
    """Whether it is a DataFrame; pandas is not imported to find out."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(values, pandas.DataFrame)


def predict(
    client: BaseClient,
    model: str,
    table: pd.DataFrame,
    *,
    unit: str | None = None,
    features: Sequence[str] | None = None,
    window: int | None = None,
    version: int | None = None,
    label: str | None = None,
    signature: str | None = None,
) -> pd.DataFrame:
    """One window a unit, its last rows; one row of answers a unit. See ``BaseClient.predict``."""
    from serving.client.base import Target

    told = None
    if features is None or window is None:
        told = client.describe(model, version=version, label=label)
    if features is None:
        features = [column["name"] for column in told["features"]] if told else numeric_columns(table, unit)
    window = window or (int(told["time"]) if told else None)
    names, rows = frame_units(table, features, unit)
    rows = [part[-window:] for part in rows] if window else rows
    found = client.ask(Target(model, version, label), as_values(rows), signature=signature or DEFAULT)
    return answers_frame(found, names, unit)


def numeric_columns(table: pd.DataFrame, *others: str | None) -> list[str]:
    """Columns that hold numbers, but for ``others``.

    Raises:
        DataError: there are none.
    """
    found = [str(name) for name in table.columns if table[name].dtype.kind in "fiub" and name not in others]
    if not found:
        raise DataError(f"The table has no numeric columns to predict from (columns: {', '.join(map(str, table))}).")
    return found


def as_values(rows: Sequence[np.ndarray]) -> Any:
    """Windows of one length as one array, others as the list they are."""
    return np.stack(rows) if rows and len({len(part) for part in rows}) == 1 else list(rows)


def answers_frame(
    found: Arrays, names: Sequence[Any], unit: str | None, beside: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Answers by output as columns, one row a unit; an output of several numbers has ``name_0``, ``name_1``, ...

    ``beside``: columns after the unit's, such as the time of the last row.
    """
    import pandas as pd

    columns: dict[str, Any] = {unit: list(names)} if unit else {}
    columns |= beside or {}
    flat = {}
    for name, value in found.items():
        if value.shape[:1] != (len(names),):
            raise DataError(f"Output '{name}' has shape {value.shape} for {len(names)} windows and cannot be a column.")
        flat[name] = value.reshape(len(names), -1)
    called = output_columns(list(columns), {name: value.shape[1] for name, value in flat.items()})
    for name, value in flat.items():
        columns |= {column: value[:, number] for number, column in enumerate(called[name])}
    return pd.DataFrame(columns)


def examples(given: Any, unit: str | None) -> list[Mapping[str, Any]]:
    """Examples as features by name: mappings as they are, the units of a DataFrame as lists of floats."""
    if not is_frame(given):
        return [given] if isinstance(given, Mapping) else list(given)
    features = numeric_columns(given, unit)
    _, rows = frame_units(given, features, unit)
    return [{name: part[:, number].astype(float).tolist() for number, name in enumerate(features)} for part in rows]
