"""Which input features are worth having: ``python -m keras_seq.select --config FILE``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from keras_seq import cli
from keras_seq.errors import ConfigError
from keras_seq.pipeline.select import select

DESCRIPTION = """Rank the input features on the training units alone, by fold, and write those worth keeping.

  python -m keras_seq.select --config configs/cmapss_fd001.yaml --method permutation --keep 10
  python -m keras_seq.select --config configs/cmapss_fd001.yaml --method recursive --folds 5
  python -m keras_seq.crossval --config configs/cmapss_fd001.yaml --folds 5 \\
      --features runs/cmapss_fd001_selection/selection.json

methods: permutation, mutual_information, recursive, importance, shap, none. Validation and test units are never
read, so each fold has a choice of its own and crossval judges the choice along with the model. Writes selection.json
(scores of every round), selection.png and selected.yaml (the data.features to put into a configuration).
"""
NAMES = ("permutation", "mutual_information", "recursive", "importance", "shap", "none")  # of METHODS, without scipy


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.experiment_parser("keras_seq.select", DESCRIPTION, values={"--method": NAMES})
    parser.add_argument("--method", default="permutation", help="see above (default: permutation)")
    parser.add_argument("--keep", type=int, default=0, help="features to keep (0: those that tell something)")
    parser.add_argument("--folds", type=int, default=0, help="folds of the non-test units (0: single split)")
    return parser


@cli.command("keras_seq.select")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, experiment = cli.parse_experiment(make_parser(), argv)
    if options.folds < 0:
        raise ConfigError(f"--folds must be at least 0, got {options.folds}.")
    outcome = select(experiment, method=options.method, keep=options.keep, folds=options.folds)
    folder = Path(experiment.output) / f"{experiment.name}_selection"
    return cli.Result(outcome | {"folder": folder}, f"data.features: [{', '.join(outcome['features'])}]")


if __name__ == "__main__":
    sys.exit(cli.run(main))
