"""Inputs of a new table that may be known when a forecast is made: marked where the file shows it, else only named."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.autoconfig.facts import Choice, ConfigurationFacts
from keras_seq.autoconfig.roles import named, words
from keras_seq.autoconfig.table import ColumnProfile, TableProfile

CALENDAR_WORDS = words(
    "holiday holidays weekday weekend workday workingday dayofweek dow month hour week quarter season year day "
    "calendar promo promotion planned plan scheduled schedule"
)
MOST_PLACES = 366  # different values of a column that tells the place in a calendar
FEWEST_ALONE = 2  # plan rows of a unit where no other input is empty beside them

Marks = NDArray[np.bool_]


def known_ahead(table: TableProfile, facts: ConfigurationFacts) -> list[Choice]:
    """The choice of ``data.known_ahead``: what the last rows of the file show, else nothing with candidates named.

    A column is marked only where the file goes on with it: rows at the end of most units in which it is filled and
    targets and other inputs are empty.
    """
    question = facts.question
    if question.task != "forecast":
        return []
    marked, rows = _continued(table, facts)
    could = [name for name in question.features if name not in question.targets and _could(table.columns[name])]
    if marked:
        why = f"filled in {rows} rows at the end of the file, where the targets are empty: a plan (docs/forecasting.md)"
        return [Choice("data.known_ahead", marked, why, "[], if these values come late or are corrected later")]
    if not could:
        return []
    why = (
        "inputs whose values up to the last step forecast are known when it is made (a promotion, a holiday): only you "
        "can say, so none is marked; a forecast then needs a plan (docs/forecasting.md)"
    )
    return [Choice("data.known_ahead", [], why, f"[{', '.join(could)}], or those of them that are planned")]


def _could(column: ColumnProfile) -> bool:
    """Whether a column is complete and 0/1, or a place in a calendar by its name."""
    if column.missing or column.kind not in ("number", "flag"):
        return False
    if column.kind == "flag" or (column.distinct == 2 and (column.low, column.high) == (0, 1)):
        return True
    return column.whole and column.distinct <= MOST_PLACES and named(column.name, CALENDAR_WORDS)


def _continued(table: TableProfile, facts: ConfigurationFacts) -> tuple[list[str], int]:
    """Inputs that go on where targets and other inputs have ended, and the rows in which they do."""
    question, head = facts.question, table.head
    if table.rows > len(head):  # its end was not looked at
        return [], 0
    others = [name for name in question.features if name not in question.targets]
    plan = _after_targets(table, facts)
    if not others or not plan.any():
        return [], 0
    unit = facts.parts["unit"].column
    units = 1 if unit is None else head[unit].nunique()
    with_plan = 1 if unit is None else head.loc[plan, unit].nunique()
    filled = {name: head[name].notna().to_numpy() for name in others}
    going_on = [name for name in others if filled[name][plan].all()]
    going_on = [name for name in going_on if not _still(table, name, unit)]
    ended = [name for name in others if not filled[name][plan].any()]
    still = [name for name in others if name not in going_on and _still(table, name, unit)]
    if not going_on or 2 * with_plan < units or len(going_on) + len(ended) + len(still) < len(others):
        return [], 0
    if not ended and (plan.sum() < FEWEST_ALONE * units or not all(_could(table.columns[name]) for name in going_on)):
        return [], 0  # targets that come late look the same
    return going_on, int(plan.sum())


def _after_targets(table: TableProfile, facts: ConfigurationFacts) -> Marks:
    """Rows after the last one of their unit that holds a target, bool ``(rows,)``."""
    known = table.head[list(facts.question.targets)].notna().any(axis=1)
    unit = facts.parts["unit"].column
    backwards = known[::-1]
    seen = backwards.cummax() if unit is None else backwards.groupby(table.head[unit][::-1], sort=False).cummax()
    return ~seen[::-1].to_numpy(bool)


def _still(table: TableProfile, name: str, unit: str | None) -> bool:
    """Whether a column has one value in each unit."""
    column = table.head[name]
    values = column.groupby(table.head[unit], sort=False).nunique() if unit else np.array([column.nunique()])
    return bool((np.asarray(values) <= 1).all())
