"""A first configuration for your own table: ``python -m keras_seq.init FILE``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_seq import cli, config, files, machine
from keras_seq.autoconfig.look import look
from keras_seq.cli import output
from keras_seq.data.remote import is_address, local_path
from keras_seq.errors import ConfigError, nearest

logger = logging.getLogger("keras_seq.init")  # also where it runs as __main__, so that progress is shown
READING = (
    "delimiter",
    "encoding",
    "decimal",
    "thousands",
    "row_names",
    "header",
    "names",
    "skip_lines",
    "skip_footer",
    "comment",
    "quoted_lines",
    "member",
    "date_format",
    "zone",
    "duplicates",
    "resample",
    "sheet",
    "header_row",
    "dataset",
    "wide",
    "labels",
    "missing_codes",
    "missing_texts",
    "strict",
)
DESCRIPTION = """Look at a table (CSV, Parquet, Excel, .ts, .npz ...) and write a commented configuration for it.

  python -m keras_seq.init pumps.csv --target wear
  python -m keras_seq.init sales.csv --target sales --horizon 4 --out sales.yaml
  python -m keras_seq.init postgresql://lab@db.example/plant --table readings --target wear
  python -m keras_seq.init engines.parquet --target rul --unit engine --time cycle --json
  python -m keras_seq.init log.csv --target flow --data.date_format %d/%m/%Y --data.missing_codes [-999]

It guesses units, time, groups, inputs, windows, split, family and size, and says why beside each value; what only you
can know, it asks for. The result is read and tried on your file before it is written, and keras_seq.train takes it as
it is. Candidates from the last value to networks are then tried on the train part alone, for at most --budget minutes;
the best of the simplest kind that is level with the best is proposed, with a table of all in the file's comments.
"""
MINUTES = 3.0  # of pilots


@cli.command("keras_seq.init")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, rest = make_parser().parse_known_args(argv)
    if options.horizon < 0:
        raise ConfigError(f"Option '--horizon' is a number of steps from 0 on, got {options.horizon}.")
    if not 0 <= options.budget < float("inf"):
        raise ConfigError(f"Option '--budget' is a number of minutes from 0 on, got {options.budget}.")
    from keras_seq.autoconfig.database import is_database, read_database
    from keras_seq.autoconfig.plan import name_of
    from keras_seq.autoconfig.write import refuse_existing

    rows = {"query": options.query, "table": options.table, "table_schema": options.table_schema}
    database = None
    if is_database(options.file) or any(rows.values()):
        database = read_database(options.file, rows, unit=options.unit, time=options.time)
    path = database.path if database else local_path(options.file)
    out = Path(options.out or f"{name_of(path)}.yaml").expanduser()
    refuse_existing(out, overwrite=options.overwrite)
    findings = look(
        path,
        out,
        address=options.file if is_address(options.file) else "",
        database=database,
        targets=tuple(name for name in options.target.split(",") if name),
        asked={part: getattr(options, part) for part in ("unit", "time", "group")},
        task=options.task,
        horizon=options.horizon,
        ask=ask_for_target if sys.stdin.isatty() and not output.wanted() else None,
        reading=_reading(rest) | ({"strict": True} if options.strict else {}),
    )
    if options.budget:
        machine.load_tensorflow()
        from keras_seq.pilots.propose import propose

        propose(findings, 60 * options.budget, network=options.network, say=logger.info)
    if findings.schema_text:
        files.write_text(findings.schema_file, findings.schema_text)
    from keras_seq.autoconfig.write import write

    write(out, findings.text)
    return cli.Result(findings.to_dict(), findings.to_text())


def _reading(words: Sequence[str]) -> dict[str, Any]:
    """Fields of ``data`` that say how the file is read, from ``--data.delimiter ";"`` and the like.

    Raises:
        ConfigError: another option.
    """
    overrides = cli.read_overrides(words)
    known = {f"data.{name}": name for name in READING}
    within = ("data.wide.", "data.resample.")
    sections = {key: ".".join(key.split(".")[:2]) if key.startswith(within) else key for key in overrides}
    for key, section in sections.items():
        if section not in known:
            raise ConfigError(f"Option '--{key}' is none of init{nearest(key, [*known, 'target', 'task', 'horizon'])}")
    data = config.to_dict(config.from_dict(config.override({}, overrides)))["data"]
    return {known[section]: data[known[section]] for section in sections.values()}


def make_parser() -> cli.Parser:
    """The options of the command."""
    keys = [f"data.{name}" for name in READING]
    parser = cli.Parser(prog="python -m keras_seq.init", description=DESCRIPTION, keys=keys)
    parser.add_argument(
        "file", metavar="FILE", help="table of any format, an address (s3://, https://), or the URL of a database"
    )
    parser.add_argument("--query", metavar="SELECT", help="of a database: the rows, as one SELECT")
    parser.add_argument("--table", metavar="NAME", help="of a database: the rows, as all of a table or view")
    parser.add_argument("--table-schema", metavar="NAME", help="schema that holds --table")
    parser.add_argument("--out", metavar="FILE", help="the configuration; default: the table's name with .yaml")
    parser.add_argument("--target", default="", metavar="NAME[,NAME]", help="column(s) to predict")
    parser.add_argument("--task", choices=("regression", "binary", "multiclass", "forecast"), help="default: guessed")
    parser.add_argument("--horizon", type=int, default=0, metavar="STEPS", help="forecast the target so far ahead")
    for part in ("unit", "time", "group"):
        parser.add_argument(f"--{part}", metavar="NAME", help=f"the {part} column, or none; default: guessed")
    parser.add_argument(
        "--strict", action="store_true", help="refuse a table where two readings fit and nothing decides"
    )
    budget = f"for pilots, which try candidates on the train part ({MINUTES:g}); 0: none, the rules alone decide"
    parser.add_argument("--budget", type=float, default=MINUTES, metavar="MINUTES", help=budget)
    parser.add_argument(
        "--network", action="store_true", help="propose the best network, also where something beats it"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing configuration")
    return parser


def ask_for_target(question: str) -> str:
    """The name that a person types in answer to a question."""
    print(f"{question}\n", file=sys.stderr)
    return input("target: ").strip()


if __name__ == "__main__":
    sys.exit(cli.run(main))
