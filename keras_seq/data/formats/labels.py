"""A table with the columns of a second one joined to it: labels, or other facts, of its units."""

from __future__ import annotations

import re
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
    """Units without a label and labels without a unit, in one sentence."""
    units: dict[str, None] = {}
    for batch in raw_batches(path, shape.file, [str(shape.unit)]):
        units |= dict.fromkeys(one for one in batch.column(0).cast("string").unique().to_pylist() if one)
    known = next(iter(labels.values()))
    bare = [one for one in units if one not in known and table_stem(Path(one)) not in known]
    stems = {*units, *(table_stem(Path(one)) for one in units)}
    unused = [one for one in known if one not in stems and table_stem(Path(one)) not in stems]
    told = [(bare, "of its units have no label there"), (unused, "labels belong to no unit of it")]
    lines = [f"{len(names)} {what} ({_shown(names)})" for names, what in told if names]
    return [f"is joined with '{shape.labels}': {'; '.join(lines)}"] if lines else []


def refuse_foreign_labels(path: Path, table: Path, shape: Shape) -> None:
    """Refuse a table of labels that names no unit of the table; read only until one is found.

    Raises:
        DataError: names units of both, and pairs that are written otherwise.
    """
    reading = shape.labels_reading or Reading()
    names = column_names(table, reading)
    key = str(shape.unit) if shape.unit in names else names[0]
    known: dict[str, None] = {}
    for batch in raw_batches(table, reading, [key]):
        known |= dict.fromkeys(one for one in batch.column(0).cast("string").to_pylist() if one)
    stems = {*known, *(table_stem(Path(one)) for one in known)}
    units: dict[str, None] = {}
    for batch in raw_batches(path, shape.file, [str(shape.unit)]):
        fresh = [one for one in batch.column(0).cast("string").unique().to_pylist() if one and one not in units]
        if any(one in stems or table_stem(Path(one)) in stems for one in fresh):
            return
        units |= dict.fromkeys(fresh)
    if not units or not known:
        return
    alike = {_folded(one): one for one in known}
    pair = next(((one, alike[_folded(one)]) for one in units if _folded(one) in alike), None)
    hint = f" '{pair[0]}' here may be '{pair[1]}' there." if pair else ""
    raise DataError(
        f"None of the {len(units)} units of '{path}' (column '{shape.unit}': {_shown(list(units))}) stands in "
        f"'{shape.labels}' (column '{key}': {_shown(list(known))}; data.labels), so no row would have a label.{hint} "
        f"Write the units alike in both, call the column of units there '{shape.unit}', or name another one here with "
        "data.unit."
    )


def _folded(unit: str) -> str:
    """A unit's name without what is written now so, now so: capitals, blanks, zeros in front of numbers, endings."""
    return re.sub(r"(?<!\d)0+(?=\d)|[\W_]", "", table_stem(Path(unit)).casefold())


def _shown(names: list[str]) -> str:
    return f"{', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
