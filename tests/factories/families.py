"""Families of networks by what they can answer."""

from __future__ import annotations

from keras_seq.models.registry import forecasters, networks


def sequence_families() -> tuple[str, ...]:
    """Names of the networks that serve every task; the others do nothing but forecast."""
    return tuple(name for name in networks() if name not in forecasters())
