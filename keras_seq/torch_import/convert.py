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
State = Mapping[str, Array]  # tensors of a module by role


def lstm(state: State, end: str = "") -> list[Array]:
    """Kernel ``(in, 4 * units)``, recurrent kernel ``(units, 4 * units)``, bias ``(4 * units,)``."""
    return [state["weight_ih" + end].T, state["weight_hh" + end].T, _bias(state, "ih", end) + _bias(state, "hh", end)]


def gru(state: State, end: str = "") -> list[Array]:
    """Kernel ``(in, 3 * units)``, recurrent kernel ``(units, 3 * units)``, bias ``(2, 3 * units)``."""
    bias = np.stack([_update_first(_bias(state, side, end)) for side in ("ih", "hh")])
    return [_update_first(state["weight_ih" + end]).T, _update_first(state["weight_hh" + end]).T, bias]


def linear(state: State) -> list[Array]:
    """Kernel ``(in, out)``, bias ``(out,)``."""
    return [state["weight"].T, state.get("bias", _zeros(state["weight"]))]


def conv(state: State) -> list[Array]:
    """Kernel ``(steps, in, out)``, bias ``(out,)``."""
    return [state["weight"].transpose(2, 1, 0), state.get("bias", _zeros(state["weight"]))]


def batch_norm(state: State) -> list[Array]:
    """Gamma, beta, moving mean and variance; an affine part that is not there is none."""
    mean = state["running_mean"]
    return [state.get("weight", np.ones_like(mean)), state.get("bias", np.zeros_like(mean)), mean, state["running_var"]]


def layer_norm(state: State) -> list[Array]:
    """Gamma and beta."""
    return [state["weight"], state.get("bias", np.zeros_like(state["weight"]))]


def attention(state: State, heads: int) -> list[Array]:
    """Kernel ``(width, heads, size)`` and bias ``(heads, size)`` of query, key, value; then those of the output.

    The output's are ``(heads, size, width)`` and ``(width,)``.
    """
    out = state["out_proj.weight"]
    width = len(out)
    kernels = np.split(state["in_proj_weight"], 3)
    biases = np.split(state.get("in_proj_bias", np.zeros(3 * width, np.float32)), 3)
    arrays = []
    for kernel, bias in zip(kernels, biases, strict=True):
        arrays += [kernel.T.reshape(width, heads, -1), bias.reshape(heads, -1)]
    return [*arrays, out.T.reshape(heads, -1, width), state.get("out_proj.bias", _zeros(out))]


def to_keras(kind: str, state: State, heads: int = 1) -> list[Array]:
    """Weights of the Keras layer of ``kind`` (see ``torch_modules.NAMES``), in the order of its variables."""
    if kind == "attention":
        return attention(state, heads)
    return _BY_KIND[kind](state)


_BY_KIND: dict[str, Callable[[State], list[Array]]] = {
    "lstm": lstm,
    "gru": gru,
    "bilstm": lambda state: [*lstm(state), *lstm(state, "_reverse")],
    "bigru": lambda state: [*gru(state), *gru(state, "_reverse")],
    "linear": linear,
    "conv": conv,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "table": lambda state: [state["weight"]],
}


def _update_first(gates: Array) -> Array:
    reset, update, new = np.split(gates, 3)
    return np.concatenate([update, reset, new])


def _bias(state: State, side: str, end: str) -> Array:
    return state.get(f"bias_{side}{end}", _zeros(state["weight_hh" + end]))


def _zeros(weight: Array) -> Array:
    return np.zeros(len(weight), np.float32)
