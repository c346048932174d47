"""A served model as ``keras_seq.predict`` sees a bundle: same units, windows and answers, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import config, predict
from keras_seq.data.series import Column, Schema
from keras_seq.errors import ConfigError, DataError
from serving.client import frames
from serving.client.arrays import LENGTHS, Arrays
from serving.contract.signatures import DEFAULT, Signature

if TYPE_CHECKING:
    import pandas as pd

    from serving.client.base import BaseClient, Target


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
    impute: str = "forward"


@dataclass(frozen=True)
class Served:
    """What stands in for a bundle.

    Attributes:
        spec, schema, experiment: as a bundle has them.
        described: whether the version told them itself; if not, answers keep the names of the outputs.
    """

    spec: Spec
    schema: Schema
    experiment: Any
    described: bool


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


def from_metadata(told: Mapping[str, Any]) -> Served:
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
            impute=experiment.data.impute,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"What the version says of itself cannot be read ({str(error).splitlines()[0]}); it may come from another "
            "version of keras_seq. Give --features, --window and --unit instead, with --extras_prefix ''."
        ) from None
    return Served(spec, schema, experiment, described=True)


def from_columns(table: pd.DataFrame, signature: Signature, columns: Columns) -> Served:
    """Of the table's columns, where a version does not describe itself."""
    names = columns.features or frames.numeric_columns(table, columns.unit, columns.time)
    _check_count(signature, len(names), named=columns.features is not None)
    window = columns.window or _window(table, signature, columns.unit)
    spec = Spec("", tuple(names), (), window, variable_length=LENGTHS in signature.inputs)
    schema = Schema(
        name="table",
        task="regression",
        columns=tuple(Column(name=name, missing=True) for name in names),
        targets=(),
        unit_column=columns.unit,
        time_column=columns.time,
    )
    return Served(spec, schema, None, described=False)


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
    target: Target,
    path: Path,
    columns: Columns,
    *,
    signature: str = DEFAULT,
    told: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Answers of a served model for a CSV or Parquet file, as ``keras_seq.predict`` gives them for a bundle.

    Args:
        client: of the server.
        target: model and version.
        path: the file.
        columns: what the file's columns are and how windows are cut.
        signature: that answers.
        told: the version's ``metadata.json``; None: asked of the server.

    Raises:
        DataError: the file does not hold what the model takes.
        ServingError: the server cannot be reached or refuses.
    """
    table = predict.read_table(path)
    if columns.unit is not None and columns.unit not in table.columns:
        known = ", ".join(map(str, table.columns))
        raise DataError(f"File '{path}' has no column '{columns.unit}' (--unit); it has {known}.")
    served = _served(client, target, table, columns, signature, told)
    stand_in: Any = served
    full = predict.with_covariates(table, stand_in, path, whole=columns.whole) if served.described else table
    values, offsets, names = predict.to_units(full, stand_in, path)
    before = 0 if columns.whole or full is table else predict.lookback(stand_in)
    start, length, number = predict.cut(offsets, stand_in, columns.every, before)
    found = _ask(client, target, signature, values, start, length)
    last, units = start + length - 1, names[number]
    if served.described and signature == DEFAULT:
        return predict.answers_table(stand_in, table, found, last, units)
    return _plain(table, served, found, last, units)


def _served(
    client: BaseClient,
    target: Target,
    table: pd.DataFrame,
    columns: Columns,
    signature: str,
    told: Mapping[str, Any] | None,
) -> Served:
    if told is None and columns.features is None:
        told = client.describe(target.model, version=target.version, label=target.label)
    if told is None or columns.features is not None:
        return from_columns(table, client.signature(target, signature), columns)
    served, steps = from_metadata(told), columns.window
    if steps is not None and steps != served.spec.time:
        raise ConfigError(
            f"--window is {steps}, but the served version says its windows have {served.spec.time} steps."
        )
    changes = {name: value for name, value in (("unit_column", columns.unit), ("time_column", columns.time)) if value}
    return replace(served, schema=served.schema.model_copy(update=changes))


def _ask(
    client: BaseClient, target: Target, signature: str, values: np.ndarray, start: np.ndarray, length: np.ndarray
) -> Arrays:
    """Answers of all windows, a block at a time, so that overlapping windows are never all in memory."""
    block = client.rows_per_request * client.connections
    parts = []
    for low in range(0, len(start), block):
        cuts = zip(start[low : low + block], length[low : low + block], strict=True)
        rows = [values[first : first + count] for first, count in cuts]
        parts.append(client.ask(target, frames.as_values(rows), signature=signature))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _plain(table: pd.DataFrame, served: Served, found: Arrays, row: np.ndarray, unit: np.ndarray) -> pd.DataFrame:
    """One row an answer under the names of the outputs."""
    clock = served.schema.time_column if served.schema.time_column in table.columns else None
    beside = {clock: table[clock].to_numpy()[row]} if clock else {"row": row + 1}
    return frames.answers_frame(found, list(unit), served.schema.unit_column or "unit", beside)
