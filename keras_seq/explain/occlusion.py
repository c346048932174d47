"""Occlusion: what changes when a sensor is unknown for a while, one group at a time (Zeiler and Fergus, 2014)."""

from __future__ import annotations

import time

import numpy as np

from keras_seq.explain.attribution import Attribution
from keras_seq.explain.feature_groups import BLOCKS, make_players
from keras_seq.explain.masked_model import MaskedModel

BACKGROUNDS = 10  # in place of a group: a difference of means needs fewer than a sum that must add up


def occlusion(game: MaskedModel, *, blocks: int = BLOCKS) -> Attribution:
    """Prediction less the mean answer where one (sensor, time block) comes from up to 10 of the backgrounds.

    Not additive: what two groups tell together is counted twice, or not at all.
    """
    start, values = time.perf_counter(), []
    with game.ticker.stage("occlusion", len(game.samples)) as tick:
        for k in range(len(game.samples)):
            players = make_players(game, k, blocks)
            without = players.present(~np.eye(len(players), dtype=bool))
            values.append(players.spread(game.predictions[k] - game.worth(k, without, most=BACKGROUNDS)))
            tick()
    return game.attribution(values, "occlusion", additive=False, blocks=blocks, seconds=time.perf_counter() - start)
