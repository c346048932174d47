"""Any CSV or Parquet file of the user's own as a ``Series``, read in chunks straight into float32.

Memory stays near the size of the float32 array: the rows are bounded by counting line ends, the
array is reserved once, and blocks of typed columns are written into it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.censored import FLAG, unit_flags
from keras_seq.data.known import first_known
from keras_seq.data.quality.precision import PrecisionTaker, precision_findings
from keras_seq.data.reading.batches import read_batches, row_bound
from keras_seq.data.reading.dates import parse_dates
from keras_seq.data.reading.labels import number_text, own_text
from keras_seq.data.regular import ruled, rules_of
from keras_seq.data.series import Float, Int, Series
from keras_seq.data.sources.part_column import unit_parts
from keras_seq.data.sources.positive import count_labels
from keras_seq.data.sources.table_layout import Layout, plan_table
from keras_seq.data.sources.table_targets import settle_classes
from keras_seq.data.static import StaticValues
from keras_seq.data.unit_column import first_change
from keras_seq.data.words import code_column
from keras_seq.errors import DataError
from keras_seq.tasks import classifies

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def iter_table_chunks(
    config: DataConfig, rows: int = 200_000, layout: Layout | None = None, taker: PrecisionTaker | None = None
) -> Iterator[pd.DataFrame]:
    """The columns that ``plan_table(config)`` settles on, in chunks of ``rows`` rows in file order.

    Features and numeric targets are float32 (NaN where missing), class labels given as text stay
    text, units and groups are text, the time is float64 or ``datetime64[ns]``. Nothing is sorted or
    checked against the schema. A ``taker`` sees the numbers before they are float32.

    Raises:
        ConfigError, DataError: as ``plan_table``; malformed lines and values when they are reached.
    """
    import pandas as pd

    layout = layout or plan_table(config)
    frames: list[pd.DataFrame] = []
    have = 0
    for columns in _columns(layout, rows, taker):
        frame = pd.DataFrame(columns)
        frames.append(frame)
        have += len(frame)
        if have < rows:
            continue
        joined = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frame
        cuts = range(0, have - rows + 1, rows)
        for first in cuts:
            yield joined.iloc[first : first + rows].reset_index(drop=True)
        rest = joined.iloc[len(cuts) * rows :].reset_index(drop=True)
        frames, have = ([rest] if len(rest) else []), len(rest)
    if have:
        yield pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def load_table(config: DataConfig) -> Series:
    """The user's file, rows by unit (in order of appearance), within a unit in file order.

    Text labels become class numbers, their texts sorted unless the schema lists ``classes``. A class
    that is the same in all rows of every unit is a target per unit. Order of time, missing and
    infinite values are left to the quality check, which ``load_series`` runs.

    Raises:
        ConfigError, DataError: as ``plan_table``; malformed lines and values; a group that changes
            within a unit; labels that the schema does not list.
    """
    layout = plan_table(config)
    arrays = _read(layout)
    arrays.sort_by_unit()
    offsets = arrays.offsets()
    layout, targets = _class_numbers(layout, arrays)
    series = Series(
        schema=layout.schema,
        values=arrays.values,
        targets=targets,
        offsets=offsets,
        unit_ids=np.array(arrays.units),
        groups=_groups(arrays, offsets),
        time=arrays.clock(offsets),
        official=unit_parts(arrays.part, arrays.parts, offsets, arrays.units, arrays.file_row),
        info=_info(layout, arrays),
        truth=_censored(arrays, offsets),
    )
    return _per_unit(ruled(series, rules_of(config), learn=True).series, layout, config)


def _censored(arrays: _Arrays, offsets: Int) -> dict[str, NDArray[Any]]:
    if arrays.flag is None:
        return {}
    return {FLAG: unit_flags(arrays.flag, arrays.flags, offsets, arrays.units, arrays.file_row)}


def _info(layout: Layout, arrays: _Arrays) -> dict[str, Any]:
    facts = {"choices": list(layout.choices), "precision": arrays.precision}
    return {"origin": layout.path.name} | {name: fact for name, fact in facts.items() if fact}


class _Codes:
    """Texts numbered in order of appearance; labels that differ in how a whole number is written are one."""

    def __init__(self, *, labels: bool) -> None:
        self.numbers: dict[str, int] = {}
        self.text = own_text if labels else str

    def encode(self, column: pa.Array) -> NDArray[np.int32]:
        """Numbers of a text column ``(rows,)``; -1 where the text is missing."""
        encoded = column.dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        table = np.array(
            [self.numbers.setdefault(self.text(text), len(self.numbers)) for text in texts] + [-1], np.int32
        )
        return table[encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)]


@dataclasses.dataclass
class _Arrays:
    """Columns of the whole file; rows ``(rows,)`` in file order until sorted."""

    values: Float
    targets: Float
    unit: NDArray[np.int32]
    group: NDArray[np.int32] | None
    time: NDArray[Any] | None
    units: list[str]
    groups: list[str]
    labels: list[str]
    part: NDArray[np.int32] | None
    parts: list[str]
    flag: NDArray[np.int32] | None
    flags: list[str]
    precision: list[dict[str, Any]]  # columns of which float32 loses something
    order: Int | None = None  # file row of each row, where they were sorted

    def sort_by_unit(self) -> None:
        """Bring the rows of each unit together, column by column to spare memory."""
        if len(self.unit) < 2 or not (np.diff(self.unit) < 0).any():
            return
        self.order = np.argsort(self.unit, kind="stable")
        for array in (self.values, self.targets):
            for j in range(array.shape[1]):
                array[:, j] = array[self.order, j]
        self.unit = self.unit[self.order]
        self.group = None if self.group is None else self.group[self.order]
        self.time = None if self.time is None else self.time[self.order]
        self.part = None if self.part is None else self.part[self.order]
        self.flag = None if self.flag is None else self.flag[self.order]

    def offsets(self) -> Int:
        """Row offsets of the units ``(units + 1,)``."""
        return np.searchsorted(self.unit, np.arange(len(self.units) + 1)).astype(np.int64)

    def clock(self, offsets: Int) -> NDArray[Any]:
        """The time column, or steps counted from 0 in each unit."""
        if self.time is not None:
            return self.time
        return np.arange(len(self.unit), dtype=np.float64) - np.repeat(offsets[:-1], np.diff(offsets))

    def file_row(self, row: int) -> int:
        """Data row in the file, from 1."""
        return int(row if self.order is None else self.order[row]) + 1


def _columns(layout: Layout, rows: int = 65536, taker: PrecisionTaker | None = None) -> Iterator[dict[str, Any]]:
    """Batches as ``{name: array}``: float32, float64, datetime64 or text."""
    before = 0
    static = StaticValues(layout.schema) if layout.schema.static else None
    for batch in read_batches(layout.path, layout.kinds, layout.reading, rows=rows, span=layout.span):
        if taker is not None:
            taker.add(_watched(batch, taker.names))
        columns = {name: _plain(batch.column(i), name, layout, before) for i, name in enumerate(batch.schema.names)}
        if static and layout.schema.unit_column:
            columns |= static.columns(columns[layout.schema.unit_column].to_numpy(object))
        yield columns
        before += batch.num_rows


def _plain(column: pa.Array, name: str, layout: Layout, before: int) -> Any:
    """A column of a batch as an array; ``before`` rows of the file came before it."""
    kind = layout.kinds[name]
    if name in layout.schema.vocabularies:
        return code_column(column, layout.schema.vocabularies[name])
    if kind == "text":
        texts = column.to_pandas()
        return texts.map(own_text, na_action="ignore") if name in layout.schema.targets else texts
    if kind == "date":
        return parse_dates(column, layout.dates, name, layout.path, before)
    if kind == "flag":
        import pyarrow as pa

        column = column.cast(pa.float64())
    numbers = column.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):  # told by the check
        return numbers if kind == "clock" else numbers.astype(np.float32)


def number_taker(layout: Layout) -> PrecisionTaker:
    """Collector of the precision of number columns, in float64 as the file has them."""
    schema = layout.schema
    return PrecisionTaker(name for name in (*schema.features, *schema.targets) if layout.kinds.get(name) == "number")


def lossy_columns(taker: PrecisionTaker) -> list[dict[str, Any]]:
    """Facts of the columns of which float32 loses something."""
    return [dataclasses.asdict(fact) for fact in taker.facts() if precision_findings([fact])]


def _watched(batch: pa.RecordBatch, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Number columns of a batch as the file has them, float64, NaN where missing."""
    return {name: batch.column(name).to_numpy(zero_copy_only=False) for name in names}


