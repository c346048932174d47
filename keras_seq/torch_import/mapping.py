"""The map file: what the names and shapes of a state dict leave open, said in YAML.

::

    layers:                       # Keras layer: PyTorch module
      lstm_1: encoder.rnn.l0      # a recurrent module with its level
      head_output: regressor
      positions: {weight: pos}    # or tensor by tensor
      attention_norm_1: null      # a normalisation without weights (elementwise_affine=False)
    ignore: [decoder.*]           # tensors that are left out on purpose
    epsilon: 1.0e-5               # of LayerNorm and BatchNorm1d; a state dict does not hold it
    inputs: {center: [..], scale: [..]}     # what the network was trained on: (x - center) / scale
    targets: {center: [0.0], scale: [1.0]}  # what it answers: (y - center) / scale
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from keras_seq import config
from keras_seq.config import ConfigSection
from keras_seq.config.base import Positive
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError, shorten


class ScalerNumbers(ConfigSection):
    """Of a scaler: ``(value - center) / scale``, one pair a column."""

    center: tuple[float, ...]
    scale: tuple[Positive, ...]

    @model_validator(mode="after")
    def _alike(self) -> ScalerNumbers:
        if len(self.center) != len(self.scale):
            raise ValueError(f"center has {len(self.center)} numbers and scale {len(self.scale)}")
        return self


class WeightMap(ConfigSection):
    """The keys of a map file, as the module shows them."""

    layers: dict[str, str | dict[str, str] | None] = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    epsilon: Positive = 1e-5  # PyTorch's default; Keras' is 1e-3
    inputs: ScalerNumbers | None = None
    targets: ScalerNumbers | None = None


def read_map(source: WeightMap | Mapping[str, Any] | str | Path | None) -> WeightMap:
    """A map from a file, from plain values, or the empty one.

    Raises:
        ConfigError: not readable, or a key or value that is not known; names it.
    """
    if isinstance(source, WeightMap):
        return source
    named = f"'{source}'" if isinstance(source, (str, Path)) else "given"
    tree = config.read(source) if isinstance(source, (str, Path)) else dict(source or {})
    try:
        return WeightMap.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"]) or "the map"
        known = ", ".join(WeightMap.model_fields)
        raise ConfigError(
            f"The map of weights {named}: {where}: {first['msg']}, got {shorten(first['input'])}. Its keys are "
            f"{known}; see docs/migrate_pytorch.md."
        ) from None


def scaled_as(spec: DataSpec, weight_map: WeightMap) -> DataSpec:
    """``spec`` with the input scaler of the map, where it holds one; build the model from the result.

    Raises:
        ConfigError: the map has numbers for another count of features, or the data have several conditions.
    """
    scaler = weight_map.inputs
    if scaler is None:
        return spec
    if len(spec.scaling.center) > 1:
        raise ConfigError(
            f"The map's inputs hold one scaler, but the data are scaled in {len(spec.scaling.center)} operating "
            "conditions; set data.conditions to 0."
        )
    if spec.words:
        raise ConfigError(
            f"The map's inputs scale numbers, but '{spec.features[spec.words[0].feature]}' holds words; leave it "
            "out of data.features, or map a model without a scaler of its own."
        )
    count = len(scaler.center)
    if count != len(spec.features):
        raise ConfigError(
            f"The map's inputs hold {count} centers and scales; the data have {len(spec.features)} features, in this "
            f"order: {', '.join(spec.features)}."
        )
    scaling = spec.scaling.model_copy(update={"center": (scaler.center,), "scale": (scaler.scale,)})
    return spec.model_copy(update={"scaling": scaling})
