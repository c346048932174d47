"""Sign of a wide table: several series side by side, or one in each row; only a note, as only its owner knows."""

from __future__ import annotations

import re

from keras_seq.autoconfig.table import TableProfile
from keras_seq.data.reading.shapes import looks_like_date

FEWEST_SERIES = 3
FEWEST_DATES = 5
FEWEST_STEPS = 20
MOST_OTHERS = 10  # columns beside the steps
_ID = re.compile(r"[A-Za-z]|[A-Za-z_ .-]*\d+")


def wide_note(table: TableProfile, unit: str | None, time: str | None) -> str:
    """How to read a table that looks wide; empty: it does not.

    Args:
        table: as it lies there.
        unit: its unit column, if one was found.
        time: its time column, if one was found.
    """
    numbers = [name for name, column in table.columns.items() if column.kind in ("number", "empty") and name != time]
    dates = [name for name in numbers if looks_like_date(name)]
    steps = [name for name in numbers if re.fullmatch(r"[A-Za-z_]*\d+", name)]
    few = len(table.columns) - MOST_OTHERS
    if len(dates) >= max(FEWEST_DATES, few) or (time is None and len(steps) >= max(FEWEST_STEPS, few)):
        named = dates if len(dates) >= FEWEST_DATES else steps
        return (
            f"{len(named)} columns are called like steps of time ({named[0]} to {named[-1]}): where each row is a "
            "series, say --data.wide rows"
        )
    if unit is None and time is not None and len(numbers) >= FEWEST_SERIES and all(map(_ID.fullmatch, numbers)):
        shown = ", ".join(numbers[:3]) + (", ..." if len(numbers) > 3 else "")
        return (
            f"{len(numbers)} columns of numbers have names like series beside one time ({shown}): "
            "where each is a series of one kind, say --data.wide true"
        )
    return ""
