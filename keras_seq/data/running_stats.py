"""Mean, deviation, minimum and maximum of columns in one stable pass over chunks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.series import Series

Float = NDArray[np.float64]


class Moments:
    """Statistics per column that grow chunk by chunk; NaN is left out.

    Chunks are merged by the pairwise formula of Chan, Golub and LeVeque (1979), so the result does not
    lose digits where the mean is large against the deviation.

    Attributes:
        count: finite values per column, float64 ``(columns,)``.
        mean: their mean; NaN before the first value.
        low: smallest value; ``inf`` before the first.
        high: largest value; ``-inf`` before the first.
    """

    def __init__(self, columns: int) -> None:
        self.count = np.zeros(columns)
        self.mean = np.full(columns, np.nan)
        self.low = np.full(columns, np.inf)
        self.high = np.full(columns, -np.inf)
        self._squares = np.zeros(columns)

    def add(self, rows: NDArray[np.floating]) -> None:
        """Take in ``(rows, columns)``."""
        rows = np.asarray(rows, np.float64)
        seen = np.isfinite(rows)
        count = seen.sum(axis=0)
        if not count.any():
            return
        whole = bool(seen.all())  # most are, and copies with values filled in cost as much as the sums
        mean = (rows if whole else np.where(seen, rows, 0.0)).sum(axis=0) / np.maximum(count, 1)
        squares = ((rows - mean if whole else np.where(seen, rows - mean, 0.0)) ** 2).sum(axis=0)
        low = (rows if whole else np.where(seen, rows, np.inf)).min(axis=0)
        high = (rows if whole else np.where(seen, rows, -np.inf)).max(axis=0)
        self._merge(count, mean, squares, low, high)

    def merge(self, table: Float) -> None:
        """Take in what other moments hold.

        Args:
            table: their ``table()``, or many of them, ``(..., 5, columns)``.
        """
        count, means, squares, low, high = np.moveaxis(
            np.asarray(table, np.float64).reshape(-1, 5, len(self.mean)), 1, 0
        )
        if not count.any():
            return
        means = np.where(count > 0, means, 0.0)
        total = count.sum(axis=0)
        mean = (count * means).sum(axis=0) / np.maximum(total, 1)
        between = (count * (means - mean) ** 2).sum(axis=0)
        self._merge(total, mean, squares.sum(axis=0) + between, low.min(axis=0), high.max(axis=0))

    def table(self) -> Float:
        """Count, mean, sum of squared deviations, minimum and maximum: ``(5, columns)``; ``merge`` takes them in."""
        return np.stack([self.count, self.mean, self._squares, self.low, self.high])

    def _merge(self, count: NDArray[Any], mean: Float, squares: Float, low: Float, high: Float) -> None:
        known = count > 0
        total = np.maximum(self.count + count, 1)
        old = np.where(self.count > 0, self.mean, mean)
        delta = mean - old
        merged = old + delta * count / total
        self._squares = np.where(known, self._squares + squares + delta**2 * self.count * count / total, self._squares)
        self.mean = np.where(known, merged, self.mean)
        self.count = self.count + count
        self.low = np.minimum(self.low, low)
        self.high = np.maximum(self.high, high)

    @property
    def std(self) -> Float:
        """Population deviation per column; NaN before the first value."""
        return np.where(self.count > 0, np.sqrt(self._squares / np.maximum(self.count, 1)), np.nan)


def sample_rows(series: Series, ranges: Iterable[tuple[int, int]], most: int, seed: int) -> Float:
    """At most ``most`` rows of the given ranges, evenly thinned, float64 ``(rows, features)``.

    Every range gives the same share of its rows, drawn by ``seed``; with few rows all are returned.
    """
    ranges = list(ranges)
    total = sum(high - low for low, high in ranges)
    rng = np.random.default_rng(seed)
    pieces = []
    for low, high in ranges:
        rows = np.asarray(series.values[low:high], np.float64)
        if total > most:
            rows = rows[np.sort(rng.permutation(len(rows))[: max(1, len(rows) * most // total)])]
        pieces.append(rows)
    return np.concatenate(pieces) if pieces else np.empty((0, len(series.schema.features)))
