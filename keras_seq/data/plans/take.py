"""The plan of a table to be answered: its known-ahead columns at the steps after each unit's last observed row."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.calendar import forecast_stamps
from keras_seq.data.plans.channels import append, kept_rows, observed_ends, rows_ahead, take_rows, with_gaps
from keras_seq.data.plans.marks import Leads, channels, planned
from keras_seq.data.rows import RefusedUnit, Rows, check_missing, refused_line
from keras_seq.data.series import Float, Int, Schema, Series
from keras_seq.errors import ConfigError, DataError

SHOWN = 5  # stamps that a message names


def reads_plan(schema: Schema, names: Sequence[str]) -> bool:
    """Whether a table with columns ``names`` must give a plan: the model has channels that the table does not hold."""
    return bool(channels(schema) - set(names))


def open_schema(schema: Schema) -> Schema:
    """The schema with all columns allowed to miss values, as plan rows do."""
    columns = tuple(column.model_copy(update={"missing": True}) for column in schema.columns)
    return schema.model_copy(update={"columns": columns})


def plan_schema(schema: Schema) -> Schema:
    """The schema of a plan of its own: units, time and known-ahead columns.

    Raises:
        ConfigError: the model knows no column ahead.
    """
    leads = planned(schema)
    if not leads:
        raise ConfigError(
            "A plan is given (--plan, plan=), but the model was trained without known-ahead columns "
            "(data.known_ahead); leave it out."
        )
    columns = tuple(column for column in schema.columns if column.name in leads)
    changes = {"columns": columns, "targets": (), "group_column": None, "static": None}
    return open_schema(schema.model_copy(update=changes))


def with_plan(rows: Rows, schema: Schema, where: str, plan: Rows | None, *, needed: bool) -> Rows:
    """Rows up to each unit's last observed one, with the channels of the model's known-ahead columns.

    Args:
        rows: of the table, read by ``open_schema``: plan rows may follow a unit's observed ones.
        schema: of the model.
        where: the table in messages.
        plan: more of the plan, from a table of its own, read by ``plan_schema``.
        needed: a unit whose plan does not reach the horizon is refused; else its last rows are told nothing.

    Raises:
        DataError: an observed row misses a value that it must have, two plans contradict each other, or no unit can be
            answered; names columns and stamps.
    """
    leads, series = planned(schema), rows.series
    own = series.schema
    ends = observed_ends(series)
    ahead = _Ahead(rows, ends, leads, plan, schema, where)
    values, reasons = ahead.collect()
    observed = kept_rows(series, ends)
    told = [
        _channel_values(series.values[:, own.features.index(name)], series.offsets, ends, values[:, :, i], leads[name])
        for i, name in enumerate(leads)
    ]
    trimmed = dataclasses.replace(take_rows(series, ends), schema=_closed_schema(own, schema))
    kept = dataclasses.replace(rows, series=trimmed, file_row=rows.file_row[observed], stamps=rows.stamps[observed])
    check_missing(kept, where)
    rows = dataclasses.replace(kept, series=_in_order(append(trimmed, leads, np.concatenate(told, axis=1)), schema))
    reasons = {unit: reason for unit, reason in reasons.items() if needed}
    reasons |= {
        int(unit): "none of them is observed (a plan alone cannot be answered)"
        for unit in np.flatnonzero(ends == series.offsets[:-1])
    }
    return _refuse(rows, reasons, series.lengths, where)


@dataclass(frozen=True)
class _Ahead:
    """What is known of the steps after the last observed row of each unit."""

    rows: Rows
    ends: Int
    leads: Leads
    plan: Rows | None
    schema: Schema
    where: str

    @property
    def steps(self) -> int:
        return max(max(steps) for steps in self.leads.values())

    def collect(self) -> tuple[Float, dict[int, str]]:
        """Values ``(units, steps, columns)``, NaN where not known, and by unit number what is lacking."""
        series = self.rows.series
        if self.plan is not None and self.rows.clock is not None and self.plan.clock is None:
            raise DataError(
                f"The plan lacks the time column '{self.rows.clock}', which {self.where[0].lower() + self.where[1:]} "
                "has; without it nobody knows which step a row of the plan is of."
            )
        stamps = self._stamps()
        values = np.full((series.n_units, self.steps, len(self.leads)), np.nan, np.float32)
        reasons = {}
        for unit in range(series.n_units):
            if self.ends[unit] == series.offsets[unit]:
                continue
            time, known = self._of_unit(unit)
            place = self._places(unit, time, None if stamps is None else stamps[unit])
            there = place >= 0
            values[unit, there] = known[place[there]]
            if lacking := self._lacking(values[unit], there):
                reasons[unit] = self._reason(unit, lacking, None if stamps is None else stamps[unit])
        return values, reasons

    def _stamps(self) -> NDArray[Any] | None:
        """Stamps of the steps ahead ``(units, steps)`` by the calendar; None where steps are counted."""
        series, calendar = self.rows.series, self.schema.calendar
        if self.rows.clock is None or calendar is None:
            return None
        last = series.time[np.maximum(self.ends - 1, 0)]
        stamps = forecast_stamps(calendar, last, self.steps, series.unit_ids)
        if calendar.zone is not None:
            stamps = stamps.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[ns]")
        return np.asarray(stamps).reshape(series.n_units, self.steps)

    def _of_unit(self, unit: int) -> tuple[NDArray[Any], Float]:
        """Times ``(n,)`` and known-ahead values ``(n, columns)`` after the last observed row, rising in time."""
        series, names = self.rows.series, list(self.leads)
        own = slice(int(self.ends[unit]), int(series.offsets[unit + 1]))
        positions = [series.schema.features.index(name) for name in names]
        columns = [series.schema.columns[position] for position in positions]
        time, values = series.time[own], with_gaps(series.values[own][:, positions], columns)
        if self.plan is None:
            return time, values
        second = self.plan.series
        match = np.flatnonzero(second.unit_ids == series.unit_ids[unit])
        if self.schema.unit_column is None:
            match = np.zeros(1, np.int64)
        if not len(match):
            return time, values
        part = slice(*second.offsets[match[0] : match[0] + 2].tolist())
        more = second.time[part]
        more_values = with_gaps(second.values[part][:, [second.schema.features.index(n) for n in names]], columns)
        if self.rows.clock is None:
            if len(time):
                raise DataError(
                    f"{self.where} holds plan rows of unit '{series.unit_ids[unit]}' and a plan is given besides, but "
                    "no time tells which rows of the two belong together; give the plan once."
                )
            return more, more_values
        later = more > series.time[own.start - 1]
        return self._joined(unit, (time, values), (more[later], more_values[later]))

    def _joined(
        self, unit: int, first: tuple[NDArray[Any], Float], second: tuple[NDArray[Any], Float]
    ) -> tuple[NDArray[Any], Float]:
        """Two plans of a unit as one, in which each fills what the other leaves empty."""
        time = np.union1d(first[0], second[0])
        values = np.full((2, len(time), len(self.leads)), np.nan, np.float32)
        for number, (own, filled) in enumerate((first, second)):
            values[number, np.searchsorted(time, own)] = filled
        both = ~np.isnan(values).any(axis=0) & (values[0] != values[1])
        if both.any():
            row, column = (int(place) for place in np.argwhere(both)[0])
            raise DataError(
                f"{self.where} and the plan contradict each other: '{list(self.leads)[column]}' of unit "
                f"'{self.rows.series.unit_ids[unit]}' at {self._text(time[row : row + 1])[0]} is "
                f"{values[0, row, column]:g} and {values[1, row, column]:g}; give it once."
            )
        return time, np.where(np.isnan(values[0]), values[1], values[0])

    def _places(self, unit: int, time: NDArray[Any], stamps: NDArray[Any] | None) -> Int:
        """For each step ahead the number of its plan row ``(steps,)``, -1 where there is none."""
        calendar = self.schema.calendar
        rule = calendar.of(str(self.rows.series.unit_ids[unit])) if calendar else None
        if stamps is None or rule is None or not rule.regular or not len(time):
            number = np.arange(self.steps)
            return np.where(number < len(time), number, -1)
        near = np.clip(np.searchsorted(time, stamps), 0, len(time) - 1)
        if not rule.numbers:
            return np.where(time[near] == stamps, near, -1)
        before = np.maximum(near - 1, 0)
        near = np.where(np.abs(time[before] - stamps) < np.abs(time[near] - stamps), before, near)
        return np.where(np.isclose(time[near], stamps, rtol=1e-9, atol=1e-6 * (rule.step or 1.0)), near, -1)

    def _lacking(self, values: Float, there: NDArray[np.bool_]) -> dict[str, list[int]]:
        """Steps ahead by column that the plan does not tell; a gap inside a plan is filled as training fills it."""
        lacking = {}
        allowed = {column.name for column in self.schema.columns if column.missing}
        words = self.schema.vocabularies  # one that is not among them is filled, too
        for number, (name, leads) in enumerate(self.leads.items()):
            wanted = np.array(leads) - 1
            known = ~np.isnan(values[wanted, number])
            if name in words or (name in allowed and known.any()):
                known = there[wanted]
            if not known.all():
                lacking[name] = [int(step) + 1 for step in wanted[~known]]
        return lacking

    def _reason(self, unit: int, lacking: dict[str, list[int]], stamps: NDArray[Any] | None) -> str:
        """What is said of a unit whose plan does not reach the horizon."""
        parts = []
        for name, steps in lacking.items():
            count = f"{len(steps)} step{'s' if len(steps) > 1 else ''} ahead"
            at = self._shown(steps, stamps)
            parts.append(f"'{name}' at {count} ({at})")
        return (
            f"its plan lacks {'; '.join(parts)}; give these values in rows after its last observed one, with the other "
            f"columns empty, or in a table of their own (--plan, plan=){self._also_filled(unit)}"
        )

    def _shown(self, steps: list[int], stamps: NDArray[Any] | None) -> str:
        regular = stamps is not None and not (np.isnat(stamps) if stamps.dtype.kind == "M" else np.isnan(stamps)).any()
        if stamps is not None and regular:
            texts = list(self._text(stamps[np.array(steps[:SHOWN]) - 1]))
            last = self._text(stamps[np.array(steps[-1:]) - 1])[0]
        else:
            texts, last = [f"step {step}" for step in steps[:SHOWN]], f"step {steps[-1]}"
        return ", ".join(texts) + (f" ... {last}" if len(steps) > SHOWN else "")

    def _text(self, stamps: NDArray[Any]) -> Sequence[str]:
        """Stamps as the table writes them."""
        if stamps.dtype.kind != "M":
            return [f"{stamp:g}" for stamp in stamps]
        from keras_seq.data.reading.by_schema import format_stamps
        from keras_seq.data.reading.reading import Reading

        return [str(text) for text in format_stamps(stamps, self.schema.reading or Reading())]

    def _also_filled(self, unit: int) -> str:
        """Hint at a column that makes the last row an observed one, where its targets are empty."""
        series = self.rows.series
        columns, end = series.schema.columns, self.ends[unit]
        row = with_gaps(series.values[end - 1 : end], columns)[0]
        filled = [c.name for c, value in zip(columns, row, strict=True) if not np.isnan(value) and not c.known_ahead]
        if not filled or any(name in series.schema.targets for name in filled):
            return ""
        return (
            f" (its last row holds no target but '{filled[0]}', which is not known ahead: it counts as observed; leave "
            "that empty in plan rows, or train with it in data.known_ahead)"
        )


def _channel_values(values: Float, offsets: Int, ends: Int, ahead: Float, leads: Sequence[int]) -> Float:
    """Channels of one column for all observed rows ``(rows, leads)``: later rows, then what is known ahead."""
    units, steps = ahead.shape
    lengths = ends - offsets[:-1]
    joined = np.concatenate(
        [piece for u in range(units) for piece in (values[offsets[u] : ends[u]], ahead[u])] or [values[:0]]
    )
    borders = np.concatenate([[0], np.cumsum(lengths + steps)]).astype(np.int64)
    observed = np.arange(len(joined)) < np.repeat(borders[:-1] + lengths, lengths + steps)
    return np.stack([rows_ahead(joined, borders, lead)[observed] for lead in leads], axis=1)


def _in_order(series: Series, schema: Schema) -> Series:
    """The series with its columns in the order, and with the marks, that the model has them in."""
    place = {name: number for number, name in enumerate(series.schema.features)}
    columns = tuple(column for column in schema.columns if column.name in place)
    values = np.ascontiguousarray(series.values[:, [place[column.name] for column in columns]])
    return dataclasses.replace(series, schema=schema.model_copy(update={"columns": columns}), values=values)


def _closed_schema(own: Schema, schema: Schema) -> Schema:
    """The table's own columns, as the model has them."""
    columns = {column.name: column for column in schema.columns}
    return own.model_copy(update={"columns": tuple(columns[column.name] for column in own.columns)})


def _refuse(rows: Rows, reasons: dict[int, str], lengths: Int, where: str) -> Rows:
    """The rows without the units of ``reasons``.

    Raises:
        DataError: no unit is left.
    """
    if not reasons:
        return rows
    names = rows.series.unit_ids
    refused = tuple(RefusedUnit(str(names[u]), int(lengths[u]), reason) for u, reason in sorted(reasons.items()))
    if len(reasons) == len(names):
        inside = where[0].lower() + where[1:]
        raise DataError(f"No unit of {inside} can be answered: {refused_line((*rows.refused, *refused))}")
    chosen = ~np.isin(np.arange(len(names)), list(reasons))
    rest = rows.keep(chosen, "")
    return dataclasses.replace(rest, refused=(*rows.refused, *refused))
