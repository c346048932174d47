"""A served model as ``keras_seq.predict`` sees a bundle: same units, windows and answers, without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seq import config
from keras_seq.config.experiment import Experiment
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.series import Column, Schema
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.errors import ConfigError, DataError, nearest
from serving.client import frames
from serving.client.arrays import LENGTHS
from serving.client.calls import Description
from serving.contract.signatures import Signature

if TYPE_CHECKING:
    import pandas as pd

_UNSCALED = Scaling(center=(), scale=(), fill=())  # the server scales


@dataclass(frozen=True)
class ServedModel:
    """Spec, schema and experiment of a served version, in place of a bundle's.

    Attributes:
        spec: as a bundle has it, without the numbers that only a model needs.
        schema, experiment: as a bundle has them; no experiment where the version describes nothing.
        described: whether the version told them itself; if not, answers keep the names of the outputs.
    """

    spec: DataSpec
    schema: Schema
    experiment: Experiment | None
    described: bool

    @property
    def covariates(self) -> CovariatesConfig:
        """What is computed beside the table's own columns."""
        return self.experiment.data.covariates if self.experiment is not None else CovariatesConfig()


@dataclass(frozen=True)
class Columns:
    """Columns, window and stride of a table, as far as the version does not say them.

    Attributes:
        features: columns in the model's order; None: as the version tells, else all numeric ones.
        window: steps; None: as the version tells, else all rows of a unit.
        unit, time: columns that tell units apart and rise within one; None: those of the version's schema.
        every: 0: one answer a unit, from its last rows; n: also every n rows before.
        whole: the file holds every unit from its very first row on, so that covariates need no further history.
        plan: file or DataFrame with the known-ahead columns of later steps; None: they are rows at each unit's end.
    """

    features: tuple[str, ...] | None = None
    window: int | None = None
    unit: str | None = None
    time: str | None = None
    every: int = 0
    whole: bool = False
    plan: str | Path | pd.DataFrame | None = None


def from_metadata(description: Description) -> ServedModel:
    """Served model of the ``metadata.json`` that ``keras_seq.export`` wrote.

    Raises:
        ConfigError: it is incomplete, or of a newer version.
    """
    try:
        experiment = config.from_dict(description["config"])
        schema = Schema.model_validate(description["schema"])
        spec = DataSpec.model_construct(
            task=description["task"],
            features=tuple(column["name"] for column in description["features"]),
            targets=tuple(description["targets"]),
            time=int(description["time"]),
            variable_length=bool(description["variable_length"]),
            horizon=int(description["horizon"]),
            classes=tuple(description["classes"]),
            scaling=_UNSCALED,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"What the version says of itself cannot be read ({str(error).splitlines()[0]}); it may come from another "
            "version of keras_seq. Give --features, --window and --unit instead, with --extras_prefix ''."
        ) from None
    return ServedModel(spec, schema, experiment, described=True)


def from_columns(table: pd.DataFrame, signature: Signature, columns: Columns) -> ServedModel:
    """Served model of a table's columns, where the version does not describe itself.

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
    return plain_model(names, columns, window, variable_length=LENGTHS in signature.inputs)


def plain_model(names: Sequence[str], columns: Columns, window: int, *, variable_length: bool) -> ServedModel:
    """Served model of which only the names of its columns are known."""
    spec = DataSpec.model_construct(
        task="regression",
        features=tuple(names),
        targets=(),
        time=window,
        variable_length=variable_length,
        scaling=_UNSCALED,
    )
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


def with_columns(served: ServedModel, columns: Columns) -> ServedModel:
    """Served model with the unit and time columns that the caller's table has.

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
