"""Predict from a file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_seq import files
from keras_seq.evaluation.answered import AnswerTable, answers_table, cut

if TYPE_CHECKING:
    import pandas as pd

    from keras_seq.bundle import Bundle
    from keras_seq.data.rows import Rows

BATCH = 256


def predict_file(bundle: Bundle, path: str | Path, *, every: int = 0, whole: bool = False) -> pd.DataFrame:
    """Answers of a bundle for a file; a warning names what was not answered. See ``answer_file``."""
    answers = answer_file(bundle, path, every=every, whole=whole)
    for line in answers.warnings():
        warnings.warn(line, stacklevel=2)
    return answers.table


def answer_file(bundle: Bundle, path: str | Path, *, every: int = 0, whole: bool = False) -> AnswerTable:
    """Answers of a bundle for a file, and what was not answered.

    Args:
        bundle: loaded bundle.
        path: CSV or Parquet file, written as the table of training.
        every: 0: one answer per unit, from its last steps; n: also every n steps before.
        whole: the file holds every unit from its very first row on, so that covariates find what they found in
            training and no further history is asked for.

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
    rows = read_rows(path, bundle.schema, bundle.experiment.data.covariates, window=window)
    return answer_rows(bundle, rows, every=every)


def answer_rows(bundle: Bundle, rows: Rows, *, every: int = 0) -> AnswerTable:
    """Answers for rows that are there; as ``answer_file``."""
    series, windows = rows.series, cut(rows, bundle.spec, every=every)
    output = _run(bundle, series.values, windows.start, windows.length)
    last, unit = windows.start + windows.length - 1, series.unit_ids[windows.unit]
    table = answers_table(bundle, output, unit=unit, last=rows.stamps[last], time=series.time[last], clock=rows.clock)
    return AnswerTable(table, windows.refused, rows.notes(bundle.schema))


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