def _read(layout: Layout) -> _Arrays:
    """The whole file in arrays reserved once."""
    schema, bound = layout.schema, row_bound(layout.path, layout.reading)
    values = np.empty((bound, len(schema.columns)), np.float32)
    targets = np.empty((bound, len(schema.targets)), np.float32)
    unit = np.zeros(bound, np.int32)
    group = np.zeros(bound, np.int32) if schema.group_column else None
    part_of = np.zeros(bound, np.int32) if layout.part else None
    flag = np.zeros(bound, np.int32) if layout.censored else None
    dates = schema.time_column is not None and layout.kinds[schema.time_column] == "date"
    time = np.empty(bound, "datetime64[ns]" if dates else np.float64) if schema.time_column else None
    texts = {name for name, kind in layout.kinds.items() if kind == "text"} - set(schema.vocabularies)
    codes = {name: _Codes(labels=name in schema.targets) for name in texts}
    taker = number_taker(layout)
    rows = 0
    for batch in read_batches(layout.path, layout.kinds, layout.reading):
        taker.add(_watched(batch, taker.names))
        part = slice(rows, rows + batch.num_rows)
        columns = {
            name: codes[name].encode(batch.column(name))
            if name in codes
            else _plain(batch.column(name), name, layout, rows)
            for name in batch.schema.names
        }
        for array, names in ((values, schema.features), (targets, schema.targets)):
            for j, name in enumerate(names):
                if name in columns:  # static ones come once the units are known
                    array[part, j] = columns[name]
        if schema.unit_column:
            unit[part] = _present(columns[schema.unit_column], rows, schema.unit_column, "unit", layout)
        if group is not None and schema.group_column:
            group[part] = _present(columns[schema.group_column], rows, schema.group_column, "group", layout)
        if part_of is not None and layout.part:
            part_of[part] = _present(columns[layout.part], rows, layout.part, "part", layout)
        if flag is not None and layout.censored:
            flag[part] = _present(columns[layout.censored], rows, layout.censored, "censored", layout)
        if time is not None and schema.time_column:
            time[part] = columns[schema.time_column]
        rows = part.stop
    label = schema.targets[0]
    if schema.static and schema.unit_column:
        static = StaticValues(schema).of(list(codes[schema.unit_column].numbers))
        for j, name in enumerate(schema.static.columns):
            values[:rows, schema.features.index(name)] = static[unit[:rows], j]
    return _Arrays(
        values=values[:rows],
        targets=targets[:rows],
        unit=unit[:rows],
        group=None if group is None else group[:rows],
        time=None if time is None else time[:rows],
        units=list(codes[schema.unit_column].numbers) if schema.unit_column else [layout.path.stem],
        groups=list(codes[schema.group_column].numbers) if schema.group_column in codes else [],
        labels=list(codes[label].numbers) if label in codes else [],
        part=None if part_of is None else part_of[:rows],
        parts=list(codes[layout.part].numbers) if layout.part else [],
        flag=None if flag is None else flag[:rows],
        flags=list(codes[layout.censored].numbers) if layout.censored else [],
        precision=lossy_columns(taker),
    )


