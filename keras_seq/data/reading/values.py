"""Kinds of single texts: what a field of a table's first lines looks like, before its marks are settled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from keras_seq.data.reading.reading import MISSING_TEXTS

TextKind = Literal["missing", "number", "date", "flag", "word"]
_NUMBER = re.compile(r"[+-]?(?:\d[\d.,'\u00a0\u202f\u2009 ]*|[.,]\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?", re.I)
_DATE = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}(?:[-/.]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))(?:[T ]+.*)?"
    r"|\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?|\d{1,2}\.\d{2}\.\d{2}"
    r"|\d{1,2}[-. ]*[A-Za-z]{3,9}[-., ]+\d{2,4}.*|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}.*"
)
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.I)
_MISSING = frozenset(MISSING_TEXTS)


def kind_of(text: str) -> TextKind:
    """What one field holds; a year and month with a point (``2024.05``) is a number."""
    text = text.strip()
    if text in _MISSING:
        return "missing"
    if _PLAIN.fullmatch(text):
        return "number"
    if _DATE.fullmatch(text):
        return "date"
    if _NUMBER.fullmatch(text):
        return "number"
    return "flag" if text.lower() in ("true", "false") else "word"


def holds_number(text: str) -> bool:
    """Whether a field is a number under any marks, or a date."""
    return kind_of(text) in ("number", "date")


def column_kinds(rows: Sequence[Sequence[str]]) -> list[TextKind]:
    """The commonest kind of the filled fields of each column, by the first row's number of fields."""
    kinds: list[TextKind] = []
    for place in range(len(rows[0]) if rows else 0):
        counts = Counter(kind_of(row[place]) for row in rows if place < len(row))
        counts.pop("missing", None)
        kinds.append(counts.most_common(1)[0][0] if counts else "missing")
    return kinds


def is_number(text: str) -> bool:
    """Whether Python reads a text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
