"""Judge a bundle again: ``python -m keras_seq.evaluate BUNDLE``, or on a new file: ``... BUNDLE FILE``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import cli, config, files
from keras_seq.data.rows import refused_line
from keras_seq.errors import ConfigError, DataError

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.evaluation.new_file import FileJudged
    from keras_seq.export.bundle import Bundle

FITTED = ("threshold", "beta", "cost", "recall", "calibration", "conformal", "coverage")  # of the evaluation section
DESCRIPTION = """Load a bundle, prepare the data of its configuration and judge it on a part of them, or on a new file.

  python -m keras_seq.evaluate runs/caster/seed-0
  python -m keras_seq.evaluate runs/fd001/seed-0 --part validation --json
  python -m keras_seq.evaluate runs/pumps/seed-0 pumps_of_may.csv
A new labelled FILE is judged as it is: every row that the model can answer, read as the table of training, nothing
divided. Options --data.home and the like stand in for those of the bundle where its own data lie elsewhere now.
"""


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
    from keras_seq.data.prepare import prepare
    from keras_seq.evaluation.contenders import refuse_seen
    from keras_seq.export.bundle import load_bundle

    bundle = load_bundle(bundle_path)
    refuse_seen(bundle, part, str(bundle_path))
    experiment = config.from_dict(config.override(config.to_dict(bundle.experiment), overrides or {}))
    prepared = _as_named(prepare(experiment.data), bundle, experiment)
    _check_data(bundle, prepared, overrides or {}, str(bundle_path))
    cli.load_tensorflow()
    from keras_seq.evaluation.decided import decide_points, judge_decided
    from keras_seq.evaluation.naive_error import naive_errors
    from keras_seq.evaluation.new_file import judge_test_files
    from keras_seq.evaluation.predictions import points, predict_windows

    index = prepared.index[part]
    prediction = predict_windows(bundle.model, prepared.series, index, bundle.spec, experiment.data)
    found = points(prepared.series, index, bundle.spec, prediction)
    naive = naive_errors(prepared, experiment)
    decided = decide_points(found, bundle.spec, experiment, bundle.decision, part=part, naive=naive)
    metrics = judge_decided(decided, bundle.spec, experiment, bundle.decision, part=part)
    if part != "test":
        return metrics, {}
    return metrics, judge_test_files(decided, prepared.series, bundle.spec, experiment, bundle.decision)


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
    path = overrides.get("data.path")
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
) -> FileJudged:
    """Metrics of a bundle on a new labelled file as it is; see ``evaluation.new_file.judge_file``.

    Raises:
        ModelError: not a bundle.
        DataError: the file deviates from the bundle's schema, or nothing in it can be judged.
    """
    from keras_seq.evaluation.new_file import judge_file
    from keras_seq.export.bundle import load_bundle

    bundle = load_bundle(bundle_path)
    experiment = config.from_dict(config.override(config.to_dict(bundle.experiment), overrides or {}))
    cli.load_tensorflow()
    return judge_file(bundle, path, experiment, whole=whole)


@cli.command("keras_seq.evaluate")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    parser = cli.Parser(
        prog="python -m keras_seq.evaluate",
        description=DESCRIPTION,
        keys=("data.", "evaluation.at", "evaluation.min_steps"),
    )
    parser.add_argument("bundle", help="bundle or run folder")
    parser.add_argument("file", nargs="?", help="new labelled CSV or Parquet file, judged as it is")
    parser.add_argument("--part", choices=("train", "validation", "test"), help="of the bundle's own data [test]")
    parser.add_argument("--whole", action="store_true", help="the file holds every unit from its first row on")
    parser.add_argument("--output", help="also write the metrics to this JSON file")
    options, rest = parser.parse_known_args(argv)
    overrides = cli.read_overrides(rest)
    foreign = [name for name in overrides if not name.startswith(("data.", "evaluation."))]
    fitted = [name for name in overrides if name.split(".")[:2] in [["evaluation", field] for field in FITTED]]
    if fitted:
        raise ConfigError(
            f"Option '--{fitted[0]}' was fitted on validation when the model was trained and lies in the bundle; train "
            "again to change it. --evaluation.at and --evaluation.min_steps can be given here."
        )
    if foreign:
        raise ConfigError(f"Option '--{foreign[0]}' cannot change a trained model; --data.* and --evaluation.* can.")
    if options.file is not None:
        return _judge_file(options, overrides)
    if options.whole:
        raise ConfigError("Option '--whole' says something of a new file; name one, or leave it out.")
    part = options.part or "test"
    metrics, by_file = evaluate_part(options.bundle, part=part, overrides=overrides)
    if options.output:
        files.write_json(options.output, metrics)
    fields = {"bundle": options.bundle, "part": part, "metrics": metrics, "written": options.output}
    columns = {part: metrics}
    if by_file:
        fields["test_files"] = by_file
        columns |= {f"{part} ({name})": own for name, own in by_file.items()}
    return cli.Result(fields, lambda: _print(options.bundle, columns))


def _judge_file(options: Any, overrides: dict[str, Any]) -> cli.Result:
    """Of a new file.

    Raises:
        ConfigError: an option that concerns the bundle's own data.
    """
    own = [f"--{name}" for name in overrides if name.startswith("data.")] + (["--part"] if options.part else [])
    if own:
        raise ConfigError(
            f"Option '{own[0]}' concerns the bundle's own data; the file '{options.file}' is judged as it is, read by "
            "the bundle's schema. Leave the option out, or the file."
        )
    judged = evaluate_file(options.bundle, options.file, overrides=overrides, whole=options.whole)
    if options.output:
        files.write_json(options.output, judged.metrics)
    if judged.refused:
        print(f"warning: {refused_line(judged.refused)}", file=sys.stderr)
    fields = {"bundle": options.bundle, "file": options.file, "metrics": judged.metrics, "written": options.output}
    fields |= {"units": judged.units, "answers": judged.answers, "refused": [one.to_dict() for one in judged.refused]}
    return cli.Result(fields, lambda: _print(options.bundle, {Path(options.file).name: judged.metrics}))


def _print(bundle: str, parts: dict[str, dict[str, float]]) -> None:
    from keras_seq.export.bundle import load_bundle
    from keras_seq.reports import summary

    summary.print_metrics(load_bundle(bundle).spec.task, parts, title=str(bundle))


if __name__ == "__main__":
    sys.exit(cli.run(main))
