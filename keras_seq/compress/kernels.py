"""Which weights of a model can be compressed, and how sparse, shared and large they are.

Kernels are the matrices of dense, convolution, recurrent and attention layers: nearly all weights of a network.
Biases, scales of normalisations, position tables and the scoring of attention pooling stay as they are.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_seq.models.attention import SelfAttention

LEAST = 256  # weights of a layer: below, nothing is gained and most is lost


def kernels_of(layer: keras.layers.Layer) -> list[Any]:
    """The kernel variables of a layer, in the order of its weights; empty if it cannot be compressed."""
    if isinstance(layer, SelfAttention):
        inner = layer.attention
        return [part.kernel for part in (inner.query_dense, inner.key_dense, inner.value_dense, inner.output_dense)]
    if isinstance(layer, (keras.layers.LSTM, keras.layers.GRU)):
        return [layer.cell.kernel, layer.cell.recurrent_kernel]
    if isinstance(layer, (keras.layers.Dense, keras.layers.Conv1D)):
        return [layer.kernel]
    return []


def compressible(model: keras.Model) -> dict[str, list[Any]]:
    """Kernels by layer, for layers of at least ``LEAST`` kernel weights, in model order."""
    by_layer = {layer.name: kernels_of(layer) for layer in model.layers}
    return {name: kernels for name, kernels in by_layer.items() if sum(map(_size, kernels)) >= LEAST}


def sparsity(model: keras.Model) -> dict[str, float]:
    """Share of zeros among the kernel weights of each compressible layer."""
    return {
        name: float(np.mean(np.concatenate([np.ravel(kernel.numpy()) for kernel in kernels]) == 0))
        for name, kernels in compressible(model).items()
    }


def total_sparsity(model: keras.Model) -> float:
    """Share of zeros among all compressible kernel weights."""
    weights = [np.ravel(kernel.numpy()) for kernels in compressible(model).values() for kernel in kernels]
    return float(np.mean(np.concatenate(weights) == 0))


def distinct(model: keras.Model) -> dict[str, int]:
    """Most distinct values in one kernel, by compressible layer."""
    return {
        name: max(len(np.unique(kernel.numpy())) for kernel in kernels) for name, kernels in compressible(model).items()
    }


def weight_sizes(model: keras.Model) -> dict[str, int]:
    """Bytes of all weights as float32, plain and gzipped."""
    plain = b"".join(np.asarray(value, np.float32).tobytes() for value in model.get_weights())
    return {"raw": len(plain), "gzip": len(gzip.compress(plain, 9, mtime=0))}


def file_sizes(path: Path) -> dict[str, int]:
    """Bytes of a file, plain and gzipped."""
    content = path.read_bytes()
    return {"raw": len(content), "gzip": len(gzip.compress(content, 9, mtime=0))}


def _size(variable: keras.Variable) -> int:
    return int(np.prod(variable.shape))
