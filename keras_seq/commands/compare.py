"""Which model is better, and is that sure: ``python -m keras_seq.compare A B ...``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from keras_seq import cli, files
from keras_seq.errors import ConfigError
from keras_seq.pipeline.compare import compare

DESCRIPTION = """Compare trained models on the same data, the same split and the same question.

  python -m keras_seq.compare runs/caster/seed-0 runs/caster_trees/seed-0
  python -m keras_seq.compare net=runs/fd001 trees=runs/fd001_trees --output runs/fd001_comparison
  python -m keras_seq.compare a=runs/a/seed-0,runs/a/seed-1 b=runs/b/seed-0 --rule accuracy

A contender is [NAME=]FOLDER[,FOLDER...]: bundles or runs, or a folder of runs as crossval and backtest
leave; its runs are seeds of one model. Folds are judged on what each held out, put together; everything else,
and ensembles over folds, on the test part. Writes comparison.md, .csv, .json and .png, and a record.
Options --data.home, --evaluation.at, --tracking.uri and the like stand in for those of every bundle.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(
        prog="python -m keras_seq.compare",
        description=DESCRIPTION,
        keys=("data.", "evaluation.", "tracking."),
        values={"--rule": "keras_seq.evaluation.verdict:RULES"},
    )
    parser.add_argument("contenders", nargs="+", metavar="[NAME=]FOLDER[,FOLDER...]")
    parser.add_argument("--output", default="runs/comparison", help="folder of the report")
    parser.add_argument("--part", choices=("test", "validation"), help="default: held-out folds if any, else test")
    parser.add_argument("--metric", help="that decides; default: rmse, auc_pr or accuracy by task")
    parser.add_argument(
        "--rule", default="accuracy_per_latency", help="accuracy, accuracy_per_latency, _size, _training"
    )
    parser.add_argument("--level", type=float, default=0.05, help="of significance, after Holm's correction")
    parser.add_argument("--resamples", type=int, default=2000, help="of the bootstrap")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--no-costs", action="store_true", help="do not measure latency, size and memory")
    return parser


@cli.command("keras_seq.compare")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, rest = make_parser().parse_known_args(argv)
    overrides = cli.read_overrides(rest)
    cli.refuse_other_sections(overrides, "data", "evaluation", "tracking")
    if options.resamples < 100 or not 0 < options.level < 1:
        raise ConfigError(
            f"--resamples must be at least 100 and --level within (0, 1), got {options.resamples}, {options.level:g}."
        )
    outcome = compare(
        options.contenders,
        output=options.output,
        part=options.part,
        metric=options.metric,
        rule=options.rule,
        level=options.level,
        resamples=options.resamples,
        seed=options.seed,
        costs=not options.no_costs,
        overrides=overrides,
        quiet=False,
    )
    print(f"written to {outcome.folder}", file=sys.stderr)
    fields = files.read_json(outcome.folder / "comparison.json") | {"folder": outcome.folder, "run_id": outcome.run_id}
    return cli.Result(fields, (outcome.folder / "comparison.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(cli.run(main))
