"""Numbers as tables print them, by significant digits so that a small value is never 0; tables as text; progress."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Say = Callable[[str], None]  # gets a line of progress or a note
DIGITS = 4


def figure(value: Any, digits: int = DIGITS, *, sign: bool = False) -> str:
    """A number by its significant digits: ``0.8123``, ``12350``, ``1e-22``; "" for None, other values as text.

    Args:
        value: what is shown.
        digits: significant ones; digits before the decimal point are all shown up to 1e15.
        sign: a plus sign before positive numbers.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return str(value)
    number = float(value)
    if not math.isfinite(number):
        return str(number)
    plus = "+" if sign else ""
    large = 10.0**digits <= abs(number) < 1e15
    return f"{number:{plus}.0f}" if large else f"{number:{plus}.{digits}g}"


def markdown_table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table: its head, the rule below it, and a line a row."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as CSV with a head; a column that a row lacks stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(column for row in rows for column in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def silent(text: str) -> None:
    """Say nothing."""
