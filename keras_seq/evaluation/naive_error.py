"""Scale of forecast errors (MASE): the seasonal naive forecast's mean error inside each unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import Experiment

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

Array = NDArray[np.float64]


def naive_errors(prepared: Prepared, experiment: Experiment) -> Array | None:
    """Mean absolute difference of rows a season apart, the scale of MASE (Hyndman & Koehler 2006), by unit.

    A unit's scale is of its own rows of the train part; a unit without any (of a split by unit) is scaled by all its
    rows, since another unit's may be of another size. The season is that of the source, so that all models of its
    series are scaled alike; else that of ``model.arima``, else 1 step.

    Returns:
        ``(units, targets)`` in raw units, NaN where a unit has no such difference above 0 (constant, or no longer than
        a season); None where nothing is forecast or no unit has a scale.
    """
    if not prepared.spec.horizon:
        return None
    arima, series, train = experiment.model.arima, prepared.series, prepared.splits.train
    season = int(series.info.get("season", 0)) or arima.seasonal[3] or round(arima.period) or 1
    rows = dict(zip(train.units.tolist(), zip(train.first.tolist(), train.last.tolist(), strict=True), strict=True))
    scale = np.full((series.n_units, len(prepared.spec.targets)), np.nan)
    for unit in range(series.n_units):
        low, high = rows.get(unit, (series.offsets[unit], series.offsets[unit + 1]))
        part = np.asarray(series.targets[int(low) : int(high)], np.float64)
        changes = np.abs(part[season:] - part[:-season])
        known = np.isfinite(changes)
        scale[unit] = np.where(known, changes, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    scale[~(scale > 0)] = np.nan
    return scale if np.isfinite(scale).any() else None


def scaled_errors(error: Array, unit: NDArray[np.integer], naive: Array) -> list[float]:
    """MASE of each target: the mean over units of a unit's mean absolute error in its own naive errors.

    Args:
        error: ``(points, horizon, targets)``.
        unit: unit number of each point ``(points,)``.
        naive: ``(units, targets)``, as ``naive_errors`` gives it; units without a scale are left out.

    Returns:
        One number a target; NaN where no judged unit has a scale.
    """
    numbers, position = np.unique(unit, return_inverse=True)
    total = np.zeros((len(numbers), error.shape[-1]))
    np.add.at(total, position, np.abs(error).mean(1))
    ratio = total / np.bincount(position)[:, None] / naive[numbers]
    known = np.isfinite(ratio)
    mean = np.where(known, ratio, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    return np.where(known.any(0), mean, np.nan).tolist()
