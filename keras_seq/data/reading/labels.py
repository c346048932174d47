"""Texts of labels: the file's own, but that a whole number is written without its empty decimals."""

from __future__ import annotations

import re

_WHOLE = re.compile(r"([+-]?\d+)\.0*")


def own_text(text: str) -> str:
    """A label as it is named everywhere: as in the file; ``1.0`` is ``1``, as a gap makes floats of whole numbers."""
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def number_text(value: float) -> str:
    """A label that is a number, in full: ``100000001`` and never ``1e+08``."""
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)


def natural(text: str) -> tuple[int, float, str]:
    """Sorting key of labels: numbers by value and before words."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
