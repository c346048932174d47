"""GRU: stacked gated recurrent layers (Cho et al., 2014), reset after the product (as cuDNN)."""

from __future__ import annotations

from typing import Any

from keras_seq.config import ModelConfig
from keras_seq.models.body import Encoded, Steps
from keras_seq.models.lstm import VARIANTS, check_one_way, stack
from keras_seq.models.registry import register


@register("gru", variants=VARIANTS, check=check_one_way)
def gru(x: Any, lengths: Any, config: ModelConfig, steps: Steps) -> Encoded:
    """``config.layers`` GRU layers of ``config.units``."""
    return stack(x, lengths, config, steps, kind="gru", bidirectional=config.bidirectional)
