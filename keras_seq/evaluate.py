"""Judge a bundle again: ``python -m keras_seq.evaluate BUNDLE``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_seq import cli, config, files
from keras_seq.errors import ConfigError

FITTED = ("threshold", "beta", "cost", "recall", "calibration", "conformal", "coverage")  # of the evaluation section
DESCRIPTION = """Load a bundle, prepare the data of its configuration and judge it on a part of them.

  python -m keras_seq.evaluate runs/caster/seed-0
  python -m keras_seq.evaluate runs/fd001/seed-0 --part validation --json
Options --data.home and the like stand in for those of the bundle, e.g. where data lie elsewhere now.
"""


def evaluate(bundle_path: str | Path, *, part: str = "test", overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """Metrics of a bundle on ``part`` of its own data.

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
    prepared = prepare(experiment.data)
    if any(name.startswith("data.") for name in overrides or {}):
        bundle.check_split(prepared.splits.fingerprint)
    else:
        bundle.check_data(prepared)
    cli.load_tensorflow()
    from keras_seq.evaluation.decided import decide_points, judge_decided
    from keras_seq.evaluation.naive_error import naive_errors
    from keras_seq.evaluation.predictions import points, predict_windows

    index = prepared.index[part]
    prediction = predict_windows(bundle.model, prepared.series, index, bundle.spec, experiment.data)
    found = points(prepared.series, index, bundle.spec, prediction)
    naive = naive_errors(prepared, experiment)
    decided = decide_points(found, bundle.spec, experiment, bundle.decision, part=part, naive=naive)
    return judge_decided(decided, bundle.spec, experiment, bundle.decision, part=part)


@cli.command("keras_seq.evaluate")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    parser = cli.Parser(
        prog="python -m keras_seq.evaluate",
        description=DESCRIPTION,
        keys=("data.", "evaluation.at", "evaluation.min_steps"),
    )
    parser.add_argument("bundle", help="bundle or run folder")
    parser.add_argument("--part", choices=("train", "validation", "test"), default="test")
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
    metrics = evaluate(options.bundle, part=options.part, overrides=overrides)
    if options.output:
        files.write_json(options.output, metrics)
    fields = {"bundle": options.bundle, "part": options.part, "metrics": metrics, "written": options.output}
    return cli.Result(fields, lambda: _print(options.bundle, options.part, metrics))


def _print(bundle: str, part: str, metrics: dict[str, Any]) -> None:
    from keras_seq.export.bundle import load_bundle
    from keras_seq.reports import summary

    summary.print_metrics(load_bundle(bundle).spec.task, {part: metrics}, title=str(bundle))


if __name__ == "__main__":
    sys.exit(cli.run(main))
