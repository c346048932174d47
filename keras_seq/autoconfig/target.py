"""Choice of target, task and input columns for a new table."""

from __future__ import annotations

import numpy as np

from keras_seq.autoconfig.categories import propose
from keras_seq.autoconfig.give_away import leave_copies_out, tell_companions
from keras_seq.autoconfig.question import TargetCandidate, TargetQuestion
from keras_seq.autoconfig.roles import Order, codes, named, order_by, words
from keras_seq.autoconfig.table import ColumnProfile, TableProfile
from keras_seq.config import TaskName
from keras_seq.data.reading.reading import UNNAMED
from keras_seq.data.reading.values import is_number
from keras_seq.errors import ConfigError, DataError
from keras_seq.tasks import classifies

TARGET_WORDS = words(
    "target label class y rul defect defective defects fault failure failed fail abnormal anomaly anomalous quality "
    "outcome result state wear remaining broken churn"
)
SERIES_WORDS = words("sales demand load price consumption volume traffic close revenue usage orders")
CLASS_WORDS = words("label class state grade category kind type status defect fault quality")
MOST_CLASSES = 20


def candidates(table: TableProfile, unit: str | None, taken: set[str]) -> list[TargetCandidate]:
    """Columns that could be the target, likeliest first."""
    order = order_by(table, unit)
    free = [c for c in table.columns.values() if c.name not in taken and _possible(c)]
    numbers = [column for column in free if column.kind == "number"]
    ranked = []
    for column in free:
        reasons = []
        score = 0
        if named(column.name, TARGET_WORDS):
            score, reasons = 3, ["its name"]
        if unit and column.distinct <= MOST_CLASSES and order.same(codes(table, column.name)):
            score, reasons = score + 3, [*reasons, "the same in all rows of a unit"]
        elif column.kind in ("text", "flag"):
            score, reasons = score + 2, [*reasons, f"{column.distinct} words"]
        if unit and column.kind == "number" and _falls(table, column, order):
            score, reasons = score + 3, [*reasons, "counts down within each unit"]
        if not unit and named(column.name, SERIES_WORDS):
            score, reasons = score + 2, [*reasons, "its name"]
        if not unit and len(numbers) == 1 and column.kind == "number":
            score, reasons = score + 5, [*reasons, "the only column of numbers"]
        ranked.append(TargetCandidate(column.name, score, ", ".join(reasons) or "a column of numbers"))
    return sorted(ranked, key=lambda candidate: -candidate.score)


def sure_of(ranked: list[TargetCandidate]) -> TargetCandidate | None:
    """The candidate that stands out; None: the user is asked."""
    if not ranked or ranked[0].score < 3 or (len(ranked) > 1 and ranked[0].score - ranked[1].score < 2):
        return None
    return ranked[0]


def ask_for_target(ranked: list[TargetCandidate], table: TableProfile, *, counts: bool) -> ConfigError:
    """The question that only the user can answer, as an error with the candidates.

    Args:
        ranked: candidates, likeliest first.
        table: where they stand.
        counts: whether units count up a time, so that remaining life could be computed.
    """
    if not ranked:
        return ConfigError(f"'{table.path}' has no column that could be predicted; name one with --target.")
    listed = "; ".join(f"'{candidate.name}' ({candidate.why})" for candidate in ranked[:8])
    more = f"; and {len(ranked) - 8} more" if len(ranked) > 8 else ""
    life = (
        " Remaining life is no column of the file: where every unit runs to its failure, add it first "
        "(docs/howto_own_csv.md)."
        if counts
        else ""
    )
    return ConfigError(
        f"Which column of '{table.path}' is to be predicted? Give --target NAME (several with commas; --horizon STEPS "
        f"to forecast its future). It could be: {listed}{more}.{life}"
    )


def settle(
    table: TableProfile,
    targets: tuple[str, ...],
    unit: str | None,
    taken: set[str],
    *,
    task: TaskName | None,
    horizon: int,
) -> TargetQuestion:
    """Task and features for the given targets.

    Raises:
        ConfigError, DataError: a target that cannot be predicted, or no input is left.
    """
    order = order_by(table, unit)
    columns = [table.columns[name] for name in targets]
    for column in columns:
        _usable(table, column)
    same = unit is not None and all(order.same(codes(table, name)) for name in targets)
    guessed, why = _guess_task(table, columns, unit, same, horizon)
    task, why = (task, "as asked for with --task") if task and task != guessed else (guessed, why)
    _fits(table, columns, task)
    falls = unit is not None and columns[0].kind == "number" and _falls(table, columns[0], order)
    question = TargetQuestion(targets, task, why, per_unit=same and task != "forecast", falls=falls)
    _choose_features(table, question, unit, taken, order)
    return question


def _possible(column: ColumnProfile) -> bool:
    if column.kind == "text":
        return 2 <= column.distinct <= MOST_CLASSES
    return column.kind in ("number", "flag") and column.distinct > 1 and not column.infinite


def _falls(table: TableProfile, column: ColumnProfile, order: Order) -> bool:
    if column.missing or not column.whole:
        return False
    steps = order.steps(table.head[column.name].to_numpy())
    return bool(len(steps) and (steps <= 0).all() and (steps == -1).mean() > 0.3)


