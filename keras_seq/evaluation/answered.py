"""Windows of a file, and the table of their answers: the same for a bundle, a server and a client."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from keras_seq.data.calendar import forecast_stamps
from keras_seq.data.reading.by_schema import format_stamps
from keras_seq.data.reading.reading import Reading
from keras_seq.data.rows import RefusedUnit, Rows, refused_line
from keras_seq.data.series import Int
from keras_seq.data.spec import DataSpec
from keras_seq.errors import DataError
from keras_seq.evaluation.answer_columns import ENDS, AnswerColumns, columns_for

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AnswerTable:
    """A table of answers and what is to be said beside it.

    Attributes:
        table: one row an answer, and a step ahead.
        refused: units without an answer.
        notes: one line each.
        reading: of the table that was answered, by which its stamps are written.
    """

    table: pd.DataFrame
    refused: tuple[RefusedUnit, ...] = ()
    notes: tuple[str, ...] = ()
    reading: Reading | None = None

    def as_text(self) -> pd.DataFrame:
        """The table as text files have it: computed stamps are written as the answered table writes its own."""
        import pandas as pd

        table, reading = self.table, self.reading
        if reading is None or reading.date_format is None or not pd.api.types.is_string_dtype(table.dtypes.iloc[1]):
            return table
        computed = [str(name) for name in table if pd.api.types.is_datetime64_any_dtype(table[name])]
        texts: dict[str, Any] = {}
        for name in computed:
            stamps = pd.DatetimeIndex(table[name])
            stamps = stamps.tz_convert("UTC").tz_localize(None) if stamps.tz is not None else stamps
            texts[name] = format_stamps(stamps.to_numpy("datetime64[ns]"), reading)
        return table.assign(**texts)

    def warnings(self) -> list[str]:
        """The notes, and a line that names the refused units."""
        if not self.refused:
            return list(self.notes)
        return [*self.notes, refused_line(self.refused)]


@dataclass(frozen=True)
class Cut:
    """Windows to answer, and the units that have none.

    Attributes:
        start: first row, ``(windows,)``.
        length: rows, ``(windows,)``.
        unit: number of the unit, ``(windows,)``.
        refused: units that have none.
    """

    start: Int
    length: Int
    unit: Int
    refused: tuple[RefusedUnit, ...]


def cut(rows: Rows, spec: DataSpec, *, every: int = 0) -> Cut:
    """Windows that end at each unit's last row, and every ``every`` rows before.

    A unit shorter than a window of fixed length is refused; the others are answered. Windows whose covariates would
    read rows that are not there are left out.

    Args:
        rows: of all units.
        spec: of the model: ``time`` and ``variable_length``.
        every: 0: one window a unit.

    Raises:
        DataError: no unit can be answered.
    """
    offsets, names = rows.series.offsets, rows.series.unit_ids
    ends = [
        np.arange(high, low, -every)[::-1] if every else np.array([high]) for low, high in itertools.pairwise(offsets)
    ]
    end, unit = np.concatenate([np.zeros(0, np.int64), *ends]), np.repeat(np.arange(len(ends)), list(map(len, ends)))
    start = np.maximum(offsets[unit], end - spec.time)
    chosen = start - offsets[unit] >= rows.history
    if not spec.variable_length:
        chosen &= end - start == spec.time
    short = np.flatnonzero(~np.isin(np.arange(len(names)), unit[chosen]))
    reason = f"the model's window needs {spec.time} rows; give more of its past"
    refused = tuple(RefusedUnit(str(names[number]), int(rows.series.lengths[number]), reason) for number in short)
    refused = (*rows.refused, *refused)
    if not chosen.any():
        raise DataError(f"No unit can be answered: {refused_line(refused)}")
    return Cut(start[chosen], (end - start)[chosen], unit[chosen], refused)


def answers_table(
    model: Any,
    output: Mapping[str, np.ndarray],
    *,
    unit: Sequence[Any] | np.ndarray,
    last: ArrayLike,
    time: np.ndarray,
    clock: str | None,
) -> pd.DataFrame:
    """Table of answers beside their unit and time.

    Args:
        model: a bundle, or what stands in for one: ``spec``, ``schema`` and ``experiment.model.quantiles``.
        output: answers by name, ``(n, ...)``.
        unit: name of each answer's unit ``(n,)``.
        last: time as the table writes it, or number from 1, of the last row that each answer has seen ``(n,)``.
        time: the same as ``Series.time`` has it, from which the calendar goes on ``(n,)``.
        clock: time column of the table that was answered; None: ``last`` are numbers of rows.

    Returns:
        One row per answer (and step ahead, for forecasts), its columns named by ``answer_columns``.
    """
    import pandas as pd

    spec = model.spec
    levels = model.experiment.model.quantiles if "quantiles" in output else ()
    names = columns_for(spec, model.schema, clock=clock, levels=levels)
    answers: dict[str, Any] = {names.unit_name: unit, names.clock_name: last}
    if spec.classifies:
        return pd.DataFrame(answers | _class_columns(names, spec, output))
    rows, steps = len(unit), max(spec.horizon, 1)
    if spec.horizon:
        answers = {name: np.repeat(value, steps) for name, value in answers.items()}
        answers[names.word("steps_ahead")] = np.tile(np.arange(1, steps + 1), rows)
        if clock and model.schema.calendar is not None:
            stamps = forecast_stamps(model.schema.calendar, time, steps, np.asarray(unit, str))
            whole = np.asarray(last).dtype.kind in "iu" and bool((stamps == np.floor(stamps)).all())
            answers[names.word("forecast_time")] = stamps.astype(np.int64) if whole else stamps
    value = {name: output[name].reshape(rows * steps, len(spec.targets), -1) for name in output}
    return pd.DataFrame(answers | _value_columns(names, value))


def _class_columns(names: AnswerColumns, spec: DataSpec, output: Mapping[str, np.ndarray]) -> dict[str, Any]:
    number = output["class"].reshape(-1)
    if spec.task == "binary":
        columns = {names.word("probability"): output["probability"][:, 0]}
    else:
        columns = {names.of_class(label): output["probabilities"][:, i] for i, label in enumerate(spec.classes)}
    return columns | {names.word("class"): np.array(spec.classes)[number] if spec.classes else number}


def _value_columns(names: AnswerColumns, value: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Columns of ``value``: answers by name ``(rows, targets, levels or 1)``."""
    columns: dict[str, Any] = {}
    for number, target in enumerate(names.targets):
        for position, level in enumerate(names.levels):
            columns[names.quantile(target, level)] = value["quantiles"][:, number, position]
        if not names.levels:
            columns[target] = value["prediction"][:, number, 0]
        for side in ENDS:
            if side in value:
                columns[names.end(target, side)] = value[side][:, number, 0]
    return columns
