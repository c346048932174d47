"""GRU: stacked gated recurrent layers (Cho et al., 2014), reset after the product (as cuDNN)."""

from __future__ import annotations

from keras_seq.config import ModelConfig
from keras_seq.models.body import Encoded, Steps
from keras_seq.models.lstm import SPACE, VARIANTS, check_one_way, stack
from keras_seq.models.registry import register
from keras_seq.models.tensor import Tensor


@register("gru", variants=VARIANTS, space=SPACE, check=check_one_way)
def gru(x: Tensor, lengths: Tensor, config: ModelConfig, steps: Steps) -> Encoded:
    """``config.layers`` GRU layers of ``config.units``."""
    return stack(x, lengths, config, steps, kind="gru", bidirectional=config.bidirectional)