def _usable(table: TableProfile, column: ColumnProfile) -> None:
    """Refuse a target that no task could take."""
    if column.kind == "mixed":
        raise DataError(
            f"Target '{column.name}' of '{table.path}' must hold numbers, got {column.word!r} in data row "
            f"{column.word_row} ({column.words} such values). Mend them; a missing value stays empty."
        )
    if column.kind in ("empty", "date") or column.distinct < 2 or column.infinite:
        what = {"empty": "holds no value", "date": "holds dates"}.get(column.kind)
        what = what or ("holds infinite values" if column.infinite else "is the same in all rows")
        raise DataError(f"Target '{column.name}' of '{table.path}' {what}; name another one with --target.")


def _guess_task(
    table: TableProfile, columns: list[ColumnProfile], unit: str | None, same: bool, horizon: int
) -> tuple[TaskName, str]:
    first = columns[0]
    if horizon:
        return "forecast", f"--horizon {horizon} asks for the future"
    if len(columns) > 1:
        one_series = unit is None
        return ("forecast", "several columns of one series") if one_series else ("regression", "several targets")
    if first.kind in ("text", "flag"):
        return ("binary" if first.distinct == 2 else "multiclass"), f"{first.distinct} words: classes"
    if first.distinct == 2 and first.low == 0 and first.high == 1:
        return "binary", "only 0 and 1"
    few = first.whole and first.distinct <= MOST_CLASSES and first.distinct * 20 <= table.rows
    if few and (same or named(first.name, CLASS_WORDS)):
        return ("binary" if first.distinct == 2 else "multiclass"), f"{first.distinct} whole numbers: classes"
    if unit is None and not few:
        return "forecast", "one series of numbers: its future is asked for"
    if unit and not same and named(first.name, SERIES_WORDS) and any(map(table.is_date, table.columns)):
        return "forecast", "its name, and dates"
    return "regression", "numbers"


def _fits(table: TableProfile, columns: list[ColumnProfile], task: TaskName) -> None:
    first = columns[0]
    words = [column.name for column in columns if column.kind not in ("number", "flag")]
    if not classifies(task) and words:
        raise ConfigError(
            f"Task '{task}' needs numbers, but '{words[0]}' holds words such as {table.columns[words[0]].word!r}; use "
            "--task binary or multiclass, or another --target."
        )
    if classifies(task) and len(columns) > 1:
        raise ConfigError(f"Task '{task}' takes one target, got {', '.join(column.name for column in columns)}.")
    if task == "binary" and first.distinct != 2:
        raise ConfigError(f"Task 'binary' needs two classes; '{first.name}' has {first.distinct} different values.")
    if task == "multiclass" and first.distinct > 1000:
        raise ConfigError(f"Task 'multiclass': '{first.name}' has {first.distinct} different values, no classes.")


def _choose_features(
    table: TableProfile, question: TargetQuestion, unit: str | None, taken: set[str], order: Order
) -> None:
    """Inputs, and why the others are left out."""
    inputs: list[str] = []
    seen: dict[bytes, str] = {}
    for name, column in table.columns.items():
        if name in taken or (name in question.targets and question.task != "forecast"):
            continue
        reason = "" if name in question.targets else _reason(table, column, unit, order)
        if column.kind == "text" and not reason and name not in question.targets:
            question.words[name], reason = propose(table, column, unit, order)
            if not reason:
                continue
            del question.words[name]
        digest = np.ascontiguousarray(table.head[name].to_numpy(), np.float64).tobytes() if not reason else b""
        if not reason and digest in seen and name not in question.targets:
            reason = f"holds the same values as '{seen[digest]}'"
        if reason:
            question.left_out[name] = reason
            continue
        seen.setdefault(digest, name)
        inputs.append(name)
    leave_copies_out(table, question, inputs)
    if not inputs and not question.words:
        raise DataError(
            f"'{table.path}' has no input column left besides {', '.join((*sorted(taken), *question.targets))}: "
            + ("; ".join(f"'{name}' {why}" for name, why in list(question.left_out.items())[:6]) or "there is no other")
            + ". Bring a column of numbers, or give --task forecast, whose input is the target's own past."
        )
    tell_companions(table, question, inputs, unit, taken)
    for name in question.left_out:
        question.words.pop(name, None)
    question.features = tuple(name for name in table.columns if name in {*inputs, *question.words})


def _reason(table: TableProfile, column: ColumnProfile, unit: str | None, order: Order) -> str:
    """Why a column is no input; empty: it is one."""
    if column.name.startswith(UNNAMED):
        return "has no name"
    if column.kind in ("empty", "date"):
        return "holds no value" if column.kind == "empty" else "holds dates"
    if column.kind == "mixed":
        return f"holds words among numbers, first {column.word!r} in data row {column.word_row} ({column.words} in all)"
    if column.kind == "text":
        wrong = [text for text in column.counts or () if not is_number(text)]
        if column.counts and wrong and len(wrong) < len(column.counts):
            return f"holds words among numbers, first {wrong[0]!r} ({len(wrong)} of {len(column.counts)} values)"
        return ""
    if column.infinite:
        return f"holds {column.infinite} infinite values; leave them empty to use it"
    if column.distinct < 2:
        return f"is always {column.low:g}"
    if column.missing_share > 0.95:
        return f"{column.missing_share:.0%} of its values are missing"
    if column.kind == "number" and column.whole and not column.missing:
        steps = np.diff(table.head[column.name].to_numpy())
        if (steps == 1).all():
            return "counts the rows"
        if unit and column.distinct == table.columns[unit].distinct and order.same(codes(table, column.name)):
            return f"an id: one number for each '{unit}'"
    return ""
