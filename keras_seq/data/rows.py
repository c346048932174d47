"""Rows of a typed table as a ``Series`` by a schema, for prediction, evaluation and further files of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config.resampling import ResampleConfig
from keras_seq.data.duplicates import Merged
from keras_seq.data.reading.by_schema import format_stamps
from keras_seq.data.reading.reading import Reading
from keras_seq.data.regular import ruled
from keras_seq.data.series import Float, Int, Schema, Series
from keras_seq.data.unit_column import first_change
from keras_seq.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5  # refused units that a message names


@dataclass(frozen=True)
class RefusedUnit:
    """A unit that was not answered.

    Attributes:
        unit: its name.
        rows: rows it has.
        reason: why, and what would mend it.
    """

    unit: str
    rows: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"unit": self.unit, "rows": self.rows, "reason": self.reason}


def refused_line(refused: Sequence[RefusedUnit]) -> str:
    """Which units were not answered, and why, in a line."""
    first, others = refused[0], [f"'{unit.unit}' ({unit.rows} rows)" for unit in refused[1:SHOWN]]
    more = f" and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
    many = "units were" if len(refused) > 1 else "unit was"
    summary = f"{len(refused)} {many} not answered: '{first.unit}' has {first.rows} rows and {first.reason}."
    return f"{summary} The others: {', '.join(others)}{more}." if others else summary


@dataclass(frozen=True)
class Rows:
    """Units of a table, sorted by unit in order of appearance, rows of a unit in the table's order.

    Attributes:
        series: with the schema's own columns; computed covariates are not among them.
        file_row: number in the table, from 1, of each row, int64 ``(rows,)``.
        clock: name of the time column; None: the table has none and rows are counted.
        stamps: of each row ``(rows,)``: its time as the table writes it, or ``file_row``; an array of numpy or pandas.
        units: likewise the units ``(units,)``; None: their texts.
        history: rows before a window that computed covariates read.
        refused: units that were left out.
        remarks: what is to be said of the table, a line each.
    """

    series: Series
    file_row: Int
    clock: str | None
    stamps: Any
    units: Any = None
    history: int = 0
    refused: tuple[RefusedUnit, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def unit_names(self) -> Any:
        """Names of the units ``(units,)``, as the table has them."""
        return self.series.unit_ids if self.units is None else self.units

    def notes(self, schema: Schema) -> tuple[str, ...]:
        """What could not be checked, a line each."""
        if schema.time_column is None or self.clock is not None:
            return self.remarks
        unchecked = f"there is no time column '{schema.time_column}'; the rows of each unit are taken to be in order"
        return (unchecked, *self.remarks)

    def keep(self, chosen: NDArray[np.bool_], reason: str) -> Rows:
        """The rows of the units ``chosen (units,)``; the others are refused."""
        if chosen.all():
            return self
        series = self.series
        rows = np.repeat(chosen, series.lengths)
        per_unit = series.schema.target_per == "unit"
        chosen_series = dataclasses.replace(
            series,
            values=series.values[rows],
            targets=series.targets[chosen if per_unit else rows],
            offsets=np.concatenate([[0], np.cumsum(series.lengths[chosen])]).astype(np.int64),
            unit_ids=series.unit_ids[chosen],
            groups=series.groups[chosen],
            time=series.time[rows],
            official=series.official[chosen],
        )
        refused = tuple(
            RefusedUnit(str(series.unit_ids[unit]), int(series.lengths[unit]), reason)
            for unit in np.flatnonzero(~chosen)
        )
        return dataclasses.replace(
            self,
            series=chosen_series,
            file_row=self.file_row[rows],
            stamps=self.stamps[rows],
            units=None if self.units is None else self.units[chosen],
            refused=(*self.refused, *refused),
        )


def arrange(
    frame: pd.DataFrame,
    schema: Schema,
    *,
    where: str,
    alone: str,
    with_targets: bool = False,
    stamps: NDArray[Any] | None = None,
    reading: Reading | None = None,
) -> Rows:
    """A typed table as units of rows.

    Args:
        frame: features as numbers, units, groups and labels as text, the time as numbers or ``datetime64``; one row
            a step. Columns that the schema does not name are ignored.
        schema: of the model.
        where: the table in messages, such as ``File 'a.csv'``.
        alone: name of the one unit of a table whose schema has no unit column.
        with_targets: whether the target columns are needed.
        stamps: the time as the table writes it ``(rows,)``; None: as it is in ``frame``.
        reading: of the table, to write the stamps of resampled rows.

    Raises:
        DataError: a column is missing; a row has no unit, no time, an infinite value or a missing one where none is
            allowed; time does not rise within a unit; a label is no class of the schema. Names row, column and value.
    """
    _check_columns(frame, schema, where, with_targets=with_targets)
    code, names = _units(frame, schema, where, alone)
    order = np.argsort(code, kind="stable") if len(code) > 1 and (np.diff(code) < 0).any() else np.arange(len(code))
    offsets = np.searchsorted(code[order], np.arange(len(names) + 1)).astype(np.int64)
    clock = schema.time_column if schema.time_column in frame.columns else None
    time = _time(frame, clock, offsets, order)
    values = _values(frame, schema, order, where)
    targets = _targets(frame, schema, order, offsets, names, where) if with_targets else _unknown(schema, offsets)
    series = Series(
        schema=schema,
        values=values,
        targets=targets,
        offsets=offsets,
        unit_ids=np.array(names),
        groups=_groups(frame, schema, order, offsets, names, where),
        time=time,
        official=np.full(len(names), ""),
        info={"origin": where},
    )
    remarks = tuple(frame.attrs.get("remarks", ()))
    rows = Rows(series, order + 1, clock, _stamps(frame, clock, stamps, order), remarks=remarks)
    rows = rows if clock is None else _ruled(rows, where, reading)
    check_missing(rows, where)
    return rows


def _ruled(rows: Rows, where: str, reading: Reading | None) -> Rows:
    """Rows by the rules of training: doubled stamps merged, resampled; time is known and rises."""
    series, rules = rows.series, rows.series.schema.row_rules
    regular = rules is not None and rules.resample.every is not None
    _check_known(rows, where)
    merged = ruled(series, rules.model_copy(update={"resample": ResampleConfig()}) if rules else None)
    rows = _chosen(rows, merged)
    _check_time(rows, where)
    if not regular:
        return rows
    merged = ruled(rows.series, rules)
    lost = np.flatnonzero(~np.isin(series.unit_ids, merged.series.unit_ids))
    reason = f"no whole bin of {rules.resample.every}, to which the model's rows are resampled" if rules else ""
    refused = tuple(
        RefusedUnit(str(series.unit_ids[unit]), int(series.lengths[unit]), reason) for unit in lost.tolist()
    )
    shown = stamps_like(rows.stamps, merged.series.time, reading)
    return dataclasses.replace(_chosen(rows, merged), stamps=shown, refused=refused)


def _chosen(rows: Rows, merged: Merged) -> Rows:
    """Rows after some were merged."""
    return dataclasses.replace(
        rows,
        series=merged.series,
        file_row=rows.file_row[merged.rows],
        stamps=rows.stamps[merged.rows],
        remarks=(*rows.remarks, *merged.remarks),
    )


def stamps_like(stamps: Any, time: NDArray[Any], reading: Reading | None) -> Any:
    """Stamps ``(rows,)`` as a table writes them, of which ``stamps`` are some: texts, timestamps or numbers."""
    import pandas as pd

    some = next((stamp for stamp in stamps if stamp is not None), None)
    if time.dtype.kind != "M":
        return time.astype(np.int64) if (time == np.round(time)).all() else time
    if isinstance(some, str):
        return format_stamps(time, reading or Reading())
    zone = getattr(some, "tzinfo", None)
    if isinstance(some, (int, float, np.number)):
        texts = format_stamps(time, reading or Reading())
        return pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy()
    local = pd.DatetimeIndex(time, tz="UTC").tz_convert(zone) if zone is not None else pd.DatetimeIndex(time)
    return local.to_numpy() if zone is None else local.to_numpy(object)


def _check_columns(frame: pd.DataFrame, schema: Schema, where: str, *, with_targets: bool) -> None:
    known = [str(name) for name in frame.columns]
    parts = [("input", name) for name in schema.features]
    if schema.unit_column:
        parts.append(("unit", schema.unit_column))
    if with_targets:
        parts += [("target", name) for name in schema.targets]
    missing = [(part, name) for part, name in parts if name not in known]
    if missing:
        part, name = missing[0]
        more = f" ({len(missing)} of {len(parts)} columns that are needed)" if len(missing) > 1 else ""
        raise DataError(f"{where} lacks the {part} column '{name}'{more}{nearest(name, known)}")


def _units(frame: pd.DataFrame, schema: Schema, where: str, alone: str) -> tuple[Int, list[str]]:
    """Number of each row's unit, in order of appearance, and the units' names."""
    import pandas as pd

    if not schema.unit_column:
        return np.zeros(len(frame), np.int64), [alone]
    code, names = pd.factorize(frame[schema.unit_column], use_na_sentinel=True)
    if (code < 0).any():
        row = int(np.argmax(code < 0)) + 1
        raise DataError(f"{where} names no unit in data row {row} (column '{schema.unit_column}'); fill it.")
    return code.astype(np.int64), [str(name) for name in names]


def _groups(
    frame: pd.DataFrame, schema: Schema, order: Int, offsets: Int, names: list[str], where: str
) -> NDArray[np.str_]:
    """Group of each unit; the unit itself where the table has no group column."""
    if not schema.group_column or schema.group_column not in frame.columns:
        return np.array(names)
    group = frame[schema.group_column].to_numpy(object)[order]
    first = group[offsets[:-1]]
    if change := first_change(group, offsets):
        row, unit = change
        raise DataError(
            f"Unit '{names[unit]}' of {where} belongs to group '{first[unit]}' and, in data row {order[row] + 1}, to "
            f"group '{group[row]}'; a unit has one group."
        )
    return first.astype(str)


def _time(frame: pd.DataFrame, clock: str | None, offsets: Int, order: Int) -> NDArray[Any]:
    if clock is not None:
        return frame[clock].to_numpy()[order]
    return np.arange(len(order), dtype=np.float64) - np.repeat(offsets[:-1], np.diff(offsets))


def _stamps(frame: pd.DataFrame, clock: str | None, stamps: NDArray[Any] | None, order: Int) -> NDArray[Any]:
    """The time of each row for tables of answers; numbers without decimals as whole ones."""
    if clock is None:
        return order + 1
    shown = frame[clock].to_numpy() if stamps is None else stamps
    if shown.dtype.kind == "f" and (shown == np.round(shown)).all() and np.abs(shown).max(initial=0) < 2**53:
        shown = shown.astype(np.int64)
    return shown[order]


def _check_known(rows: Rows, where: str) -> None:
    time = rows.series.time
    unknown = np.isnat(time) if time.dtype.kind == "M" else ~np.isfinite(time.astype(np.float64))
    if unknown.any():
        row = int(np.argmax(unknown))
        raise _bad_time(rows, row, where, f"is empty or infinite at row {rows.file_row[row]}; fill it.")


def _check_time(rows: Rows, where: str) -> None:
    time = rows.series.time
    falls = np.flatnonzero(~(time[1:] > time[:-1])) + 1
    falls = np.setdiff1d(falls, rows.series.offsets)
    if len(falls):
        row = int(falls[0])
        after = f"{_shown(time[row])} after {_shown(time[row - 1])}"
        mend = "Sort the rows of each unit by time."
        if time[row] == time[row - 1]:
            mend = "The rows differ; leave one, or train with data.duplicates first, last or mean."
        raise _bad_time(rows, row, where, f"does not rise at row {rows.file_row[row]}: {after}. {mend}")


def _bad_time(rows: Rows, row: int, where: str, what: str) -> DataError:
    unit = rows.series.unit_ids[int(np.searchsorted(rows.series.offsets, row, side="right")) - 1]
    return DataError(f"{where}: time column '{rows.clock}' of unit '{unit}' {what}")


def _shown(time: float | np.datetime64) -> str:
    return f"{time:g}" if isinstance(time, (float, np.floating)) else str(time.astype("datetime64[s]"))


def _values(frame: pd.DataFrame, schema: Schema, order: Int, where: str) -> Float:
    values = np.empty((len(frame), len(schema.columns)), np.float32)
    for j, column in enumerate(schema.columns):
        own = frame[column.name].to_numpy()
        values[:, j] = own[order]
        infinite = np.isinf(values[:, j])
        if infinite.any():
            row = int(np.argmax(infinite))
            raise DataError(
                f"{where} has an infinite '{column.name}' in data row {order[row] + 1}: {own[order[row]]}. Leave it "
                "empty if it is missing."
            )
    return values


def check_missing(rows: Rows, where: str) -> None:
    """Refuse a missing value where training had none.

    Raises:
        DataError: names row and column.
    """
    for j, column in enumerate(rows.series.schema.columns):
        missing = np.isnan(rows.series.values[:, j])
        if missing.any() and not column.missing:
            raise DataError(
                f"{where} misses '{column.name}' in data row {rows.file_row[int(np.argmax(missing))]}, and the model "
                "was trained without missing values in that column; fill it, or train with --data.impute forward."
            )


def _unknown(schema: Schema, offsets: Int) -> Float:
    rows = len(offsets) - 1 if schema.target_per == "unit" else int(offsets[-1])
    return np.full((rows, len(schema.targets)), np.nan, np.float32)


def _targets(frame: pd.DataFrame, schema: Schema, order: Int, offsets: Int, names: list[str], where: str) -> Float:
    """Targets by row or unit; class numbers of labels; NaN where missing."""
    if schema.classifies:
        targets = _class_numbers(frame, schema, where)[order, None]
    else:
        targets = np.stack([frame[name].to_numpy(np.float32) for name in schema.targets], axis=1)[order]
    if schema.target_per == "step":
        return np.ascontiguousarray(targets)
    first = targets[offsets[:-1]]
    every = np.repeat(first, np.diff(offsets), axis=0)
    same = ((targets == every) | (np.isnan(targets) & np.isnan(every))).all(1)
    if not same.all():
        row = int(np.argmin(same))
        unit = names[int(np.searchsorted(offsets, row, side="right")) - 1]
        raise DataError(
            f"{where}: the model has one target per unit, but '{schema.targets[0]}' changes within unit '{unit}' in "
            f"data row {order[row] + 1}."
        )
    return np.ascontiguousarray(first)


def _class_numbers(frame: pd.DataFrame, schema: Schema, where: str) -> Float:
    labels = frame[schema.targets[0]]
    number = {label: i for i, label in enumerate(schema.classes)}
    known = labels.notna().to_numpy()
    numbers = np.array(
        [number.get(str(label), -1) if there else np.nan for label, there in zip(labels, known, strict=True)]
    )
    if (numbers == -1).any():
        row = int(np.argmax(numbers == -1))
        raise DataError(
            f"{where} holds the label '{labels.iloc[row]}' in data row {row + 1} of '{schema.targets[0]}', which is "
            f"none of the model's classes {', '.join(schema.classes)}."
        )
    return numbers.astype(np.float32)
