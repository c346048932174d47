"""First configuration of a new table: columns, task, windows, split, model."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import config
from keras_seq.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from keras_seq.autoconfig.database import DatabaseTable
    from keras_seq.autoconfig.facts import Choice, ConfigurationFacts
    from keras_seq.autoconfig.roles import ColumnRole
    from keras_seq.autoconfig.table import TableProfile
    from keras_seq.config import TaskName

CHECKED_MB = 200  # larger files are not read a second time to prove the configuration
ATTEMPTS = 4
_CODES = "{} stands for a missing value: several columns share it, apart from all others; [] if it is a measurement"
MOST_NOTES = 8  # findings of the check that are shown


class Findings:
    """Facts of a table, and the configuration made of them."""

    def __init__(self, table: TableProfile, facts: ConfigurationFacts, choices: list[Choice], out: Path) -> None:
        self.table, self.facts, self.choices, self.out = table, facts, choices, out
        self.schema_file = out.with_name(f"{out.stem}_schema.yaml")
        self.schema_text = ""
        self.text = ""
        self.checked = False
        self.notes: list[str] = []
        self.database: DatabaseTable | None = None
        self.pilots: list[dict[str, Any]] = []  # candidates that were tried, as plain values

    @property
    def file(self) -> str:
        """Path or address of the table."""
        return self.facts.address or str(self.table.path)

    def _words(self) -> str:
        """The table as the command was given it."""
        return shlex.join(self.database.words) if self.database else shlex.quote(self.file)

    def commands(self) -> list[str]:
        """What to do next, in order."""
        name, out = self.choices[0].value, shlex.quote(str(self.out))
        return [
            f"python -m keras_seq.data check --config {out}",
            f"python -m keras_seq.train --config {out}",
            f"python -m keras_seq.report runs/{name}/seed-0",
        ]

    def render(self) -> None:
        """Write the choices down in ``text``."""
        from keras_seq.autoconfig import write

        head = [
            f"{self.table.path.name}: written by python -m keras_seq.init {self._words()}",
            f"Command: python -m keras_seq.train --config {shlex.quote(str(self.out))}",
            "Every value is a guess with its reason above it; 'instead' is what else could be meant. Options of the "
            "command line win over this file; docs/configuration.md tells of all fields.",
        ]
        self.text = write.to_yaml(self.choices, head)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "file": self.file,
            "rows": self.table.rows,
            "config": str(self.out),
            "schema": str(self.schema_file) if self.schema_text else None,
            "checked": self.checked,
            "columns": [self._column(name) for name in self.table.columns],
            "choices": [asdict(choice) for choice in self.choices],
            "notes": self.notes,
            "pilots": self.pilots,
            "commands": self.commands(),
        }

    def to_text(self) -> str:
        """A short table, the remarks, and the next three commands."""
        from keras_seq.autoconfig import advise

        lengths, question = self.facts.lengths, self.facts.question
        spread = f"{min(lengths)} to {max(lengths)}" if min(lengths) < max(lengths) else f"{lengths[0]}"
        value = {choice.key: choice.value for choice in self.choices}
        parts = {name: part.column or "none" for name, part in self.facts.parts.items()}
        classes = ", ".join(f"{text} {share:.1%}" for text, share in list(self.facts.shares.items())[:8])
        classes += ", ..." if len(self.facts.shares) > 8 else ""
        classes += f"; positive: {advise.positive_of(self.facts)}" if len(self.facts.shares) == 2 else ""
        rows = [
            (
                "file",
                f"{self.file}: {self.table.rows} rows, {len(self.table.columns)} columns",
            ),
            ("unit", f"{parts['unit']} ({len(lengths)} of {spread} rows)"),
            ("time", parts["time"]),
            ("group", parts["group"]),
            ("target", f"{', '.join(question.targets)} ({question.task}: {question.why})"),
            ("classes", classes),
            ("inputs", f"{len(question.features)}: {_listed(question.features)}"),
            ("ahead", ", ".join(value.get("data.known_ahead", []))),
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
    task: TaskName | None = None,
    horizon: int = 0,
    ask: Callable[[str], str] | None = None,
    reading: dict[str, Any] | None = None,
    address: str = "",
    database: DatabaseTable | None = None,
) -> Findings:
    """Look at a table and make its configuration; nothing is written.

    Args:
        path: CSV or Parquet file.
        out: where the configuration will be.
        targets: columns to predict; none: the one that stands out, else it is asked for.
        asked: columns for ``unit``, ``time`` and ``group`` instead of guesses ("none": there is none).
        task: regression, binary, multiclass or forecast; None: guessed.
        horizon: steps ahead to forecast; 0: not asked for.
        ask: puts the question which column is the target to a person, and returns the name; None: nobody is there.
        reading: fields of ``data`` that say how the file is read, such as ``delimiter``.
        address: where ``path`` was copied from, which the configuration then names.
        database: whose rows ``path`` holds, which the configuration then names.

    Raises:
        ConfigError, DataError: what is wrong with the file or the options, and how to mend it.
    """
    from keras_seq.autoconfig import plan
    from keras_seq.autoconfig.official import official_split
    from keras_seq.autoconfig.target import settle
    from keras_seq.autoconfig.wide_look import wide_note

    asked = dict(asked or {})
    table, reading, told = _profile(path, asked, reading or {})
    if ",".join(targets) in table.columns:
        targets = (",".join(targets),)  # one name that holds a comma
    for name in targets:
        if name not in table.columns:
            raise ConfigError(f"Option '--target': '{path}' has no column '{name}'{nearest(name, table.columns)}")
    roles = table.roles
    own = {"unit": roles.unit, "time": roles.time} | {part: name for part, name in asked.items() if name}
    if not targets and roles.targets:
        targets, task = roles.targets, task or roles.task
        horizon = horizon or roles.horizon or 0
    parts = plan.settle_parts(table, own, set(targets))
    official = official_split(table)
    taken = {part.column for part in parts.values() if part.column}
    taken |= {official.column} if official and official.column else set()
    taken |= set(table.time_parts) if table.joined_time in taken else set()
    taken |= set(roles.aside) - {*roles.labels, *targets}
    why = ""
    known = reading.get("wide") or roles.unit
    wide = "" if known else wide_note(table, parts["unit"].column, parts["time"].column)
    if not targets:
        try:
            targets, why = _target(table, parts, taken, ask=ask)
        except ConfigError as error:
            raise (ConfigError(f"{error} Or is the table wide? {wide}.") if wide else error) from None
        # A group may be the label of its units: a target leaves that part.
        taken -= set(targets)
    both = taken & set(targets)
    if both:
        raise ConfigError(f"Column '{both.pop()}' is a target and tells the unit, group or time; name one part for it.")
    taken |= set(roles.aside) - set(targets)
    question = settle(table, targets, parts["unit"].column, taken, task=task, horizon=horizon)
    facts = plan.gather(table, parts, question)
    facts.official = official
    facts.wide, facts.address = wide, database.shown if database else address
    options = {name: (value, told.get(name)) for name, value in reading.items()}
    return _prove(table, facts, out, horizon, why, options, database)


def _profile(
    path: Path, asked: dict[str, str | None], reading: dict[str, Any]
) -> tuple[TableProfile, dict[str, Any], dict[str, str]]:
    """Profile of a table, how it was read, and why where nobody asked for it; joins a time of several in ``asked``."""
    from keras_seq.autoconfig.table import read_table
    from keras_seq.data.quality.codes import shared_codes

    listed = _listed_time(asked.get("time"), path)
    table = read_table(path, _with_unit(reading, asked.get("unit"), path), listed)
    if listed:
        asked["time"] = " ".join(listed)
    codes = () if "missing_codes" in reading else shared_codes(table.values())
    if not codes:
        return table, reading, {}
    reading = reading | {"missing_codes": list(codes)}
    table = read_table(path, _with_unit(reading, asked.get("unit"), path), listed)
    return table, reading, {"missing_codes": _CODES.format(", ".join(f"{code:g}" for code in codes))}


def _with_unit(reading: dict[str, Any], unit: str | None, path: Path) -> dict[str, Any]:
    """How a table is read; the files of a folder, and labels, also by the unit column asked for."""
    from keras_seq.data.formats.members import is_many

    return reading | {"unit": unit} if unit and (is_many(path) or reading.get("labels")) else reading


def _listed_time(asked: str | None, path: Path) -> tuple[str, ...] | None:
    """Columns of ``--time date,hour``; None where the option names one column or is not given."""
    names = tuple(name for name in (asked or "").strip("[] ").replace(", ", ",").split(",") if name)
    if len(names) < 2:
        return None
    from keras_seq.data.reading.settle import settle_table

    known = settle_table(path, config.DataConfig()).names
    if asked in known:
        return None
    for name in names:
        if name not in known:
            raise ConfigError(f"Option '--time': '{path}' has no column '{name}'{nearest(name, known)}")
    return names


def _target(
    table: TableProfile, parts: dict[str, ColumnRole], taken: set[str], *, ask: Callable[[str], str] | None
) -> tuple[tuple[str, ...], str]:
    """The column that stands out, or the one that a person names."""
    from keras_seq.autoconfig.target import ask_for_target, candidates, sure_of

    unit = parts["unit"].column
    possible = candidates(table, unit, taken)
    sure = sure_of(possible)
    if sure:
        return (sure.name,), f"is a guess ({sure.why}); another one: --target"
    question = ask_for_target(possible, table, counts=bool(unit and parts["time"].column))
    if not ask or not possible:
        raise question
    try:
        answer = ask(str(question))
    except EOFError:
        raise question from None
    if answer not in table.columns or answer in taken:
        raise ConfigError(
            f"There is no such column to predict: '{answer}'{nearest(answer, [column.name for column in possible])}"
        )
    return (answer,), "as answered"


def _prove(
    table: TableProfile,
    facts: ConfigurationFacts,
    out: Path,
    horizon: int,
    why: str,
    reading: dict[str, tuple[Any, str | None]],
    database: DatabaseTable | None,
) -> Findings:
    """Choices that the file was tried with: loaded, checked and divided; wider shares where a part lacks something."""
    from keras_seq.autoconfig import advise, plan, write
    from keras_seq.autoconfig.facts import Choice
    from keras_seq.data.formats.members import table_bytes

    schema_file = out.with_name(f"{out.stem}_schema.yaml") if facts.conditions else None
    choices = plan.choices(table, facts, horizon=horizon, schema_file=str(schema_file) if schema_file else None)
    place = next(i for i, choice in enumerate(choices) if choice.key == "data.path") + 1
    choices[place:place] = [
        Choice(f"data.{name}", value, told or "as asked for") for name, (value, told) in reading.items()
    ]
    told_codes = [told for _, told in reading.values() if told]
    findings = Findings(table, facts, database.named(choices) if database else choices, out)
    findings.database = database
    findings.schema_text = write.schema_yaml(facts) if schema_file else ""
    findings.notes = [f"the file {remark}" for remark in table.remarks] + list(facts.question.notes)
    findings.notes += [part.note for part in facts.parts.values() if part.note]
    findings.notes += told_codes
    if facts.wide:
        findings.notes.append(facts.wide)
    if why:
        findings.notes.append(f"target '{facts.question.targets[0]}' {why}")
    small = table_bytes(table.path) <= CHECKED_MB * 2**20
    if small:
        findings.choices = _tried(findings, advise.split)
        findings.checked = True
    else:
        findings.notes.append(f"above {CHECKED_MB} MB: the file was not read again to try the configuration on it")
    findings.render()
    return findings


def _tried(findings: Findings, make_split: Callable[[ConfigurationFacts, int], list[Choice]]) -> list[Choice]:
    """The choices with the first split that the data bear; warnings of the quality check become notes."""
    from keras_seq.autoconfig import write
    from keras_seq.data.plans.channels import without_plan_rows
    from keras_seq.data.quality import check
    from keras_seq.data.sources import load_series
    from keras_seq.data.splits import split

    with tempfile.TemporaryDirectory() as folder:
        schema = Path(folder) / "schema.yaml"
        schema.write_text(findings.schema_text, encoding="utf-8")
        tree = write.tree(findings.choices)
        if findings.schema_text:
            tree["data"]["schema_file"] = str(schema)
        data = config.from_dict(tree).data
        series = without_plan_rows(load_series(data, checked=False), data)
    report = check(series, config.from_dict(tree).data.windows)
    report.raise_if_bad()
    warnings = [finding for finding in report.warnings if finding.rule != "companion"]  # those are notes already
    findings.notes += [str(finding) for finding in warnings[:MOST_NOTES]]
    problem: DataError | None = None
    for attempt in range(ATTEMPTS):
        choices = [choice for choice in findings.choices if not choice.key.startswith("data.split.")]
        place = next(i for i, choice in enumerate(choices) if choice.key.startswith("model."))
        choices[place:place] = make_split(findings.facts, attempt)
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
