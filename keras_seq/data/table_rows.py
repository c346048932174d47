"""A table of the user's own as rows of a trained model: read by the model's schema, its covariates computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.covariates.add import add_covariates, wanted
from keras_seq.data.covariates.history import history_reason, history_rows, whole_units_needed
from keras_seq.data.observe_calendar import check_steps
from keras_seq.data.plans.marks import channels, planned
from keras_seq.data.plans.take import open_schema, plan_schema, reads_plan, with_plan
from keras_seq.data.reading.reading import Reading
from keras_seq.data.remote import local_path
from keras_seq.data.rows import Rows, arrange, refused_line
from keras_seq.data.series import Schema
from keras_seq.errors import DataError, nearest

if TYPE_CHECKING:
    import pandas as pd


def read_rows(
    path: str | Path,
    schema: Schema,
    covariates: CovariatesConfig,
    *,
    window: int | None = None,
    with_targets: bool = False,
    plan: str | Path | None = None,
) -> Rows:
    """A file as rows of a model; all features are there, computed covariates among them.

    Args:
        path: CSV or Parquet file, written as the table of training was (``schema.reading``).
        schema: of the model.
        covariates: computed in training; those that the file does not hold are computed anew.
        window: steps of the model's window: a unit then needs these rows and those before them that computed
            covariates read, or it is refused. None: the file holds every unit from its very first row on.
        with_targets: whether the target columns are needed; no plan is then asked for.
        plan: file with the known-ahead columns of later steps; None: they are rows at the end of each unit.

    Raises:
        DataError: the file deviates from the schema; names row, column and value. A plan lacks steps of every unit.
    """
    from keras_seq.data.reading.shapes import schema_of_files

    path, where = local_path(path), f"File '{path}'"
    schema = schema_of_files(path, schema)
    later = None if plan is None else _read(local_path(plan), plan_schema(schema), f"Plan file '{plan}'")
    frame = _frame(path, schema, schema.targets if with_targets else ())
    own = own_schema(schema, list(frame.columns), covariates)
    planning = reads_plan(schema, list(frame.columns))
    rows = _read(path, open_schema(own) if planning else own, where, frame, with_targets=with_targets)
    if planning:
        rows = with_plan(rows, schema, where, later, needed=not with_targets)
    if rows.clock is not None:
        check_steps(schema.calendar, rows.series.time, rows.series.offsets, rows.series.unit_ids, path)
    return complete(rows, schema, covariates, where, window)


def _frame(path: Path, schema: Schema, also: Sequence[str] = ()) -> pd.DataFrame:
    """The columns of a file that a schema names."""
    from keras_seq.data.reading.by_schema import read_by_schema

    kind = None
    if schema.reading is None and schema.calendar is not None:
        kind = "clock" if schema.calendar.numbers else "date"
    return read_by_schema(path, schema, also=also, time_kind=kind)


def _read(
    path: Path, schema: Schema, where: str, frame: pd.DataFrame | None = None, *, with_targets: bool = False
) -> Rows:
    """A file as rows by a schema that has no other columns than the file."""
    frame = _frame(path, schema) if frame is None else frame
    dated = schema.time_column in frame.columns and frame[schema.time_column].dtype.kind == "M"
    stamps = _stamps(path, str(schema.time_column), frame.attrs["reading"]) if dated else None
    reading = frame.attrs["reading"]
    return arrange(
        frame, schema, where=where, alone=path.stem, with_targets=with_targets, stamps=stamps, reading=reading
    )


def _stamps(path: Path, clock: str, reading: Reading) -> NDArray[Any]:
    """The time of each row as the file has it ``(rows,)``: texts, or a Parquet file's timestamps."""
    import pandas as pd

    from keras_seq.data.reading.batches import read_batches

    column = [batch.column(0).to_pandas() for batch in read_batches(path, {clock: "date"}, reading)]
    return pd.concat(column, ignore_index=True).to_numpy()


def own_schema(schema: Schema, names: Sequence[str], covariates: CovariatesConfig) -> Schema:
    """The schema without the features that a table lacks, where covariates are computed: they may be among those.

    The channels of known-ahead columns are left out, too, where the table does not hold them all.
    """
    told = planned(schema) if reads_plan(schema, names) else {}
    made = channels(schema) if told else frozenset()
    computed = wanted(covariates)
    columns = tuple(
        column
        for column in schema.columns
        if column.name not in made and (column.name in names or column.name in told or not computed)
    )
    if not columns:
        return schema
    return schema.model_copy(update={"columns": columns})


