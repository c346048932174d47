"""Scores of a model on a labelled file that it was not trained on: every row it can answer, as of the test part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.config import Experiment
from keras_seq.data.quality import QualityReport
from keras_seq.data.reading import Reading
from keras_seq.data.reading.batches import column_names
from keras_seq.data.remote import local_path
from keras_seq.data.rows import RefusedUnit, Rows, refused_line
from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.data.splits import Part, Splits
from keras_seq.data.static import with_table
from keras_seq.data.table_rows import read_rows
from keras_seq.data.windows import index_windows
from keras_seq.errors import DataError

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.data.prepare import Prepared
    from keras_seq.evaluation.postprocessed import Postprocessed

TEST_FILES = "test_files"  # of ``Series.info``: units [first, last) by file; see ``data.sources.table_files``


@dataclass(frozen=True)
class FileScores:
    """Metrics of a file, and how much of it was answered.

    Attributes:
        metrics: as those of a test part.
        units: scored.
        answers: scored, one a window or, of models that answer at every step, a row.
        refused: units too short to be answered.
    """

    metrics: dict[str, float]
    units: int
    answers: int
    refused: tuple[RefusedUnit, ...]


def score_file(bundle: Bundle, path: str | Path, experiment: Experiment, *, whole: bool = False) -> FileScores:
    """Metrics of a bundle on a labelled file as it is: nothing is divided, nothing is fitted.

    Windows are cut as in training and answers go through the bundle's decision layer. A forecast's ``mase`` is scaled
    by the naive error inside each unit of the file.

    Args:
        bundle: loaded bundle.
        path: CSV or Parquet file, written as the table of training, with its target columns.
        experiment: of the bundle, maybe with another ``evaluation.at`` or ``min_steps``.
        whole: the file holds every unit from its very first row on; else windows are left out whose computed covariates
            would look back on rows that are not there.

    Raises:
        DataError: the file deviates from the schema, holds no target, or no unit of it can be answered.
    """
    censored = experiment.data.censored
    if censored and censored in column_names(local_path(path), bundle.schema.reading or Reading()):
        raise DataError(
            f"File '{path}' has the column '{censored}' of censored units (data.censored), whose lower bounds are no "
            "truths to judge by. Give a file of units that failed, without that column."
        )
    window = None if whole else bundle.spec.time
    schema = with_table(bundle.schema, experiment.data.static.path)
    rows = read_rows(path, schema, experiment.data.covariates, window=window, with_targets=True)
    if not np.isfinite(rows.series.targets).any():
        raise DataError(f"File '{path}' holds no value of {', '.join(bundle.spec.targets)}, so nothing can be judged.")
    prepared, refused = _prepared(rows, bundle, experiment, str(path))
    series = prepared.series
    from keras_seq.evaluation.naive_error import naive_errors
    from keras_seq.evaluation.postprocessed import postprocess, score_postprocessed
    from keras_seq.training.predictions import points, predict_windows

    index = prepared.index["test"]
    prediction = predict_windows(bundle.model, series, index, bundle.spec, experiment.data)
    own = points(series, index, bundle.spec, prediction)
    if not len(own.truth):
        raise DataError(f"File '{path}' holds no target at a row that the model answers, so nothing can be judged.")
    naive = naive_errors(prepared, experiment)
    answers = postprocess(own, bundle.spec, experiment, bundle.decision, part="test", naive=naive)
    metrics = score_postprocessed(answers, bundle.spec, experiment, bundle.decision, part="test")
    scored = answers.scored(experiment, "test").points
    return FileScores(metrics, len(np.unique(scored.unit)), len(scored.truth), refused)


def _prepared(
    rows: Rows, bundle: Bundle, experiment: Experiment, path: str
) -> tuple[Prepared, tuple[RefusedUnit, ...]]:
    """The file as a data set whose test part is all that can be answered, and the units that cannot."""
    from keras_seq.data.prepare import Prepared

    spec, before = bundle.spec, rows.history
    window = spec.time if before or not spec.variable_length else 1
    need = before + window + spec.horizon
    enough = rows.series.lengths >= need
    rows = rows.keep(enough, f"a window and what is judged need {need} rows")
    if not enough.any():
        raise DataError(f"No unit of file '{path}' can be judged: {refused_line(rows.refused)}")
    series = dataclasses.replace(rows.series, info=bundle.data.get("info", {}) | rows.series.info)
    first = series.offsets[:-1] + (before + window - (0 if spec.horizon else 1) if before else 0)
    none = np.zeros(0, np.int64)
    empty, every = Part(none, none, none), Part(np.arange(series.n_units), first, series.offsets[1:])
    index = {"test": index_windows(series, every, experiment.data.windows)}
    quality = QualityReport(series.schema.name, (), len(series.values), series.n_units)
    return Prepared(series, quality, Splits(empty, empty, every, ""), index, spec), rows.refused


def score_test_files(
    answers: Postprocessed, series: Series, spec: DataSpec, experiment: Experiment, decision: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """Metrics of each file of the test part by name, where it comes in files of its own; else empty."""
    from keras_seq.evaluation.postprocessed import score_postprocessed

    unit = answers.points.unit
    return {
        name: score_postprocessed(
            answers.select((unit >= first) & (unit < last)), spec, experiment, decision, part="test"
        )
        for name, (first, last) in series.info.get(TEST_FILES, {}).items()
    }
