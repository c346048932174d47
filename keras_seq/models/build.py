"""A model of a configuration for data of a spec; TensorFlow loads only once the family is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_seq.config import ModelConfig
from keras_seq.errors import ConfigError
from keras_seq.models.registry import get_family, resolve

if TYPE_CHECKING:
    import keras

    from keras_seq.data.spec import DataSpec


def build_model(
    config: ModelConfig, spec: DataSpec, *, rematerialise: bool = False, fast_lstm: bool = True
) -> keras.Model:
    """Build the ``keras.Model`` of a configuration for data of a spec.

    Args:
        config: the ``model`` section; its variant is applied.
        spec: shapes and fitted numbers of the data.
        rematerialise: recompute activations in the backward pass (less memory, more time).
        fast_lstm: let LSTM and GRU layers use the own CPU kernels where they apply.

    Returns:
        A functional model: ``values (batch, time, features)`` float32 in raw units (NaN where
        missing) and, for a spec of variable length, ``lengths (batch,)`` int32; its one output is
        named ``prediction``, ``probability``, ``probabilities`` or ``quantiles``.

    Raises:
        ConfigError: unknown family or variant, or settings that contradict each other or the data.
    """
    family = get_family(config.family)  # before TensorFlow loads: a typo answers at once
    if family.fit is not None:
        raise ConfigError(
            f"Option 'model.family': '{config.family}' is fitted to data, not built and trained; run "
            f"'python -m keras_seq.train --model.family {config.family}'."
        )
    from keras_seq.models.assembly import assemble

    return assemble(family, resolve(config), spec, rematerialise=rematerialise, fast_lstm=fast_lstm)
