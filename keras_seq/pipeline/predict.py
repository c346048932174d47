"""Predict from a file."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import files
from keras_seq.config import from_dict as experiment_from_dict
from keras_seq.config import override
from keras_seq.config.database import FIELDS, SQL, replaced_by
from keras_seq.errors import ConfigError
from keras_seq.evaluation.answered import AnswerTable, answers_table, cut

if TYPE_CHECKING:
    import pandas as pd

    from keras_seq.bundle import Bundle
    from keras_seq.config import DataConfig
    from keras_seq.data.databases.selection import Selection
    from keras_seq.data.rows import Rows

BATCH = 256


def predict_file(
    bundle: Bundle, path: str | Path, *, every: int = 0, whole: bool = False, plan: str | Path | None = None
) -> pd.DataFrame:
    """Answers of a bundle for a file; a warning names what was not answered. See ``answer_file``."""
    answers = answer_file(bundle, path, every=every, whole=whole, plan=plan)
    for line in answers.warnings():
        warnings.warn(line, stacklevel=2)
    return answers.table


def answer_file(
    bundle: Bundle,
    path: str | Path,
    *,
    every: int = 0,
    whole: bool = False,
    steps: int = 0,
    plan: str | Path | None = None,
) -> AnswerTable:
    """Answers of a bundle for a file, and what was not answered.

    Args:
        bundle: loaded bundle.
        path: CSV or Parquet file, written as the table of training.
        every: 0: one answer per unit, from its last steps; n: also every n steps before.
        whole: the file holds every unit from its very first row on, so that covariates find what they found in
            training and no further history is asked for.
        steps: of a forecast, 0: its horizon; more: beyond it from its own forecasts, see ``recursive.answer_further``.
        plan: file with the known-ahead columns at the steps of the forecast; None: they are rows at the end of each
            unit of ``path``, in which all other columns are empty.

    Returns:
        The table has one row per answer (and step ahead, for forecasts): unit, step or time of the last row seen, for
        forecasts ``steps_ahead`` and ``forecast_time`` (the stamp it speaks of, by the calendar of the training data),
        and ``<target>``, ``<target>_lower`` and ``<target>_upper`` (with quantiles ``<target>_q05`` ... instead of
        ``<target>``), or the calibrated ``probability`` and ``class``; see ``evaluation.answer_columns``.

    Raises:
        DataError: the file is missing, empty, lacks columns or deviates from the schema; names what and where; or no
            unit can be answered.
    """
    from keras_seq.data.table_rows import read_rows

    window = None if whole else bundle.spec.time
    rows = read_rows(path, bundle.schema, bundle.experiment.data.covariates, window=window, plan=plan)
    if steps:
        from keras_seq.pipeline.recursive import answer_further

        return answer_further(bundle, rows, steps=steps, every=every)
    return answer_rows(bundle, rows, every=every)


def answer_database(
    bundle: Bundle,
    overrides: Mapping[str, Any],
    *,
    every: int = 0,
    whole: bool = False,
    steps: int = 0,
    plan: str | Path | None = None,
) -> AnswerTable:
    """Answers of a bundle for new rows of a database; as ``answer_file``.

    Args:
        bundle: loaded bundle.
        overrides: dotted options of source ``sql``; what they leave open is as in training.
        every: as for ``answer_file``.
        whole: as for ``answer_file``.
        steps: as for ``answer_file``.
        plan: as for ``answer_file``.

    Raises:
        ConfigError: an option that reads no database.
        DataError: the database cannot be read; as ``answer_file``.
    """
    from keras_seq.data.databases.extract import extract

    path = extract(database_rows(bundle, overrides))
    answers = answer_file(bundle, path, every=every, whole=whole, steps=steps, plan=plan)
    if bundle.schema.unit_column in answers.table and _has_integers(path, str(bundle.schema.unit_column)):
        table = answers.table.astype({bundle.schema.unit_column: "int64"})  # as the database has its units
        return dataclasses.replace(answers, table=table)
    return answers


def _has_integers(path: Path, name: str) -> bool:
    from pyarrow import parquet, types

    return bool(types.is_integer(parquet.read_schema(path).field(name).type))


def database_rows(bundle: Bundle, overrides: Mapping[str, Any]) -> Selection:
    """The rows of a database that a bundle is to answer, ordered as its schema has them.

    Raises:
        ConfigError: an option that reads no database.
    """
    from keras_seq.data.databases.selection import select_rows
    from keras_seq.data.plans.marks import channels

    allowed = {f"data.{name}" for name in ("source", "path", *FIELDS)}
    other = next((name for name in overrides if name not in allowed), None)
    if other is not None:
        raise ConfigError(
            f"Option '--{other}' is settled by the bundle; new rows are given by {', '.join(sorted(allowed))}."
        )
    config, schema = _database_config(bundle, overrides), bundle.schema
    if config.source != SQL:
        raise ConfigError(f"Option 'data.source' must be sql to answer rows of a database, got '{config.source}'.")
    selection, unit, time = select_rows(config), schema.unit_column, schema.time_column
    parts = tuple(schema.reading.time_parts) if schema.reading else ()
    times = parts or ((time,) if time else ())
    own = [name for name in schema.features if name not in channels(schema)]
    wanted = (*own, *times, *(name for name in (unit, schema.group_column) if name))
    named = (("the bundle's unit column", unit),) if unit else ()
    columns = wanted if selection.table else None
    return dataclasses.replace(selection, roles=named, unit=unit, time=times, columns=columns)


def database_of(bundle: Bundle, overrides: Mapping[str, Any]) -> str:
    """URL of the database that answers go to where none is named: the one that is read, or that of the training.

    Raises:
        ConfigError: there is none.
    """
    from keras_seq.data.databases.selection import database_url

    config = _database_config(bundle, overrides)
    if not (config.url or config.path):
        raise ConfigError("Option '--to sql' needs --to-url, the database: the bundle was trained on a file.")
    return database_url(config)


def _database_config(bundle: Bundle, overrides: Mapping[str, Any]) -> DataConfig:
    """A data section of nothing but a database: that of the training where ``overrides`` leave it open."""
    data = bundle.experiment.data
    own = {f"data.{name}": getattr(data, name) for name in (*FIELDS, "path") if data.source == SQL}
    asked = {"data.source": SQL} | dict(overrides)
    return experiment_from_dict(override({}, own | replaced_by(asked, data.source) | asked)).data


def answer_rows(bundle: Bundle, rows: Rows, *, every: int = 0) -> AnswerTable:
    """Answers for rows that are there; as ``answer_file``."""
    series, windows = rows.series, cut(rows, bundle.spec, every=every)
    output = _run(bundle, series.values, windows.start, windows.length)
    last, unit = windows.start + windows.length - 1, series.unit_ids[windows.unit]
    table = answers_table(bundle, output, unit=unit, last=rows.stamps[last], time=series.time[last], clock=rows.clock)
    return AnswerTable(table, windows.refused, rows.notes(bundle.schema), bundle.schema.reading)


def _run(bundle: Bundle, values: np.ndarray, start: np.ndarray, length: np.ndarray) -> dict[str, np.ndarray]:
    import tensorflow as tf

    from keras_seq.export.serving_graph import served

    quantiles = bundle.experiment.model.quantiles
    served_graph = served(bundle.model, bundle.spec, decision=bundle.decision, quantiles=quantiles)
    graph = tf.function(served_graph.function, input_signature=served_graph.signature)
    parts = []
    for low in range(0, len(start), BATCH):
        first, count = start[low : low + BATCH], length[low : low + BATCH]
        steps = np.arange(count.max())
        rows = np.minimum(first[:, None] + steps, len(values) - 1)
        batch = np.where((steps < count[:, None])[..., None], values[rows], np.float32(0))
        inputs = [batch, count.astype(np.int32)] if bundle.spec.variable_length else [batch]
        parts.append({name: tensor.numpy() for name, tensor in graph(*inputs).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write CSV, Parquet or JSON by its suffix, atomically."""
    with files.new_file(path) as partial:
        if path.suffix in (".parquet", ".pq"):
            table.to_parquet(partial, index=False)
        elif path.suffix == ".json":
            partial.write_text(table.to_json(orient="records", indent=2, date_format="iso") + "\n", encoding="utf-8")
        else:
            table.to_csv(partial, index=False)
