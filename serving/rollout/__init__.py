"""Rollout of versions: canary weights, shadow traffic, rollback. No TensorFlow.

::

    plan      the file: weights and shadows by model
    router    the version of a call, by the hash of its key
    shadow    the same call to another version, answers compared
    edit      change the file, a version policy or a base path, atomically
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.rollout.router import PlanRouter
    from serving.rollout.shadow import Shadow

_PLACES = {"PlanRouter": "router", "Shadow": "shadow"}
__all__ = ["PlanRouter", "Shadow"]


def __getattr__(name: str) -> Any:
    """Load a part when it is first named."""
    if name not in _PLACES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
