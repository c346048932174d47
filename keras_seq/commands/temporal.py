"""Where and when a model errs: ``python -m keras_seq.temporal BUNDLE``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from keras_seq import cli
from keras_seq.errors import ConfigError
from keras_seq.pipeline.temporal import analyse

DESCRIPTION = """Error by band of the truth, by length and by position; answers as steps arrive; detection delay.

  python -m keras_seq.temporal runs/fd001/seed-0 --part validation
  python -m keras_seq.temporal runs/caster/seed-0 --answers 40 --output runs/caster/temporal

Whole-sequence models are asked again on growing prefixes of every unit. Writes temporal.json, .md and pictures.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m keras_seq.temporal", description=DESCRIPTION, keys=("data.", "evaluation."))
    parser.add_argument("bundle", help="bundle or run folder")
    parser.add_argument("--part", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--answers", type=int, default=20, help="growing prefixes of each whole sequence")
    parser.add_argument("--output", help="folder of the report; default: temporal/ in the run folder")
    return parser


@cli.command("keras_seq.temporal")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, rest = make_parser().parse_known_args(argv)
    overrides = cli.read_overrides(rest)
    cli.refuse_other_sections(overrides, "data", "evaluation")
    if options.answers < 1:
        raise ConfigError(f"--answers must be at least 1, got {options.answers}.")
    outcome = analyse(
        options.bundle, part=options.part, answers=options.answers, output=options.output, overrides=overrides
    )
    print(f"written to {outcome['folder']}", file=sys.stderr)
    return cli.Result(outcome, (Path(outcome["folder"]) / "temporal.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(cli.run(main))
