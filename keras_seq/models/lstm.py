"""LSTM: stacked recurrent layers (Hochreiter & Schmidhuber, 1997)."""

from __future__ import annotations

from keras_seq.config import ModelConfig
from keras_seq.errors import ConfigError
from keras_seq.models.blocks import dropout, recurrent
from keras_seq.models.body import Encoded, Space, Steps, Variants
from keras_seq.models.registry import register
from keras_seq.models.tensor import Tensor

UNITS = {"low": 32, "high": 128, "step": 16}
SPACE: Space = {
    "model.units": UNITS,
    "model.layers": {"low": 1, "high": 3},
    "model.input_dense": [0, 16, 32, 64],
}
VARIANTS: Variants = {
    "standard": {},
    "bidirectional": {"bidirectional": True},
    "deep": {"layers": 4, "units": 128, "hidden_dims": (64, 32)},
    "lightweight": {"layers": 1, "units": 32, "hidden_dims": (16,)},
}


def check_one_way(config: ModelConfig, steps: Steps) -> None:
    """Refuse an answer at every step from layers that read the future.

    Raises:
        ConfigError: says why and what to use.
    """
    if steps.per_step and (config.bidirectional or config.family == "bilstm"):
        raise ConfigError(
            f"Family '{config.family}'{' with model.bidirectional' if config.family != 'bilstm' else ''} reads each "
            "sequence from both ends, so an answer at every step (data.windows.per_step) would see its own future; "
            "use family lstm, gru or tcn one-way, or set data.windows.per_step to false."
        )


def stack(x: Tensor, lengths: Tensor, config: ModelConfig, steps: Steps, *, kind: str, bidirectional: bool) -> Encoded:
    """``config.layers`` recurrent layers with dropout after each."""
    for i in range(1, config.layers + 1):
        x = recurrent(x, lengths, kind, config.units, name=f"{kind}_{i}", steps=steps, bidirectional=bidirectional)
        x = dropout(x, config.dropout, name=f"dropout_{i}")
    return Encoded(x, lengths, two_way=bidirectional)


@register("lstm", variants=VARIANTS, space=SPACE, check=check_one_way)
def lstm(x: Tensor, lengths: Tensor, config: ModelConfig, steps: Steps) -> Encoded:
    """``config.layers`` LSTM layers of ``config.units``."""
    return stack(x, lengths, config, steps, kind="lstm", bidirectional=config.bidirectional)