def complete(rows: Rows, schema: Schema, covariates: CovariatesConfig, where: str, window: int | None) -> Rows:
    """Rows with the covariates that their table lacks computed, features in the model's order.

    Raises:
        DataError: a feature is neither in the table nor computed; times are needed and not there; or no unit has the
            rows that covariates look back on.
    """
    own = rows.series.schema.features
    if all(name in own for name in schema.features):
        return rows
    _check_stamps(rows, schema, covariates, where)
    if window is not None:
        rows = _with_history(rows, schema, covariates, where, window)
    full = add_covariates(rows.series, covariates)
    values = dict(zip(full.schema.features, full.values.T, strict=True))
    for column in schema.columns:  # a holiday that no year of the table has
        if column.known_ahead and covariates.holidays and column.name not in values:
            values[column.name] = np.zeros(len(full.values), np.float32)
    lost = [name for name in schema.features if name not in values]
    if lost:
        raise DataError(
            f"{where} lacks the input column '{lost[0]}' ({len(lost)} of {len(schema.features)} that the model takes)"
            f"{nearest(lost[0], own)}"
        )
    joined = np.stack([values[name] for name in schema.features], axis=1)
    remarks = rows.remarks
    dated = covariates.calendar or covariates.holidays or covariates.events
    if dated and schema.calendar is None:
        remarks += ("the bundle does not keep how its stamps go on; the table's own tell it. Train again.",)
    series = dataclasses.replace(full, schema=schema, values=np.ascontiguousarray(joined))
    return dataclasses.replace(rows, series=series, remarks=remarks)


def _check_stamps(rows: Rows, schema: Schema, covariates: CovariatesConfig, where: str) -> None:
    """Refuse times that covariates cannot be computed from as in training."""
    dated = covariates.calendar or covariates.holidays or covariates.events or covariates.elapsed
    if not (dated or (covariates.stl and schema.calendar)):
        return
    kind = "numbers" if schema.calendar and schema.calendar.numbers else "dates"
    if rows.clock is None or (kind == "dates") != (rows.series.time.dtype.kind == "M"):
        raise DataError(
            f"The model's covariates read {kind} in the time column '{schema.time_column}', which {_inside(where)} "
            f"{'lacks' if rows.clock is None else 'does not hold there'}; give it as the training data have it."
        )


def _with_history(rows: Rows, schema: Schema, covariates: CovariatesConfig, where: str, window: int) -> Rows:
    """The units that have the rows that a window's computed covariates look back on; the others are refused."""
    history = schema.history
    before = history_rows(covariates, schema.calendar) if history is None else history
    if before == 0:
        return rows
    if before == "unit":
        raise DataError(whole_units_needed(covariates, _inside(where)))
    enough = rows.series.lengths >= window + before
    rows = dataclasses.replace(rows.keep(enough, history_reason(covariates, window, before)), history=before)
    if not enough.any():
        raise DataError(f"No unit of {_inside(where)} can be answered: {refused_line(rows.refused)}")
    return rows


def _inside(where: str) -> str:
    """A table's name within a sentence."""
    return where[0].lower() + where[1:]


def plain_schema(path: str | Path, features: Sequence[str], unit: str | None, time: str | None) -> Schema:
    """A schema for a file of which only the parts of its columns are known; its reading is settled from the file.

    Raises:
        ConfigError, DataError: as ``plan_table``.
    """
    from keras_seq.config import DataConfig
    from keras_seq.data.sources.table_layout import plan_table

    columns = {"features": list(features), "targets": list(features[:1]), "unit": unit, "time": time}
    config = DataConfig(source="table", path=str(path), task="forecast", impute="forward", **columns)
    return plan_table(config).schema


def read_plainly(path: str | Path, unit: str | None) -> pd.DataFrame:
    """A file as a DataFrame of numbers and texts, whatever it holds; the unit column as text.

    Raises:
        DataError: the file cannot be read.
    """
    import pandas as pd

    from keras_seq.config import DataConfig
    from keras_seq.data.reading.batches import read_batches
    from keras_seq.data.reading.settle import settle_table

    facts = settle_table(Path(path), DataConfig())
    kinds: dict[str, Any] = {name: kind if kind in ("number", "flag") else "text" for name, kind in facts.kinds.items()}
    if unit in kinds:
        kinds[unit] = "text"
    frames = [batch.to_pandas() for batch in read_batches(Path(path), kinds, facts.reading)]
    table = pd.concat(frames, ignore_index=True)
    whole = [name for name in table if table[name].dtype.kind == "f" and (table[name] == table[name].round()).all()]
    return table.astype({name: "int64" for name in whole})
