"""When compiling the training step with XLA pays.

Measured on CPUs (batch 64, 200 steps, 64 units; CPU seconds a step, plain graph against XLA): LSTM 0.18 against 0.13;
stock GRU 0.17 against 0.23, where our own GRU gains as the LSTM does; CNN-LSTM 0.04 against 0.14; models with
self-attention or many convolutions took minutes under XLA, whose CPU convolutions and batched products are no match
for TensorFlow's own. Every shape of a batch is compiled anew, some 4 s each, while an LSTM gains about 0.2 ms a time
step: short trainings on sequences of many lengths lose.

Milliseconds a step on two cores in one run (T=50, medians of five rounds): LSTM 64x2, batch 256, 43.1 whole and 31.2 in
two parts; batch 64, 11.8 and 10.8. Attention-LSTM, batch 64: 33.7 without XLA, 24.0 with its loops alone compiled, 21.4
with these in two parts; CNN-LSTM 5.9, 5.7 and 5.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_seq.config import TrainingConfig
from keras_seq.data.spec import DataSpec
from keras_seq.models.fast_gru import FastGRU
from keras_seq.models.fast_lstm import FastLSTM

COMPILE_SECONDS = 4.0  # a shape
GAIN_SECONDS = 2e-4  # a time step
PART = 32  # samples: below, XLA's products lose more than a second core gains


@dataclass(frozen=True)
class XlaPlan:
    """Plan of XLA for a training step.

    Attributes:
        jit: all of it goes through XLA.
        parts: of every batch, side by side; XLA keeps a recurrent loop on one core.
        loops: without ``jit``: the recurrent loops alone go through XLA, each on so many parts of the batch; 0: not.
    """

    jit: bool = False
    parts: int = 1
    loops: int = 0


def plan_step(
    training: TrainingConfig,
    model: keras.Model,
    spec: DataSpec,
    lengths: np.ndarray,
    *,
    bucket: int,
    gpu: bool,
    threads: int = 1,
) -> XlaPlan:
    """Choose what of the training step goes through XLA; nothing with ``training.jit`` off.

    On a GPU: all, where no layer has a kernel that XLA would replace (cuDNN's LSTM and GRU). On a CPU, for models that
    train long enough on few enough shapes: all of LSTM and GRU models, in parts of at least ``PART`` samples, and the
    loops alone of those with attention. Never for bit-equal runs.

    Args:
        training: jit, deterministic, epochs, batch_size.
        model: to be trained.
        spec: tells whether batches differ in length.
        lengths: of the training windows, ``(windows,)``.
        bucket: steps to a multiple of which batches are padded.
        gpu: the device is a GPU.
        threads: of TensorFlow's operations.
    """
    if not training.jit or training.deterministic:
        return XlaPlan()
    layers = list(model._flatten_layers())
    if gpu:
        return XlaPlan(jit=all(layer.supports_jit for layer in layers))
    if not _is(layers, keras.layers.LSTM, FastGRU) or not _pays(training, spec, lengths, bucket):
        return XlaPlan()
    if _is(layers, keras.layers.Conv1D) or any(type(layer) is keras.layers.GRU for layer in layers):
        return XlaPlan()
    if _is(layers, keras.layers.MultiHeadAttention):
        return XlaPlan(loops=threads if _is(layers, FastLSTM, FastGRU) else 0)
    parts = (
        1 if _is(layers, keras.layers.BatchNormalization) else min(training.batch_size, len(lengths)) // PART
    )  # it sees batches whole
    return XlaPlan(jit=True, parts=max(1, min(threads, parts)))


def _is(layers: Sequence[keras.layers.Layer], *kinds: type) -> bool:
    """Whether a layer is of one of these kinds."""
    return any(isinstance(layer, kinds) for layer in layers)


def _pays(training: TrainingConfig, spec: DataSpec, lengths: np.ndarray, bucket: int) -> bool:
    """Whether steps gain more than the compiling of their shapes costs."""
    padded = np.minimum(-(-lengths // bucket) * bucket, spec.time) if spec.variable_length else np.array([spec.time])
    likely_epochs = max(training.epochs / 2, 1)  # early stopping
    steps = max(len(lengths) // training.batch_size, 1) * likely_epochs * float(padded.mean())
    return bool(steps * GAIN_SECONDS > len(np.unique(padded)) * COMPILE_SECONDS)
