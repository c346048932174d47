"""Groups of values that are known or unknown together: a sensor during a block of time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ConfigError

if TYPE_CHECKING:
    from keras_seq.explain.masked_model import MaskedModel

BLOCKS = 5  # of time, where nothing else is asked for


@dataclass(frozen=True)
class FeatureGroups:
    """The groups of one sample.

    Attributes:
        feature: feature of each, int64 ``(groups,)``.
        start: first step, int64 ``(groups,)``.
        stop: step after the last, int64 ``(groups,)``.
        known: where the sample has values, bool ``(width, features)``.
    """

    feature: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    known: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.feature)

    @property
    def cells(self) -> NDArray[np.bool_]:
        """Which values each holds, bool ``(groups, width, features)``."""
        width, features = self.known.shape
        step = np.arange(width)
        during = (step >= self.start[:, None]) & (step < self.stop[:, None])
        return during[:, :, None] & (np.arange(features) == self.feature[:, None])[:, None] & self.known

    def present(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Values that are known when the groups of ``masks (sets, groups)`` are: ``(sets, width, features)``.

        Values of no group (constant ones, which tell nothing) count as known.
        """
        owner = np.full(self.known.shape, -1)
        for number, (feature, start, stop) in enumerate(zip(self.feature, self.start, self.stop, strict=True)):
            owner[start:stop, feature] = number
        wide = np.concatenate([np.asarray(masks, bool), np.ones((len(masks), 1), bool)], axis=1)  # -1: the last
        return wide[:, owner]

    def spread(self, mean_answers: NDArray[np.floating]) -> NDArray[np.float64]:
        """What each group gets ``(groups,)``, spread evenly over its values ``(width, features)``."""
        cells = self.cells
        size = np.maximum(cells.sum(axis=(1, 2)), 1)
        return np.einsum("p,ptf->tf", np.asarray(mean_answers, np.float64) / size, cells)


def edges(length: int, blocks: int) -> NDArray[np.int64]:
    """Borders of equal blocks of time ``(blocks + 1,)``; fewer blocks where there are fewer steps."""
    return np.linspace(0, length, min(blocks, max(length, 1)) + 1).round().astype(np.int64)


def make_groups(masked: MaskedModel, k: int, blocks: int = BLOCKS) -> FeatureGroups:
    """Groups (sensor, time block) of sample ``k``; those that hold nothing, or nothing new, are left out.

    Raises:
        ConfigError: less than one block.
    """
    if blocks < 1:
        raise ConfigError(f"Option '--blocks' is {blocks}; time is divided into at least 1 block.")
    length = int(masked.samples.lengths[k])
    known = masked.known(k)
    differs = known & (np.abs(np.nan_to_num(masked.sample(k)) - np.nan_to_num(masked.beside(k))) > 0).any(axis=0)
    borders = edges(length, blocks)
    parts = [
        (feature, start, stop)
        for feature in range(known.shape[1])
        for start, stop in pairwise(borders)
        if differs[start:stop, feature].any()
    ]
    columns = np.array(parts, np.int64).reshape(-1, 3).T
    return FeatureGroups(columns[0], columns[1], columns[2], known)
