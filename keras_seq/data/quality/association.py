"""Association of two columns: linear or by rank, over all rows or inside each unit; and by value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]
FEWEST = 5  # rows of a unit that can follow a line by more than chance


def unexplained(x: Float, y: Float, unit: Int) -> float:
    """Share of the spread of ``y`` inside the units that a line of its own through ``x`` leaves in each unit.

    Args:
        x: finite values ``(rows,)``.
        y: finite values ``(rows,)``.
        unit: number of the unit of each row, ``(rows,)``; all 0: one line for all rows.

    Returns:
        0 where ``x`` tells ``y`` exactly, 1 where it tells nothing (or nothing varies).
    """
    count = np.bincount(unit)
    enough = count >= FEWEST

    def centred(values: Float) -> Float:
        scaled = values / max(float(np.abs(values).max(initial=0.0)), 1e-300)
        mean = np.bincount(unit, scaled) / np.maximum(count, 1)
        return np.asarray(scaled - mean[unit], np.float64)

    a, b = centred(x), centred(y)
    aa, bb, ab = (np.bincount(unit, product) for product in (a * a, b * b, a * b))
    aa = np.where(aa > 1e-20 * count, aa, np.inf)  # a constant explains nothing
    whole = float(bb[enough].sum())
    if whole <= 1e-20 * len(x) or count[enough].sum() < 0.5 * len(x):
        return 1.0
    return float(np.clip((bb - ab**2 / aa)[enough].sum() / whole, 0.0, 1.0))


def ranks(values: Float, unit: Int) -> Float:
    """Rank of each value inside its unit, ``(rows,)``; equal values share their middle rank."""
    order = np.lexsort((values, unit))
    v, u = values[order], unit[order]
    new = np.concatenate([[True], (v[1:] != v[:-1]) | (u[1:] != u[:-1])]) if len(v) else np.zeros(0, bool)
    group = np.cumsum(new) - 1
    place = np.bincount(group, np.arange(len(v))) / np.bincount(group)
    result = np.empty(len(v))
    result[order] = place[group]
    return result


def running(values: Float, unit: Int, kind: str) -> Float:
    """Running ``max``, ``min`` or ``sum`` inside each unit, ``(rows,)``; the rows of a unit follow one another."""
    function: Any = {"max": np.maximum, "min": np.minimum, "sum": np.add}[kind].accumulate
    starts = np.flatnonzero(np.diff(unit, prepend=-1))
    return np.concatenate([function(piece) for piece in np.split(values, starts[1:])])


def told_by_value(codes: Int, labels: Int) -> tuple[float, float]:
    """Share of rows whose label is the commonest one of their value, and that of the commonest label of all.

    Args:
        codes: distinct value of each row, from 0, ``(rows,)``.
        labels: class of each row, from 0, ``(rows,)``.
    """
    table = np.zeros((int(codes.max(initial=0)) + 1, int(labels.max(initial=0)) + 1), np.int64)
    np.add.at(table, (codes, labels), 1)
    rows = max(len(labels), 1)
    return float(table.max(axis=1).sum() / rows), float(table.sum(axis=0).max() / rows)


def told_by_order(values: Float, labels: Int) -> tuple[float, int]:
    """Share of rows told by cutting the sorted values into stretches of one label, and how many stretches there are.

    Equal values count as one place, told as its commonest label.
    """
    _, code = np.unique(values, return_inverse=True)
    code = code.reshape(-1)
    table = np.zeros((int(code.max(initial=0)) + 1, int(labels.max(initial=0)) + 1), np.int64)
    np.add.at(table, (code, labels), 1)
    best = table.argmax(axis=1)
    return float(table.max(axis=1).sum() / max(len(labels), 1)), int(np.count_nonzero(np.diff(best))) + 1
