"""Occlusion: what changes when a sensor is unknown for a while, one group at a time (Zeiler and Fergus, 2014)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.explain.attribution import Attribution
from keras_seq.explain.feature_groups import BLOCKS, make_groups
from keras_seq.explain.registry import register

if TYPE_CHECKING:
    from keras_seq.explain.masked_model import MaskedModel

BACKGROUNDS = 10  # in place of a group: a difference of means needs fewer than a sum that must add up


@register(rank=10, beside=True)
def occlusion(masked: MaskedModel, *, blocks: int = BLOCKS) -> Attribution:
    """Prediction less the mean answer where one (sensor, time block) comes from up to 10 of the backgrounds.

    Not additive: what two groups tell together is counted twice, or not at all.
    """

    def explain(k: int) -> NDArray[np.float64]:
        groups = make_groups(masked, k, blocks)
        without = groups.present(~np.eye(len(groups), dtype=bool))
        return groups.spread(masked.predictions[k] - masked.mean_answers(k, without, most=BACKGROUNDS))

    return masked.attribute_each("occlusion", explain, additive=False, blocks=blocks)
