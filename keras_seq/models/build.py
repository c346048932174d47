"""The assembler: every model is raw inputs -> scaling -> history -> body -> pooling -> head -> raw units.

Importing this module registers all our layers, so that ``keras.models.load_model`` finds them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_seq.config import ModelConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError
from keras_seq.models import (
    attention,
    blocks,
    combine,
    convolution,
    forecast_wrappers,
    heads,
    history,
    normalise,
    preprocess,
)
from keras_seq.models.registry import Encoded, Family, Steps

with contextlib.suppress(ImportError):
    from keras_seq.models import fast_lstm  # noqa: F401

OUTPUTS = ("prediction", "probability", "probabilities", "quantiles")
__all__ = ["assemble", "attention", "combine", "convolution", "last_step", "plain_twin"]


def assemble(
    family: Family, config: ModelConfig, spec: DataSpec, *, rematerialise: bool = False, fast_lstm: bool = True
) -> keras.Model:
    """Compose a model; see ``keras_seq.models.registry.build_model`` for arguments and result."""
    steps = Steps(spec.time // max(config.patch, 1), spec.per_step, fast_lstm)
    check(family, config, spec, steps)
    values = keras.Input((None, len(spec.features)), dtype="float32", name="values")
    lengths = keras.Input((), dtype="int32", name="lengths") if spec.variable_length else None
    x, statistics = _channels(values, lengths, config, spec)
    beside = forecast_wrappers.skip(x, lengths, spec) if config.skip == "linear" else None
    x, read = forecast_wrappers.columns(x, lengths, config, spec)
    assert family.body is not None  # build_model refuses the fitted ones
    before = x
    encoded = family.body(x, read, config, steps)
    if not isinstance(encoded, Encoded):
        encoded = Encoded(encoded, read)
    x = encoded.x
    if not spec.per_step:
        x = blocks.pool(x, encoded.lengths, config.pooling, steps=steps.time, two_way=encoded.two_way)
    output = heads.answer(x, config, spec, statistics, beside)
    inputs = {"values": values} if lengths is None else {"values": values, "lengths": lengths}
    model = keras.Model(inputs, output, name=config.family)
    if rematerialise:
        from keras_seq.models import rematerialise as recompute

        earlier = keras.Model(inputs, before).layers
        recompute.rematerialise(model, [one for one in keras.Model(inputs, encoded.x).layers if one not in earlier])
    return model


def check(family: Family, config: ModelConfig, spec: DataSpec, steps: Steps) -> None:
    """Refuse settings that contradict each other or the data, before anything is built.

    Raises:
        ConfigError: names the option, its value and what to set instead.
    """
    heads.check_head(config, spec)
    forecast_wrappers.check_forms(config, spec)
    if spec.per_step and spec.impute == "interpolate":
        raise ConfigError(
            "Option 'data.impute': interpolation looks ahead, so an answer at every step (data.windows.per_step) "
            "would see its own future; use data.impute forward."
        )
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


def _channels(values: Any, lengths: Any, config: ModelConfig, spec: DataSpec) -> tuple[Any, Any]:
    """Scaled channels with history, noise, normalisation and the dense layer; and window statistics."""
    call, signals, statistics = blocks.with_lengths, len(spec.features), None
    x = call(preprocess.Preprocess.from_spec(spec, name="preprocess"), values, lengths)
    if config.normalisation == "instance":
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


def last_step(model: keras.Model) -> keras.Model:
    """The serving view of a per-step model: its answer at each sample's last real step.

    Returns:
        A model of the same inputs, layers and weights with output ``(batch, targets)``; the model
        itself if it does not answer at every step.
    """
    output = model.outputs[0]
    name = output_name(model)
    if len(output.shape) != 3 or output.shape[1] is not None:
        return model
    inputs = {tensor.name: tensor for tensor in model.inputs}
    layer = blocks.LastStep(name=f"last_{name}", dtype="float32")
    last = blocks.with_lengths(layer, output, inputs.get("lengths"))
    return keras.Model(inputs, last, name=f"{model.name}_last_step")


def output_name(model: keras.Model) -> str:
    """``prediction``, ``probability``, ``probabilities`` or ``quantiles``."""
    names = [layer.name for layer in model.layers]
    return next(name for name in OUTPUTS if name in names)


def plain_twin(model: keras.Model, kinds: Mapping[type, type] | None = None) -> keras.Model:
    """A float32 copy with stock LSTM and GRU layers and the same weights: what converters understand.

    Args:
        model: to copy; models inside it are copied likewise.
        kinds: layer types by the type they stand in for, with the same configuration and weights.
    """
    stand_ins = {keras.layers.LSTM: keras.layers.LSTM, keras.layers.GRU: keras.layers.GRU, **(kinds or {})}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=clone)
        settings = layer.get_config()
        if "dtype" in settings and not isinstance(layer, keras.layers.InputLayer):
            settings["dtype"] = "int32" if isinstance(layer, convolution.PooledLengths) else "float32"
        kind = next((other for known, other in stand_ins.items() if isinstance(layer, known)), type(layer))
        return kind.from_config(settings)

    twin = keras.models.clone_model(model, clone_function=clone)
    twin.set_weights([np.asarray(value, np.float32) for value in model.get_weights()])
    return twin