def _present(codes: NDArray[np.int32], rows: int, name: str, role: str, layout: Layout) -> NDArray[np.int32]:
    if (codes < 0).any():
        row = rows + int(np.argmax(codes < 0)) + 1
        raise DataError(f"Column '{name}' of '{layout.path}' names no {role} in data row {row}; fill it.")
    return codes


def _groups(arrays: _Arrays, offsets: Int) -> NDArray[np.str_]:
    """Group of each unit; it must not change within one."""
    if arrays.group is None:
        return np.array(arrays.units)
    first = arrays.group[offsets[:-1]]
    if change := first_change(arrays.group, offsets):
        row, unit = change
        raise DataError(
            f"Unit '{arrays.units[unit]}' belongs to group '{arrays.groups[first[unit]]}' and, in data row "
            f"{arrays.file_row(row)}, to group '{arrays.groups[arrays.group[row]]}'; a unit has one group."
        )
    return np.array(arrays.groups)[first]


def _class_numbers(layout: Layout, arrays: _Arrays) -> tuple[Layout, Float]:
    """Labels as class numbers, and the layout with what the rows tell of task and classes."""
    column = arrays.targets[:, 0]
    if not layout.schema.classifies and not (_is_zero_one(column) and not layout.task_given):
        settle_classes(layout, [], [], text_labels=False)  # refuses what only classes have
        return layout, arrays.targets
    known = np.unique(column[np.isfinite(column)])
    texts = arrays.labels or [number_text(value) for value in known]
    codes = np.arange(len(arrays.labels), dtype=np.float32) if arrays.labels else known
    counts = count_labels(column, arrays.unit, codes)
    task, classes = settle_classes(layout, texts, counts, text_labels=bool(arrays.labels))
    if not classifies(task):
        return layout, arrays.targets
    wanted = {text: i for i, text in enumerate(classes)}
    unknown = [i for i, text in enumerate(texts) if text not in wanted]
    if unknown:
        row = int(np.argmax(column == (unknown[0] if arrays.labels else known[unknown[0]])))
        raise DataError(
            f"Target '{layout.schema.targets[0]}' of '{layout.path}' holds '{texts[unknown[0]]}' (unit "
            f"'{arrays.units[arrays.unit[row]]}', data row {arrays.file_row(row)}), which is not among the schema's "
            f"classes {', '.join(classes)}."
        )
    numbers = np.array([wanted[text] for text in texts] + [np.nan], np.float32)  # the last one: missing
    if arrays.labels:
        position = column.astype(np.int64)  # -1 where missing
    else:
        position = np.where(np.isfinite(column), np.searchsorted(known, column), -1)
    schema = layout.schema.model_copy(update={"task": task, "classes": classes})
    return dataclasses.replace(layout, schema=schema), numbers[position][:, None]


