"""Forecasts that are linear in the window (naive, seasonal naive, Kalman filters) as Keras models."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.statespace import FilterWeights
from keras_seq.config import Experiment
from keras_seq.data.prepare import Prepared
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError
from keras_seq.models.blocks import with_lengths
from keras_seq.models.kalman import FilterForecast, FilterInnovations, TargetWindow
from keras_seq.models.preprocess import Rescale, raw_inputs
from keras_seq.models.tensor import Tensor

MOST_WEIGHTS = 8_000_000  # numbers kept for windows of every length; beyond, only for whole windows
REPAIRS = 12  # missing rows of a window that are filled exactly


def check_forecast(experiment: Experiment, prepared: Prepared) -> None:
    """Refuse what these families cannot forecast.

    Raises:
        ConfigError: another task, quantiles, or targets whose past is not among the features.
    """
    family, spec = experiment.model.family, prepared.spec
    if spec.task != "forecast":
        raise ConfigError(
            f"Family '{family}' forecasts a series from its own past, but the task is '{spec.task}'; set "
            "data.task=forecast with data.windows.horizon, or choose another model.family."
        )
    if experiment.model.quantiles:
        raise ConfigError(
            f"Family '{family}' gives one forecast, not model.quantiles={list(experiment.model.quantiles)}; leave "
            "quantiles out (intervals come from conformal calibration)."
        )
    if len(spec.target_index) != len(spec.targets):
        raise ConfigError(
            f"Family '{family}' needs the past of every target among the features; targets are "
            f"{', '.join(spec.targets)}, features {', '.join(spec.features)}."
        )


def target_window(inputs: dict[str, Tensor], spec: DataSpec, repairs: int = 0) -> Tensor:
    """Scaled past of the targets, ``(batch, time, targets)``."""
    center, scale = list(spec.target_mean), list(spec.target_std)
    layer = TargetWindow(list(spec.target_index), center, scale, spec.time, repairs, name="target_window")
    return with_lengths(layer, inputs["values"], inputs.get("lengths"))


def filter_forecast(y: Tensor, inputs: dict[str, Tensor], spec: DataSpec) -> Tensor:
    """Scaled forecasts ``(batch, horizon, targets)``; weights are zero until ``set_weights``."""
    everywhere = len(spec.targets) * spec.time**2 * spec.horizon <= MOST_WEIGHTS
    if spec.variable_length and not everywhere:
        raise ConfigError(
            f"Windows of varying length up to {spec.time} steps with horizon {spec.horizon} need "
            f"{len(spec.targets) * spec.time**2 * spec.horizon:,} filter weights, more than {MOST_WEIGHTS:,}; lower "
            "data.windows.length or data.windows.horizon."
        )
    layer = FilterForecast(len(spec.targets), spec.time, spec.horizon, everywhere, name="filter_forecast")
    return with_lengths(layer, y, inputs.get("lengths"))


def filter_innovations(
    y: Tensor, inputs: dict[str, Tensor], spec: DataSpec, burn: int, deviation: list[float]
) -> Tensor:
    """Standardised one-step errors ``(batch, time, targets)``."""
    layer = FilterInnovations(len(spec.targets), spec.time, burn, deviation, name="filter_innovations")
    return with_lengths(layer, y, inputs.get("lengths"))


def restore(forecast: Tensor, spec: DataSpec) -> Tensor:
    """Back to raw units; the output layer."""
    return Rescale(spec.target_mean, spec.target_std, name="prediction")(forecast)


def linear_model(spec: DataSpec, weights: Sequence[FilterWeights], name: str, *, repairs: int = 0) -> keras.Model:
    """A model that multiplies: raw windows in, forecasts in raw units out.

    Args:
        spec: of the data.
        weights: of the filter, one per target.
        name: of the family.
        repairs: passes over missing values.
    """
    inputs = raw_inputs(spec)
    y = target_window(inputs, spec, repairs)
    model = keras.Model(inputs, restore(filter_forecast(y, inputs, spec), spec), name=name)
    fill(model, weights)
    return model


def fill(model: keras.Model, weights: Sequence[FilterWeights]) -> None:
    """Put filter weights into every layer that reads them."""
    names = ("ahead", "level", "one_step", "one_level", "precision")
    stacked = (np.stack([getattr(one, name) for one in weights]).astype(np.float32) for name in names)
    ahead, level, one_step, one_level, precision = stacked
    for layer in model.layers:
        if isinstance(layer, FilterForecast):
            keep = slice(None) if layer.every_origin else slice(-1, None)
            layer.set_weights([ahead[:, keep], level[:, keep]])
        elif isinstance(layer, FilterInnovations):
            layer.set_weights([one_step, one_level])
        elif isinstance(layer, TargetWindow) and layer.repairs:
            layer.set_weights([one_step, one_level, precision])


def has_gaps(prepared: Prepared) -> bool:
    """Whether any target is missing anywhere."""
    return bool(np.isnan(prepared.series.targets).any())


def train_rows(prepared: Prepared, family: str) -> NDArray[np.float64]:
    """Rows of the train part, ``(rows, targets)``, raw units.

    Raises:
        ConfigError: there are several units: such a model is of one series.
    """
    series, part = prepared.series, prepared.splits.train
    if series.n_units != 1:
        raise ConfigError(
            f"Family '{family}' fits one series, but '{series.schema.name}' has {series.n_units} units; choose a "
            "network or ridge, or give one unit."
        )
    return np.asarray(series.targets[int(part.first[0]) : int(part.last[0])], np.float64)
