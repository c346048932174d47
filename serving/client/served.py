"""A served model as ``keras_seq.predict`` sees a bundle: same units, windows and answers, without TensorFlow."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import config
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.rows import refused_line
from keras_seq.data.series import Column, Schema
from keras_seq.errors import ConfigError, DataError, nearest
from keras_seq.evaluation.answered import AnswerTable, answers_table, cut
from serving.client import frames
from serving.client.arrays import LENGTHS, Arrays
from serving.contract.signatures import DEFAULT, Signature

if TYPE_CHECKING:
    import pandas as pd

    from keras_seq.data.rows import Rows
    from serving.client.base import BaseClient, VersionTarget


@dataclass(frozen=True)
class Spec:
    """The part of ``keras_seq.data.spec.DataSpec`` that windows and answers need."""

    task: str
    features: tuple[str, ...]
    targets: tuple[str, ...]
    time: int
    variable_length: bool
    horizon: int = 0
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServedModel:
    """What stands in for a bundle.

    Attributes:
        spec, schema, experiment: as a bundle has them.
        described: whether the version told them itself; if not, answers keep the names of the outputs.
    """

    spec: Spec
    schema: Schema
    experiment: Any
    described: bool

    @property
    def covariates(self) -> CovariatesConfig:
        """What is computed beside the table's own columns."""
        return self.experiment.data.covariates if self.described else CovariatesConfig()


@dataclass(frozen=True)
class Columns:
    """What a file's columns are, as far as the version does not say it.

    Attributes:
        features: columns in the model's order; None: as the version tells, else all numeric ones.
        window: steps; None: as the version tells, else all rows of a unit.
        unit, time: columns that tell units apart and rise within one; None: those of the version's schema.
        every: 0: one answer a unit, from its last rows; n: also every n rows before.
        whole: the file holds every unit from its very first row on, so that covariates need no further history.
    """

    features: tuple[str, ...] | None = None
    window: int | None = None
    unit: str | None = None
    time: str | None = None
    every: int = 0
    whole: bool = False


