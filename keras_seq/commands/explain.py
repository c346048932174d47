"""Why a bundle says what it says: ``python -m keras_seq.explain BUNDLE``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from keras_seq import cli, config, machine
from keras_seq.cli import output
from keras_seq.explain.registry import method_names

DESCRIPTION = f"""Explain samples of a trained bundle; writes <run>/explanations.

  python -m keras_seq.explain runs/caster/seed-0 --samples 20
  python -m keras_seq.explain runs/fd001/seed-0 --methods integrated_gradients,kernel,lime --backgrounds 50
  python -m keras_seq.explain runs/fd001/seed-0 --units 24,34 --thorough

Methods: auto, {", ".join(method_names())}.
auto: integrated gradients (trees: Tree SHAP), occlusion, attention where there is any.
Options --data.home and the like stand in for those of the bundle, --tracking.* says where it is recorded.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(
        prog="python -m keras_seq.explain",
        description=DESCRIPTION,
        keys=("data.", "tracking."),
        values={"--methods": ("auto", *method_names()), "--part": ("train", "validation", "test")},
    )
    add = parser.add_argument
    add("bundle", help="bundle or run folder")
    add("--samples", type=int, default=20, help="how many, spread evenly over the part (20)")
    add("--methods", default="auto", help="names with commas between them (auto)")
    add("--backgrounds", type=int, default=50, help="training windows beside every sample (50)")
    add("--baseline", default="windows", help="windows, or mean: the scaler's centre (windows)")
    add("--part", default="test", help="train, validation or test (test)")
    add("--units", default="", help="explain the last window of these units, with commas between them")
    add("--class", dest="class_name", help="class explained (the positive, or each sample's called one)")
    add("--target", help="target explained (the first)")
    add("--ahead", type=int, help="step of a forecast (mean over the horizon)")
    add("--level", type=float, help="quantile explained (the middle one)")
    add("--scale", default="output", help="output, or logit: log-odds of a probability (output)")
    add("--blocks", type=int, default=5, help="blocks of time, in methods that group (5)")
    add("--evaluations", type=int, default=500, help="sets of groups a sample, in Shapley methods (500)")
    add("--seed", type=int, default=0, help="of all choices (0)")
    add("--local", type=int, default=3, help="samples with pictures of their own (3)")
    add("--thorough", action="store_true", help="also shuffled weights and other backgrounds")
    add("--output", help="folder to write (default: <run>/explanations)")
    return parser


@cli.command("keras_seq.explain")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, rest = make_parser().parse_known_args(argv)
    overrides = cli.read_overrides(rest)
    cli.refuse_other_sections(overrides, "data", "tracking")
    from keras_seq.explain.explainer import ExplanationPlan
    from keras_seq.explain.progress import SILENT, Bar
    from keras_seq.explain.registry import check_names
    from keras_seq.explain.run import as_methods, explain

    methods = as_methods(options.methods)
    check_names(methods)
    plan = ExplanationPlan(
        samples=options.samples,
        methods=methods or ("auto",),
        backgrounds=options.backgrounds,
        baseline=options.baseline,
        part=options.part,
        units=tuple(name.strip() for name in options.units.split(",") if name.strip()),
        class_name=options.class_name,
        target=options.target,
        ahead=options.ahead,
        level=options.level,
        scale=options.scale,
        blocks=options.blocks,
        evaluations=options.evaluations,
        seed=options.seed,
        local=options.local,
        thorough=options.thorough,
    )
    machine.load_tensorflow()
    from keras_seq.bundle import load_bundle
    from keras_seq.explain.record import record
    from keras_seq.reports import summary

    explanations = explain(
        options.bundle,
        plan,
        output=options.output,
        overrides=overrides,
        say=summary.say,
        ticker=SILENT if output.wanted() else Bar(),
    )
    bundle = load_bundle(options.bundle)
    experiment = config.from_dict(config.override(config.to_dict(bundle.experiment), overrides))
    run_id = record(experiment, explanations)

    def show() -> None:
        for number, one in enumerate(explanations.findings, 1):
            summary.say(f"{number}. {one['title']}. {one['text']}")
        summary.print_paths({"explanations": explanations.folder, "record": run_id or "none"})

    return cli.Result(
        {
            "folder": explanations.folder,
            "record": run_id,
            "summary": explanations.summary,
            "findings": explanations.findings,
        },
        show,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
