"""History channels of trees and ridge where ``model.history`` is left open."""

from __future__ import annotations

from typing import Any

# few and smooth: with a second EWM, running and moving means trees were worse on all four turbofan sets
HISTORY: dict[str, Any] = {"ewm": [0.9], "baseline": 20, "elapsed": 100.0}
VARIANTS: dict[str, dict[str, Any]] = {"standard": {"history": HISTORY}}
