"""Family ``hybrid``: SARIMAX for what is linear, a recurrent network on its innovations for the rest.

Zhang (2003): ``y_(t+h) = SARIMAX forecast + network(innovations, values, covariates)``. Both read the same
window in one graph; the innovations are the filter's one-step errors inside it, so no row is forecast with
knowledge of itself or of later rows. The network trains on windows that grow from the series' first rows
(the filter's job is to know the level whatever the length), and is judged on the configured windows.

``model.hybrid``:

- ``residual``: the sum as it is;
- ``weighted``: the correction times the weight of the hybrid among the two forecasts, each weighed by the
  inverse of its mean squared error over the most recent validation windows (Bates and Granger, 1969);
- ``stacked``: a ridge regression on the validation windows over the correction and the deviations of the
  naive and seasonal naive forecasts from SARIMAX, shrunk towards SARIMAX.
"""

from __future__ import annotations

import dataclasses
import tempfile

import keras
import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.linear_graph import (
    REPAIRS,
    fill,
    filter_forecast,
    filter_innovations,
    has_gaps,
    restore,
    target_window,
)
from keras_seq.baselines.sarimax import Filters, fit_filters
from keras_seq.config import Experiment
from keras_seq.data.prepare import Prepared
from keras_seq.data.spec import DataSpec
from keras_seq.data.windows import WindowIndex
from keras_seq.errors import DataError
from keras_seq.figures import Say, figure
from keras_seq.models.blocks import pool, with_lengths
from keras_seq.models.body import Encoded, Steps
from keras_seq.models.kalman import HybridMembers, MixMembers, Recent
from keras_seq.models.preprocess import Preprocess, raw_inputs
from keras_seq.models.registry import get_family, register

RECENT = 52  # validation windows that weigh the members
MOVES = ("network", "naive", "seasonal naive")
RIDGE = 10.0  # of the stack, in squared deviations times windows


