"""History channels of trees and ridge where ``model.history`` is left open."""

from __future__ import annotations

from typing import Any

HISTORY: dict[str, Any] = {
    "ewm": [0.9, 0.7],
    "running_mean": True,
    "baseline": 20,
    "means": [5, 30],
    "elapsed": 100.0,
}
VARIANTS: dict[str, dict[str, Any]] = {"standard": {"history": HISTORY}}
