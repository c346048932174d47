"""What the tracking store knows: ``python -m keras_seq.status``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from keras_seq import cli
from keras_seq.pipeline.status import DEFAULT, status, to_text

DESCRIPTION = """Summarise the tracking store: experiments with their best run, registered models, the newest events.

  python -m keras_seq.status
  python -m keras_seq.status --uri sqlite:///mlflow.db --json
  python -m keras_seq.status --monitor monitor        # a watcher's folder, for its newest events

The best run is the one best on the validation part; its test metric stands beside it. docs/store.md says what lies
where in the store.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m keras_seq.status", description=DESCRIPTION)
    parser.add_argument("--uri", default=DEFAULT, help=f"of the tracking store; default: {DEFAULT}")
    parser.add_argument("--monitor", metavar="FOLDER", help="a watcher's folder; default: monitor/ if it is there")
    return parser


@cli.command("keras_seq.status")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options = make_parser().parse_args(argv)
    summary = status(options.uri, monitor=options.monitor)
    return cli.Result(summary, to_text(summary))


if __name__ == "__main__":
    sys.exit(cli.run(main))
