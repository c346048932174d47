"""Past-only covariates: lags, rolling statistics, season and trend. Row ``t`` reads rows up to ``t``."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import DataError

Float = NDArray[np.float64]
Int = NDArray[np.int64]
CYCLES = 8  # periods that STL is fitted to


def lag(x: Float, steps: int) -> Float:
    """The value ``steps`` rows before ``(rows,)``, of ``x (rows,)``; the first value before there is one."""
    return x[np.maximum(np.arange(len(x)) - steps, 0)]


def rolling(x: Float, window: int) -> tuple[Float, Float]:
    """Mean and deviation, ``(rows,)`` each, of the last ``window`` rows, fewer at the start, of ``x (rows,)``.

    Missing values are left out.

    Sums are of deviations from the first value, so that large levels lose no digits.
    """
    known = np.isfinite(x)
    shift = x[known][0] if known.any() else 0.0
    d = np.where(known, x - shift, 0.0)
    count, total, square = (_trailing(v, window) for v in (known.astype(np.float64), d, d**2))
    count = np.maximum(count, 1.0)
    mean = total / count
    return mean + shift, np.sqrt(np.maximum(square / count - mean**2, 0.0))


def _trailing(x: Float, window: int) -> Float:
    sums = np.concatenate([[0.0], np.cumsum(x)])
    rows = np.arange(1, len(x) + 1)
    return sums[rows] - sums[np.maximum(rows - window, 0)]


def seasonal(x: Float, period: int, name: str, place: Int | None = None) -> tuple[Float, Float]:
    """Seasonal part of the next row and trend, by STL (Cleveland et al., 1990) of rows seen so far.

    STL looks both ways, so it is fitted once a period to the last ``CYCLES`` periods before; its last
    seasonal cycle and its last trend hold until the next fit. Before two periods are seen both are 0 and
    the mean so far.

    Args:
        x: values ``(rows,)``.
        period: rows of a season.
        name: of the column, for messages.
        place: of each row in the calendar of its stamps ``(rows,)``, so that it is refitted at the same rows wherever
            a file begins; None: rows are counted from the first.

    Returns:
        ``(rows,)`` seasonal value expected one row later, and ``(rows,)`` trend.

    Raises:
        DataError: fewer than two periods in the series.
    """
    if len(x) < 2 * period + 1:
        raise DataError(
            f"data.covariates.stl={period} needs at least two periods ({2 * period} rows) of '{name}', which has "
            f"{len(x)}; lower the period or leave it out."
        )
    from statsmodels.tsa.seasonal import STL

    season, trend = np.zeros(len(x)), rolling(x, len(x))[0]
    block = np.arange(1, len(x) + 1) // period if place is None else place // period
    refits = np.flatnonzero(np.diff(block, prepend=block[0] - 1))
    refits = refits[refits >= 2 * period - 1]
    for first, after in itertools.pairwise([*refits.tolist(), len(x)]):
        recent = x[max(0, first + 1 - CYCLES * period) : first + 1]
        fit = STL(_filled(recent), period=period, robust=True).fit()
        rows = np.arange(first, after)  # what is known at a refit holds until the next
        season[rows] = fit.seasonal[-period:][(rows - first) % period]
        trend[rows] = fit.trend[-1]
    return season, trend


def _filled(x: Float) -> Float:
    """Missing values are the last one before, before the first that one; 0 where there is none."""
    known = np.flatnonzero(np.isfinite(x))
    if not len(known):
        return np.zeros(len(x))
    last = known[np.maximum(np.searchsorted(known, np.arange(len(x)), side="right") - 1, 0)]
    return x[last]


def carried(x: Float) -> Float:
    """Missing values are the last one before; before the first, its mean is not known: 0."""
    known = np.isfinite(x)
    last = np.maximum.accumulate(np.where(known, np.arange(len(x)), -1))
    return np.where(last >= 0, x[np.maximum(last, 0)], 0.0)


def elapsed(time: NDArray[Any]) -> NDArray[np.float32]:
    """``log1p`` of the time since the row before ``(rows,)``: of dates in seconds; missing in the first row."""
    steps = np.diff(time)
    if steps.dtype.kind == "m":
        steps = steps.astype("timedelta64[ns]").astype(np.float64) / 1e9
    with np.errstate(invalid="ignore"):  # time that falls is refused by the check
        return np.append(np.nan, np.log1p(np.maximum(steps.astype(np.float64), 0.0)))[: len(time)].astype(np.float32)
