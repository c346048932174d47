"""The known data sets and their state; ``check`` one or your own file; ``fetch`` one; ``shard`` and ``export`` it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import cli, config
from keras_seq.data.formats import known_formats
from keras_seq.data.home import VARIABLE, absent, data_home
from keras_seq.data.sources.registry import SourceInfo, known_sources, load_series, source_info
from keras_seq.data.store.command import add_options, export, shard, validate
from keras_seq.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from keras_seq.data.quality import Finding
    from keras_seq.data.series import Series

USAGE = """python -m keras_seq.data [--home FOLDER]
       python -m keras_seq.data formats [--json]
       python -m keras_seq.data check [--config FILE] [--source NAME] [--path FILE] [--data.field VALUE ...] [--json]
       python -m keras_seq.data fetch NAME [--home FOLDER]
       python -m keras_seq.data shard [--config FILE] --output FOLDER [--shard-size SIZE] [--workers N]
                                      [--runner local|beam] [--path FILE|FOLDER] [--data.field VALUE ...]
       python -m keras_seq.data validate FOLDER
       python -m keras_seq.data export FOLDER --output FOLDER [--format parquet|tfrecord]"""
EPILOG = f"""examples:
  python -m keras_seq.data                                   known sets: found, missing or embedded
  python -m keras_seq.data formats                           kinds of files that are read as tables
  python -m keras_seq.data check --source cmapss --subset FD001
  python -m keras_seq.data check --path plant.csv --unit sensor --time at --targets '[load]' --task forecast
  python -m keras_seq.data fetch gasoline
  python -m keras_seq.data shard --path archive/ --unit sensor --time at --targets '[load]' --output shards/plant
  python -m keras_seq.data validate shards/plant             are all shards there and as they were written?
  python -m keras_seq.data export shards/plant --output parquet/plant      copies for other tools

