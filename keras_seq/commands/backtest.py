"""Train anew as time goes on: ``python -m keras_seq.backtest --config FILE --origins N``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from keras_seq import cli
from keras_seq.errors import ConfigError
from keras_seq.pipeline.backtest import backtest, to_markdown

DESCRIPTION = """Rolling-origin backtest of a forecast or any other split by time.

  python -m keras_seq.backtest --config configs/gasoline.yaml --origins 4
  python -m keras_seq.backtest --config configs/gasoline.yaml --origins 4 --mode sliding --workers 2

The test rows are cut into N periods. For each, a model is trained on what lies before it (expanding: all of
it; sliding: as many rows as the first period had) with validation rows in between, and judged on that period
alone. The periods together are the test rows of the single run. Runs that are finished are kept while
configuration and data stay the same. Writes
<output>/<name>-<mode>-<N>/backtest.json, .md and .png; the folder is a contender for keras_seq.compare.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.experiment_parser("keras_seq.backtest", DESCRIPTION)
    parser.add_argument("--origins", type=int, default=4, help="periods of the test rows, each with its own training")
    parser.add_argument("--mode", choices=("expanding", "sliding"), default="expanding", help="training rows")
    parser.add_argument("--seeds", default="0", help="comma-separated seeds of training")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time")
    return parser


@cli.command("keras_seq.backtest")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, experiment = cli.parse_experiment(make_parser(), argv)
    if experiment.data.split.by != "time":
        raise ConfigError(
            f"A backtest rolls through time, but data.split.by is '{experiment.data.split.by}'. Use "
            "--data.split.by time, or 'python -m keras_seq.crossval' for folds of units."
        )
    try:
        seeds = [int(seed) for seed in options.seeds.split(",")]
    except ValueError:
        raise ConfigError(f"--seeds must be whole numbers like 0,1,2, got '{options.seeds}'.") from None
    if options.workers < 1:
        raise ConfigError(f"--workers must be at least 1, got {options.workers}.")
    outcome = backtest(experiment, origins=options.origins, mode=options.mode, seeds=seeds, workers=options.workers)
    return cli.Result(outcome | {"folder": Path(experiment.output) / outcome["name"]}, to_markdown(outcome))


if __name__ == "__main__":
    sys.exit(cli.run(main))
