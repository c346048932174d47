"""Values of a database's rows as Arrow columns of one type each, written to a Parquet file batch by batch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

NUMBERS = {int, float, Decimal, bool}
REFUSED = {
    dict: "JSON",
    list: "arrays or JSON",
    bytes: "bytes",
    memoryview: "bytes",
    bytearray: "bytes",
    tuple: "composed values",
}


def to_column(values: Sequence[Any], name: str, where: str) -> pa.Array:
    """Values as an Arrow column: int64, float64, boolean, text, date or timestamp; of None alone, null.

    Decimals become float64, which is what every reader makes of numbers; durations seconds; times with a zone
    universal time.

    Raises:
        DataError: values that are no column of a table (JSON, bytes), or of kinds that do not go together.
    """
    import pyarrow as pa

    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.nulls(len(values))
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int}:
        try:
            return pa.array(values, pa.int64())
        except (OverflowError, pa.ArrowInvalid):
            return _floats(values)
    if kinds == {float}:
        return pa.array(values, pa.float64())
    if kinds <= NUMBERS:
        return _floats(values)
    if kinds <= {str, UUID} or kinds <= {str, *NUMBERS}:  # SQLite's columns hold both
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    if kinds == {dt.date}:
        return pa.array(values, pa.date32())
    if kinds <= {dt.datetime, dt.date}:
        return _stamps(values, name, where)
    if kinds == {dt.timedelta}:
        return pa.array([None if value is None else value.total_seconds() for value in values], pa.float64())
    if kinds == {dt.time}:
        return pa.array([None if value is None else value.isoformat() for value in values], pa.string())
    _refuse(kinds, name, where)
    raise AssertionError  # unreachable


def _floats(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def _stamps(values: Sequence[Any], name: str, where: str) -> pa.Array:
    import pyarrow as pa

    zoned = {value.tzinfo is not None for value in values if isinstance(value, dt.datetime)}
    if len(zoned) > 1:
        raise DataError(
            f"Column '{name}' of {where} mixes times with and without a zone; cast them to one type in data.query."
        )
    kind = pa.timestamp("us", "UTC" if zoned == {True} else None)
    if any(type(value) is dt.date for value in values):
        values = [dt.datetime.combine(v, dt.time()) if type(v) is dt.date else v for v in values]
    return pa.array(values, kind)


def _refuse(kinds: set[type], name: str, where: str) -> None:
    kind = next((one for one in kinds if one in REFUSED), None)
    what = REFUSED[kind] if kind else " and ".join(sorted(one.__name__ for one in kinds))
    raise DataError(
        f"Column '{name}' of {where} holds {what}, which is neither number, text nor time. Leave it out (name the "
        f"inputs with data.features, or the columns in data.query), or take a value out of it there (meta->>'speed')."
    )


class ColumnWriter:
    """Writer of batches to one Parquet file, whose types are settled by all rows: SQLite says no type beforehand.

    Args:
        path: of the file; parts of other types lie beside it until ``close``.
        names: of the columns.
        kinds: types that are known beforehand, by name.
        where: the rows, for messages.

    Attributes:
        rows: written so far.
    """

    def __init__(self, path: Path, names: Sequence[str], kinds: dict[str, pa.DataType], where: str) -> None:
        import pyarrow as pa

        self.path, self.where, self.rows = path, where, 0
        self._schema = pa.schema([(name, kinds.get(name, pa.null())) for name in names])
        self._parts: list[Path] = []
        self._open: parquet.ParquetWriter | None = None

    def __enter__(self) -> ColumnWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._close_part()

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows; values in the order of the columns."""
        import pyarrow as pa

        arrays = [
            to_column(values, name, self.where)
            for name, values in zip(self._schema.names, zip(*rows, strict=True), strict=True)
        ]
        types = [self._joined(field, array.type) for field, array in zip(self._schema, arrays, strict=True)]
        schema = pa.schema(list(zip(self._schema.names, types, strict=True)))
        if schema != self._schema or self._open is None:
            self._begin_part(schema)
        assert self._open is not None
        self._open.write_batch(self._batch(arrays))
        self.rows += len(rows)

    def close(self) -> None:
        """Make one file of the parts."""
        from pyarrow import parquet

        self._close_part()
        if len(self._parts) == 1:
            self._parts[0].replace(self.path)
            return
        with parquet.ParquetWriter(self.path, self._schema) as whole:
            for part in self._parts:
                for batch in parquet.ParquetFile(part, pre_buffer=False).iter_batches(batch_size=50_000):
                    whole.write_batch(self._batch(batch.columns))
                part.unlink()

    def _batch(self, arrays: Sequence[pa.Array]) -> pa.RecordBatch:
        import pyarrow as pa

        cast = [array.cast(field.type, safe=False) for array, field in zip(arrays, self._schema, strict=True)]
        return pa.RecordBatch.from_arrays(cast, schema=self._schema)

    def _joined(self, field: pa.Field, new: pa.DataType) -> pa.DataType:
        """The type that holds what was seen and what comes."""
        import pyarrow.types as t

        old = field.type
        if old == new or t.is_null(new):
            return old
        if t.is_null(old):
            return new
        numeric = [t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind) for kind in (old, new)]
        if all(numeric):
            return _float64()
        stamps = [kind for kind in (old, new) if t.is_timestamp(kind)]
        if len(stamps) == 1 and any(t.is_date(kind) for kind in (old, new)):
            return stamps[0]
        texts = [kind for kind in (old, new) if t.is_string(kind)]
        if texts and any(numeric):
            return texts[0]
        raise DataError(
            f"Column '{field.name}' of {self.where} holds {old} in its first rows and {new} later; cast it to one type "
            "in data.query."
        )

    def _begin_part(self, schema: pa.Schema) -> None:
        from pyarrow import parquet

        self._close_part()
        self._schema = schema
        self._parts.append(self.path.with_name(f"{self.path.stem}.part{len(self._parts)}"))
        self._open = parquet.ParquetWriter(self._parts[-1], schema)

    def _close_part(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def _float64() -> pa.DataType:
    import pyarrow as pa

    return pa.float64()
