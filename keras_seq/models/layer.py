"""What our layers share: a registered name, constructor arguments as configuration, float32."""

from __future__ import annotations

import inspect
from typing import Any, Unpack

import keras

from keras_seq.models.tensor import LayerOptions, Shape

package = keras.saving.register_keras_serializable("keras_seq")


class ConfiguredLayer(keras.layers.Layer):
    """A layer that keeps every constructor argument in an attribute of the same name and saves these."""

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        parameters = inspect.signature(type(self).__init__).parameters.values()
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class Float32Layer(ConfiguredLayer):
    """The same, computing in float32 whatever the policy."""

    def __init__(self, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})


class SameShape:
    """Mixin of layers whose answer has the shape of their first input."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The same shape."""
        return input_shape
