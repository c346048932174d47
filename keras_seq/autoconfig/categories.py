"""Columns of words of a new table that can be inputs: few words, each often."""

from __future__ import annotations

import numpy as np

from keras_seq.autoconfig.roles import Order, codes
from keras_seq.autoconfig.table import ColumnProfile, TableProfile
from keras_seq.data.words import MOST_WORDS, written_numbers

MOST_PROPOSED = 50  # words of a column that is proposed as an input
EACH = 20  # rows that a word has on average
SHOWN = 4


def propose(table: TableProfile, column: ColumnProfile, unit: str | None, order: Order) -> tuple[str, str]:
    """What a column of words holds, if it is proposed as an input, and else why it is not; one of them is empty."""
    if column.distinct >= min(0.9 * column.rows, MOST_WORDS):
        return "", "an id or free text"
    if column.counts is None or column.distinct > MOST_PROPOSED or column.distinct * EACH > column.rows:
        each = column.rows / max(column.distinct, 1)
        why = f"holds {column.distinct} words, each in {each:.0f} rows on average: few rows to learn one from"
        return "", f"{why}; data.categories and data.features take it all the same"
    if written := written_numbers(column.counts):
        return "", f"holds texts such as {written[0]!r}, no plain numbers; data.categories takes them as words"
    if column.distinct < 2:
        return "", f"is always {next(iter(column.counts), '')!r}"
    if unit and column.distinct == table.columns[unit].distinct and order.same(codes(table, column.name)):
        return "", f"an id: one word for each '{unit}'"
    often = column.counts.most_common(SHOWN)
    shares = ", ".join(f"{word} {rows / max(column.rows, 1):.1%}" for word, rows in often)
    rest = f" and {column.distinct - SHOWN} more" if column.distinct > SHOWN else ""
    rare = int(np.sum([rows < EACH for rows in column.counts.values()]))
    few = f"; {rare} of them in fewer than {EACH} rows" if rare else ""
    return f"'{column.name}' holds {column.distinct} words ({shares}{rest}{few})", ""
