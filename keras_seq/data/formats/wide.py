"""Wide tables as long ones: a column a series, or a row a series; ends without values are cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.formats.registry import TableFormat, register
from keras_seq.data.formats.roles import Roles, with_roles
from keras_seq.data.reading.batches import column_names, raw_batches, row_bound
from keras_seq.data.reading.reading import Reading, Shape
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

CELLS = 2**21  # values turned round at once
_SIGNED = re.compile(r"(?i)(?:t|time|step|now)[ _]?([-+\u2212] ?\d+)?")
_PAST = re.compile(r"(?i)(?<![a-z])(?:minus|before|prior|previous|prev|past|ago|back|lag|lagged|vor|neg)(?![a-z])")
STEP, TIME = "step", "time"


@register(TableFormat("columns", "a table with a column for each series", options=("shape",)))
def read_columns(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Series after series; as many are read in one pass as fit into ``CELLS`` values."""
    import pyarrow as pa

    assert reading.shape is not None
    shape, file = reading.shape, reading.shape.file
    names = column_names(path, file)
    series, keep = _apart(names, shape, path)
    many = max(1, CELLS // max(1, row_bound(path, file)))
    for first in range(0, len(series), many):
        group = series[first : first + many]
        table = pa.Table.from_batches(list(raw_batches(path, file, [*keep, *group])))
        for name in group:
            values = _value(table[name].combine_chunks())
            known = np.flatnonzero(_filled(values, file))
            if not len(known):
                continue
            span = (int(known[0]), int(known[-1]) - int(known[0]) + 1)
            kept = [table[one].combine_chunks().slice(*span) for one in keep]
            unit = pa.repeat(pa.scalar(name), span[1])
            yield _batch([shape.name, *keep, shape.value], [unit, *kept, values.slice(*span)], shape, shape.time)


@register(TableFormat("rows", "a table with a row for each series", options=("shape",)))
def read_rows(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Series after series, as the rows come; the names of the columns are the times."""
    import pyarrow as pa

    assert reading.shape is not None
    shape, file = reading.shape, reading.shape.file
    steps, keep = _apart(column_names(path, file), shape, path)
    if not shape.dated:
        steps = [steps[one] for one in np.argsort(_numbers(steps))]
    clock = pa.array(steps) if shape.dated else pa.array(_numbers(steps))
    seen = 0
    for whole in raw_batches(path, file, [*keep, *steps], rows=max(1, CELLS // len(steps))):
        for first in range(0, whole.num_rows, max(1, CELLS // len(steps))):
            batch = whole.slice(first, max(1, CELLS // len(steps)))
            columns = [_value(batch.column(name)) for name in steps]
            if len({column.type for column in columns}) > 1:
                columns = [column.cast(pa.string()) for column in columns]
            rows = np.arange(batch.num_rows)
            order = (rows[:, None] + batch.num_rows * np.arange(len(steps))[None, :]).ravel()
            values = pa.concat_arrays(columns).take(pa.array(order))
            inside = _inside(_filled(values, file).reshape(batch.num_rows, len(steps)))
            row, step = np.nonzero(inside)
            ids = [batch.column(name).take(pa.array(row)) for name in keep]
            if shape.unit is None:
                ids, keep_names = [pa.array([str(seen + one + 1) for one in row]), *ids], [shape.name, *keep]
            else:
                keep_names = [shape.name if name == shape.unit else name for name in keep]
            seen += batch.num_rows
            long = [*ids, clock.take(pa.array(step)), values.filter(pa.array(inside.ravel()))]
            time = TIME if shape.dated else STEP
            yield _batch([*keep_names, time, shape.value], long, shape, time)


def _apart(names: Sequence[str], shape: Shape, path: Path) -> tuple[list[str], list[str]]:
    """Columns that hold values, and those that are kept.

    Raises:
        DataError: there are no values, or the time or unit column is not there.
    """
    values = [name for name in names if name not in shape.keep]
    keep = [name for name in shape.keep if name in names]
    lost = next((name for name in (shape.time, shape.unit) if name and name not in names), None)
    if lost or not values:
        raise DataError(
            f"Wide table '{path}' lacks the column '{lost}'." if lost else f"'{path}' has no column of values."
        )
    return values, keep


def _batch(names: list[str], columns: list[pa.Array], shape: Shape, time: str | None) -> pa.RecordBatch:
    import pyarrow as pa

    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise DataError(
            f"The long table has two columns '{doubled.pop()}'; name them otherwise: data.wide.name, data.wide.value."
        )
    roles = Roles(unit=shape.name, time=time, targets=(shape.value,), aside=shape.aside)
    fields = [(name, column.type) for name, column in zip(names, columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=with_roles(pa.schema(fields), roles))


def _value(column: pa.Array) -> pa.Array:
    """Values as float64, or as texts that are read as numbers later."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    number = (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    )
    return column.cast(pa.float64(), safe=False) if number or pa.types.is_null(kind) else column.cast(pa.string())


def _filled(values: pa.Array, file: Reading) -> NDArray[np.bool_]:
    """Where there is a value ``(rows,)``: not null, not NaN, no text for missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(values.type):
        absent = pc.is_in(pc.utf8_trim_whitespace(values), value_set=pa.array(file.all_missing_texts))
        filled = pc.and_(values.is_valid(), pc.invert(pc.fill_null(absent, False)))
    else:
        filled = pc.invert(values.is_null(nan_is_null=True))
    return np.asarray(filled.to_numpy(zero_copy_only=False), bool)


def _inside(filled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """From the first to the last value of each row ``(rows, steps)``."""
    after = np.logical_or.accumulate(filled, axis=1)
    before = np.logical_or.accumulate(filled[:, ::-1], axis=1)[:, ::-1]
    return after & before


def _numbers(names: Sequence[str]) -> NDArray[np.int64]:
    """Steps by the numbers in names such as ``V7``; counted where they neither rise nor differ by that number alone."""
    found = [re.search(r"(\d+)\D*$", name) for name in names]
    steps = np.array([int(one[1]) if one else -1 for one in found], np.int64)
    before = _before(names)
    if before is not None:
        return before
    rising = (steps >= 0).all() and (np.diff(steps) > 0).all()
    return steps if rising or _alike(names, steps) else np.arange(len(names), dtype=np.int64)


def _before(names: Sequence[str]) -> NDArray[np.int64] | None:
    """Steps of names that count backwards: ``minus3``, ``before 3``, ``3 days ago``, ``t-3``, ``t``; None: others.

    Numbers behind a word for the past, or a sign behind ``t``, are below 0; ``t`` is 0.
    """
    steps: list[int] = []
    past = False
    for name in names:
        found = _SIGNED.fullmatch(name.strip())
        word = _PAST.search(name)
        number = re.search(r"\d+", name)
        if found:
            steps.append(int(found[1].replace("\u2212", "-").replace(" ", "") or 0) if found[1] else 0)
            past |= (found[1] or "").startswith(("-", "\u2212"))
        elif word and number and len(re.findall(r"\d+", name)) == 1:
            steps.append(-int(number[0]))
            past = True
        else:
            return None
    return np.array(steps, np.int64) if past and len(set(steps)) == len(steps) else None


def _alike(names: Sequence[str], steps: NDArray[np.int64]) -> bool:
    """Whether the names are one word with a number of its own each: not ``t-3``, ``lag3``, ``0.25`` or ``2020Q1``."""
    parts = {re.sub(r"\d+", "#", name, count=1) for name in names}
    word = parts.pop()
    plain = re.fullmatch(r"[^\W\d]*[ _]?#", word) is not None and "lag" not in word.lower()
    return plain and not parts and len(np.unique(steps)) == len(steps)
