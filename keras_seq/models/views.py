"""Models derived from a built one: its serving view, and what converters understand."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from keras_seq.models import blocks, convolution

OUTPUTS = ("prediction", "probability", "probabilities", "quantiles")


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
