"""Drift distances between traffic and reference: PSI, Kolmogorov-Smirnov, maximum mean discrepancy.

``DISTANCES`` is what is measured: another distance is another entry there. What is far is decided by thresholds drawn
from the reference (``serving.monitor.calibrate``), never by the p-values of independent rows: rows of one unit are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Distances = dict[str, Float]  # by name: ``(columns,)``, or ``(1,)`` of all columns together
FLOOR = 1e-4  # share of an empty bin, so that PSI stays finite
BINS = np.round(np.arange(0.1, 0.95, 0.1), 1)
MOST_VALUES = 64  # different whole numbers of a column that get a bin each
KERNEL_ROWS = 256  # of the reference, for MMD
ONE_THREAD = 2**18  # multiplications up to which OpenBLAS starts no threads


def psi(expected: NDArray[np.floating], actual: NDArray[np.floating]) -> Float:
    """Population stability index: the sum of ``(a - e) * ln(a / e)`` over the last axis (Siddiqi 2006).

    Args:
        expected: shares of the reference by bin, ``(..., bins)``; empty bins count as 0.0001.
        actual: shares of the traffic, the same shape.
    """
    a, e = np.maximum(actual, FLOOR), np.maximum(expected, FLOOR)
    return np.asarray(((a - e) * np.log(a / e)).sum(axis=-1), np.float64)


class Bins:
    """Bins of each column: deciles, or its values where they are few whole numbers; and what is outside or missing.

    Args:
        rows: of the reference, ``(rows, columns)``, NaN where missing.
    """

    def __init__(self, rows: NDArray[np.floating]) -> None:
        self.edges = [_edges(column) for column in np.asarray(rows, np.float32).T]
        self.size = max((len(edges) for edges in self.edges), default=0) + 2

    def numbers(self, rows: NDArray[np.floating]) -> NDArray[np.int16]:
        """Bin of every value, ``(rows, columns)``; the last bin is that of missing ones."""
        rows = np.asarray(rows, np.float32)
        numbers = np.empty(rows.shape, np.int16)
        for position, edges in enumerate(self.edges):
            column = rows[:, position]
            bins = np.searchsorted(edges, column, side="left")
            numbers[:, position] = np.where(np.isfinite(column), bins, self.size - 1)
        return numbers

    def shares(self, numbers: NDArray[np.int16]) -> Float:
        """Share of each bin, ``(columns, bins)``."""
        count, columns = numbers.shape
        flat = (numbers + np.arange(columns) * self.size).reshape(-1)
        return np.bincount(flat, minlength=columns * self.size).reshape(columns, self.size) / max(count, 1)


def _edges(column: NDArray[np.float32]) -> NDArray[np.float32]:
    clean = column[np.isfinite(column)]
    if not len(clean):
        return np.zeros(0, np.float32)
    below = np.nextafter(clean.min(), np.float32(-np.inf))
    distinct = np.unique(clean)
    if len(distinct) <= MOST_VALUES and (distinct == np.round(distinct)).all():  # words, flags, counts: a bin each
        return np.unique(np.concatenate([[below], distinct])).astype(np.float32)
    inner = np.quantile(clean, BINS, method="inverted_cdf").astype(np.float32)
    return np.unique(np.concatenate([[below], inner, [clean.max()]])).astype(np.float32)


@dataclass(frozen=True)
class Ranks:
    """Ranks of values among those of the reference, per column.

    Attributes:
        left: share of the reference below each value, ``(rows, columns)``; NaN where missing.
        right: share of it up to and with each value.
    """

    left: Float
    right: Float

    def take(self, numbers: NDArray[np.integer]) -> Ranks:
        """Those of some rows."""
        return Ranks(self.left[numbers], self.right[numbers])


class Sorted:
    """Sorted values of the reference, per column.

    Args:
        rows: ``(rows, columns)``; missing values are left out.
    """

    def __init__(self, rows: NDArray[np.floating]) -> None:
        self.columns = [np.sort(column[np.isfinite(column)]) for column in np.asarray(rows, np.float32).T]

    def ranks(self, rows: NDArray[np.floating]) -> Ranks:
        """Ranks of traffic."""
        rows = np.asarray(rows, np.float32)
        left, right = np.full(rows.shape, np.nan), np.full(rows.shape, np.nan)
        for position, known in enumerate(self.columns):
            column = rows[:, position]
            real = np.isfinite(column)
            if len(known) and real.any():
                left[real, position] = np.searchsorted(known, column[real], side="left") / len(known)
                right[real, position] = np.searchsorted(known, column[real], side="right") / len(known)
        return Ranks(left, right)


def ks(ranks: Ranks) -> Float:
    """Two-sample Kolmogorov-Smirnov distance of each column, ``(columns,)``; 0 where a column has no value.

    The same number as ``scipy.stats.ks_2samp``'s statistic, for many columns at once: the empirical distribution of
    the traffic is flat between its values, so the largest distance lies at a value or just before one.
    """
    left, right = np.sort(ranks.left, axis=0), np.sort(ranks.right, axis=0)  # missing values come last
    count = np.isfinite(right).sum(axis=0)
    step = np.arange(1, len(right) + 1)[:, None] / np.maximum(count, 1)
    above = np.where(np.isfinite(right), step - right, 0.0)
    below = np.where(np.isfinite(left), left - (step - 1 / np.maximum(count, 1)), 0.0)
    return np.maximum(0.0, np.maximum(above.max(axis=0, initial=0), below.max(axis=0, initial=0)))


class Kernel:
    """Maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012), all columns together.

    Columns are divided by the reference's deviation (missing: its mean) and clipped to five of them either way, so
    that one far value does not decide alone; the kernel's width is the median distance within the reference.

    Args:
        rows: of the reference, ``(rows, columns)``; at most ``KERNEL_ROWS``, evenly spread, are used.
    """

    def __init__(self, rows: NDArray[np.floating]) -> None:
        with np.errstate(invalid="ignore"):
            real = np.where(np.isfinite(rows), rows, np.nan).astype(np.float64)
            known = np.isfinite(real).any(axis=0)
            self.mean = np.where(known, np.nanmean(np.where(known, real, 0), axis=0), 0.0)
            std = np.where(known, np.nanstd(np.where(known, real, 0), axis=0), 0.0)
        self.scale = np.where(std > 1e-6 * np.maximum(np.abs(self.mean), 1e-6), std, np.maximum(np.abs(self.mean), 1.0))
        chosen = np.unique(np.linspace(0, len(rows) - 1, KERNEL_ROWS).astype(np.int64))
        self.rows = self.prepare(rows[chosen])
        squares = self._squares(self.rows, self.rows)
        apart = squares[np.triu_indices(len(squares), 1)]
        median = float(np.median(apart)) if len(apart) else 1.0
        self.width = median if median > 0 else 1.0
        within = np.exp(-squares / self.width)
        count = len(within)
        self.within = (within.sum() - count) / max(count * (count - 1), 1)

    def prepare(self, rows: NDArray[np.floating]) -> Float:
        """Rows on the kernel's scale."""
        scaled = (np.asarray(rows, np.float64) - self.mean) / self.scale
        return np.clip(np.where(np.isfinite(scaled), scaled, 0.0), -5, 5)

    def to_reference(self, prepared: Float) -> Float:
        """Mean kernel value of each prepared row to the reference, ``(rows,)``."""
        return np.asarray(np.exp(-self._squares(prepared, self.rows) / self.width).mean(axis=1), np.float64)

    def mmd2(self, prepared: Float, to_reference: Float) -> float:
        """Unbiased squared discrepancy of prepared rows; about 0 for rows of the reference."""
        count = len(prepared)
        inside = np.exp(-self._squares(prepared, prepared) / self.width)
        own = (inside.sum() - count) / max(count * (count - 1), 1)
        return float(own + self.within - 2 * to_reference.mean())

    @staticmethod
    def _squares(a: Float, b: Float) -> Float:
        """Squared distances, in blocks that BLAS works on in the calling thread: a server's cores are for answers."""
        block = max(1, ONE_THREAD // max(b.size, 1))
        products = np.concatenate([a[low : low + block] @ b.T for low in range(0, len(a), block)])
        return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * products, 0.0)


