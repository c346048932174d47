"""LIME (Ribeiro, Singh and Guestrin, 2016) for sequences: a weighted linear model of which groups are known."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ConfigError
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.feature_groups import BLOCKS, make_players
from keras_seq.explain.masked_model import MaskedModel

BACKGROUNDS = 10  # of every perturbation: lime asks for many


def lime(game: MaskedModel, *, blocks: int = BLOCKS, draws: int = 500, seed: int = 0) -> Attribution:
    """Coefficients of lime's local linear model over (sensor, time block) groups.

    lime's tabular explainer draws which groups are known; unknown ones come from up to 10 backgrounds. A
    coefficient is the change of the answer from unknown to known. Not additive; it has noise of its own.

    Args:
        game: samples, backgrounds and model.
        blocks: of time.
        draws: perturbations a sample.
        seed: of the draws.

    Raises:
        ConfigError: fewer draws than a linear model needs, or lime is not installed.
    """
    try:
        from lime.lime_tabular import LimeTabularExplainer
    except ImportError:
        raise ConfigError(
            "Method 'lime' needs the package lime, which is not installed; install it with 'pip install lime', or use "
            "--methods kernel."
        ) from None
    if draws < 10:
        raise ConfigError(f"'draws' is {draws}; a linear model of the surroundings needs at least 10.")
    start, values = time.perf_counter(), []
    with game.ticker.stage("lime", len(game.samples)) as tick:
        for k in range(len(game.samples)):
            players = make_players(game, k, blocks)
            count = len(players)
            found = np.zeros(count)
            if count:
                coin = np.random.default_rng(seed).random((64, count)) < 0.5
                explainer = LimeTabularExplainer(
                    coin.astype(float),
                    mode="regression",
                    categorical_features=list(range(count)),
                    discretize_continuous=False,
                    random_state=seed,
                )

                def answer(rows: NDArray[np.floating], k: int = k, players: object = players) -> NDArray[np.float64]:
                    return game.worth(k, players.present(rows > 0.5), most=BACKGROUNDS)  # type: ignore[attr-defined]

                explained = explainer.explain_instance(
                    np.ones(count), answer, num_features=count, num_samples=draws
                ).as_map()
                for number, weight in explained[1]:
                    found[number] = weight
            values.append(players.spread(found))
            tick()
    return game.attribution(
        values, "lime", additive=False, blocks=blocks, draws=draws, seed=seed, seconds=time.perf_counter() - start
    )
