"""Resampling plan: which points belong together, whole groups or units, or, of few units, times in their order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.evaluation import significance
from keras_seq.evaluation.answers import CandidateAnswers
from keras_seq.evaluation.measures import Measure
from keras_seq.evaluation.significance import FEWEST

Array = NDArray[np.float64]
Int = NDArray[np.int64]
BLOCKS = 500  # most pieces left out one after the other


@dataclass(frozen=True)
class ResamplingPlan:
    """Which points belong together.

    Attributes:
        kind: "units", "groups" or "times".
        cluster: cluster number of each point ``(points,)``; of times in their order.
        counts: how often each resample draws a unit or group ``(resamples, clusters)``; none for times.
        overlap: neighbouring times whose answers share steps.
    """

    kind: str
    cluster: Int
    counts: Array | None = None
    overlap: int = 1

    def __str__(self) -> str:
        return f"{self.clusters} {self.kind}"

    @property
    def serial(self) -> bool:
        """Clusters are times that follow each other and depend on each other."""
        return self.kind == "times"

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return int(self.cluster.max()) + 1

    @property
    def effective(self) -> float:
        """Clusters of equal size that tell as much as these, ``(sum n)^2 / sum n^2`` (Kish 1965)."""
        sizes = np.bincount(self.cluster).astype(np.float64)
        return float(sizes.sum() ** 2 / (sizes**2).sum())

    def left_out(self) -> Array:
        """Counts with one cluster (or, of many, one of ``BLOCKS`` pieces) missing, ``(pieces, clusters)``."""
        pieces = min(self.clusters, BLOCKS)
        piece = np.arange(self.clusters) * pieces // self.clusters
        return (piece != np.arange(pieces)[:, None]).astype(np.float64)

    def pieces(self, measure: Measure) -> tuple[Int, int]:
        """Number of each point's piece in order of time, and how many; ranking metrics take longer pieces."""
        pieces = self.clusters if measure.sums is not None else min(self.clusters, BLOCKS)
        return self.cluster * pieces // self.clusters, pieces


def make_plan(answers: CandidateAnswers, spec: DataSpec, *, resamples: int, seed: int) -> ResamplingPlan:
    """Whole groups where units come in groups, whole units, or times in their order where there are few units.

    Args:
        answers: of all candidates.
        spec: its horizon says how many neighbouring forecasts share steps.
        resamples: how many, of units or groups.
        seed: decides the draws.
    """
    groups = answers.series.groups[answers.unit]
    n_units, n_groups = len(np.unique(answers.unit)), len(np.unique(groups))
    kind, labels = ("groups", groups) if FEWEST <= n_groups < n_units else ("units", answers.unit)
    if n_units >= FEWEST:
        cluster = np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int64)
        draws = significance.cluster_counts(int(cluster.max()) + 1, resamples, np.random.default_rng(seed))
        return ResamplingPlan(kind, cluster, draws)
    instant = instants(answers.series, answers.unit, answers.row)
    return ResamplingPlan("times", instant, overlap=overlapping(answers, spec))


def instants(series: Series, unit: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of each point's instant in order of time ``(points,)``; points of several units at one time share it.

    Args:
        series: they are points of.
        unit: number of each point's unit ``(points,)``.
        row: absolute row of its last step ``(points,)``.
    """
    if len(np.unique(unit)) == 1:
        return np.unique(row, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return np.unique(series.time[row], return_inverse=True)[1].reshape(-1).astype(np.int64)


def overlapping(answers: CandidateAnswers, spec: DataSpec) -> int:
    """Neighbouring origins whose forecasts share steps: the horizon in units of the distance between two origins."""
    same_unit = np.diff(answers.unit) == 0
    gaps = np.diff(answers.row)[same_unit]
    stride = int(gaps[gaps > 0].min()) if (gaps > 0).any() else 1
    return max(1, -(-spec.horizon // stride))
