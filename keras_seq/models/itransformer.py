"""iTransformer: whole columns as tokens of a Transformer (Liu et al., 2024)."""

from __future__ import annotations

import keras

from keras_seq.config import ModelConfig
from keras_seq.models.body import Ahead, Horizon
from keras_seq.models.patchtst import check
from keras_seq.models.registry import register
from keras_seq.models.target_past import TakeTargets, ahead, recent
from keras_seq.models.tensor import Tensor
from keras_seq.models.transformer import SPACE, VARIANTS, encode


@register("itransformer", forecasts=True, variants=VARIANTS, space=SPACE, check=check)
def itransformer(x: Tensor, lengths: Tensor, config: ModelConfig, horizon: Horizon) -> Ahead:
    """Attention between columns, each one token of width ``config.units`` made of its whole window.

    What the last row tells (plans) is added by a linear map of its own.
    """
    columns = keras.layers.Permute((2, 1), name="columns")(recent(x, lengths, horizon))
    tokens = encode(keras.layers.Dense(config.units, name="projection")(columns), None, config)
    y = keras.layers.Dense(horizon.steps * horizon.levels, dtype="float32", name="head_output")(tokens)
    chosen = TakeTargets(horizon.targets, name="target_tokens")(keras.layers.Permute((2, 1), name="answers")(y))
    return ahead(chosen, x, lengths, horizon)
