"""What each component is worth: ``python -m keras_seq.ablate --config FILE``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from keras_seq import cli
from keras_seq.commands.crossval import add_run_options, checked_seeds
from keras_seq.pipeline.ablate import ablate

DESCRIPTION = """Switch components off one by one and train again: same budget, same split, several seeds.

  python -m keras_seq.ablate --config configs/cmapss_fd001.yaml --seeds 0,1,2 --workers 2
  python -m keras_seq.ablate --config configs/caster.yaml --off layers,bidirectional,loss

Only components that the configuration has are switched off (docs/ablation.md says what off means). Finished runs
are kept: the same command goes on where it was. Writes ablation.json, ablation.md and ablation.png into
<output>/<name>_ablation.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.experiment_parser("keras_seq.ablate", DESCRIPTION)
    parser.add_argument("--off", default="", help="comma-separated components (default: all that are on)")
    add_run_options(parser)
    parser.add_argument("--part", choices=("validation", "test"), default="validation", help="what is compared")
    return parser


@cli.command("keras_seq.ablate")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, experiment = cli.parse_experiment(make_parser(), argv)
    seeds = checked_seeds(options)
    off = [name.strip() for name in options.off.split(",") if name.strip()]
    outcome = ablate(experiment, off=off, seeds=seeds, folds=options.folds, workers=options.workers, part=options.part)
    from keras_seq.evaluation.ablation import to_markdown

    folder = Path(experiment.output) / f"{experiment.name}_ablation"
    return cli.Result(outcome | {"folder": folder}, to_markdown(outcome))


if __name__ == "__main__":
    sys.exit(cli.run(main))
