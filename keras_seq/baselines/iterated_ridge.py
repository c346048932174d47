"""Ridge regression by conjugate gradients, for more rows than a decomposition can take."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STEPS, ENOUGH = 200, 1e-5  # at most; length of the gradient as a share of that of nothing learnt


def solve_iterated(
    inputs: NDArray[np.float32], answers: Array, weights: Array, penalty: float, coefficients: Array, intercept: Array
) -> tuple[Array, Array]:
    """Conjugate gradients (Hestenes and Stiefel, 1952) from a guess, each output for itself.

    Args:
        inputs: ``(rows, columns)``.
        answers: ``(rows, outputs)``.
        weights: of rows, ``(rows,)``.
        penalty: of squared coefficients; the intercept has none.
        coefficients: the guess, ``(columns, outputs)``.
        intercept: the guess, ``(outputs,)``.

    Returns:
        Coefficients and intercept.
    """
    ridge = np.full((len(coefficients) + 1, 1), penalty)
    ridge[-1] = 0.0

    def curved(values: Array) -> Array:
        return _gathered(inputs, weights[:, None] * _times(inputs, values)) + ridge * values

    values = np.concatenate([coefficients, intercept[None]])
    wanted = _gathered(inputs, weights[:, None] * answers)
    residual = wanted - curved(values)
    way, size, enough = residual.copy(), (residual**2).sum(0), (wanted**2).sum(0) * ENOUGH**2
    for _ in range(STEPS):
        if (size <= enough).all():
            break
        bent = curved(way)
        length = size / np.maximum((way * bent).sum(0), 1e-30)
        values += length * way
        residual -= length * bent
        last, size = size, (residual**2).sum(0)
        way = residual + size / np.maximum(last, 1e-30) * way
    return values[:-1], values[-1]


def _times(inputs: NDArray[np.float32], values: Array) -> Array:
    """Answers ``(rows, outputs)``."""
    return (inputs @ values[:-1].astype(np.float32)).astype(np.float64) + values[-1]


def _gathered(inputs: NDArray[np.float32], answers: NDArray[Any]) -> Array:
    """Sums over rows of inputs times answers, and of answers, ``(columns + 1, outputs)``."""
    sums = (inputs.T @ answers.astype(np.float32)).astype(np.float64)
    return np.concatenate([sums, answers.sum(0, keepdims=True)])
