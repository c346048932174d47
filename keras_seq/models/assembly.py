"""The assembler: every model is raw inputs -> scaling -> history -> body -> pooling -> head -> raw units.

Importing this module registers all our layers, so that ``keras.models.load_model`` finds them.
"""

from __future__ import annotations

import contextlib

import keras

from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError
from keras_seq.models import (  # noqa: F401  (registered for loading)
    attention,
    blocks,
    combine,
    convolution,
    forecast_wrappers,
    heads,
    history,
    kalman,
    normalise,
    preprocess,
    window_scale,
)
from keras_seq.models.body import Encoded, Family, Horizon, Steps
from keras_seq.models.registry import families
from keras_seq.models.tensor import Tensor

with contextlib.suppress(ImportError):  # no TensorFlow
    from keras_seq.models import decision, fast_gru, fast_lstm, rocket_features, tree_ensemble, window_features  # noqa: F401
families()  # layers of a family's own


def assemble(
    family: Family, config: ModelConfig, spec: DataSpec, *, rematerialise: bool = False, fast_lstm: bool = True
) -> keras.Model:
    """Compose a model; arguments and result are those of ``keras_seq.models.build.build_model``."""
    steps = Steps(spec.time // max(config.patch, 1), spec.per_step, fast_lstm)
    check(family, config, spec, steps)
    inputs = preprocess.raw_inputs(spec)
    lengths = inputs.get("lengths")
    x, statistics = _channels(inputs["values"], lengths, config, spec)
    if family.forecast is not None:
        before, ahead = x, family.forecast(x, lengths, config, _horizon(config, spec))
        body, output = ahead.y, heads.forecast_answer(ahead, config, spec, statistics)
    else:
        beside = forecast_wrappers.skip(x, lengths, spec) if config.skip == "linear" else None
        before, read = forecast_wrappers.columns(x, lengths, config, spec)
        body, pooled = _encode(family, before, read, config, steps)
        output = heads.answer(pooled, config, spec, statistics, beside)
    model = keras.Model(inputs, output, name=config.family)
    if rematerialise:
        from keras_seq.models import rematerialise as recompute

        earlier = keras.Model(inputs, before).layers
        recompute.rematerialise(model, [layer for layer in keras.Model(inputs, body).layers if layer not in earlier])
    return model


def _encode(family: Family, x: Tensor, lengths: Tensor, config: ModelConfig, steps: Steps) -> tuple[Tensor, Tensor]:
    """Encoded steps of the body, and what the head reads: the same, or pooled over time."""
    assert family.body is not None  # build_model refuses the fitted ones
    encoded = family.body(x, lengths, config, steps)
    if not isinstance(encoded, Encoded):
        encoded = Encoded(encoded, lengths)
    if steps.per_step:
        return encoded.x, encoded.x
    pooled = blocks.pool(encoded.x, encoded.lengths, config.pooling, steps=steps.time, two_way=encoded.two_way)
    return encoded.x, pooled


def _horizon(config: ModelConfig, spec: DataSpec) -> Horizon:
    return Horizon(spec.time, spec.horizon, spec.target_index, len(config.quantiles) or 1, len(spec.features))


def check(family: Family, config: ModelConfig, spec: DataSpec, steps: Steps) -> None:
    """Refuse settings that contradict each other or the data, before anything is built.

    Raises:
        ConfigError: names the option, its value and what to set instead.
    """
    heads.check_head(config, spec)
    forecast_wrappers.check_wrappers(config, spec)
    if family.forecast is not None:
        forecast_wrappers.check_forecaster(config, spec)
    preprocess.check_causal(spec)
    if config.normalisation == "instance":
        if spec.per_step:
            raise ConfigError(
                "Option 'model.normalisation': instance normalisation uses the whole window's mean, so an answer at "
                "every step (data.windows.per_step) would see its own future; use layer or batch."
            )
        if spec.task == "forecast" and len(spec.scaling.center) > 1:
            raise ConfigError(
                f"Option 'model.normalisation': a forecast in {len(spec.scaling.center)} operating conditions "
                "cannot be led back from instance normalisation; set data.conditions to 0 or use another normalisation."
            )
        if spec.task == "forecast" and len(spec.target_index) != len(spec.targets):
            raise ConfigError(
                "Option 'model.normalisation': instance normalisation of a forecast needs every target among the "
                f"input features; targets are {', '.join(spec.targets)}, features {', '.join(spec.features)}."
            )
    if family.check is not None:
        family.check(config, steps)


def _channels(values: Tensor, lengths: Tensor, config: ModelConfig, spec: DataSpec) -> tuple[Tensor, Tensor]:
    """Scaled channels with history, noise, normalisation and the dense layer; and window statistics."""
    call, signals, statistics = blocks.with_lengths, len(spec.features), None
    if window_scale.by_window(config, spec):
        statistics = window_scale.moments(values, lengths, spec)
        x = window_scale.scaled_channels(values, lengths, statistics, spec)
    else:
        x = call(preprocess.Preprocess.from_spec(spec, name="preprocess"), values, lengths)
    if config.normalisation == "instance" and statistics is None:
        statistics = call(normalise.WindowStatistics(signals, name="window_statistics"), x, lengths)
        layer = normalise.InstanceNormalise(name="instance_normalise")
        x = layer(x, statistics) if lengths is None else layer(x, statistics, lengths)
    if history.wanted(config.history):
        layer = history.History(config.history.model_dump(mode="json"), signals, name="history")
        x = call(layer, x, lengths)
    if config.input_noise:
        x = keras.layers.GaussianNoise(config.input_noise, name="input_noise")(x)
    if config.normalisation == "batch":
        x = call(normalise.MaskedBatchNormalization(name="input_normalisation"), x, lengths)
    elif config.normalisation == "layer":
        x = keras.layers.LayerNormalization(name="input_normalisation")(x)
    if config.input_dense:
        x = keras.layers.Dense(config.input_dense, activation="tanh", name="input_dense")(x)
    return x, statistics
