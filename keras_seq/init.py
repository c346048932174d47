"""A first configuration for your own table: ``python -m keras_seq.init FILE``."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import cli, config, files, output
from keras_seq.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from keras_seq.first_look.facts import Choice, Facts
    from keras_seq.first_look.roles import Part
    from keras_seq.first_look.table import Table

READING = (
    "delimiter",
    "encoding",
    "decimal",
    "thousands",
    "row_names",
    "date_format",
    "zone",
    "missing_codes",
    "missing_texts",
    "strict",
)
CHECKED_MB = 200  # larger files are not read a second time to prove the configuration
ATTEMPTS = 4
MOST_NOTES = 8  # findings of the check that are shown
DESCRIPTION = """Look at a CSV or Parquet file and write a commented configuration for it.

  python -m keras_seq.init pumps.csv --target wear
  python -m keras_seq.init sales.csv --target sales --horizon 4 --out sales.yaml
  python -m keras_seq.init engines.parquet --target rul --unit engine --time cycle --json
  python -m keras_seq.init log.csv --target flow --data.date_format %d/%m/%Y --data.missing_codes [-999]

It guesses units, time, groups, inputs, windows, split, family and size, and says why beside each value; what only you
can know, it asks for. The result is read and tried on your file before it is written, and keras_seq.train takes it as
it is. Nothing is trained.
"""


@cli.command("keras_seq.init")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, rest = _parser().parse_known_args(argv)
    if options.horizon < 0:
        raise ConfigError(f"Option '--horizon' is a number of steps from 0 on, got {options.horizon}.")
    from keras_seq.first_look.plan import name_of
    from keras_seq.first_look.write import refuse_existing

    path = Path(options.file).expanduser()
    out = Path(options.out or f"{name_of(path)}.yaml").expanduser()
    refuse_existing(out, overwrite=options.overwrite)
    found = look(
        path,
        out,
        targets=tuple(name for name in options.target.split(",") if name),
        asked={part: getattr(options, part) for part in ("unit", "time", "group")},
        task=options.task,
        horizon=options.horizon,
        ask=sys.stdin.isatty() and not output.wanted(),
        reading=_reading(rest) | ({"strict": True} if options.strict else {}),
    )
    if found.schema_text:
        files.write_text(found.schema_file, found.schema_text)
    from keras_seq.first_look.write import write

    write(out, found.text)
    return cli.Result(found.to_dict(), found.to_text())


class Findings:
    """What was found in a table, and the configuration made of it."""

    def __init__(self, table: Table, facts: Facts, choices: list[Choice], out: Path) -> None:
        self.table, self.facts, self.choices, self.out = table, facts, choices, out
        self.schema_file = out.with_name(f"{out.stem}_schema.yaml")
        self.schema_text = ""
        self.text = ""
        self.checked = False
        self.notes: list[str] = []

    def commands(self) -> list[str]:
        """What to do next, in order."""
        name, out = self.choices[0].value, shlex.quote(str(self.out))
        return [
            f"python -m keras_seq.data check --config {out}",
            f"python -m keras_seq.train --config {out}",
            f"python -m keras_seq.report runs/{name}/seed-0",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "file": str(self.table.path),
            "rows": self.table.rows,
            "config": str(self.out),
            "schema": str(self.schema_file) if self.schema_text else None,
            "checked": self.checked,
            "columns": [self._column(name) for name in self.table.columns],
            "choices": [
                {"key": one.key, "value": one.value, "why": one.why, "instead": one.instead} for one in self.choices
            ],
            "notes": self.notes,
            "commands": self.commands(),
        }

    def to_text(self) -> str:
        """A short table, the remarks, and the next three commands."""
        from keras_seq.first_look import advise

        lengths, question = self.facts.lengths, self.facts.question
        spread = f"{min(lengths)} to {max(lengths)}" if min(lengths) < max(lengths) else f"{lengths[0]}"
        value = {one.key: one.value for one in self.choices}
        parts = {name: part.column or "none" for name, part in self.facts.parts.items()}
        classes = ", ".join(f"{text} {share:.1%}" for text, share in list(self.facts.shares.items())[:8])
        classes += ", ..." if len(self.facts.shares) > 8 else ""
        classes += f"; positive: {advise.positive_of(self.facts)}" if len(self.facts.shares) == 2 else ""
        rows = [
            ("file", f"{self.table.path}: {self.table.rows} rows, {len(self.table.columns)} columns"),
            ("unit", f"{parts['unit']} ({len(lengths)} of {spread} rows)"),
            ("time", parts["time"]),
            ("group", parts["group"]),
            ("target", f"{', '.join(question.targets)} ({question.task}: {question.why})"),
            ("classes", classes),
            ("inputs", f"{len(question.features)}: {_listed(question.features)}"),
            ("left out", "; ".join(f"{name or '(no name)'} {why}" for name, why in question.left_out.items())),
            ("windows", f"{value['data.windows.mode']}, {value['data.windows.length']} steps"),
            ("split", value["data.split.by"]),
            ("family", str(value["model.family"])),
        ]
        lines = [f"  {name:<9} {text}" for name, text in rows if text]
        lines += [f"  note      {note}" for note in self.notes]
        lines += ["", f"wrote {self.out}" + (f" and {self.schema_file}" if self.schema_text else "") + "; next:"]
        return "\n".join([*lines, *(f"  {command}" for command in self.commands())])

    def _column(self, name: str) -> dict[str, Any]:
        column, question = self.table.columns[name], self.facts.question
        playing = [part for part, chosen in self.facts.parts.items() if chosen.column == name]
        playing += ["target"] if name in question.targets else []
        playing += ["input"] if name in question.features else []
        return {
            "name": name,
            "kind": column.kind,
            "missing": column.missing,
            "distinct": column.distinct,
            "parts": playing,
            "left_out": question.left_out.get(name),
        }


def look(
    path: Path,
    out: Path,
    *,
    targets: tuple[str, ...] = (),
    asked: dict[str, str | None] | None = None,
    task: Any = None,
    horizon: int = 0,
    ask: bool = False,
    reading: dict[str, Any] | None = None,
) -> Findings:
    """Look at a table and make its configuration; nothing is written.

    Args:
        path: CSV or Parquet file.
        out: where the configuration will be.
        targets: columns to predict; none: the one that stands out, else it is asked for.
        asked: columns for ``unit``, ``time`` and ``group`` instead of guesses ("none": there is none).
        task: regression, binary, multiclass or forecast; None: guessed.
        horizon: steps ahead to forecast; 0: not asked for.
        ask: a person is there to name the target.
        reading: fields of ``data`` that say how the file is read, such as ``delimiter``.

    Raises:
        ConfigError, DataError: what is wrong with the file or the options, and how to mend it.
    """
    from keras_seq.first_look import plan
    from keras_seq.first_look.table import read_table
    from keras_seq.first_look.target import settle

    table = read_table(path, reading)
    if ",".join(targets) in table.columns:
        targets = (",".join(targets),)  # one name that holds a comma
    for name in targets:
        if name not in table.columns:
            raise ConfigError(f"Option '--target': '{path}' has no column '{name}'{nearest(name, table.columns)}")
    parts = plan.settle_parts(table, asked or {}, set(targets))
    taken = {part.column for part in parts.values() if part.column}
    why = ""
    if not targets:
        targets, why = _target(table, parts, taken, ask=ask)
        # A group may be the label of its units: a target leaves that part.
        taken -= set(targets)
    both = taken & set(targets)
    if both:
        raise ConfigError(f"Column '{both.pop()}' is a target and tells the unit, group or time; name one part for it.")
    question = settle(table, targets, parts["unit"].column, taken, task=task, horizon=horizon)
    facts = plan.gather(table, parts, question)
    return _prove(table, facts, out, horizon, why, reading or {})


def _target(table: Table, parts: dict[str, Part], taken: set[str], *, ask: bool) -> tuple[tuple[str, ...], str]:
    """The column that stands out, or the one that a person names."""
    from keras_seq.first_look.target import ask_for_target, candidates, sure_of

    unit = parts["unit"].column
    found = candidates(table, unit, taken)
    sure = sure_of(found)
    if sure:
        return (sure.name,), f"is a guess ({sure.why}); another one: --target"
    question = ask_for_target(found, table, counts=bool(unit and parts["time"].column))
    if not ask or not found:
        raise question
    print(f"{question}\n", file=sys.stderr)
    try:
        answer = input("target: ").strip()
    except EOFError:
        raise question from None
    if answer not in table.columns or answer in taken:
        raise ConfigError(
            f"There is no such column to predict: '{answer}'{nearest(answer, [one.name for one in found])}"
        )
    return (answer,), "as answered"


def _prove(table: Table, facts: Facts, out: Path, horizon: int, why: str, reading: dict[str, Any]) -> Findings:
    """Choices that the file was tried with: loaded, checked and divided; wider shares where a part lacks something."""
    from keras_seq.first_look import advise, plan, write
    from keras_seq.first_look.facts import Choice

    schema_file = out.with_name(f"{out.stem}_schema.yaml") if facts.conditions else None
    choices = plan.choices(table, facts, horizon=horizon, schema_file=str(schema_file) if schema_file else None)
    place = next(i for i, one in enumerate(choices) if one.key == "data.path") + 1
    choices[place:place] = [Choice(f"data.{name}", value, "as asked for") for name, value in reading.items()]
    found = Findings(table, facts, choices, out)
    found.schema_text = write.schema_yaml(facts) if schema_file else ""
    found.notes = [f"the file {remark}" for remark in table.remarks] + list(facts.question.notes)
    found.notes += [part.note for part in facts.parts.values() if part.note]
    if why:
        found.notes.append(f"target '{facts.question.targets[0]}' {why}")
    small = table.path.stat().st_size <= CHECKED_MB * 2**20
    if small:
        found.choices = _tried(found, advise.split)
        found.checked = True
    else:
        found.notes.append(f"above {CHECKED_MB} MB: the file was not read again to try the configuration on it")
    head = [
        f"{table.path.name}: written by python -m keras_seq.init {shlex.quote(str(table.path))}",
        f"Command: python -m keras_seq.train --config {shlex.quote(str(out))}",
        "Every value is a guess with its reason above it; 'instead' is what else could be meant. Options of the "
        "command line win over this file; docs/configuration.md tells of all fields.",
    ]
    found.text = write.to_yaml(found.choices, head)
    return found


def _tried(found: Findings, make_split: Any) -> list[Choice]:
    """The choices with the first split that the data bear; warnings of the quality check become notes."""
    from keras_seq.data.quality import check
    from keras_seq.data.sources import load_series
    from keras_seq.data.splits import split
    from keras_seq.first_look import write

    with tempfile.TemporaryDirectory() as folder:
        schema = Path(folder) / "schema.yaml"
        schema.write_text(found.schema_text, encoding="utf-8")
        tree = write.tree(found.choices)
        if found.schema_text:
            tree["data"]["schema_file"] = str(schema)
        series = load_series(config.from_dict(tree).data, checked=False)
    report = check(series, config.from_dict(tree).data.windows)
    report.raise_if_bad()
    told = [finding for finding in report.warnings if finding.rule != "companion"]  # those are notes already
    found.notes += [str(finding) for finding in told[:MOST_NOTES]]
    problem: DataError | None = None
    for attempt in range(ATTEMPTS):
        choices = [one for one in found.choices if not one.key.startswith("data.split.")]
        place = next(i for i, one in enumerate(choices) if one.key.startswith("model."))
        choices[place:place] = make_split(found.facts, attempt)
        try:
            split(series, config.from_dict(write.tree(choices)).data)
        except DataError as error:
            problem = problem or error
            continue
        return choices
    assert problem is not None
    raise problem


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return f"{shown}, ..." if len(names) > 6 else shown


def _reading(words: Sequence[str]) -> dict[str, Any]:
    """Fields of ``data`` that say how the file is read, from ``--data.delimiter ";"`` and the like.

    Raises:
        ConfigError: another option.
    """
    overrides = cli.read_overrides(words)
    known = {f"data.{name}": name for name in READING}
    for key in overrides:
        if key not in known:
            raise ConfigError(f"Option '--{key}' is none of init{nearest(key, [*known, 'target', 'task', 'horizon'])}")
    data = config.to_dict(config.from_dict(config.override({}, overrides)))["data"]
    return {known[key]: data[known[key]] for key in overrides}


def _parser() -> cli.Parser:
    keys = [f"data.{name}" for name in READING]
    parser = cli.Parser(prog="python -m keras_seq.init", description=DESCRIPTION, keys=keys)
    parser.add_argument("file", metavar="FILE", help="CSV of any dialect (also gzip) or Parquet")
    parser.add_argument("--out", metavar="FILE", help="the configuration; default: the table's name with .yaml")
    parser.add_argument("--target", default="", metavar="NAME[,NAME]", help="column(s) to predict")
    parser.add_argument("--task", choices=("regression", "binary", "multiclass", "forecast"), help="default: guessed")
    parser.add_argument("--horizon", type=int, default=0, metavar="STEPS", help="forecast the target so far ahead")
    for part in ("unit", "time", "group"):
        parser.add_argument(f"--{part}", metavar="NAME", help=f"the {part} column, or none; default: guessed")
    parser.add_argument(
        "--strict", action="store_true", help="refuse a table where two readings fit and nothing decides"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing configuration")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
