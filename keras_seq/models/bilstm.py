"""BiLSTM: LSTM layers that read the sequence from both ends (Schuster & Paliwal, 1997)."""

from __future__ import annotations

from typing import Any

from keras_seq.config import ModelConfig
from keras_seq.models.body import Encoded, Steps
from keras_seq.models.lstm import VARIANTS, check_one_way, stack
from keras_seq.models.registry import register


@register("bilstm", variants=VARIANTS, check=check_one_way)
def bilstm(x: Any, lengths: Any, config: ModelConfig, steps: Steps) -> Encoded:
    """``config.layers`` two-way LSTM layers, ``2 * config.units`` wide."""
    return stack(x, lengths, config, steps, kind="lstm", bidirectional=True)
