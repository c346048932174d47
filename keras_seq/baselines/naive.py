"""Families ``mean``, ``naive`` and ``seasonal_naive``: the mean of train, the last value, or that of a season ago."""

from __future__ import annotations

import keras
import numpy as np

from keras_seq.baselines.linear_graph import check_forecast, linear_model
from keras_seq.baselines.statespace import FilterWeights
from keras_seq.config import Experiment
from keras_seq.data.prepare import Prepared
from keras_seq.errors import ConfigError, DataError
from keras_seq.figures import Say
from keras_seq.models.registry import register


def seasonal_weights(time: int, horizon: int, season: int) -> FilterWeights:
    """Weight 1 on the last row of the same place in the season; windows shorter than a season repeat their first."""
    ahead = np.zeros((time, time, horizon))
    back = season - 1 - np.arange(horizon) % season
    for origin in range(time):
        ahead[origin, np.maximum(origin - back, 0), np.arange(horizon)] = 1.0
    return FilterWeights(ahead, np.zeros((time, horizon)), np.ones(time))


def season_of(experiment: Experiment, prepared: Prepared) -> int:
    """The season in whole steps: ``model.arima.seasonal``, ``model.arima.period``, or what the source says.

    Raises:
        ConfigError: nobody says.
    """
    arima = experiment.model.arima
    season = arima.seasonal[3] or round(arima.period) or int(prepared.series.info.get("season", 0))
    if season < 2:
        raise ConfigError(
            f"Family '{experiment.model.family}' needs the season of '{prepared.series.schema.name}' in steps; give "
            "it as --model.arima.period 52."
        )
    return int(season)


@register("mean", fitted=True)
def mean(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """Every step ahead is the mean of the train part: what is left where the past tells nothing."""
    check_forecast(experiment, prepared)
    time, horizon = prepared.spec.time, prepared.spec.horizon
    nothing = FilterWeights(np.zeros((time, time, horizon)), np.zeros((time, horizon)), np.ones(time))  # scaled: 0
    return linear_model(prepared.spec, [nothing] * len(prepared.spec.targets), "mean")


@register("naive", fitted=True)
def naive(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """Every step ahead is the last value seen."""
    check_forecast(experiment, prepared)
    spec = prepared.spec
    return linear_model(spec, [seasonal_weights(spec.time, spec.horizon, 1)] * len(spec.targets), "naive")


@register("seasonal_naive", fitted=True)
def seasonal_naive(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """Every step ahead is the value a season before it.

    Raises:
        DataError: the window does not reach back a season.
    """
    check_forecast(experiment, prepared)
    spec, season = prepared.spec, season_of(experiment, prepared)
    if spec.time < season:
        raise DataError(
            f"The season of {season} steps is longer than the window of {spec.time}; set --data.windows.length "
            f"{season} or more, or use --model.family naive."
        )
    say(f"seasonal naive with a season of {season} steps")
    return linear_model(spec, [seasonal_weights(spec.time, spec.horizon, season)] * len(spec.targets), "seasonal_naive")