@register("hybrid", fitted=True)
def hybrid(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """Fit SARIMAX, train the network on its innovations, weigh the two, and join them in one graph."""
    filters = fit_filters(experiment, prepared, say)
    growing = _growing(prepared, filters, experiment)
    repairs = REPAIRS if has_gaps(prepared) else 0
    trained = build_hybrid(experiment, growing.spec, filters, repairs)
    _train(experiment, trained, growing, say)
    shares = np.array([[1.0, 0.0, 0.0]] * len(prepared.spec.targets))
    if experiment.model.hybrid != "residual":
        shares = _shares(experiment, trained, growing, say)
    model = build_hybrid(experiment, prepared.spec, filters, repairs)
    model.set_weights(trained.get_weights())
    model.get_layer("mix").set_weights([shares.astype(np.float32)])
    return model


def build_hybrid(experiment: Experiment, spec: DataSpec, filters: Filters, repairs: int) -> keras.Model:
    """The graph; the correction starts at zero, so training starts from SARIMAX."""
    config, inputs = experiment.model, raw_inputs(spec)
    lengths = inputs.get("lengths")
    y = target_window(inputs, spec, repairs)
    forecast = filter_forecast(y, inputs, spec)
    deviation = [fit.deviation for fit in filters.fitted]
    innovations = filter_innovations(y, inputs, spec, filters.burn, deviation)
    scaled = with_lengths(Preprocess.from_spec(spec, name="preprocess"), inputs["values"], lengths)
    x = keras.layers.Concatenate(name="read")([scaled, innovations])
    recent = Recent(config.recent, name="recent")
    x = with_lengths(recent, x, lengths)
    if config.input_noise:
        x = keras.layers.GaussianNoise(config.input_noise, name="input_noise")(x)
    body = get_family(config.network).body
    assert body is not None  # the config lists networks only
    encoded = body(x, None, config, Steps(config.recent, False, experiment.training.fast_lstm))
    encoded = encoded if isinstance(encoded, Encoded) else Encoded(encoded)
    x = pool(encoded.x, encoded.lengths, config.pooling, steps=config.recent, two_way=encoded.two_way)
    for i, units in enumerate(config.hidden_dims, 1):
        x = keras.layers.Dense(units, activation=config.activation, name=f"head_{i}")(x)
    shape = (spec.horizon, len(spec.targets))
    zero = keras.layers.Dense(int(np.prod(shape)), kernel_initializer="zeros", dtype="float32", name="head_output")
    correction = keras.layers.Reshape(shape, dtype="float32", name="correction")(zero(x))
    season = int(experiment.model.arima.seasonal[3] or round(filters.fitted[0].arima.period)) or 1
    layer = HybridMembers(deviation, season, name="members")
    members = layer(y, forecast, correction) if lengths is None else layer(y, forecast, correction, lengths)
    joined = MixMembers(name="mix")(members)
    model = keras.Model(inputs, restore(joined, spec), name="hybrid")
    fill(model, filters.weights)
    return model


def _growing(prepared: Prepared, filters: Filters, experiment: Experiment) -> Prepared:
    """The same data with training windows that begin at the first row and end at every row the filter knows."""
    spec, part = prepared.spec, prepared.splits.train
    low, high = int(part.first[0]), int(part.last[0])
    shortest = filters.burn + max(experiment.model.recent // 2, 1)
    ends = np.arange(low + shortest, high - spec.horizon + 1)
    if len(ends) < 2 * experiment.model.recent:
        raise DataError(
            f"The train part has {high - low} rows; {filters.burn} go to the filter's level and season, which leaves "
            f"{max(len(ends), 0)} windows for a network that reads model.recent={experiment.model.recent} steps. "
            "Lower model.recent, or use --model.family sarimax."
        )
    start = np.maximum(ends - spec.time, low)
    unit = np.zeros(len(ends), np.int64)
    grown = WindowIndex(start, ends - start, ends, unit, np.full(len(ends), low))
    return dataclasses.replace(
        prepared, index={**prepared.index, "train": grown}, spec=spec.model_copy(update={"variable_length": True})
    )


def _train(experiment: Experiment, model: keras.Model, growing: Prepared, say: Say) -> None:
    from keras_seq.training.fit import fit

    with tempfile.TemporaryDirectory() as folder:
        result = fit(experiment, model, growing, folder, quiet=True)
    best = result.history[result.monitor][result.best_epoch - 1]
    say(
        f"network on {len(growing.index['train'])} windows of innovations: {experiment.training.keep} epoch "
        f"{result.best_epoch} of {len(result.history['loss'])}, {result.monitor} {figure(best)}"
    )


def _shares(experiment: Experiment, model: keras.Model, growing: Prepared, say: Say) -> NDArray[np.float64]:
    """Weights of (correction, naive, seasonal naive) per target, from validation windows."""
    from keras_seq.training.predictions import locate, predict_windows

    spec, index = growing.spec, growing.index["validation"]
    truth = np.asarray(locate(growing.series, index, spec)[0], np.float64)
    reader = keras.Model({tensor.name: tensor for tensor in model.inputs}, model.get_layer("members").output)
    parts = predict_windows(reader, growing.series, index, spec, experiment.data).astype(np.float64)
    truth = (truth - np.array(spec.target_mean)) / np.array(spec.target_std)
    shares = []
    for k, name in enumerate(spec.targets):
        error = truth[..., k] - parts[..., k, 0]
        known = np.isfinite(error)
        moves = parts[..., k, 1:]
        if experiment.model.hybrid == "weighted":
            alone, both = error[-RECENT:], (error - moves[..., 0])[-RECENT:]
            mse = np.nanmean(alone**2), np.nanmean(both**2)
            share = np.array([mse[0] / (mse[0] + mse[1]), 0.0, 0.0])
        else:
            design, wanted = moves[known], error[known]
            penalty = RIDGE * np.mean(design**2, axis=0).clip(1e-12)
            share = np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ wanted)
        named = ", ".join(f"{move} {part:.2f}" for move, part in zip(MOVES, share, strict=True))
        say(f"{experiment.model.hybrid} '{name}': shares of the moves away from SARIMAX: {named}")
        shares.append(share)
    return np.array(shares)
