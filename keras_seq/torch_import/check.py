"""Parity of an imported model with the PyTorch network, on windows whose answers were stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_seq.errors import ModelError
from keras_seq.models.preprocess import Rescale
from keras_seq.torch_import.read import Weights, read_weights

LIMIT = 1e-4  # largest difference, in deviations of the target or in probability
ROUNDING = 4e-7  # of a float32 answer far from 0, relative


@dataclass(frozen=True)
class Parity:
    """The imported model against the stored answers.

    Attributes:
        windows: compared.
        largest: difference, in deviations of the target or in probability.
        mean: difference.
        limit: what the largest may be.
    """

    windows: int
    largest: float
    mean: float
    limit: float

    @property
    def passed(self) -> bool:
        """Within the limit."""
        return self.largest <= self.limit


def check_answers(model: keras.Model, path: str | Path) -> Parity:
    """Compare answers.

    Args:
        model: with imported weights.
        path: ``.npz`` with ``values (windows, time, features)`` in raw units, ``answer`` of the network in raw units
            of the target (or probabilities), and where windows are padded ``lengths (windows,)``.

    Raises:
        ModelError: arrays are missing or do not fit the model, or the answers differ by more than ``LIMIT``.
    """
    stored = read_weights(path)
    inputs = _inputs(model, stored, path)
    answers = np.asarray(model(inputs, training=False), np.float64)
    expected = _reshaped(np.asarray(stored["answer"], np.float64), answers.shape, path)
    if len(answers.shape) == 3 and "lengths" in inputs and model.outputs[0].shape[1] is None:  # an answer at every step
        real = np.arange(answers.shape[1]) < inputs["lengths"][:, None]
        answers, expected = answers[real], expected[real]
    differences = np.abs(answers - expected)
    deviation = max((max(layer.deviation) for layer in model.layers if isinstance(layer, Rescale)), default=1.0)
    slack = ROUNDING * float(np.abs(expected).max(initial=0.0)) / deviation
    largest = float(np.where(np.isfinite(differences), differences, np.inf).max(initial=0.0)) / deviation
    parity = Parity(len(inputs["values"]), largest, float(differences.mean()) / deviation, LIMIT + slack)
    if not parity.passed:
        unit = "" if deviation == 1.0 else " deviations of the target"
        raise ModelError(
            f"The imported model differs from the answers in '{path}' by up to {largest:.3g}{unit} (allowed: "
            f"{parity.limit:.3g}), so nothing was written. The weights fit by shape, so look at what shapes do not "
            "show: the scaler of inputs and targets, activations, pooling, positions, the order of equal layers "
            "(docs/migrate_pytorch.md)."
        )
    return parity


def _inputs(model: keras.Model, stored: Weights, path: str | Path) -> dict[str, Any]:
    missing = [name for name in ("values", "answer") if name not in stored]
    if missing:
        raise ModelError(f"'{path}' lacks {', '.join(missing)}; it holds {', '.join(stored)}. Expected values, answer.")
    values = np.asarray(stored["values"], np.float32)
    features = next(tensor.shape[-1] for tensor in model.inputs if tensor.name == "values")
    if values.ndim != 3 or values.shape[2] != features or not len(values):
        raise ModelError(f"'values' in '{path}' is {values.shape}; expected (windows, time, {features}).")
    lengths = np.asarray(stored.get("lengths", np.full(len(values), values.shape[1])), np.int32)
    if lengths.shape != (len(values),):
        raise ModelError(f"'lengths' in '{path}' is {lengths.shape}; expected ({len(values)},).")
    if any(tensor.name == "lengths" for tensor in model.inputs):
        return {"values": values, "lengths": lengths}
    if (lengths != values.shape[1]).any():
        raise ModelError(f"'{path}' holds padded windows, but the windows of the configuration all have one length.")
    return {"values": values}


def _reshaped(answer: np.ndarray, shape: tuple[int, ...], path: str | Path) -> np.ndarray:
    """Axes of one entry may be left out."""
    if [n for n in answer.shape if n != 1] != [n for n in shape if n != 1]:
        raise ModelError(f"'answer' in '{path}' is {answer.shape}, the model's answer is {shape}.")
    return answer.reshape(shape)
