"""Models that `bench_train.py` compares: ours, stock Keras', PyTorch's twins, and the bare matrix products.

Every family ends in Dense(1) of the last step: two recurrent layers of 64 units (`lstm`, `gru`, `bilstm`), two
convolutions with pooling and one LSTM (`cnn_lstm`), two LSTM layers with self-attention (`attention_lstm`), two
pre-norm encoder blocks (`transformer`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

FEATURES, UNITS, HEADS, FEED = 14, 64, 4, 128
FAMILIES = ("lstm", "gru", "bilstm", "cnn_lstm", "attention_lstm", "transformer")


def keras_model(family: str, time: int, *, own: bool) -> Any:
    """A family in Keras; ``own``: with our recurrent and attention layers."""
    import keras

    from keras_seq.models.attention import SelfAttention
    from keras_seq.models.fast_gru import FastGRU
    from keras_seq.models.fast_lstm import FastLSTM

    layers = keras.layers
    lstm, gru = (FastLSTM, FastGRU) if own else (layers.LSTM, layers.GRU)

    def attend(x: Any) -> Any:
        if own:
            return SelfAttention(HEADS)(x)
        return layers.MultiHeadAttention(HEADS, UNITS // HEADS)(x, x)

    inputs = x = keras.Input((time, FEATURES))
    if family in ("lstm", "gru"):
        kind = lstm if family == "lstm" else gru
        x = kind(UNITS)(kind(UNITS, return_sequences=True)(x))
    elif family == "bilstm":
        for sequences in (True, False):
            x = layers.Bidirectional(lstm(UNITS, return_sequences=sequences))(x)
    elif family == "cnn_lstm":
        for _ in range(2):
            x = layers.MaxPool1D(2)(layers.Conv1D(64, 5, padding="same", activation="relu")(x))
        x = lstm(UNITS)(x)
    elif family == "attention_lstm":
        x = lstm(UNITS, return_sequences=True)(lstm(UNITS, return_sequences=True)(x))
        x = layers.LayerNormalization()(x + attend(x))[:, -1]
    else:
        x = layers.Dense(UNITS)(x)
        for _ in range(2):
            x = x + attend(layers.LayerNormalization()(x))
            feed = layers.Dense(FEED, activation="gelu")(layers.LayerNormalization()(x))
            x = x + layers.Dense(UNITS)(feed)
        x = layers.LayerNormalization()(x)[:, -1]
    return keras.Model(inputs, layers.Dense(1)(x))


def torch_model(family: str) -> Any:
    """The twin of :func:`keras_model`."""
    import torch
    from torch import nn

    class Recurrent(nn.Module):
        """``(batch, time, features)`` to the last outputs ``(batch, units * directions)``."""

        def __init__(self, kind: type[nn.RNNBase], inputs: int, layers: int, *, two_way: bool = False) -> None:
            super().__init__()
            self.recurrent = kind(inputs, UNITS, layers, batch_first=True, bidirectional=two_way)

        def forward(self, x: Any) -> Any:
            _, state = self.recurrent(x)
            hidden = state if isinstance(state, torch.Tensor) else state[0]
            return torch.cat(tuple(hidden[-2:] if self.recurrent.bidirectional else hidden[-1:]), -1)

    class Convolutions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential()
            for inputs in (FEATURES, 64):
                self.body.extend([nn.Conv1d(inputs, 64, 5, padding="same"), nn.ReLU(), nn.MaxPool1d(2)])

        def forward(self, x: Any) -> Any:
            return self.body(x.transpose(1, 2)).transpose(1, 2)

    class AttentionLSTM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(FEATURES, UNITS, 2, batch_first=True)
            self.attention = nn.MultiheadAttention(UNITS, HEADS, batch_first=True)
            self.norm = nn.LayerNorm(UNITS)

        def forward(self, x: Any) -> Any:
            x, _ = self.lstm(x)
            return self.norm(x + self.attention(x, x, x, need_weights=False)[0])[:, -1]

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            block = nn.TransformerEncoderLayer(
                UNITS, HEADS, FEED, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            encoder = nn.TransformerEncoder(block, 2, norm=nn.LayerNorm(UNITS), enable_nested_tensor=False)
            self.body = nn.Sequential(nn.Linear(FEATURES, UNITS), encoder)

        def forward(self, x: Any) -> Any:
            return self.body(x)[:, -1]

    bodies = {
        "lstm": lambda: Recurrent(nn.LSTM, FEATURES, 2),
        "gru": lambda: Recurrent(nn.GRU, FEATURES, 2),
        "bilstm": lambda: Recurrent(nn.LSTM, FEATURES, 2, two_way=True),
        "cnn_lstm": lambda: nn.Sequential(Convolutions(), Recurrent(nn.LSTM, 64, 1)),
        "attention_lstm": AttentionLSTM,
        "transformer": Transformer,
    }
    return nn.Sequential(bodies[family](), nn.Linear(UNITS * (2 if family == "bilstm" else 1), 1))


def recurrent_layers(family: str, time: int) -> list[tuple[int, int, int, int]]:
    """Steps, inputs, units and gates of every recurrent run in a family, each direction by itself."""
    if family == "gru":
        return [(time, FEATURES, UNITS, 3), (time, UNITS, UNITS, 3)]
    if family == "bilstm":
        return 2 * [(time, FEATURES, UNITS, 4)] + 2 * [(time, 2 * UNITS, UNITS, 4)]
    if family == "cnn_lstm":
        return [(time // 4, 64, UNITS, 4)]
    if family in ("lstm", "attention_lstm"):
        return [(time, FEATURES, UNITS, 4), (time, UNITS, UNITS, 4)]
    return []


def products(family: str, batch: int, time: int) -> Any:
    """A graph with nothing but the matrix products of the recurrent layers' step: the floor.

    Per layer: one product of all inputs; a chain of two products a time step (forward and backward); three products
    for the gradients of inputs and weights. Products of the steps stay in order, as recurrence demands.
    """
    import tensorflow as tf

    rng = np.random.default_rng(0)

    def variable(*shape: int) -> Any:  # constants would be folded away
        return tf.Variable(rng.normal(size=shape).astype(np.float32))

    def layer(steps: int, inputs: int, units: int, gates: int) -> Any:
        wide, rows = gates * units, steps * batch
        orthogonal = np.linalg.qr(rng.normal(size=(wide, units)))[0].astype(np.float32)  # else the chain overflows
        u, turned = tf.Variable(orthogonal.T), tf.Variable(orthogonal)
        w, x, dz = variable(inputs, wide), variable(rows, inputs), variable(rows, wide)
        h_all, h = variable(rows, units), variable(batch, units)

        def run() -> list[Any]:
            state = tf.convert_to_tensor(h)
            for _ in range(steps):
                state = tf.matmul(tf.matmul(state, u), turned)
            weights = [tf.matmul(left, dz, transpose_a=True) for left in (x, h_all)]
            return [state, tf.matmul(x, w), *weights, tf.matmul(dz, w, transpose_b=True)]

        return run

    runs = [layer(*shape) for shape in recurrent_layers(family, time)]
    return tf.function(lambda: [run() for run in runs], autograph=False)
