"""Make a bundle smaller: ``python -m keras_seq.compress BUNDLE --method prune+cluster``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from keras_seq import cli, files, machine
from keras_seq.compress.plan import METHODS, CompressionPlan
from keras_seq.figures import Say

DESCRIPTION = f"""Prune, cluster or quantise a trained bundle; writes <run>-<method>/bundle beside it.

  python -m keras_seq.compress runs/fd001/seed-0 --method prune+cluster --sparsity 0.7 --clusters 16
  python -m keras_seq.compress runs/fd001/seed-0 --method ptq
  python -m keras_seq.compress runs/fd001/seed-0 --sensitivity

Methods: {", ".join(METHODS)}.
auto: pruning with a sparsity for each layer that its measured loss allows, the same in all.
Killed or stopped, the same command takes up what was finished.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m keras_seq.compress", description=DESCRIPTION, values={"--method": METHODS})
    parser.add_argument("bundle", help="bundle or run folder")
    parser.add_argument("--method", default="prune+cluster", help="default: prune+cluster")
    parser.add_argument("--sparsity", type=float, default=0.7, help="share of zeros, pruning (0.7)")
    parser.add_argument("--clusters", type=int, default=16, help="values of a kernel, clustering (16)")
    parser.add_argument("--epochs", type=int, default=0, help="of pruning, others a third of them (training's / 3)")
    parser.add_argument("--loss", type=float, default=0.02, help="relative loss of the metric that is borne (0.02)")
    parser.add_argument("--minutes", type=float, default=60.0, help="limit of each stage (60)")
    parser.add_argument("--sensitivity", action="store_true", help="only measure what each layer bears: table and PNG")
    parser.add_argument("--output", help="run folder to write (default: <run>-<method>)")
    return parser


@cli.command("keras_seq.compress")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options = make_parser().parse_args(argv)
    plan = CompressionPlan(
        options.method,
        sparsity=options.sparsity,
        clusters=options.clusters,
        epochs=options.epochs,
        loss=options.loss,
        seconds=60 * options.minutes,
    )
    machine.load_tensorflow()
    from keras_seq.reports import summary

    if options.sensitivity:
        return _sensitivity(options.bundle, options.output, summary.say)
    from keras_seq.compress.run import compress
    from keras_seq.compress.summary import to_markdown

    done = compress(options.bundle, plan, output=options.output, say=summary.say)

    def show() -> None:
        print(to_markdown(done.report))
        if not done.report["within"]:
            lost = f"validation lost {done.report['loss']['validation']:.2%}"
            summary.say(f"  note: {lost}, more than --loss {plan.loss:.2%}")
        if not any(found.get("kept") for found in done.report["forms"]["after"].values()):
            summary.say("  note: no file is smaller than the float ONNX file at the same loss, so none is kept")
        summary.print_paths({"bundle": done.bundle})

    return cli.Result({"bundle": done.bundle, **done.report}, show)


def _sensitivity(bundle: str, output: str | None, say: Say) -> cli.Result:
    from keras_seq.bundle import load_bundle
    from keras_seq.compress.run import default_folder, sensitivity_of
    from keras_seq.reports.compression import draw_sensitivity

    folder = Path(output) if output else default_folder(load_bundle(bundle), "sensitivity")
    files.ensure_writable(folder)
    sensitivity = sensitivity_of(bundle, say=say)
    files.write_json(folder / "sensitivity.json", sensitivity.to_dict())
    files.write_text(folder / "sensitivity.md", sensitivity.to_markdown())
    drawn = draw_sensitivity(sensitivity.to_dict(), folder / "sensitivity.png")
    return cli.Result(sensitivity.to_dict() | {"picture": drawn}, f"{sensitivity.to_markdown()}\n  picture: {drawn}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
