"""Sequence models: one file per family, one registry, one assembler.

Importing this package does not import TensorFlow; its public names load it when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    "register": "keras_seq.models.registry",
    "families": "keras_seq.models.registry",
    "resolve": "keras_seq.models.registry",
    "build_model": "keras_seq.models.build",
    "last_step": "keras_seq.models.views",
    "plain_twin": "keras_seq.models.views",
    "get_attention_weights": "keras_seq.models.inspect",
    "layer_outputs": "keras_seq.models.inspect",
    "freeze": "keras_seq.models.inspect",
    "warm_start": "keras_seq.models.inspect",
    "parameter_count": "keras_seq.models.inspect",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'keras_seq.models' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)
