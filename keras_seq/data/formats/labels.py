"""A table with the columns of a second one joined to it: labels, or other facts, of its units."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seq.data.formats.members import labels_file, table_stem
from keras_seq.data.formats.registry import TableFormat, register
from keras_seq.data.formats.roles import with_roles
from keras_seq.data.reading.batches import column_names, column_roles, raw_batches
from keras_seq.data.reading.reading import Reading, Shape
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 6


@register(TableFormat("labels", "a table with labels by unit", options=("shape",)))
def read_labelled(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Rows with the columns of the table of labels in every row of their unit; without that table as they are."""
    import pyarrow as pa

    assert reading.shape is not None and reading.shape.unit is not None
    shape, unit, file = reading.shape, reading.shape.unit, reading.shape.file
    table = labels_file(path, shape)
    labels = _labels(table, shape, column_names(path, file)) if table else {}
    schema: pa.Schema | None = None
    for batch in raw_batches(path, file):
        if schema is None:
            schema = _schema(path, batch.schema, labels, shape)
        units = batch.column(unit).cast(pa.string()).to_pylist()
        joined = [
            pa.array([own.get(one, own.get(table_stem(Path(one)))) if one else None for one in units], pa.string())
            for own in labels.values()
        ]
        yield pa.RecordBatch.from_arrays([*batch.columns, *joined], schema=schema)


def _labels(table: Path, shape: Shape, taken: list[str]) -> dict[str, dict[str, str | None]]:
    """Texts by unit of every column of the table of labels.

    Raises:
        DataError: it has no further column, a unit stands twice, or the table itself has a column of that name.
    """
    reading = shape.labels_reading or Reading()
    names = column_names(table, reading)
    key = str(shape.unit) if shape.unit in names else names[0]
    others = [name for name in names if name != key]
    both = [name for name in others if name in taken]
    if both or not others:
        what = f"has the column '{both[0]}', as the table itself has" if both else "has one column"
        raise DataError(f"File '{table}' (data.labels) {what}; it needs a column of units and others of its own.")
    labels: dict[str, dict[str, str | None]] = {name: {} for name in others}
    for batch in raw_batches(table, reading, [key, *others]):
        units = batch.column(key).cast("string").to_pylist()
        for name in others:
            for unit, text in zip(units, batch.column(name).cast("string").to_pylist(), strict=True):
                if unit is None:
                    continue
                if unit in labels[name]:
                    raise DataError(
                        f"File '{table}' (data.labels) names unit '{unit}' twice; a unit has one row there."
                    )
                labels[name][unit] = text
    for own in labels.values():
        own |= {stem: text for unit, text in own.items() if (stem := table_stem(Path(unit))) not in own}
    return labels


def _schema(path: Path, own: pa.Schema, labels: dict[str, dict[str, str | None]], shape: Shape) -> pa.Schema:
    """The table's schema with the labels; one column of labels is the target, several wait to be named."""
    import pyarrow as pa

    base = column_roles(path, shape.file)
    names = tuple(labels)
    change: dict[str, object] = {"labels": names, "aside": (*base.aside, *names), "unit": shape.unit}
    if len(names) == 1:
        change |= {"targets": names, "target_per": "unit", "task": None, "classes": ()}
    if labels:
        change["remarks"] = (*base.remarks, *_remarks(path, labels, shape))
    roles = base.model_copy(update=change) if labels else base
    return with_roles(pa.schema([*own.remove_metadata(), *((name, pa.string()) for name in names)]), roles)


def _remarks(path: Path, labels: dict[str, dict[str, str | None]], shape: Shape) -> list[str]:
    """Units without a label, and labels without a unit."""
    units: dict[str, None] = {}
    for batch in raw_batches(path, shape.file, [str(shape.unit)]):
        units |= dict.fromkeys(one for one in batch.column(0).cast("string").unique().to_pylist() if one)
    known = next(iter(labels.values()))
    bare = [one for one in units if one not in known and table_stem(Path(one)) not in known]
    stems = {*units, *(table_stem(Path(one)) for one in units)}
    unused = [one for one in known if one not in stems and table_stem(Path(one)) not in stems]
    told = [(bare, "of its units have no label there"), (unused, "labels belong to no unit of it")]
    return [
        f"is joined with '{shape.labels}': {len(names)} {what} ({', '.join(names[:SHOWN])}"
        f"{', ...' if len(names) > SHOWN else ''})"
        for names, what in told
        if names
    ]
