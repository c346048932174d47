"""Answers in constant time a step: the step graph in ONNX Runtime, the state of every unit held here.

::

    from keras_seq.runtime import Stepper

    stepper = Stepper("step.onnx")
    stepper.step(row, unit="engine 7")     # (features,), raw units
    stepper.forget("engine 7")             # its next row is its first again
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from keras_seq.errors import DataError, ModelError
from keras_seq.runtime.contract import Contract
from keras_seq.runtime.engines import OnnxEngine
from keras_seq.runtime.predictor import check_digest

Arrays = dict[str, np.ndarray]


class Stepper:
    """A loaded step graph and the states of the units it has met.

    Not safe for several threads at once: a unit's rows must come one after another anyway.

    Args:
        path: ``step.onnx`` of an exported version.
        threads: of one call.

    Attributes:
        contract: what a row holds; ``contract.described`` is all that the file says of itself.

    Raises:
        ModelError: no such file, not a step graph, or changed since it was written.
    """

    def __init__(self, path: str | Path, *, threads: int = 1) -> None:
        path = Path(path)
        if not path.is_file():
            raise ModelError(f"There is no file '{path}'.")
        check_digest(path)
        engine = OnnxEngine(path, threads)
        if engine.described.get("kind") != "onnx-step":
            raise ModelError(
                f"'{path}' answers for whole windows, not step by step; give the step.onnx of an export, or open it "
                "with keras_seq.runtime.load."
            )
        self.contract = Contract.of(engine.described, path)
        self._session, self._outputs = engine.session, engine.outputs
        self._shapes = {name: tuple(shape) for name, shape in engine.described["state"].items()}
        self._states: dict[Hashable, Arrays] = {}

    @property
    def units(self) -> tuple[Hashable, ...]:
        """Units that have a state, in the order of their first row."""
        return tuple(self._states)

    def step(self, values: ArrayLike, unit: Hashable = 0) -> Arrays:
        """Answers for a unit's next row.

        Args:
            values: ``(features,)``, raw units, NaN where missing.
            unit: whose row it is; an unknown one starts from zeros.

        Returns:
            Answers by name, without the batch axis.

        Raises:
            DataError: wrong number of features, or a missing value where none is allowed.
        """
        answers = self.step_many(np.asarray([values], np.float32), [unit])
        return {name: value[0] for name, value in answers.items()}

    def step_many(self, values: ArrayLike, units: Sequence[Hashable]) -> Arrays:
        """Answers ``(batch, ...)`` for the next rows of several units, ``values (batch, features)``.

        Raises:
            DataError: as ``step``; or a unit is named twice: its rows must come one after another.
        """
        rows = self._checked(values, units)
        states = [self._states.get(unit) or self._zeros() for unit in units]
        if len(states) == 1:
            given = states[0]
        else:
            given = {name: np.concatenate([state[name] for state in states]) for name in self._shapes}
        answers = dict(zip(self._outputs, self._session.run(self._outputs, {"values": rows, **given}), strict=True))
        after = {name: answers.pop(f"next_{name}") for name in self._shapes}
        for row, unit in enumerate(units):
            self._states[unit] = {name: value[row : row + 1] for name, value in after.items()}
        return answers

    def forget(self, unit: Hashable) -> None:
        """Drop a unit's state; its next row is its first. An unknown unit is no error."""
        self._states.pop(unit, None)

    def reset(self) -> None:
        """Drop all states."""
        self._states.clear()

    def _zeros(self) -> Arrays:
        return {name: np.zeros((1, *shape), np.float32) for name, shape in self._shapes.items()}

    def _checked(self, values: ArrayLike, units: Sequence[Hashable]) -> np.ndarray:
        rows, names = np.asarray(values, np.float32), self.contract.features
        if rows.ndim != 2 or rows.shape[1] != len(names) or not len(rows):
            raise DataError(
                f"A step has values of shape {rows.shape[1:]}, expected ({len(names)},): {', '.join(names)}."
            )
        if len(units) != len(rows) or len(set(units)) != len(units):
            raise DataError(
                f"step_many got {len(rows)} rows and {len(set(units))} different units; give each unit one row a call."
            )
        if not self.contract.gaps_allowed:
            bad = ~np.isfinite(rows) & ~self.contract.missing
            if bad.any():
                row, feature = (int(axis[0]) for axis in np.nonzero(bad))
                raise DataError(
                    f"Feature '{names[feature]}' of unit {units[row]!r} is {rows[row, feature]}, but the model's "
                    "schema allows no missing value there; fill it first."
                )
        return rows
