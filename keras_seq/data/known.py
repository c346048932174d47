"""Known (finite) targets of a series, and the units that can give a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.series import Series

Bools = NDArray[np.bool_]
CHUNK = 1 << 16  # targets read at a time


def known_targets(series: Series) -> Bools | None:
    """Whether all targets of a row (``target_per`` unit: of a unit) are finite; None where every one is.

    Returns:
        bool ``(rows,)`` or ``(units,)``.
    """
    moments = getattr(series, "moments", None)
    if moments is not None and series.schema.target_per == "step":  # of rows on disk they are stored
        count = moments(iter([(0, len(series.values))]))[1].count
        if (count == len(series.values)).all():
            return None
    pieces = [
        np.isfinite(np.asarray(series.targets[low : low + CHUNK])).all(axis=1)
        for low in range(0, len(series.targets), CHUNK)
    ]
    known: Bools = np.concatenate(pieces) if pieces else np.empty(0, bool)
    return None if known.all() else known


def first_known(targets: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """First finite target of each unit ``(units, targets)``, of ``targets (rows, targets)``; NaN where it has none."""
    rows = np.where(np.isfinite(targets), np.arange(len(targets))[:, None], len(targets))
    first = np.minimum.reduceat(rows, offsets[:-1], axis=0)
    padded = np.concatenate([targets, np.full((1, targets.shape[1]), np.nan, np.float32)])
    return np.ascontiguousarray(np.take_along_axis(padded, first, axis=0))


def usable_units(series: Series, horizon: int) -> Bools:
    """Which units can give a sample: more rows than the horizon, and a known target; bool ``(units,)``."""
    usable: Bools = series.lengths > horizon
    known = known_targets(series)
    if known is None:
        return usable
    if series.bounds is not None:  # a lower bound teaches, too
        known = known | np.isfinite(series.bounds).all(axis=1)
    if series.schema.target_per == "unit":
        return usable & known
    before = np.concatenate([[0], np.cumsum(known)])
    return usable & (before[series.offsets[1:]] > before[series.offsets[:-1]])
