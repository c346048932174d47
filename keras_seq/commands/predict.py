"""Predict from a file: ``python -m keras_seq.predict BUNDLE FILE``."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_seq import cli, machine
from keras_seq.data.static import with_table
from keras_seq.errors import ConfigError
from keras_seq.evaluation.answered import AnswerTable
from keras_seq.pipeline.predict import answer_file, write_table

DESCRIPTION = """Predict for every unit of a CSV or Parquet file, raw units in and out.

  python -m keras_seq.predict runs/fd001/seed-0 engines.csv
  python -m keras_seq.predict runs/fd001/seed-0 engines.parquet --every 1 --out answers.parquet
  tail -f engines.csv | python -m keras_seq.predict runs/fd001/seed-0 --stream

The file is read as the table of training was: its delimiter, decimal mark, dates and missing values are in the bundle's
schema. It needs the feature columns (covariates are computed) and the unit column, if training had one; other columns
are passed over. Time, where there is such a column, must rise within a unit. A unit too short for a window is named
and the others are answered; exit code 2 only if none can be. With --stream every row is answered at once from its
unit's state (one-way lstm and gru). Covariates such as lags look back beyond the window: a unit needs the rows of
both, unless --whole says that the file holds every unit from its very first row on, as training saw it.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m keras_seq.predict", description=DESCRIPTION)
    parser.add_argument("bundle", help="bundle or run folder")
    parser.add_argument("file", nargs="?", help="CSV or Parquet file")
    parser.add_argument("--out", help="CSV or Parquet file to write; default: CSV on the terminal")
    parser.add_argument("--every", type=int, default=0, help="also answer every n steps (0: only at the end)")
    parser.add_argument("--whole", action="store_true", help="the file holds every unit from its first row on")
    parser.add_argument("--static", help="companion table of the file's units, in place of data.static.path")
    parser.add_argument("--stream", action="store_true", help="answer each CSV row of standard input as it comes")
    return parser


@cli.command("keras_seq.predict")
def main(argv: Sequence[str]) -> cli.Result | cli.Lines:
    """Command line."""
    options = make_parser().parse_args(argv)
    if options.stream == bool(options.file) or (options.stream and (options.out or options.every or options.whole)):
        raise ConfigError("Give either a file or --stream, which reads standard input and takes no other option.")
    if options.every < 0:
        raise ConfigError(f"--every must be 0 (only at the end) or a number of steps, got {options.every}.")
    from keras_seq.bundle import load_bundle

    bundle = load_bundle(options.bundle)
    bundle = dataclasses.replace(bundle, schema=with_table(bundle.schema, options.static))
    if options.stream:
        from keras_seq.pipeline.stream import answer, as_values, stream

        if bundle.schema.reading and isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding=bundle.schema.reading.encoding)
        return cli.Lines(as_values(answer(bundle, sys.stdin), bundle), lambda: stream(bundle, sys.stdin, sys.stdout))
    machine.load_tensorflow()
    answers = answer_file(bundle, options.file, every=options.every, whole=options.whole)
    return tell(answers, options.out, {})


def tell(answers: AnswerTable, out: str | None, fields: dict[str, Any]) -> cli.Result:
    """Write answers to a file or the terminal, with what was not answered.

    Args:
        answers: table, refused units and notes.
        out: CSV or Parquet file; None: CSV on the terminal.
        fields: more for the JSON document.
    """
    for line in answers.warnings():
        print(f"warning: {line}", file=sys.stderr)
    table = answers.table
    fields |= {"rows": len(table), "refused": [one.to_dict() for one in answers.refused], "notes": list(answers.notes)}
    if not out:
        return cli.Result(fields | {"answers": table}, lambda: table.to_csv(sys.stdout, index=False))
    write_table(table, Path(out))
    print(f"{len(table)} rows in {out}", file=sys.stderr)
    return cli.Result(fields | {"written": out})


if __name__ == "__main__":
    sys.exit(cli.run(main))
