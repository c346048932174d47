"""The same experiment over folds and seeds: ``python -m keras_seq.crossval --config FILE``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_seq import cli, files
from keras_seq.errors import ConfigError
from keras_seq.evaluation.spread import to_markdown
from keras_seq.pipeline.crossval import crossval, refuse_other_data

DESCRIPTION = """Train over the folds of a split and over seeds; report mean and deviation.

  python -m keras_seq.crossval --config configs/cmapss_fd001.yaml --folds 5 --seeds 0,1,2 --workers 2
  python -m keras_seq.crossval --config configs/wafer.yaml --seeds 0,1,2

Each run is a process of its own with its share of the cores. Finished runs are kept while configuration and
data stay the same: the same command goes on where it was. Writes <output>/<name>/crossval.json and crossval.md.
"""


def _features(path: str, folds: int) -> list[list[str]]:
    """Selected features of each fold from the file that ``keras_seq.select`` wrote."""
    try:
        chosen = [row["features"] for row in files.read_json(path)["folds"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"--features: '{path}' is no selection.json of 'python -m keras_seq.select'.") from None
    if len(chosen) != max(folds, 1):
        raise ConfigError(
            f"--features: '{path}' holds features of {len(chosen)} folds, but --folds is {folds}; select with the "
            f"same number: python -m keras_seq.select --folds {folds}."
        )
    return chosen


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """``--folds``, ``--seeds`` and ``--workers``, alike for every command that trains many runs."""
    parser.add_argument("--folds", type=int, default=0, help="folds of the non-test units (0: single split)")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated seeds of training")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time")


def checked_seeds(options: argparse.Namespace) -> list[int]:
    """The seeds of ``--seeds``; refuses numbers of runs that make no sense."""
    try:
        seeds = [int(seed) for seed in options.seeds.split(",")]
    except ValueError:
        raise ConfigError(f"--seeds must be whole numbers like 0,1,2, got '{options.seeds}'.") from None
    if options.workers < 1 or options.folds < 0:
        raise ConfigError(
            f"--workers must be at least 1 and --folds at least 0, got {options.workers}, {options.folds}."
        )
    return seeds


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.experiment_parser("keras_seq.crossval", DESCRIPTION)
    add_run_options(parser)
    parser.add_argument("--features", metavar="FILE", help="selection.json of keras_seq.select: features by fold")
    return parser


@cli.command("keras_seq.crossval")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, experiment = cli.parse_experiment(make_parser(), argv)
    seeds = checked_seeds(options)
    features = _features(options.features, options.folds) if options.features else ()
    if features:
        refuse_other_data(options.features, experiment)
    outcome = crossval(experiment, folds=options.folds, seeds=seeds, workers=options.workers, features=features)
    return cli.Result(outcome | {"folder": Path(experiment.output) / experiment.name}, to_markdown(outcome))


if __name__ == "__main__":
    sys.exit(cli.run(main))
