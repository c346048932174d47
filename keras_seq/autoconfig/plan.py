"""The experiment for a table: every value with the reason for it and the alternative."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from keras_seq.autoconfig import advise
from keras_seq.autoconfig.ahead import known_ahead
from keras_seq.autoconfig.conditions import find_conditions
from keras_seq.autoconfig.facts import Choice, ConfigurationFacts
from keras_seq.autoconfig.question import TargetQuestion
from keras_seq.autoconfig.roles import (
    NONE,
    ColumnRole,
    check_part,
    choose_asked,
    doubled_share,
    guess_group,
    guess_time,
    guess_unit,
    order_by,
)
from keras_seq.autoconfig.table import TableProfile
from keras_seq.autoconfig.unlike import unit_ratio
from keras_seq.data.formats.members import table_stem
from keras_seq.data.reading.labels import natural, number_text, own_text
from keras_seq.tasks import classifies


def settle_parts(table: TableProfile, asked: dict[str, str | None], taken: set[str]) -> dict[str, ColumnRole]:
    """Unit, time and group: as options say, else guessed; ``taken`` are the targets asked for.

    Raises:
        ConfigError, DataError: an option names no column, or a column that cannot play the part.
    """
    parts: dict[str, ColumnRole] = {}
    used = set(taken)
    for part in ("unit", "time", "group"):
        word = asked.get(part)
        unit = parts["unit"].column if part != "unit" else None
        if word:
            name = choose_asked(table, word, f"--{part}")
            check_part(table, part, name, unit)
            parts[part] = ColumnRole(name, f"as asked for with --{part} {word if name else NONE}")
        elif part == "unit":
            # Columns named as time or group cannot be the unit.
            parts[part] = guess_unit(table, used | set(table.time_parts) | {w for w in asked.values() if w})
        elif part == "time":
            parts[part] = guess_time(table, unit, used)
        else:
            parts[part] = guess_group(table, unit, used)
        if column := parts[part].column:
            used.add(column)
    return parts


def rows_in_order(table: TableProfile, parts: dict[str, ColumnRole]) -> list[Choice]:
    """``data.sort`` and ``data.duplicates`` where a table needs them; its head is then in order, too."""
    unit, time = parts["unit"].column, parts["time"].column
    if not time or not table.is_date(time):
        return []
    steps = order_by(table, unit).steps(table.clocks[time])
    choices = []
    if (steps < 0).any():
        if (steps > 0).any():
            why = f"'{time}' goes back in {int((steps < 0).sum())} of the first rows"
            choices.append(Choice("data.sort", True, why, "mend the file, if its order tells something"))
        table.sort_head(unit, time)
    share = doubled_share(table, time, unit) if table.duplicates == "error" else 0.0
    if share:
        why = f"{share:.2%} of the rows have a stamp that is there already; copies are dropped anyway"
        choices.append(Choice("data.duplicates", "last", why, "first, mean; or error, to see which they are"))
    return choices


def gather(table: TableProfile, parts: dict[str, ColumnRole], question: TargetQuestion) -> ConfigurationFacts:
    """Lengths, steps of time, class shares and conditions."""
    unit = parts["unit"].column
    counts = table.columns[unit].counts if unit else None
    facts = ConfigurationFacts(parts, question, list(counts.values()) if counts else [table.rows])
    facts.row_choices = rows_in_order(table, parts)
    order = order_by(table, unit)
    time = parts["time"].column
    if time and table.is_date(time):
        steps = order.steps(table.clocks[time]) / 1e9
        facts.step = float(np.median(steps)) if len(steps) else 0.0
        facts.weekdays = facts.step == 86400 and 0.1 < float((steps >= 3 * 86400).mean()) < 0.3
    if classifies(question.task):
        facts.shares = _shares(table, question, unit)
    if question.task == "forecast":
        facts.apart = unit_ratio(table.head, unit, question.targets)
    facts.conditions = None if question.task == "forecast" else find_conditions(table, _numbers(question))
    return facts


def _numbers(question: TargetQuestion) -> tuple[str, ...]:
    return tuple(name for name in question.features if name not in question.words)


def _shares(table: TableProfile, question: TargetQuestion, unit: str | None) -> dict[str, float]:
    labels = table.head[question.targets[0]]
    if question.per_unit:
        labels = table.head.groupby(unit, sort=False)[question.targets[0]].first()
    if table.columns[question.targets[0]].kind == "flag":
        labels = labels.map({0.0: "false", 1.0: "true"})
    known = labels.dropna()
    texts = [number_text(value) if isinstance(value, float) else own_text(str(value)) for value in known]
    counts = Counter(texts)
    return {text: counts[text] / len(texts) for text in sorted(counts, key=natural)}


def choices(table: TableProfile, facts: ConfigurationFacts, *, horizon: int, schema_file: str | None) -> list[Choice]:
    """The whole experiment, in the order in which it is written."""
    return [
        Choice("name", name_of(table.path), "runs, bundles and the served model carry it"),
        *_columns(table, facts, schema_file),
        *known_ahead(table, facts),
        *_cleaning(table, facts, schema_file),
        *advise.windows(facts, horizon),
        *advise.split(facts),
        *advise.model(facts),
        *advise.training(facts),
        *advise.evaluation(facts),
    ]


def name_of(path: Path) -> str:
    """A name for the experiment from that of the file."""
    stem = table_stem(path).split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-") or "table"


def _columns(table: TableProfile, facts: ConfigurationFacts, schema_file: str | None) -> list[Choice]:
    question = facts.question
    choices = [
        Choice("data.source", "table", "your own file"),
        Choice(
            "data.path",
            facts.address or str(table.path),
            f"{table.rows} rows; as seen from where the command is given",
            facts.wide,
        ),
    ]
    choices += advise.official(facts)
    if schema_file:
        choices.append(Choice("data.schema_file", schema_file, "says which columns tell the operating condition"))
    for part, option in (("unit", "--unit"), ("group", "--group"), ("time", "--time")):
        chosen = facts.parts[part]
        others = ", ".join(chosen.others)
        instead = f"{option} {chosen.others[0]} (could be: {others})" if others else ""
        joined = part == "time" and chosen.column is not None and chosen.column == table.joined_time
        value = list(table.time_parts) if joined else chosen.column
        choices.append(Choice(f"data.{part}", value, chosen.why, instead))
    choices += facts.row_choices
    date_format = table.formats.get(facts.parts["time"].column or "")
    if date_format:
        what = "days as Excel counts them" if date_format == "excel" else "time since 1970 (universal time)"
        instead = "none: numbers as they are; data.zone names the clock for hours and days"
        choices.append(Choice("data.date_format", date_format, f"its numbers count {what}", instead))
    others_task = {
        "forecast": "regression (the target of the window's own last row, from the other columns)",
        "regression": "forecast with --horizon (the target's own future)",
        "binary": "",
        "multiclass": "regression, if the numbers are amounts",
    }[question.task]
    if question.task == "forecast" and len(question.features) == len(question.targets):
        others_task = ""
    if question.task == "multiclass" and facts.shares and not all(natural(t)[0] == 0 for t in facts.shares):
        others_task = ""
    choices.append(Choice("data.task", question.task, question.why, others_task))
    per = "one for each unit" if question.per_unit else "one for each row"
    choices.append(Choice("data.targets", list(question.targets), per))
    choices += advise.positive(facts)
    left = "; ".join(f"{name or '(no name)'}: {why}" for name, why in question.left_out.items())
    count = len(_numbers(question))
    why = f"{count} column{'s' if count > 1 else ''} of numbers" + (f". Left out: {left}" if left else "")
    if question.words:
        many = len(question.words)
        why = f"{many} column{'s' if many > 1 else ''} of words (data.categories) and {why}"
    choices.append(Choice("data.features", list(question.features), why))
    if question.words:
        told = "; ".join(question.words.values())
        why = f"{told}: each word of train becomes a channel, others and missing ones count as none"
        choices.append(Choice("data.categories", list(question.words), why, "leave them out of data.features"))
    return choices


def _cleaning(table: TableProfile, facts: ConfigurationFacts, schema_file: str | None) -> list[Choice]:
    question = facts.question
    missing = {n: table.columns[n].missing_share for n in _numbers(question) if table.columns[n].missing}
    choices = []
    if missing:
        worst = max(missing, key=lambda name: missing[name])
        choices.append(
            Choice(
                "data.impute",
                "forward",
                f"{len(missing)} of the inputs have missing values (most: '{worst}', {missing[worst]:.1%}); the last "
                "value seen stands in, inside the model, so a server takes gaps, too",
                "mean, or interpolate (looks ahead within the window)",
            )
        )
        much = missing[worst] > 0.05
        choices.append(
            Choice(
                "data.missing_indicator",
                False,
                "true adds a column that marks what was missing" + (": worth a try here" if much else ""),
            )
        )
    else:
        choices.append(
            Choice("data.impute", "none", "no input has a missing value", "forward, if later files have gaps")
        )
    if facts.conditions and schema_file:
        choices.append(
            Choice(
                "data.conditions",
                facts.conditions.count,
                f"{', '.join(facts.conditions.columns)} hold {facts.conditions.count} settings, between which lie "
                f"{facts.conditions.explained:.0%} of the variance of the usual other column; each is scaled apart",
                "0: one scaling for all",
            )
        )
    return choices
