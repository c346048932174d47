"""Several trained models as one: ``python -m keras_seq.ensemble MEMBER MEMBER ... --method weighted``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from keras_seq import cli, config
from keras_seq.errors import ConfigError
from keras_seq.pipeline.ensemble import FREE, ensemble, train_members

DESCRIPTION = """Combine trained models into one, which is a bundle like any other: one graph, one served version.

Bundles that share a validation part:
  python -m keras_seq.ensemble runs/a/seed-0 runs/b/seed-0 --method weighted --output runs/both
Cross-validations of several families over the same folds; weights are learnt from out-of-fold predictions:
  python -m keras_seq.ensemble --crossval runs/fd001_lstm runs/fd001_trees --method stacking --output runs/fd001_both
Members trained here:
  python -m keras_seq.ensemble --config FILE --method bagging --count 5 --output runs/bagged

methods:
  mean, median        of values or probabilities; soft: the mean for classes
  hard                each member calls a class (binary: at its best-F1 threshold), shares of votes
  weighted            no weight negative, sum 1, of least held-out loss
  stacking            linear meta learner on out-of-fold predictions (needs --crossval)
  blending            linear meta learner on the shared validation part
  dynamic             forecasts: weights by each member's error on the window's own last steps
  bagging, snapshot   train --count members (units drawn anew; or cycles of a cosine schedule), then their mean

Whatever is learnt is judged on units that did not teach it. Other options (--export.*, --tracking.*, --evaluation.*,
--data.home; with --config all of them) override the first member's configuration.
"""
TRAINS = ("bagging", "snapshot")
VALUES = {"--method": "keras_seq.ensembles.learn:METHODS"}


def _dotted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command's own words, and the dotted options with their values, which must not pass for members."""
    own: list[str] = []
    dotted: list[str] = []
    target = own
    for word in words:
        if word.startswith("--"):
            target = dotted if "." in word.partition("=")[0] else own
        elif not (target is dotted and dotted[-1].startswith("--") and "=" not in dotted[-1]):
            target = own
        target.append(word)
    return own, dotted


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m keras_seq.ensemble", description=DESCRIPTION, keys=FREE, values=VALUES)
    parser.add_argument("members", nargs="*", help="bundles or run folders")
    parser.add_argument("--method", default="mean", help="see above (default: mean)")
    parser.add_argument("--output", required=True, help="run folder of the ensemble, e.g. runs/fd001_ensemble")
    parser.add_argument("--crossval", nargs="+", default=[], metavar="FOLDER", help="cross-validations, same folds")
    parser.add_argument("--meta", help="of stacking and blending: ridge, logistic or a class of sklearn.linear_model")
    parser.add_argument("--memory", type=int, default=8, help="of dynamic: steps looked back on")
    parser.add_argument("--config", metavar="FILE", help="of bagging and snapshot: the members' experiment")
    parser.add_argument("--count", type=int, default=5, help="of bagging and snapshot: members")
    parser.add_argument("--workers", type=int, default=1, help="of bagging: members trained at a time")
    return parser


@cli.command("keras_seq.ensemble")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    own, dotted = _dotted(argv)
    options, overrides = make_parser().parse_args(own), cli.read_overrides(dotted)
    if options.memory < 1 or options.count < 2 or options.workers < 1:
        raise ConfigError(
            f"--memory and --workers must be at least 1 and --count at least 2, got {options.memory}, "
            f"{options.workers} and {options.count}."
        )
    paths, resampled = options.members, False
    if options.config:
        if options.method not in TRAINS or paths or options.crossval:
            raise ConfigError(f"--config trains members of bagging or snapshot; --method is '{options.method}'.")
        experiment = config.load(options.config, overrides)
        paths = train_members(
            experiment, method=options.method, count=options.count, output=options.output, workers=options.workers
        )
        overrides = {name: value for name, value in overrides.items() if name.startswith(FREE)}
        resampled = options.method == "bagging"
    elif options.method in TRAINS:
        raise ConfigError(f"--method {options.method} trains its members: give --config FILE.")
    run = ensemble(
        paths,
        method=options.method,
        output=options.output,
        crossval=options.crossval,
        meta=options.meta,
        memory=options.memory,
        overrides=overrides,
        resampled=resampled,
    )
    return cli.Result(run.to_dict())


if __name__ == "__main__":
    sys.exit(cli.run(main))
