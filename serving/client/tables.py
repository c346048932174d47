"""Tables answered by a server: a file's or a DataFrame's rows become windows, and their answers a table.

The same rows, windows and answers as ``keras_seq.predict`` gives for a bundle, without TensorFlow.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_seq.data.rows import refused_line
from keras_seq.errors import ConfigError
from keras_seq.evaluation.answered import AnswerTable, answers_table, cut
from serving.client import frames
from serving.client.arrays import Arrays
from serving.client.calls import ArrayClient, Description, VersionTarget
from serving.client.served import Columns, ServedModel, from_columns, from_metadata, plain_model, with_columns
from serving.contract.signatures import DEFAULT

if TYPE_CHECKING:
    import pandas as pd

    from keras_seq.data.rows import Rows


def predict(
    client: ArrayClient,
    target: VersionTarget,
    table: pd.DataFrame,
    *,
    signature: str = DEFAULT,
    unit: str | None = None,
    time: str | None = None,
    features: Sequence[str] | None = None,
    window: int | None = None,
    every: int = 0,
    whole: bool = False,
    plan: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Answers for the units of a DataFrame; a warning names what was not answered. See ``BaseClient.predict``."""
    columns = Columns(tuple(features) if features is not None else None, window, unit, time, every, whole, plan)
    answers = answer_frame(client, target, table, columns, signature=signature)
    for line in answers.warnings():
        warnings.warn(line, stacklevel=3)
    return answers.table


def frame_examples(
    table: pd.DataFrame, unit: str | None, description: Description | None = None
) -> list[dict[str, list[float]]]:
    """The units of a DataFrame as examples: a list of floats by feature, one a step; see ``frame_windows``."""
    features, windows, remarks = frame_windows(table, unit, description)
    for line in remarks:
        warnings.warn(line, stacklevel=4)
    return [{name: part[:, number].astype(float).tolist() for number, name in enumerate(features)} for part in windows]


def answer_table(
    client: ArrayClient,
    target: VersionTarget,
    path: Path,
    columns: Columns,
    *,
    signature: str = DEFAULT,
    description: Description | None = None,
) -> AnswerTable:
    """Answers of a served model for a CSV or Parquet file, as ``keras_seq.predict`` gives them for a bundle.

    Args:
        client: of the server.
        target: model and version.
        path: the file.
        columns: what the file's columns are and how windows are cut.
        signature: that answers.
        description: the version's ``metadata.json``; None: asked of the server.

    Raises:
        DataError: the file does not hold what the model takes, or no unit can be answered.
        ServingError: the server cannot be reached or refuses.
    """
    from keras_seq.data.reading.batches import check_file
    from keras_seq.data.table_rows import plain_schema, read_plainly, read_rows

    check_file(path)  # before the server is asked
    served = _described(client, target, columns, description)
    if served is None:
        table = read_plainly(path, columns.unit)
        served = from_columns(table, client.signature(target, signature), columns)
        schema = plain_schema(path, served.schema.features, columns.unit, columns.time)
        frames.check_one_unit(table, schema)
        served = replace(served, schema=schema)
    window = None if columns.whole else served.spec.time
    plan = None if columns.plan is None else Path(str(columns.plan))
    rows = read_rows(path, served.schema, served.covariates, window=window, plan=plan)
    return _answer(client, target, served, rows, columns, signature, numbered=True)


def answer_frame(
    client: ArrayClient, target: VersionTarget, table: pd.DataFrame, columns: Columns, *, signature: str = DEFAULT
) -> AnswerTable:
    """Answers of a served model for a DataFrame, as for a file; units and times are the table's own values."""
    from keras_seq.data.frame_rows import frame_rows

    described = _described(client, target, columns, None)
    served = described or from_columns(table, client.signature(target, signature), columns)
    window = None if columns.whole else served.spec.time
    if columns.plan is not None and not frames.is_frame(columns.plan):
        raise ConfigError(f"Option 'plan' of a DataFrame is a DataFrame, got {type(columns.plan).__name__}.")
    rows = frame_rows(table, served.schema, served.covariates, window=window, plan=columns.plan)
    if described is None:
        frames.check_one_unit(table, served.schema)
    return _answer(client, target, served, rows, columns, signature, numbered=served.described)


def frame_windows(
    table: pd.DataFrame, unit: str | None, description: Description | None
) -> tuple[tuple[str, ...], list[np.ndarray], list[str]]:
    """Features, windows ``(time, features)`` of a DataFrame's units, and notes for the user.

    Args:
        table: one row a step.
        unit: column that tells units apart; None: that of the version's schema.
        description: the version's ``metadata.json``; None: all numeric columns are features and units are taken whole.
    """
    from keras_seq.data.frame_rows import frame_rows

    if description is not None:
        served = with_columns(from_metadata(description), Columns(unit=unit))
    else:
        served = plain_model(frames.numeric_columns(table, unit), Columns(unit=unit), len(table), variable_length=True)
    rows = frame_rows(table, served.schema, served.covariates, window=served.spec.time if served.described else None)
    if not served.described:
        frames.check_one_unit(table, served.schema)
    windows = cut(rows, served.spec)
    parts = zip(windows.start, windows.length, strict=True)
    remarks = [*rows.notes(served.schema), *([refused_line(windows.refused)] if windows.refused else [])]
    return served.spec.features, [rows.series.values[first : first + count] for first, count in parts], remarks


def _described(
    client: ArrayClient, target: VersionTarget, columns: Columns, description: Description | None
) -> ServedModel | None:
    """Served model of the version's description; None where it gives none, or where the caller names the features."""
    if columns.features is not None:
        return None
    if description is None:
        description = client.describe(target.model, version=target.version, label=target.label)
    if description is None and columns.plan is not None:
        raise ConfigError(
            "A plan is given (--plan, plan=), but the server does not tell which columns the model knows ahead. Start "
            "it with --extras_prefix=/keras_seq, or give --metadata <model>/<version>/keras_seq/metadata.json."
        )
    if description is None:
        return None
    return with_columns(from_metadata(description), columns)


def _answer(
    client: ArrayClient,
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
    return AnswerTable(table, windows.refused, rows.notes(served.schema), served.schema.reading)


def _ask(
    client: ArrayClient,
    target: VersionTarget,
    signature: str,
    values: np.ndarray,
    start: np.ndarray,
    length: np.ndarray,
) -> Arrays:
    """Answers of all windows, a block at a time, so that overlapping windows are never all in memory."""
    block = client.rows_per_request * client.connections
    parts = []
    for low in range(0, len(start), block):
        cuts = zip(start[low : low + block], length[low : low + block], strict=True)
        rows = [values[first : first + count] for first, count in cuts]
        parts.append(client.ask(target, frames.as_values(rows), signature=signature))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
