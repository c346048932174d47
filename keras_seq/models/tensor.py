"""Types of what flows through a model; imports nothing."""

from __future__ import annotations

from typing import Any, TypeAlias, TypedDict

Tensor: TypeAlias = Any  # Keras has no static tensor type: symbolic while a model is built, eager or of a graph later
Shape: TypeAlias = tuple[Any, ...]  # int, or None where the size is free


class LayerOptions(TypedDict, total=False):
    """Keyword arguments of every Keras layer."""

    name: str
    dtype: Any
    trainable: bool
