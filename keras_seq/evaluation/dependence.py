"""Variance of a mean of dependent numbers, from slow cosines, and when there is too little to tell.

Errors of neighbouring times are alike, so their mean is less sure than that of as many independent ones. The sums of a
series against the slowest cosines of its length are nearly independent and have the variance of its sum, as long as
the series forgets faster than these cosines turn (Muller 2007; Lazarus, Lewis, Stock & Watson 2018). The mean over
``terms`` of them gives Student's t with ``terms`` degrees. How many cosines are slow enough is read from the series'
own autocorrelation; fewer than ``FEWEST_TERMS`` tell nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
FEWEST_TERMS = 4  # degrees of freedom below which an interval is too wide to be of use
SLOW = 0.4  # share of a spectral peak's half width that the fastest cosine may reach
MOST = 0.41  # terms are at most MOST * n^(2/3), by Lazarus et al.
CHANCE = 0.05  # that independent numbers show a long likeness by chance


def cosines(count: int, terms: int) -> Array:
    """The ``terms`` slowest cosines of a series of ``count`` numbers, without the constant, ``(terms, count)``."""
    return np.cos(np.pi * np.arange(1, terms + 1)[:, None] * (np.arange(count) + 0.5) / max(count, 1))


def sum_variance(series: ArrayLike, terms: int) -> float:
    """Variance of the sum of a series from its ``terms`` slowest cosines.

    Args:
        series: numbers in order of time, ``(n,)``.
        terms: from ``cosine_terms``, at least 1.
    """
    values = np.asarray(series, np.float64)
    return float(2 * np.mean((cosines(len(values), terms) @ (values - values.mean())) ** 2))


def cosine_terms(series: ArrayLike, overlap: float = 1.0) -> int:
    """Number of cosines that are slow beside the series' own memory; 0: too few to tell anything.

    A likeness ``r`` at lag ``s`` (that of an autoregression by ``s``) gives the spectrum peaks of half width
    ``(1 - r) / (s sqrt(r))``; the fastest cosine must stay within ``SLOW`` of it. The first lag always counts, its
    estimate corrected for its bias (Kendall 1954); later ones (seasons) where they exceed chance by Bartlett's formula.

    Args:
        series: numbers in order of time, ``(n,)``.
        overlap: neighbours that share the same steps, as forecasts of several steps do.
    """
    values = np.asarray(series, np.float64)
    count = len(values)
    most = np.floor(min(MOST * count ** (2 / 3), SLOW * count / max(overlap, 1.0)))
    if most < FEWEST_TERMS:
        return 0
    likeness = autocorrelation(values, count // 3)
    terms = int(min(most, np.floor(np.min(_limits(likeness, count)))))
    return terms if terms >= FEWEST_TERMS else 0


def _limits(likeness: Array, count: int) -> Array:
    """The number of slow cosines by every lag that counts."""
    from scipy.stats import norm

    lags = np.arange(1, len(likeness) + 1)
    before = np.cumsum(likeness**2) - likeness**2
    chance = norm.isf(CHANCE / len(likeness)) * np.sqrt((1 + 2 * before) / count)
    counted = likeness > chance
    counted[0] = True
    corrected = likeness.copy()
    corrected[0] = np.clip(likeness[0] + (1 + 4 * likeness[0]) / count, 1e-3, 0.999)
    own, lag = np.clip(corrected[counted], 1e-3, 0.999), lags[counted]
    return np.asarray(SLOW * count * (1 - own) / (np.pi * lag * np.sqrt(own)))


def autocorrelation(series: ArrayLike, lags: int) -> Array:
    """Autocorrelation at lags 1 to ``lags``, ``(lags,)``; 0 where the series does not vary."""
    values = np.asarray(series, np.float64)
    deviation = values - values.mean()
    power = np.abs(np.fft.rfft(deviation, 2 * len(values))) ** 2
    covariance = np.fft.irfft(power, 2 * len(values))[: lags + 1]
    return np.asarray(covariance[1:] / covariance[0]) if covariance[0] > 0 else np.zeros(lags)
