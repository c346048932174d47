"""One page about a run: ``python -m keras_seq.report RUN``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from keras_seq import cli
from keras_seq.pipeline.report import write_report

DESCRIPTION = """Write one HTML file with everything that is known of a run; it needs no other file and no network.

  python -m keras_seq.report runs/cmapss_fd001/seed-0
  python -m keras_seq.report runs/cmapss_fd001/seed-0 --answers --study studies/cmapss_fd001
  python -m keras_seq.report runs/caster/seed-0 --comparison runs/comparison --out caster.html --png

Data, training, metrics beside the baseline, calibration and intervals, answers, comparison, search, errors over time,
explanations, formats, the gate's verdict, drift. All numbers are those recorded; what was never measured is left out,
and the contents name the command that makes it. Charts are interactive and are drawn when they come into view.
Options --data.home and the like stand in for those of the bundle, with --answers.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m keras_seq.report", description=DESCRIPTION, keys=("data.",))
    parser.add_argument("run", help="run or bundle folder")
    parser.add_argument("--out", help="the HTML file; default: report.html in the run folder")
    parser.add_argument("--answers", action="store_true", help="ask the model on its test part; loads data and model")
    parser.add_argument("--png", action="store_true", help="also copy the pictures as PNG into a folder beside it")
    for name in ("comparison", "study", "benchmark", "temporal", "explanations", "export", "monitor"):
        where = "none" if name == "study" else f"{name}/ in the run folder"
        parser.add_argument(f"--{name}", metavar="FOLDER", help=f"default: {where}")
    return parser


@cli.command("keras_seq.report")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, rest = make_parser().parse_known_args(argv)
    overrides = cli.read_overrides(rest)
    cli.refuse_other_sections(overrides, "data", when=", with --answers")
    from keras_seq.reports.sources import MARKS

    written = write_report(
        options.run,
        out=options.out,
        given={name: getattr(options, name) for name in MARKS},
        answers=options.answers,
        png=options.png,
        overrides=overrides,
    )
    size = written.stat().st_size
    return cli.Result({"report": written, "bytes": size}, f"{written} ({size / 2**20:.1f} MB)")


if __name__ == "__main__":
    sys.exit(cli.run(main))
