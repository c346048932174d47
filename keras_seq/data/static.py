"""Static columns: inputs that a companion table holds once for each unit, joined to the rows as they are read."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.reading.batches import check_file, read_batches
from keras_seq.data.reading.companion import StaticTable
from keras_seq.data.reading.reading import Kind
from keras_seq.data.words import code_column
from keras_seq.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from keras_seq.config import DataConfig
    from keras_seq.data.reading.settle import ColumnKind
    from keras_seq.data.series import Schema

SHOWN = 5  # units that a message names


def plan_static(
    config: DataConfig, unit: str | None, taken: Collection[str]
) -> tuple[StaticTable | None, dict[str, ColumnKind]]:
    """The companion table that ``data.static`` names, and what its columns hold; None where none is named.

    Args:
        config: of the table.
        unit: unit column of the table.
        taken: columns of the table itself: of these the companion's are passed over.

    Raises:
        ConfigError: the table has no unit column, or the companion no such column.
        DataError: the companion cannot be read.
    """
    from keras_seq.config import DataConfig
    from keras_seq.data.reading.settle import settle_table

    if config.static.path is None:
        return None, {}
    if unit is None:
        raise ConfigError(
            f"data.static.path '{config.static.path}' is joined by unit, but no unit column is named; give data.unit."
        )
    path = Path(config.static.path).expanduser()
    facts = settle_table(path, DataConfig(source="table", path=str(path)))
    name = config.static.unit or unit
    if name not in facts.kinds:
        raise ConfigError(
            f"File '{path}' (data.static.path) has no column '{name}' that tells the unit"
            f"{nearest(name, facts.kinds)} Name it with data.static.unit."
        )
    kinds = {column: kind for column, kind in facts.kinds.items() if column not in {*taken, name}}
    return StaticTable(path=str(path), unit=name, reading=facts.reading), kinds


class StaticValues:
    """Values of the static columns of a schema, by unit.

    Args:
        schema: with ``static``, whose vocabularies code the words.
    """

    def __init__(self, schema: Schema) -> None:
        assert schema.static is not None  # asked for only where there is one
        self.table, self.schema = schema.static, schema

    @cached_property
    def rows(self) -> tuple[dict[str, int], NDArray[np.float64]]:
        """Row of each unit, and the values ``(units, columns)``, NaN where missing; words as codes.

        Raises:
            DataError: the file is not there, or names a unit twice or none.
        """
        table, path = self.table, Path(self.table.path)
        _check_there(table)
        kinds: dict[str, Kind] = {table.unit: "text"}
        for name in table.columns:
            text = name in self.schema.vocabularies
            kinds[name] = "text" if text else "flag" if name in table.reading.flags else "number"
        units: list[str | None] = []
        parts = []
        for batch in read_batches(path, kinds, table.reading):
            units += batch.column(0).to_pylist()
            parts.append(np.stack([self._numbers(batch.column(name), name) for name in table.columns], axis=1))
        numbers: dict[str, int] = {}
        for row, unit in enumerate(units):
            if unit is None or unit in numbers:
                fault = "names no unit" if unit is None else f"names unit '{unit}' again"
                raise DataError(
                    f"Column '{table.unit}' of '{path}' (data.static.path) {fault} in data row {row + 1}; it needs one "
                    "row for each unit."
                )
            numbers[unit] = row
        return numbers, np.concatenate(parts)

    def _numbers(self, column: Any, name: str) -> NDArray[np.float64]:
        import pyarrow as pa

        if name in self.schema.vocabularies:
            return code_column(column, self.schema.vocabularies[name]).astype(np.float64)
        column = column.cast(pa.float64()) if pa.types.is_boolean(column.type) else column
        return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)

    def of(self, units: Collection[str]) -> NDArray[np.float64]:
        """Values ``(units, columns)`` of units.

        Raises:
            DataError: the companion table lacks some; names them.
        """
        numbers, values = self.rows
        lacking = [unit for unit in dict.fromkeys(units) if unit not in numbers]
        if lacking:
            shown = ", ".join(f"'{unit}'" for unit in lacking[:SHOWN])
            more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
            raise DataError(
                f"File '{self.table.path}' (data.static.path) has no row for unit {shown}{more}; add "
                f"{'it' if len(lacking) == 1 else 'them'}: column '{self.table.unit}' names the units."
            )
        return values[[numbers[unit] for unit in units]]

    def columns(self, units: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Values of each row, ``(rows,)`` by column, of the unit of each row."""
        import pandas as pd

        codes, names = pd.factorize(np.asarray(units, object))
        if (codes < 0).any():
            raise DataError(f"Data row {int((codes < 0).argmax()) + 1} names no unit; fill it.")
        values = self.of([str(name) for name in names])[codes]
        return {name: values[:, j] for j, name in enumerate(self.table.columns)}


def with_table(schema: Schema, path: str | None) -> Schema:
    """The schema with another companion table; the same where ``path`` is None.

    Raises:
        ConfigError: the model was trained without one.
    """
    path = None if path is None else str(Path(path).expanduser())
    if path is None or (schema.static is not None and path == schema.static.path):
        return schema
    if schema.static is None:
        raise ConfigError(
            f"Companion table '{path}' was given, but the model was trained without one (data.static.path); leave it "
            "out."
        )
    return schema.model_copy(update={"static": schema.static.model_copy(update={"path": path})})


def _check_there(table: StaticTable) -> None:
    if not Path(table.path).is_file():
        raise DataError(
            f"File '{table.path}', from which {', '.join(table.columns)} are joined by unit (data.static.path), is not "
            "there. Bring it back, name another one (predict --static FILE), or write these columns into the table."
        )
    check_file(Path(table.path))


def lacking_static(schema: Schema, names: Collection[str]) -> bool:
    """Whether static columns are to be joined: a table that holds them all itself is taken as it is."""
    static = schema.static
    return static is not None and any(name not in names for name in static.columns if name in schema.features)
