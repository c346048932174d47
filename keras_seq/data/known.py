"""Which targets are known, which units can give a sample, and the windows that have an answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import WindowsConfig
from keras_seq.data.series import Series
from keras_seq.data.windows import WindowIndex
from keras_seq.errors import DataError

Bools = NDArray[np.bool_]
CHUNK = 1 << 16  # targets read at a time


def known_targets(series: Series) -> Bools | None:
    """Whether all targets of a row (``target_per`` unit: of a unit) are finite; None where every one is.

    Returns:
        bool ``(rows,)`` or ``(units,)``.
    """
    if getattr(series, "targets_known", False):  # a store in which none is missing: nothing need be read
        return None
    moments = getattr(series, "moments", None)
    if moments is not None and series.schema.target_per == "step":  # shards hold the counts
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
    """The first finite target of each unit; NaN where it has none.

    Args:
        targets: ``(rows, targets)``.
        offsets: of the units ``(units + 1,)``.

    Returns:
        ``(units, targets)``.
    """
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
    if series.schema.target_per == "unit":
        return usable & known
    before = np.concatenate([[0], np.cumsum(known)])
    return usable & (before[series.offsets[1:]] > before[series.offsets[:-1]])


def with_known_targets(
    series: Series, index: WindowIndex, known: Bools | None, windows: WindowsConfig, part: str
) -> WindowIndex:
    """The windows of a part whose target is known: all steps of a horizon, or, per step, at least one.

    Args:
        series: the data.
        index: windows of the part.
        known: ``known_targets(series)``.
        windows: horizon and per_step.
        part: name of the part, for the message.

    Returns:
        ``index`` itself where nothing is missing; else arrays, also for a series on disk (40 bytes a window).

    Raises:
        DataError: no window has a known target.
    """
    if known is None:
        return index
    if series.schema.target_per == "unit":
        kept = known[index.unit]
    else:
        before = np.concatenate([[0], np.cumsum(known)])
        if windows.per_step:
            kept = before[index.start + index.length] > before[index.first]
        else:
            ahead = max(1, windows.horizon)
            kept = before[index.target + ahead] - before[index.target] == ahead
    if not kept.any():
        names = ", ".join(f"'{name}'" for name in series.schema.targets)
        raise DataError(
            f"No window of the {part} part has a known target: {names} is missing in all of its {len(index)} windows. "
            "Give the part other rows (data.split), or fill in targets that are known."
        )
    return index if kept.all() else index.take(np.flatnonzero(kept))
