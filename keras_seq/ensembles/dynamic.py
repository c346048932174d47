"""Dynamic ensemble weights by the members' recent errors, for forecasts whose truth arrives later."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_seq import files
from keras_seq.errors import ConfigError

Array = NDArray[np.float64]


class RecentErrors:
    """Online weights ``(1 / e_i) / sum_j (1 / e_j)`` from the last errors of each member.

    ``e_i`` is the mean squared error over the last ``memory`` truths, older ones counting ``decay`` times less a
    step (Bates & Granger 1969; Stock & Watson 2004 for the discount). Before the first truth weights are equal.
    The state is a few numbers and survives as JSON.

    Args:
        members: their names, in the order of predictions.
        memory: truths looked back on.
        decay: weight of an error relative to the one after it, in (0, 1].

    Raises:
        ConfigError: fewer than two members, or a memory or decay out of range.
    """

    def __init__(self, members: Sequence[str], *, memory: int = 8, decay: float = 1.0) -> None:
        if len(members) < 2:
            raise ConfigError(f"Dynamic weights need at least 2 members, got {len(members)}.")
        if memory < 1 or not 0 < decay <= 1:
            raise ConfigError(f"memory must be at least 1 and decay within (0, 1], got {memory} and {decay}.")
        self.members, self.memory, self.decay = tuple(members), memory, decay
        self._errors: deque[list[float]] = deque(maxlen=memory)

    def weights(self) -> Array:
        """Weights of now, ``(members,)``, summing to 1."""
        if not self._errors:
            return np.full(len(self.members), 1 / len(self.members))
        errors = np.asarray(self._errors, np.float64)
        discount = self.decay ** np.arange(len(errors) - 1, -1, -1)
        mean = discount @ errors / discount.sum()
        inverse = 1.0 / np.maximum(mean, 1e-12 * max(float(mean.max()), 1e-300))
        return inverse / inverse.sum()

    def combine(self, predictions: ArrayLike) -> Array:
        """The forecast of now from the members' ``(members, ...)``."""
        return np.tensordot(self.weights(), self._checked(predictions), axes=1)

    def observe(self, truth: ArrayLike, predictions: ArrayLike) -> None:
        """Learn what came, ``(...)``, beside what the members had forecast for it, ``(members, ...)``.

        A truth that is missing (NaN) teaches nothing.
        """
        error = self._checked(predictions) - np.asarray(truth, np.float64)
        if np.isfinite(error).all():
            self._errors.append((error**2).reshape(len(self.members), -1).mean(1).tolist())

    def save(self, path: str | Path) -> Path:
        """Write the state as JSON, atomically."""
        return files.write_json(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values."""
        return {
            "members": list(self.members),
            "memory": self.memory,
            "decay": self.decay,
            "errors": [list(row) for row in self._errors],
        }

    @classmethod
    def load(cls, path: str | Path) -> RecentErrors:
        """Read what ``save`` wrote.

        Raises:
            ConfigError: the file is not such a state.
        """
        try:
            return cls.from_dict(files.read_json(path))
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError(f"'{path}' holds no state of dynamic weights (members, memory, decay, errors).") from None

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> RecentErrors:
        """The state that ``to_dict`` gave."""
        errors = cls(state["members"], memory=int(state["memory"]), decay=float(state["decay"]))
        for row in state["errors"]:
            if len(row) != len(errors.members):
                raise ValueError("an error per member is needed")
            errors._errors.append([float(value) for value in row])
        return errors

    def _checked(self, predictions: ArrayLike) -> Array:
        table = np.asarray(predictions, np.float64)
        if len(table) != len(self.members):
            raise ConfigError(
                f"Predictions of {len(table)} members were given, expected those of {', '.join(self.members)}."
            )
        return table
