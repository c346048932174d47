"""Stopping hopeless trials early: the median rule."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence

from tuning.records import Record


class MedianRule:
    """Median rule: a trial stops where its best value so far is worse than the median of the others' at the same epoch.

    Source: the median stopping rule of Golovin et al., Google Vizier (KDD 2017). Only trials of the same budget
    are compared, on their first fold; between folds the mean score so far is compared likewise.

    Args:
        others: records of earlier trials.
        metric: key of an epoch's row.
        higher: larger is better.
        budget: of the trial to be judged.
        after: ended trials before anything is stopped.
        from_share: share of the epochs that a trial gets in any case.
    """

    def __init__(
        self, others: Iterable[Record], metric: str, *, higher: bool, budget: float, after: int, from_share: float
    ) -> None:
        done = [r for r in others if r.status in ("completed", "pruned") and math.isclose(r.budget, budget)]
        self.metric, self.sign, self.from_share = metric, -1.0 if higher else 1.0, from_share
        enough = len(done) >= after
        self._curves = [self._running_best(record.epochs) for record in done] if enough else []
        self._scores = [record.scores for record in done if record.status == "completed"] if enough else []
        self._mine = math.inf

    def hopeless(self, epoch: int, epochs: int, value: float) -> str:
        """Why a trial should stop after ``epoch`` (from 1) of ``epochs``; "" if it should go on."""
        if math.isfinite(value):
            self._mine = min(self._mine, self.sign * value)
        if epoch < max(1, math.ceil(self.from_share * epochs)) or epoch >= epochs:
            return ""
        there = [curve[epoch - 1] for curve in self._curves if len(curve) >= epoch]
        if len(there) < 3 or self._mine <= (median := statistics.median(there)):
            return ""
        return f"{self.metric} {self.sign * self._mine:.4g} after epoch {epoch}, median {self.sign * median:.4g}"

    def hopeless_folds(self, scores: Sequence[float]) -> str:
        """Why a trial should stop after these folds; "" if it should go on."""
        count = len(scores)
        there = [self.sign * statistics.fmean(other[:count]) for other in self._scores if len(other) > count]
        mine = self.sign * statistics.fmean(scores)
        if len(there) < 3 or mine <= (median := statistics.median(there)):
            return ""
        return f"mean score {self.sign * mine:.4g} after {count} folds, median {self.sign * median:.4g}"

    def _running_best(self, epochs: Sequence[dict[str, float]]) -> list[float]:
        first = [self.sign * row[self.metric] for row in epochs if not row.get("fold") and self.metric in row]
        return list(itertools.accumulate(first, min))
