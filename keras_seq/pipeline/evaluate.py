"""Judge a bundle again, or on a new file: ``... BUNDLE FILE``."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import config, machine
from keras_seq.errors import DataError

NEW_ROWS = ("data.path", "data.query", "data.table", "data.url")

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.data.prepare import Prepared
    from keras_seq.evaluation.new_file import FileScores


def evaluate(bundle_path: str | Path, *, part: str = "test", overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """Metrics of a bundle on ``part`` of its own data; see ``evaluate_part``."""
    return evaluate_part(bundle_path, part=part, overrides=overrides)[0]


def evaluate_part(
    bundle_path: str | Path, *, part: str = "test", overrides: dict[str, Any] | None = None
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Metrics of a bundle on ``part`` of its own data, and by file where the test part comes in files of its own.

    Raises:
        ModelError: not a bundle.
        ConfigError: an ensemble has seen the part.
        DataError: the data or the split are not those the bundle was trained on.
    """
    from keras_seq.bundle import load_bundle
    from keras_seq.data.prepare import prepare
    from keras_seq.evaluation.candidates import refuse_seen

    bundle = load_bundle(bundle_path)
    refuse_seen(bundle, part, str(bundle_path))
    experiment = config.from_dict(config.override(config.to_dict(bundle.experiment), overrides or {}))
    prepared = _as_named(prepare(experiment.data), bundle, experiment)
    _check_data(bundle, prepared, overrides or {}, str(bundle_path))
    machine.load_tensorflow()
    from keras_seq.evaluation.concordance import part_concordance
    from keras_seq.evaluation.new_file import score_test_files
    from keras_seq.evaluation.postprocessed import answer_part, score_postprocessed
    from keras_seq.training.predictions import predict_windows

    answers = answer_part(bundle, prepared, experiment, part)
    metrics = score_postprocessed(answers, bundle.spec, experiment, bundle.decision, part=part)
    if part != "train":
        answer = partial(predict_windows, bundle.model, prepared.series, spec=bundle.spec, config=experiment.data)
        metrics |= part_concordance(prepared, experiment, part, answer)
    if part != "test":
        return metrics, {}
    return metrics, score_test_files(answers, prepared.series, bundle.spec, experiment, bundle.decision)


def _as_named(prepared: Prepared, bundle: Bundle, experiment: config.Experiment) -> Prepared:
    """A table without a unit column is one unit, called as its file was in training: it may have been renamed."""
    from keras_seq.data.prepare import prepare_series

    old, new = bundle.experiment.data.path, experiment.data.path
    if not (old and new and experiment.data.cache) or bundle.schema.unit_column or Path(old).stem == Path(new).stem:
        return prepared
    series = prepared.series
    ids = np.where(series.unit_ids == Path(new).stem, Path(old).stem, series.unit_ids)
    groups = np.where(series.groups == Path(new).stem, Path(old).stem, series.groups)
    return prepare_series(dataclasses.replace(series, unit_ids=ids, groups=groups), experiment.data)


def _check_data(bundle: Bundle, prepared: Prepared, overrides: dict[str, Any], name: str) -> None:
    """Refuse rows other than those of training: a part of them is no test part of the bundle.

    Raises:
        DataError: other rows, or another split.
    """
    stored = bundle.data.get("fingerprint")
    option = next((name for name in NEW_ROWS if overrides.get(name) is not None), "data.path")
    path = overrides.get(option)
    if option != "data.path" and stored is not None and prepared.series.fingerprint() != stored:
        raise DataError(
            f"The rows of --{option} '{path}' are others than those that bundle '{name}' was trained on; they would be "
            "divided into train, validation and test again. Leave the option out."
        )
    if path is not None and stored is not None and prepared.series.fingerprint() != stored:
        raise DataError(
            f"File '{path}' (--data.path) holds other rows than the data that bundle '{name}' was trained on; it would "
            "be divided into train, validation and test again. To judge it as it is: python -m keras_seq.evaluate "
            f"{name} {path}"
        )
    if any(option.startswith("data.") for option in overrides):
        bundle.check_split(prepared.splits.fingerprint)
    else:
        bundle.check_data(prepared)


def evaluate_file(
    bundle_path: str | Path, path: str | Path, *, overrides: dict[str, Any] | None = None, whole: bool = False
) -> FileScores:
    """Metrics of a bundle on a new labelled file as it is; see ``evaluation.new_file.score_file``.

    Raises:
        ModelError: not a bundle.
        DataError: the file deviates from the bundle's schema, or nothing in it can be judged.
    """
    from keras_seq.bundle import load_bundle
    from keras_seq.evaluation.new_file import score_file

    bundle = load_bundle(bundle_path)
    experiment = config.from_dict(config.override(config.to_dict(bundle.experiment), overrides or {}))
    machine.load_tensorflow()
    return score_file(bundle, path, experiment, whole=whole)