def from_metadata(told: Mapping[str, Any]) -> ServedModel:
    """Of the ``metadata.json`` that ``keras_seq.export`` wrote.

    Raises:
        ConfigError: it is incomplete, or of a newer version.
    """
    try:
        experiment = config.from_dict(told["config"])
        schema = Schema.model_validate(told["schema"])
        spec = Spec(
            task=told["task"],
            features=tuple(column["name"] for column in told["features"]),
            targets=tuple(told["targets"]),
            time=int(told["time"]),
            variable_length=bool(told["variable_length"]),
            horizon=int(told["horizon"]),
            classes=tuple(told["classes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"What the version says of itself cannot be read ({str(error).splitlines()[0]}); it may come from another "
            "version of keras_seq. Give --features, --window and --unit instead, with --extras_prefix ''."
        ) from None
    return ServedModel(spec, schema, experiment, described=True)


def from_columns(table: pd.DataFrame, signature: Signature, columns: Columns) -> ServedModel:
    """Of the table's columns, where a version does not describe itself.

    Raises:
        ConfigError: the columns that are named are not those that the model takes.
        DataError: a column is not there; or there is more in the table than the names say, such as several units.
    """
    named = {"unit": columns.unit, "time": columns.time}
    for name in (*(columns.features or ()), *(name for name in named.values() if name)):
        if name not in map(str, table.columns):
            raise DataError(f"The table has no column '{name}'{nearest(name, map(str, table.columns))}")
    if columns.unit is not None and columns.unit == columns.time:
        raise ConfigError(f"Column '{columns.unit}' is named as unit and as time; each needs a column of its own.")
    names = columns.features or frames.numeric_columns(table, columns.unit, columns.time)
    _check_count(signature, len(names), named=columns.features is not None)
    window = columns.window or _window(table, signature, columns.unit)
    return _plain(names, columns, window, variable_length=LENGTHS in signature.inputs)


def _plain(names: Sequence[str], columns: Columns, window: int, *, variable_length: bool) -> ServedModel:
    """A version of which only the names of its columns are known."""
    spec = Spec("", tuple(names), (), window, variable_length=variable_length)
    schema = Schema(
        name="table",
        task="regression",
        columns=tuple(Column(name=name, missing=True) for name in names),
        targets=(),
        unit_column=columns.unit,
        time_column=columns.time,
    )
    return ServedModel(spec, schema, None, described=False)


def _check_count(signature: Signature, count: int, *, named: bool) -> None:
    """Refuse a number of columns that the model cannot take, and say how it would know which are meant."""
    shape = next((info.shape for name, info in signature.inputs.items() if name != LENGTHS), None)
    if shape is None or len(shape) != 3 or shape[2] in (-1, count):
        return
    if named:
        raise ConfigError(f"--features names {count} columns, the model takes {shape[2]}.")
    raise DataError(
        f"The model takes {shape[2]} features and the file has {count} columns of numbers; the server does not tell "
        "which are meant. Start it with --extras_prefix=/keras_seq, or give --metadata "
        "<model>/<version>/keras_seq/metadata.json, or --features, --unit and --time."
    )


def _window(table: pd.DataFrame, signature: Signature, unit: str | None) -> int:
    """The fixed time of the signature, else the longest unit; a model of fixed windows needs all alike."""
    shape = next((info.shape for name, info in signature.inputs.items() if name != LENGTHS), None)
    if shape is not None and len(shape) == 3 and shape[1] > 0:
        return shape[1]
    sizes = table.groupby(unit, sort=False).size() if unit in table.columns else [len(table)]
    if LENGTHS not in signature.inputs and min(sizes) != max(sizes):
        raise ConfigError(
            "The model takes windows of one length, which the server does not tell, and units have from "
            f"{min(sizes)} to {max(sizes)} rows; give --window STEPS."
        )
    return int(max(sizes))


def predict_table(
    client: BaseClient,
    target: VersionTarget,
    path: Path,
    columns: Columns,
    *,
    signature: str = DEFAULT,
    told: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """The table of ``answer_table``; a warning names what was not answered."""
    answers = answer_table(client, target, path, columns, signature=signature, told=told)
    for line in answers.warnings():
        warnings.warn(line, stacklevel=2)
    return answers.table


def answer_table(
    client: BaseClient,
    target: VersionTarget,
    path: Path,
    columns: Columns,
    *,
    signature: str = DEFAULT,
    told: Mapping[str, Any] | None = None,
) -> AnswerTable:
    """Answers of a served model for a CSV or Parquet file, as ``keras_seq.predict`` gives them for a bundle.

    Args:
        client: of the server.
        target: model and version.
        path: the file.
        columns: what the file's columns are and how windows are cut.
        signature: that answers.
        told: the version's ``metadata.json``; None: asked of the server.

    Raises:
        DataError: the file does not hold what the model takes, or no unit can be answered.
        ServingError: the server cannot be reached or refuses.
    """
    from keras_seq.data.reading.batches import check_file
    from keras_seq.data.table_rows import plain_schema, read_plainly, read_rows

    check_file(path)  # before the server is asked
    served = _described(client, target, columns, told)
    if served is None:
        table = read_plainly(path, columns.unit)
        served = from_columns(table, client.signature(target, signature), columns)
        schema = plain_schema(path, served.schema.features, columns.unit, columns.time)
        frames.check_one_unit(table, schema)
        served = replace(served, schema=schema)
    window = None if columns.whole else served.spec.time
    rows = read_rows(path, served.schema, served.covariates, window=window)
    return _answer(client, target, served, rows, columns, signature, numbered=True)


def answer_frame(
    client: BaseClient, target: VersionTarget, table: pd.DataFrame, columns: Columns, *, signature: str = DEFAULT
) -> AnswerTable:
    """Answers of a served model for a DataFrame, as for a file; units and times are the table's own values."""
    from keras_seq.data.frame_rows import frame_rows

    described = _described(client, target, columns, None)
    served = described or from_columns(table, client.signature(target, signature), columns)
    window = None if columns.whole else served.spec.time
    rows = frame_rows(table, served.schema, served.covariates, window=window)
    if described is None:
        frames.check_one_unit(table, served.schema)
    return _answer(client, target, served, rows, columns, signature, numbered=served.described)


def frame_windows(
    table: pd.DataFrame, unit: str | None, told: Mapping[str, Any] | None
) -> tuple[tuple[str, ...], list[np.ndarray], list[str]]:
    """Features, windows ``(time, features)`` of a DataFrame's units, and what is to be said of it.

    Args:
        table: one row a step.
        unit: column that tells units apart; None: that of the version's schema.
        told: the version's ``metadata.json``; None: all numeric columns are features and units are taken whole.
    """
    from keras_seq.data.frame_rows import frame_rows

    if told is not None:
        served = _with_columns(from_metadata(told), Columns(unit=unit))
    else:
        served = _plain(frames.numeric_columns(table, unit), Columns(unit=unit), len(table), variable_length=True)
    rows = frame_rows(table, served.schema, served.covariates, window=served.spec.time if told is not None else None)
    if told is None:
        frames.check_one_unit(table, served.schema)
    windows = cut(rows, served.spec)
    parts = zip(windows.start, windows.length, strict=True)
    remarks = [*rows.notes(served.schema), *([refused_line(windows.refused)] if windows.refused else [])]
    return served.spec.features, [rows.series.values[first : first + count] for first, count in parts], remarks


def _described(
    client: BaseClient, target: VersionTarget, columns: Columns, told: Mapping[str, Any] | None
) -> ServedModel | None:
    """What the version tells of itself; None where it tells nothing, or where the caller says the features."""
    if columns.features is not None:
        return None
    if told is None:
        told = client.describe(target.model, version=target.version, label=target.label)
    if told is None:
        return None
    return _with_columns(from_metadata(told), columns)


def _with_columns(served: ServedModel, columns: Columns) -> ServedModel:
    """What a version tells, with the names that the caller's table has.

    Raises:
        ConfigError: the caller's window is not the version's.
    """
    steps = columns.window
    if steps is not None and steps != served.spec.time:
        raise ConfigError(
            f"--window is {steps}, but the served version says its windows have {served.spec.time} steps."
        )
    changes = {name: value for name, value in (("unit_column", columns.unit), ("time_column", columns.time)) if value}
    return replace(served, schema=served.schema.model_copy(update=changes))


def _answer(
    client: BaseClient,
    target: VersionTarget,
    served: ServedModel,
    rows: Rows,
    columns: Columns,
    signature: str,
    *,
    numbered: bool,
) -> AnswerTable:
    """Windows of the rows, their answers, and the units that have none.

    ``numbered``: rows without a time, and a unit without a name, have a column all the same.
    """
    series, windows = rows.series, cut(rows, served.spec, every=columns.every)
    answers = _ask(client, target, signature, series.values, windows.start, windows.length)
    ends, unit = windows.start + windows.length - 1, rows.unit_names[windows.unit]
    last = rows.stamps[ends]
    if served.described and signature == DEFAULT:
        table = answers_table(served, answers, unit=unit, last=last, time=series.time[ends], clock=rows.clock)
    else:
        called = served.schema.unit_column or ("unit" if numbered else None)
        beside = {rows.clock or "row": last} if numbered or rows.clock else {}
        table = frames.answers_frame(answers, unit, called, beside)
    return AnswerTable(table, windows.refused, rows.notes(served.schema))


def _ask(
    client: BaseClient, target: VersionTarget, signature: str, values: np.ndarray, start: np.ndarray, length: np.ndarray
) -> Arrays:
    """Answers of all windows, a block at a time, so that overlapping windows are never all in memory."""
    block = client.rows_per_request * client.connections
    parts = []
    for low in range(0, len(start), block):
        cuts = zip(start[low : low + block], length[low : low + block], strict=True)
        rows = [values[first : first + count] for first, count in cuts]
        parts.append(client.ask(target, frames.as_values(rows), signature=signature))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