@dataclass(frozen=True)
class TrafficStatistics:
    """Statistics of traffic, computed against the reference once, so that any choice of them is compared cheaply.

    Attributes:
        bins: number of the reference's bin, ``(rows, columns)``.
        ranks: among the reference's values.
        scaled: on the kernel's scale, ``(rows, columns)``.
        near: mean kernel value to the reference, ``(rows,)``.
    """

    bins: NDArray[np.int16]
    ranks: Ranks
    scaled: Float
    near: Float

    def take(self, numbers: NDArray[np.integer]) -> TrafficStatistics:
        """Some of the rows."""
        return TrafficStatistics(self.bins[numbers], self.ranks.take(numbers), self.scaled[numbers], self.near[numbers])


class ReferenceStatistics:
    """Statistics of a reference that traffic is compared with.

    Args:
        rows: ``(rows, columns)``, NaN where missing.
    """

    def __init__(self, rows: NDArray[np.floating]) -> None:
        self.bins, self.sorted, self.kernel = Bins(rows), Sorted(rows), Kernel(rows)
        self.shares = self.bins.shares(self.bins.numbers(rows))

    def place(self, rows: NDArray[np.floating]) -> TrafficStatistics:
        """Lay rows of traffic beside the reference."""
        scaled = self.kernel.prepare(rows)
        return TrafficStatistics(
            self.bins.numbers(rows), self.sorted.ranks(rows), scaled, self.kernel.to_reference(scaled)
        )

    def compare(self, traffic: TrafficStatistics) -> Distances:
        """Every distance of ``DISTANCES`` of all of the traffic."""
        return {name: np.atleast_1d(distance.between(self, traffic)) for name, distance in DISTANCES.items()}


@dataclass(frozen=True)
class Distance:
    """Distance between reference and traffic: an entry of ``DISTANCES``.

    Attributes:
        between: the distance of each column, or one of all together.
        title: in words.
        least: a smaller one is no change, however rare.
        by_column: whether it is of each column.
    """

    between: Callable[[ReferenceStatistics, TrafficStatistics], Float | float]
    title: str
    least: float
    by_column: bool = True


DISTANCES = {
    "psi": Distance(
        lambda reference, traffic: psi(reference.shares, reference.bins.shares(traffic.bins)),
        "Population stability index",
        least=0.1,
    ),
    "ks": Distance(lambda reference, traffic: ks(traffic.ranks), "Kolmogorov-Smirnov distance", least=0.1),
    "mmd": Distance(
        lambda reference, traffic: reference.kernel.mmd2(traffic.scaled, traffic.near),
        "Squared maximum mean discrepancy",
        least=0.02,
        by_column=False,
    ),
}


def flat(distances: Distances) -> Float:
    """All distances in one array, in the order of ``DISTANCES``."""
    return np.concatenate(list(distances.values()))
