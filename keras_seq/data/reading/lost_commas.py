"""Decimal commas that became separators: columns that are shifted in some rows and not in others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import DataError

LEAST_ROWS = 30
LEAST_EACH = 5  # rows with a decimal, and without
LEAST_SHARE = 0.02  # of the rows that are shifted, and of those that are not


def refuse_lost_commas(path: Path, samples: dict[str, Any]) -> None:
    """Refuse a file whose numbers a decimal comma has cut in two, in those rows where they had one.

    ``2,6`` and ``2`` in one column make ``...,2,6,1360`` and ``...,2,1292,...``: behind the whole part stands a
    decimal in some rows, and in the others already the next column's number. So a column falls apart into one-digit
    numbers and into numbers of the kind that the next column holds beside those digits, with nothing between the two.

    Args:
        path: for the message.
        samples: Arrow texts of the first rows by column in file order, whole columns where nothing is missing.

    Raises:
        DataError: names column, share of the rows and the way to mend it.
    """
    names = list(samples)
    for before, name, after in zip(names, names[1:], names[2:], strict=False):
        whole = [column for one in (before, name, after) if (column := _whole(samples[one])) is not None]
        share = _shifted(whole[1], whole[2]) if len(whole) == 3 and len({len(column) for column in whole}) == 1 else 0
        if share:
            raise DataError(
                f"File '{path}' has lost decimal commas: column '{name}' holds one digit in {share:.0%} of its rows, "
                f"and in the others what '{after}' holds there; so '{before}' lost its decimals to it, and the rows "
                "are shifted against each other. Write the table anew with decimal points, quotes or semicolons; if "
                "its columns are right as they stand, say --data.decimal ."
            )


def _whole(texts: Any) -> NDArray[np.float64] | None:
    """A column's numbers where all are whole; None else."""
    import pyarrow.compute as pc

    if len(texts) < LEAST_ROWS or not pc.all(pc.match_substring_regex(texts, r"^-?\d{1,9}$")).as_py():
        return None
    return np.asarray(texts.cast("float64"))


def _shifted(column: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Share of rows with a decimal in a column, where the others hold the next column's numbers; 0: they do not."""
    digits = (column >= 0) & (column <= 9)
    share = float(digits.mean())
    if not LEAST_SHARE <= share <= 1 - LEAST_SHARE or len(np.unique(column[digits])) < 5:
        return 0.0
    others, moved, own = column[~digits], after[~digits], after[digits]
    moved, own, usual = moved[others >= 0], own[own >= 0], others[others >= 0]  # codes for missing are negative
    if min(len(usual), len(own)) < LEAST_EACH or np.quantile(usual, 0.02) < 30:  # nothing between digits and numbers
        return 0.0
    low, high = np.quantile(own, [0.005, 0.995])
    spread = max(high - low, 1.0)
    inside = np.mean((usual >= low - 0.1 * spread) & (usual <= high + 0.1 * spread))
    same_place = abs(np.median(usual) - np.median(own)) < 0.5 * spread
    return share if inside > 0.95 and same_place and low >= 10 and not _alike(moved, own, spread) else 0.0


def _alike(moved: NDArray[np.float64], own: NDArray[np.float64], spread: float) -> bool:
    """Whether the next column holds the same kind of numbers in both groups of rows: then nothing is shifted."""
    low, high = np.quantile(own, [0.005, 0.995])
    inside = np.mean((moved >= low - 0.1 * spread) & (moved <= high + 0.1 * spread))
    return bool(inside > 0.8)
