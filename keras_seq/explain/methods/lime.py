"""LIME (Ribeiro, Singh and Guestrin, 2016) for sequences: a weighted linear model of which groups are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ConfigError
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.feature_groups import BLOCKS, FeatureGroups, make_groups
from keras_seq.explain.registry import register

if TYPE_CHECKING:
    from keras_seq.explain.masked_model import MaskedModel

BACKGROUNDS = 10  # of every perturbation: many are asked for
KERNEL_WIDTH = 0.75  # times the square root of the number of groups: distance at which a perturbation counts exp(-1/2)


@register(rank=9)
def lime(masked: MaskedModel, *, blocks: int = BLOCKS, draws: int = 500, seed: int = 0) -> Attribution:
    """Coefficients of a local linear model over (sensor, time block) groups.

    Half of the groups, drawn at random, are unknown in every perturbation and come from up to 10 backgrounds. A
    coefficient is the change of the answer from unknown to known. Not additive; it has noise of its own.

    Args:
        masked: samples, backgrounds and model.
        blocks: of time.
        draws: perturbations a sample.
        seed: of the draws.

    Raises:
        ConfigError: fewer draws than a linear model needs.
    """
    if draws < 10:
        raise ConfigError(f"'draws' is {draws}; a linear model of the surroundings needs at least 10.")

    def explain(k: int) -> NDArray[np.float64]:
        groups = make_groups(masked, k, blocks)
        return groups.spread(_coefficients(masked, k, groups, draws, seed))

    return masked.attribute_each("lime", explain, additive=False, blocks=blocks, draws=draws, seed=seed)


def _coefficients(masked: MaskedModel, k: int, groups: FeatureGroups, draws: int, seed: int) -> NDArray[np.float64]:
    """Weights of the ridge regression ``(groups,)``; the sample itself is the first perturbation."""
    from sklearn.linear_model import Ridge

    count = len(groups)
    if not count:
        return np.zeros(0)
    known = np.random.default_rng(seed).random((draws, count)) < 0.5
    known[0] = True
    answers = masked.mean_answers(k, groups.present(known), most=BACKGROUNDS)
    distance = np.sqrt((~known).sum(axis=1))
    weights = np.exp(-0.5 * (distance / (KERNEL_WIDTH * np.sqrt(count))) ** 2)
    return np.asarray(Ridge(alpha=1.0).fit(known.astype(float), answers, sample_weight=weights).coef_, np.float64)
