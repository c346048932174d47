"""Tensors in PyTorch's layout to the weights of the Keras layer, numpy to numpy.

Equations from docs.pytorch.org (LSTM, GRU, Linear, Conv1d, MultiheadAttention) and from the sources of Keras:

- LSTM: both order their gates input, forget, cell, output; PyTorch adds two biases, Keras has their sum.
- GRU: PyTorch orders reset, update, new; Keras update, reset, new. With ``reset_after`` (the default) both apply the
  reset gate after the product with its bias, so Keras keeps both biases too, as ``(2, 3 * units)``.
- Linear ``(out, in)`` is transposed; Conv1d ``(out, in, steps)`` becomes ``(steps, in, out)``.
- MultiheadAttention stacks query, key and value in ``in_proj``; each head takes neighbouring rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = Mapping[str, Array]


def lstm(given: Tensors, end: str = "") -> list[Array]:
    """Kernel ``(in, 4 * units)``, recurrent kernel ``(units, 4 * units)``, bias ``(4 * units,)``."""
    return [given["weight_ih" + end].T, given["weight_hh" + end].T, _bias(given, "ih", end) + _bias(given, "hh", end)]


def gru(given: Tensors, end: str = "") -> list[Array]:
    """Kernel ``(in, 3 * units)``, recurrent kernel ``(units, 3 * units)``, bias ``(2, 3 * units)``."""
    bias = np.stack([_update_first(_bias(given, side, end)) for side in ("ih", "hh")])
    return [_update_first(given["weight_ih" + end]).T, _update_first(given["weight_hh" + end]).T, bias]


def linear(given: Tensors) -> list[Array]:
    """Kernel ``(in, out)``, bias ``(out,)``."""
    return [given["weight"].T, given.get("bias", _zeros(given["weight"]))]


def conv(given: Tensors) -> list[Array]:
    """Kernel ``(steps, in, out)``, bias ``(out,)``."""
    return [given["weight"].transpose(2, 1, 0), given.get("bias", _zeros(given["weight"]))]


def batch_norm(given: Tensors) -> list[Array]:
    """Gamma, beta, moving mean and variance; an affine part that is not there is none."""
    mean = given["running_mean"]
    return [given.get("weight", np.ones_like(mean)), given.get("bias", np.zeros_like(mean)), mean, given["running_var"]]


def layer_norm(given: Tensors) -> list[Array]:
    """Gamma and beta."""
    return [given["weight"], given.get("bias", np.zeros_like(given["weight"]))]


def attention(given: Tensors, heads: int) -> list[Array]:
    """Kernel ``(width, heads, size)`` and bias ``(heads, size)`` of query, key, value; then those of the output.

    The output's are ``(heads, size, width)`` and ``(width,)``.
    """
    out = given["out_proj.weight"]
    width = len(out)
    kernels = np.split(given["in_proj_weight"], 3)
    biases = np.split(given.get("in_proj_bias", np.zeros(3 * width, np.float32)), 3)
    arrays = []
    for kernel, bias in zip(kernels, biases, strict=True):
        arrays += [kernel.T.reshape(width, heads, -1), bias.reshape(heads, -1)]
    return [*arrays, out.T.reshape(heads, -1, width), given.get("out_proj.bias", _zeros(out))]


def to_keras(kind: str, given: Tensors, heads: int = 1) -> list[Array]:
    """Weights of the Keras layer of ``kind`` (see ``torch_modules.NAMES``), in the order of its variables."""
    if kind == "attention":
        return attention(given, heads)
    return _BY_KIND[kind](given)


_BY_KIND: dict[str, Callable[[Tensors], list[Array]]] = {
    "lstm": lstm,
    "gru": gru,
    "bilstm": lambda given: [*lstm(given), *lstm(given, "_reverse")],
    "bigru": lambda given: [*gru(given), *gru(given, "_reverse")],
    "linear": linear,
    "conv": conv,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "table": lambda given: [given["weight"]],
}


def _update_first(gates: Array) -> Array:
    reset, update, new = np.split(gates, 3)
    return np.concatenate([update, reset, new])


def _bias(given: Tensors, side: str, end: str) -> Array:
    return given.get(f"bias_{side}{end}", _zeros(given["weight_hh" + end]))


def _zeros(weight: Array) -> Array:
    return np.zeros(len(weight), np.float32)
