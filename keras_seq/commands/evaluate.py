"""Judge a bundle again: ``python -m keras_seq.evaluate BUNDLE``, or on a new file: ``... BUNDLE FILE``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_seq import cli, files
from keras_seq.data.rows import refused_line
from keras_seq.errors import ConfigError
from keras_seq.pipeline.evaluate import evaluate_file, evaluate_part

FITTED = ("threshold", "beta", "cost", "recall", "calibration", "conformal", "coverage")  # of the evaluation section
DESCRIPTION = """Load a bundle, prepare the data of its configuration and judge it on a part of them, or on a new file.

  python -m keras_seq.evaluate runs/caster/seed-0
  python -m keras_seq.evaluate runs/fd001/seed-0 --part validation --json
  python -m keras_seq.evaluate runs/pumps/seed-0 pumps_of_may.csv
A new labelled FILE is judged as it is: every row that the model can answer, read as the table of training, nothing
divided. Options --data.home and the like stand in for those of the bundle where its own data lie elsewhere now.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
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
    return parser


@cli.command("keras_seq.evaluate")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, rest = make_parser().parse_known_args(argv)
    overrides = cli.read_overrides(rest)
    fitted = [name for name in overrides if name.split(".")[:2] in [["evaluation", field] for field in FITTED]]
    if fitted:
        raise ConfigError(
            f"Option '--{fitted[0]}' was fitted on validation when the model was trained and lies in the bundle; train "
            "again to change it. --evaluation.at and --evaluation.min_steps can be given here."
        )
    cli.refuse_other_sections(overrides, "data", "evaluation")
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
    from keras_seq.bundle import load_bundle
    from keras_seq.reports import summary

    summary.print_metrics(load_bundle(bundle).spec.task, parts, title=str(bundle))


if __name__ == "__main__":
    sys.exit(cli.run(main))
