"""Whether attributions say what the model does: deletion and insertion, randomised weights, agreement, stability.

* Deletion and insertion (Petsiuk, Das and Saenko, 2018): groups (sensor, time block) are made unknown (known) in the
  order of their attribution *towards the answer's difference from the base*; the curve is the share of that
  difference, summed over samples, that is left (reached): a sample whose answer hardly differs from its base weighs
  hardly anything. Deletion: the smaller the area the better; insertion: the larger.
* Randomised weights (Adebayo et al., 2018): attributions of a model with shuffled weights must differ.
* Agreement: Spearman's rank correlation between methods over sensor x time blocks.
* Stability: the same method with another choice of backgrounds or another seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.explain.attribution import Attribution
from keras_seq.explain.feature_groups import BLOCKS, edges, make_groups
from keras_seq.explain.masked_model import MaskedModel

if TYPE_CHECKING:
    import keras

    from keras_seq.explain.feature_groups import FeatureGroups

SHARES = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class Curves:
    """Curves over all samples: sums of what is left (reached) over the sum of the differences.

    Attributes:
        share: of the groups made unknown or known ``(points,)``.
        deletion: share of the difference that is left ``(points,)``, 1 at the start.
        insertion: share reached ``(points,)``, 1 at the end.
    """

    share: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]

    @property
    def areas(self) -> tuple[float, float]:
        """Areas under deletion and insertion."""
        deletion, insertion = (float(np.trapezoid(curve, self.share)) for curve in (self.deletion, self.insertion))
        return deletion, insertion


def curves(
    masked: MaskedModel, attribution: Attribution | None, *, blocks: int = BLOCKS, seed: int = 0, backgrounds: int = 10
) -> Curves:
    """Deletion and insertion curves of a method, or of a random order.

    Args:
        masked: that was explained.
        attribution: attributions; None: a random order, which any method must beat.
        blocks: of time in a group.
        seed: of the random order.
        backgrounds: of every changed sample, at most.
    """
    rng, half = np.random.default_rng(seed), len(SHARES)
    left, reached, whole = np.zeros(half), np.zeros(half), 0.0
    for k in range(len(masked.samples)):
        difference = masked.predictions[k] - masked.base[k]
        groups = make_groups(masked, k, blocks)
        if not difference or len(groups) < 2:
            continue
        sign = np.sign(difference)
        towards = rng.random(len(groups)) if attribution is None else _towards(attribution, k, groups, sign)
        rank = np.argsort(np.argsort(-towards, kind="stable"), kind="stable")
        taken = rank < np.round(SHARES * len(groups))[:, None]
        mean_answers = masked.mean_answers(k, groups.present(np.concatenate([~taken, taken])), most=backgrounds)
        empty, full = mean_answers[half], mean_answers[0]
        left += sign * (mean_answers[:half] - empty)
        reached += sign * (mean_answers[half:] - empty)
        whole += sign * (full - empty)
    if whole <= 0.01 * masked.output_range:  # answers that do not differ from their base: a share of nothing is noise
        nothing = np.full(half, np.nan)
        return Curves(SHARES, nothing, nothing)
    return Curves(SHARES, left / whole, reached / whole)


def _towards(attribution: Attribution, k: int, groups: FeatureGroups, sign: float) -> NDArray[np.float64]:
    values = attribution.values[k, : groups.known.shape[0]]
    if values.shape[1] == 1 and groups.known.shape[1] > 1:  # attention: the same for all sensors
        values = np.repeat(values, groups.known.shape[1], axis=1) * sign
    values = np.pad(values, ((0, groups.known.shape[0] - len(values)), (0, 0)))
    return np.array([sign * values[cells].sum() for cells in groups.cells])


def grouped(attribution: Attribution, blocks: int = BLOCKS) -> NDArray[np.float64]:
    """Sums over (sensor, time block), ``(samples, features * blocks)``; 0 where a block holds no step."""
    sums = np.zeros((len(attribution), attribution.values.shape[2], blocks))
    for k, length in enumerate(attribution.lengths):
        borders = edges(int(length), blocks)
        for b, (low, high) in enumerate(pairwise(borders)):
            sums[k, :, b] = attribution.values[k, low:high].sum(0, dtype=np.float64)
    return sums.reshape(len(attribution), -1)


def agreement(attributions: Mapping[str, Attribution], blocks: int = BLOCKS) -> list[dict[str, Any]]:
    """Rank correlation of every pair of methods: mean over samples of the groups, and of the sensors overall.

    Methods that do not tell sensors apart (attention) are left out where there are several.
    """
    sensors = max((attribution.values.shape[2] for attribution in attributions.values()), default=0)
    methods = {
        name: attribution for name, attribution in attributions.items() if attribution.values.shape[2] == sensors
    }
    names, rows = list(methods), []
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            a, b = grouped(methods[one], blocks), grouped(methods[other], blocks)
            each = [spearman(x, y) for x, y in zip(a, b, strict=True)]
            known = [value for value in each if np.isfinite(value)]
            overall = spearman(methods[one].importance(), methods[other].importance())
            mean = float(np.mean(known)) if known else float("nan")
            rows.append({"method": one, "other": other, "spearman": mean, "sensors": overall})
    return rows


def spearman(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Rank correlation of two arrays ``(n,)`` where at least one is not 0; NaN where nothing is left to rank."""
    from scipy.stats import spearmanr

    ranked = (np.abs(one) > 0) | (np.abs(other) > 0)
    if ranked.sum() < 3 or np.ptp(one[ranked]) == 0 or np.ptp(other[ranked]) == 0:
        return float("nan")
    return float(spearmanr(one[ranked], other[ranked]).statistic)


def randomised(model: keras.Model, seed: int = 0) -> Any:
    """A copy whose weights are shuffled within each array: what is left is the architecture alone."""
    import keras

    rng = np.random.default_rng(seed)
    copy = keras.models.clone_model(model)
    copy.set_weights([rng.permutation(weight.ravel()).reshape(weight.shape) for weight in model.get_weights()])
    return copy