Data sets are looked for below --home, else ${VARIABLE}, else ~/.cache/keras_seq. Options of check and
shard are the fields of the data section (python -m keras_seq.train --help lists them), with or without 'data.'.
'check' leaves with exit code 2 where the data have errors."""
COMMANDS = ("list", "formats", "check", "fetch", "shard", "validate", "export")
DATA_FIELDS = ("data.", "name", "seed", "output", "model.", "training.", "evaluation.", "tracking.", "export.")


def make_parser(action: str = "list") -> cli.Parser:
    """The options of one of the commands, or of "all"."""
    parser = cli.Parser(
        prog="python -m keras_seq.data", usage=USAGE, description=__doc__, epilog=EPILOG, keys=_keys(action)
    )
    parser.add_argument("--config", metavar="FILE", help="check, shard: YAML file of an experiment")
    if action in ("shard", "export", "all"):
        add_options(parser, COMMANDS if action == "all" else [action])
    return parser


@cli.command("keras_seq.data", actions=COMMANDS)
def main(argv: Sequence[str]) -> cli.Result:
    """Run one of the commands."""
    words = list(argv)
    # Options of the config tree are not known to argparse, which would take their values for commands.
    command = words.pop(0) if words and not words[0].startswith("-") else "list"
    if command not in COMMANDS:
        raise ConfigError(f"Unknown command '{command}'{nearest(command, COMMANDS)}")
    parser = make_parser("all" if {"--help", "-h"} & set(words) else command)
    known, rest = parser.parse_known_args(words)
    if command == "check":
        return _check(known.config, rest)
    if command == "formats":
        _no_options(rest)
        return _formats()
    if command == "validate":
        return cli.Result(*validate(rest))
    if command == "export":
        return cli.Result(*export(known, rest))
    if command == "shard":
        return cli.Result(*shard(known, _data(known.config, rest)[0]))
    name = rest.pop(0) if command == "fetch" and rest and not rest[0].startswith("--") else None
    home = _home(rest)
    if command == "fetch":
        if name is None:
            raise ConfigError("Command 'fetch' needs the name of a source: python -m keras_seq.data fetch gasoline.")
        from keras_seq.data.fetch import fetch

        return cli.Result({"source": name, "files": fetch(name, home)})
    return _list(data_home(home))


def _keys(command: str) -> tuple[str, ...]:
    """Options of the config tree that a command takes."""
    names = (
        [name for name in config.fields() if name.startswith("data.")]
        if command in ("check", "shard", "all")
        else ["data.home"]
    )
    return (*names, *(name.removeprefix("data.") for name in names))


def _home(words: list[str]) -> str | None:
    options = {key.removeprefix("data."): value for key, value in cli.read_overrides(words).items()}
    unknown = [key for key in options if key != "home"]
    if unknown:
        raise ConfigError(f"Unknown option '--{unknown[0]}'; this command takes --home FOLDER only.")
    return options.get("home")


def _list(home: Path) -> cli.Result:
    sources = [
        {"name": i.name, "task": i.task, "state": state(i, home), "what": i.what, "licence": i.licence, "url": i.url}
        for i in known_sources().values()
    ]
    return cli.Result({"home": home, "sources": sources}, lambda: _print_list(home))


def _no_options(words: list[str]) -> None:
    if words:
        raise ConfigError(f"Command 'formats' takes no options, got '{words[0]}'.")


def _formats() -> cli.Result:
    """Kinds of table files, what they need and which options they read."""
    rows: list[dict[str, Any]] = [
        {"name": "csv", "what": "text, also packed", "suffixes": [], "extra": None, "options": []},
        {"name": "parquet", "what": "a Parquet file", "suffixes": [".parquet", ".pq"], "extra": None, "options": []},
    ]
    for one in known_formats().values():
        extra = one.extra[0] if one.extra else None
        own = {"name": one.name, "what": one.what, "suffixes": list(one.suffixes), "extra": extra}
        rows.append(own | {"options": [f"data.{option}" for option in one.options]})

    def show() -> None:
        from rich.table import Table

        table = Table("format", "files", "what", "needs", "options")
        for row in rows:
            needs = f"keras-seq[{row['extra']}]" if row["extra"] else ""
            table.add_row(row["name"], " ".join(row["suffixes"]), row["what"], needs, " ".join(row["options"]))
        _console().print(table)

    return cli.Result({"formats": rows}, show)


def _print_list(home: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    console = _console()
    table = Table("source", "task", "state", "what", title=f"data home: {home}", title_justify="left")
    for info in known_sources().values():
        what = Text.assemble(info.what, "\n", (info.licence, "dim"))
        table.add_row(info.name, info.task or "any", state(info, home), what)
    console.print(table)


def state(info: SourceInfo, home: Path) -> str:
    """Whether a source is embedded, found (with which subsets) or missing below ``home``."""
    if info.embedded:
        return "embedded"
    if info.folder is None:
        return f"give {info.given_by}"
    whole = [name for name in info.subsets or ("",) if not absent(home, info.folder, info.files_of(name))]
    if not whole:
        return "missing"
    return "found" if len(whole) == len(info.subsets or ("",)) else f"found: {', '.join(whole)}"


def _data(file: str | None, words: list[str]) -> tuple[config.DataConfig, dict[str, Any]]:
    """The data section, and what was given of it on the command line."""
    overrides: dict[str, Any] = {}
    for key, value in cli.read_overrides(words).items():
        overrides[key if key.startswith(DATA_FIELDS) else f"data.{key}"] = value
    if "data.path" in overrides:
        overrides.setdefault("data.source", "table")
    if "data.url" in overrides:
        overrides.setdefault("data.source", "sql")
    return (config.load(file, overrides) if file else config.from_dict(config.override({}, overrides))).data, overrides


def _check(file: str | None, words: list[str]) -> cli.Result:
    data, overrides = _data(file, words)
    if source_info(data.source).is_shards:
        return cli.Result(*validate([data.path or ""]))
    from keras_seq.data.observe_calendar import with_calendar
    from keras_seq.data.plans.channels import without_plan_rows
    from keras_seq.data.quality import check, statistics

    series = without_plan_rows(load_series(data, checked=False), data)
    # Without a window asked for, the defaults of a study would only raise questions.
    windows = data.windows if file or any(key.startswith("data.windows") for key in overrides) else None
    report, facts = check(series, windows), statistics(with_calendar(series))
    if not report.errors and (file or any(key.startswith("data.split") for key in overrides)):
        report = report.with_findings(_of_parts(series, data))

    def show() -> None:
        _print_statistics(facts)
        print(report.to_text())

    wrong = len(report.errors)
    failure = DataError(f"The data have {wrong} error{'s' if wrong > 1 else ''}, named in the report.")
    fields = {"statistics": facts, "quality": report.to_dict()}
    return cli.Result(fields, show, failure if wrong else None)


def _of_parts(series: Series, data: config.DataConfig) -> list[Finding]:
    """What the parts of the split show, or why there can be none."""
    from keras_seq.data.prepare import divide
    from keras_seq.data.quality import Finding

    try:
        return divide(series, data)[2]
    except DataError as error:
        return [Finding("error", "split", str(error))]


def _print_statistics(facts: dict[str, Any]) -> None:
    from rich.table import Table

    console = _console()
    length = facts["length"]
    console.print(
        f"{facts['name']}: task {facts['task']}, {facts['rows']} rows in {facts['units']} units "
        f"({facts['groups']} groups) of {length['min']}-{length['max']} rows (median {length['median']:g}), "
        f"{facts['features']} features, {facts['missing_share']:.2%} missing, {facts['size_mb']:g} MB",
        soft_wrap=True,
        highlight=False,
    )
    if set(facts["official"]) != {""}:
        console.print("official split:", ", ".join(f"{k or 'none'} {v} units" for k, v in facts["official"].items()))
    if "stamps" in facts:
        console.print("stamps:", facts["stamps"], soft_wrap=True, highlight=False)
    if "classes" in facts:
        console.print("classes:", ", ".join(f"{name} {share:.2%}" for name, share in facts["classes"].items()))
    table = Table("column", "min", "mean", "max", "deviation", "missing")
    for name, column in {**facts["columns"], **{f"target {k}": v for k, v in facts.get("targets", {}).items()}}.items():
        table.add_row(name, *(_short(column.get(key)) for key in ("min", "mean", "max", "std")), str(column["missing"]))
    console.print(table)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


def _console() -> Console:
    from rich.console import Console

    # Names of columns hold brackets. Piped into a file, a table keeps its columns, not folded to 80 characters.
    console = Console(markup=False)
    return console if console.is_terminal else Console(width=130, markup=False)


if __name__ == "__main__":
    sys.exit(cli.run(main))
