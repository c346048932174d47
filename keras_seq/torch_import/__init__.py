"""Weights of a PyTorch network into a model of keras_seq, without PyTorch.

Importing this package imports neither TensorFlow nor numpy; its public names load what they need when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    "import_weights": "keras_seq.torch_import.importing",
    "Imported": "keras_seq.torch_import.importing",
    "read_weights": "keras_seq.torch_import.read",
    "read_map": "keras_seq.torch_import.mapping",
    "scaled_as": "keras_seq.torch_import.mapping",
    "check_answers": "keras_seq.torch_import.check",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'keras_seq.torch_import' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)