def _is_zero_one(column: Float) -> bool:
    """Whether a column holds nothing but 0 and 1, and both."""
    return bool(
        ((column == 0) | (column == 1) | np.isnan(column)).all() and (column == 0).any() and (column == 1).any()
    )


def _per_unit(series: Series, layout: Layout, config: DataConfig) -> Series:
    """One target per unit where the schema says so, or where a class is constant in every unit."""
    schema = series.schema
    asked = layout.per_given and schema.target_per == "unit"
    guessed = not layout.per_given and schema.classifies and series.n_units > 1 and not config.windows.per_step
    if not (asked or guessed):
        return series
    known = first_known(series.targets, series.offsets)
    same = (series.targets == np.repeat(known, series.lengths, axis=0)) | np.isnan(series.targets)
    if not same.all():
        if guessed:
            return series
        row, column = map(int, np.argwhere(~same)[0])
        unit = int(np.searchsorted(series.offsets, row, side="right")) - 1
        raise DataError(
            f"The schema of '{layout.path}' says one target per unit, but '{schema.targets[column]}' changes within "
            f"unit '{series.unit_ids[unit]}' at its row {row - int(series.offsets[unit]) + 1}; say 'target_per: step'."
        )
    schema = schema.model_copy(update={"target_per": "unit"})
    return dataclasses.replace(series, schema=schema, targets=known)
