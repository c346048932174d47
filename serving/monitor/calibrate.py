"""Drift thresholds, drawn from the reference itself, run by run.

Rows of served windows are not independent: an engine's windows overlap, engines differ from each other, and requests
come engine by engine. A window of 100 requests may show one engine's youth and nothing else, which is far from the
whole reference by any test for independent rows, without any drift. So the null distribution is drawn as traffic
comes: units in random order, each from its start to a random end, cut at a random place. Units are held out: those of
a fold are compared with the rows of the others, as new units in service are.

The statistic is one number for all columns and distances (Westfall and Young's max-T, 1993): each distance is divided
by the 95% quantile of its own null distribution, and the largest counts. The threshold is the wanted quantile of that
maximum, which corrects for the number of columns and for their correlation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.monitor.distances import DISTANCES, Distances, ReferenceStatistics, flat

Int = NDArray[np.int64]
FOLDS = 5
DRAWS = 2000
LEAST_ROWS = 60  # a reference of fewer is too small to say what is normal
SHORTEST = 0.1  # of a unit's life that a drawn piece has at least
USUAL = 0.95


@dataclass(frozen=True)
class Window:
    """Window of the newest requests, which are compared.

    Attributes:
        requests: so many.
        stride: every so many-th of them is kept.
    """

    requests: int
    stride: int = 1

    @property
    def rows(self) -> int:
        """Rows kept."""
        return self.requests // self.stride


@dataclass(frozen=True)
class DriftThreshold:
    """Threshold from which on a window of this size is drift.

    Attributes:
        usual: 95% quantile of each distance without drift, in the order of ``distances.flat``.
        limit: largest multiple of ``usual`` that chance reaches in ``1 - alpha`` of windows, and its allowance.
        alpha: chance of a window without drift to be called so.
    """

    usual: tuple[float, ...]
    limit: float
    alpha: float

    def score(self, distances: Distances) -> float:
        """Drift score of a window; above 1: drift."""
        return float((flat(distances) / np.asarray(self.usual)).max() / self.limit)

    def shares(self, distances: Distances) -> Distances:
        """Each distance as a share of what is drift; the largest is the score."""
        shares = flat(distances) / (np.asarray(self.usual) * self.limit)
        ends = np.cumsum([len(values) for values in distances.values()])
        return dict(zip(distances, np.split(shares, ends[:-1]), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> DriftThreshold:
        """Read back what ``to_dict`` wrote."""
        return cls(tuple(map(float, stored["usual"])), float(stored["limit"]), float(stored["alpha"]))


def calibrate(
    rows: NDArray[np.floating],
    unit: NDArray[np.integer],
    window: Window,
    *,
    alpha: float,
    draws: int = DRAWS,
    most: int = 2000,
    seed: int = 0,
) -> DriftThreshold | None:
    """Drift threshold of a window size; None if the reference is too small.

    Args:
        rows: of the reference in runs, ``(rows, columns)``.
        unit: of each row; rows of a unit follow each other.
        window: what is compared.
        alpha: wanted chance of a false alarm a window.
        draws: windows drawn; the quantile cannot be rarer than one in so many.
        most: rows of the reference that a window is compared with.
        seed: of the draws.
    """
    if len(rows) < LEAST_ROWS:
        return None
    rng, pieces = np.random.default_rng(seed), find_pieces(unit)
    distances = _without_drift(rows, pieces, window, rng, draws=draws, most=most)
    columns = rows.shape[1]
    least = [least for kind in DISTANCES.values() for least in [kind.least] * (columns if kind.by_column else 1)]
    usual = np.maximum(np.quantile(distances, USUAL, axis=0), least)
    limit = float(np.quantile((distances / usual).max(axis=1), 1 - alpha, method="higher"))
    limit *= 1 + 1 / math.sqrt(len(pieces))  # the units are a sample themselves; of few, others differ more
    return DriftThreshold(tuple(usual.tolist()), max(limit, 1.0), alpha)


def _without_drift(
    rows: NDArray[np.floating],
    pieces: list[tuple[int, int]],
    window: Window,
    rng: np.random.Generator,
    *,
    draws: int,
    most: int,
) -> NDArray[np.float64]:
    """Distances of windows drawn from held-out units to the other units, ``(draws, distances)``."""
    folds = np.array_split(rng.permutation(len(pieces)), min(FOLDS, len(pieces)))
    distances = []
    for fold in folds:
        held_out = [pieces[k] for k in fold]
        rest = [pieces[k] for k in range(len(pieces)) if k not in set(fold.tolist())]
        others = np.concatenate([np.arange(*piece) for piece in rest])
        reference = ReferenceStatistics(rows[others[np.unique(np.linspace(0, len(others) - 1, most).astype(int))]])
        placed = reference.place(rows[np.concatenate([np.arange(*piece) for piece in held_out])])
        first = np.cumsum([0] + [stop - start for start, stop in held_out])
        ranges = [(int(low), int(high)) for low, high in pairwise(first)]
        distances += [
            flat(reference.compare(placed.take(draw_stream(ranges, window, rng)))) for _ in range(draws // len(folds))
        ]
    return np.array(distances)


def find_pieces(unit: NDArray[np.integer]) -> list[tuple[int, int]]:
    """Row ranges of the units; of fewer than ``FOLDS`` units, ``FOLDS`` ranges of equal length instead."""
    starts = np.flatnonzero(np.diff(unit, prepend=unit[0] - 1))
    edges = [*starts.tolist(), len(unit)]
    if len(starts) < FOLDS:
        edges = np.linspace(0, len(unit), FOLDS + 1).astype(int).tolist()
    return list(pairwise(edges))


def draw_stream(pieces: list[tuple[int, int]], window: Window, rng: np.random.Generator) -> Int:
    """Row numbers of a window of requests as they come: unit after unit, the first one joined midway.

    Units come in random order, each until a random age; when all have come, they come again.
    """
    numbers: list[Int] = []
    count, order = 0, rng.permutation(len(pieces))
    position = 0
    while count < window.requests:
        start, stop = pieces[order[position % len(order)]]
        last = start + max(1, round((stop - start) * rng.uniform(SHORTEST, 1)))
        first = start if position else int(rng.integers(start, last))
        numbers.append(np.arange(first, last))
        count += last - first
        position += 1
    return np.concatenate(numbers)[: window.requests][:: window.stride][: window.rows]
