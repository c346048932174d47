"""Predict from a file: ``python -m keras_seq.predict BUNDLE FILE``."""

from __future__ import annotations

import argparse
import dataclasses
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import cli, machine
from keras_seq.config.database import FIELDS, keep_sql_password
from keras_seq.data.static import with_table
from keras_seq.errors import ConfigError, hide_passwords
from keras_seq.evaluation.answered import AnswerTable
from keras_seq.pipeline.predict import answer_database, answer_file, write_table

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle

DESCRIPTION = """Predict for every unit of a table (CSV, Parquet, workbook, .ts, a folder ...), raw units in and out.

  python -m keras_seq.predict runs/fd001/seed-0 engines.csv
  python -m keras_seq.predict runs/fd001/seed-0 engines.parquet --every 1 --out answers.parquet
  tail -f engines.csv | python -m keras_seq.predict runs/fd001/seed-0 --stream
  python -m keras_seq.predict runs/pumps/seed-0 --data.source sql --data.query "SELECT * FROM readings WHERE day >= 7" \
      --to sql --to-table answers --key pump,time

The file is read as the table of training was: its delimiter, decimal mark, dates and missing values are in the bundle's
schema. It needs the feature columns (covariates are computed) and the unit column, if training had one; other columns
are passed over. Time, where there is such a column, must rise within a unit. A unit too short for a window is named
and the others are answered; exit code 2 only if none can be. With --stream every row is answered at once from its
unit's state (one-way lstm and gru). Covariates such as lags look back beyond the window: a unit needs the rows of
both, unless --whole says that the file holds every unit from its very first row on, as training saw it. With
--data.source sql the rows come from a database, that of the training unless --data.url names another; --to sql writes
the answers into a table by key, all of them or none, and never twice.
Columns that are known ahead (data.known_ahead) are read up to the last step of the forecast: from rows at the end of
each unit in which the other columns are empty, or from --plan.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    keys = tuple(f"data.{name}" for name in ("source", "path", *FIELDS))
    parser = cli.Parser(prog="python -m keras_seq.predict", description=DESCRIPTION, keys=keys)
    parser.add_argument("bundle", help="bundle or run folder")
    parser.add_argument("file", nargs="?", help="table of any format that training reads")
    parser.add_argument("--out", help="CSV or Parquet file to write; default: CSV on the terminal")
    parser.add_argument("--every", type=int, default=0, help="also answer every n steps (0: only at the end)")
    parser.add_argument("--steps", type=int, default=0, help="forecast so far, beyond the horizon from own forecasts")
    parser.add_argument("--plan", metavar="FILE", help="known-ahead columns of later steps (units, time, columns)")
    parser.add_argument("--whole", action="store_true", help="the file holds every unit from its first row on")
    parser.add_argument("--static", help="companion table of the file's units, in place of data.static.path")
    parser.add_argument("--to", choices=("sql",), help="write the answers into a table of a database")
    parser.add_argument("--to-table", metavar="TABLE", help="that table; made if it is not there")
    parser.add_argument("--to-schema", metavar="SCHEMA", help="schema that holds it (default: the database's)")
    parser.add_argument("--to-url", metavar="URL", help="its database (default: the one that is read)")
    parser.add_argument("--key", metavar="COLUMNS", help="that tell one answer from the others (default: unit, time)")
    parser.add_argument("--stream", action="store_true", help="answer each CSV row of standard input as it comes")
    return parser


@cli.command("keras_seq.predict")
def main(argv: Sequence[str]) -> cli.Result | cli.Lines:
    """Command line."""
    parser = make_parser()
    options, rest = parser.parse_known_args(argv)
    overrides = cli.read_overrides(rest)
    if unknown := [f"--{name}" for name in overrides if "." not in name]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    cli.refuse_other_sections(overrides, "data", when=" say which rows of a database are answered")
    sources = bool(options.stream) + bool(options.file) + bool(overrides)
    other = options.out or options.every or options.whole or options.to or options.steps or options.plan
    if sources != 1 or (options.stream and other):
        raise ConfigError(
            "Give either a file, --data.source sql with its options, or --stream, which reads standard input and takes "
            "no other option."
        )
    _check_target(options)
    if options.every < 0:
        raise ConfigError(f"--every must be 0 (only at the end) or a number of steps, got {options.every}.")
    if options.steps < 0:
        raise ConfigError(f"--steps must be 0 (the model's horizon) or a number of steps, got {options.steps}.")
    from keras_seq.bundle import load_bundle

    bundle = load_bundle(options.bundle)
    bundle = dataclasses.replace(bundle, schema=with_table(bundle.schema, options.static))
    if options.stream:
        from keras_seq.pipeline.stream import answer, as_values, stream

        if bundle.schema.reading and isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding=bundle.schema.reading.encoding)
        return cli.Lines(as_values(answer(bundle, sys.stdin), bundle), lambda: stream(bundle, sys.stdin, sys.stdout))
    machine.load_tensorflow()
    how = {"every": options.every, "whole": options.whole, "steps": options.steps}
    if overrides:
        answers = answer_database(bundle, overrides, plan=options.plan, **how)
    else:
        answers = answer_file(bundle, options.file, plan=options.plan, **how)
    return _to_database(answers, options, bundle, overrides) if options.to else tell(answers, options.out, {})


def _check_target(options: argparse.Namespace) -> None:
    """Refuse half a target before anything is read."""
    own = {"--to-table": options.to_table, "--to-schema": options.to_schema, "--to-url": options.to_url}
    own["--key"] = options.key
    named = next((name for name, value in own.items() if value is not None), None)
    if not options.to and named:
        raise ConfigError(f"Option '{named}' says where in a database answers go; it needs --to sql.")
    if options.to and not options.to_table:
        raise ConfigError("Option '--to sql' needs --to-table, the table that takes the answers.")
    if options.to and options.out:
        raise ConfigError(f"Answers go to one place: leave out --to sql or --out '{options.out}'.")


def _to_database(
    answers: AnswerTable, options: argparse.Namespace, bundle: Bundle, overrides: Mapping[str, Any]
) -> cli.Result:
    """Answers into a table, by key."""
    from keras_seq.data.databases.answers import AnswersTarget, write_answers
    from keras_seq.pipeline.predict import database_of

    for line in answers.warnings():
        print(f"warning: {line}", file=sys.stderr)
    table = answers.table
    target = AnswersTarget(
        url=keep_sql_password(options.to_url) if options.to_url else database_of(bundle, overrides),
        table=options.to_table,
        table_schema=options.to_schema,
        key=_key(options.key, list(map(str, table)), bundle),
    )
    new = write_answers(table, target)
    print(f"{len(table)} rows in {target.where}, {new} of them new", file=sys.stderr)
    fields: dict[str, Any] = {"rows": len(table), "new": new, "refused": [one.to_dict() for one in answers.refused]}
    fields |= {"notes": list(answers.notes), "written": options.to_table, "url": hide_passwords(target.url)}
    return cli.Result(fields | {"key": list(target.key)})


def _key(words: str | None, columns: list[str], bundle: Bundle) -> tuple[str, ...]:
    """Columns of the answers that are the key; ``unit`` and ``time`` stand for the table's own such columns.

    Raises:
        ConfigError: none is named and rows have no time, so that their numbers would change from query to query.
    """
    roles = {"unit": columns[0], "time": columns[1]}
    named = [name.strip() for name in (words or "").split(",") if name.strip()]
    if named:
        return tuple(dict.fromkeys(name if name in columns else roles.get(name, name) for name in named))
    if columns[1] != bundle.schema.time_column:
        raise ConfigError(
            f"The rows have no time, so '{columns[1]}' is only their number in this query, which another one counts "
            f"anew; name the columns that tell answers apart with --key, such as --key {columns[0]}."
        )
    return tuple(columns[: 3 if bundle.spec.horizon else 2])  # unit, time, steps ahead


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
        return cli.Result(fields | {"answers": table}, lambda: answers.as_text().to_csv(sys.stdout, index=False))
    typed = Path(out).suffix in (".parquet", ".pq", ".json")
    write_table(table if typed else answers.as_text(), Path(out))
    print(f"{len(table)} rows in {out}", file=sys.stderr)
    return cli.Result(fields | {"written": out})


if __name__ == "__main__":
    sys.exit(cli.run(main))
