"""BiLSTM: LSTM layers that read the sequence from both ends (Schuster & Paliwal, 1997)."""

from __future__ import annotations

from keras_seq.config import ModelConfig
from keras_seq.models.body import Encoded, Steps
from keras_seq.models.lstm import SPACE, VARIANTS, check_one_way, stack
from keras_seq.models.registry import register
from keras_seq.models.tensor import Tensor


@register("bilstm", variants=VARIANTS, space=SPACE, check=check_one_way)
def bilstm(x: Tensor, lengths: Tensor, config: ModelConfig, steps: Steps) -> Encoded:
    """``config.layers`` two-way LSTM layers, ``2 * config.units`` wide."""
    return stack(x, lengths, config, steps, kind="lstm", bidirectional=True)
