"""Inputs that mean the same in every unit, whatever its scale: they are never scaled by a window of their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.series import Series
from keras_seq.data.splits import Part

MOST_ROWS = 65536  # of a unit that are looked at


def shared_columns(series: Series, train: Part) -> tuple[int, ...]:
    """Positions of features known ahead (a calendar, a plan), of a companion table, or the same in all rows of a unit.

    Scaled by its window, what a unit has once for all (the size of a shop) would be 0 everywhere. Targets are never
    among them.
    """
    schema = series.schema
    of_units = schema.static.columns if schema.static is not None else ()
    fixed = _fixed_by_unit(series, train)
    return tuple(
        j
        for j, column in enumerate(schema.columns)
        if (column.known_ahead or column.name in of_units or fixed[j]) and column.name not in schema.targets
    )


def _fixed_by_unit(series: Series, train: Part) -> NDArray[np.bool_]:
    """Features that never change within any of several units, ``(features,)``; reading ends where none is left."""
    fixed = np.full(len(series.schema.features), len(train) > 1)
    open_ones = fixed & [name not in series.schema.targets for name in series.schema.features]
    for first, last in zip(train.first, train.last, strict=True):
        if not open_ones.any():
            break
        rows = np.asarray(series.values[int(first) : min(int(last), int(first) + MOST_ROWS)], np.float64)
        known = np.isfinite(rows)
        low = np.where(known, rows, np.inf).min(axis=0, initial=np.inf)
        high = np.where(known, rows, -np.inf).max(axis=0, initial=-np.inf)
        open_ones &= ~(high > low)
    return open_ones
