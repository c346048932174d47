"""What a file says it takes, and the checks of what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_seq.errors import DataError, ModelError, nearest

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
Float = NDArray[np.float32]
Int = NDArray[np.int32]


@dataclass(frozen=True)
class Contract:
    """The inputs of a file.

    Attributes:
        features: names in the order of the feature axis.
        time: window length, or the longest sequence (steps).
        variable_length: sequences may be shorter.
        missing: which features may hold missing values (NaN or infinite), ``(features,)``.
        described: all that the file says of itself.
    """

    features: tuple[str, ...]
    time: int
    variable_length: bool
    missing: NDArray[np.bool_]
    described: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def gaps_allowed(self) -> bool:
        """Every feature may hold missing values."""
        return bool(self.missing.all())

    @classmethod
    def of(cls, described: dict[str, Any], path: str | Path) -> Contract:
        """The contract that a file's text describes.

        Raises:
            ModelError: the text is of a newer format or incomplete.
        """
        if described.get("format", 0) > FORMAT:
            raise ModelError(
                f"'{path}' has format {described['format']}, this keras_seq reads up to {FORMAT}; install a newer one."
            )
        try:
            return cls(
                features=tuple(feature["name"] for feature in described["features"]),
                time=int(described["time"]),
                variable_length=bool(described["variable_length"]),
                missing=np.array([feature["missing"] for feature in described["features"]], bool),
                described=described,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"The metadata of '{path}' is incomplete ({error}); export the bundle again.") from None

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse columns that are not the features in their order.

        Raises:
            DataError: names what is unknown, missing or at the wrong place.
        """
        columns = tuple(str(name) for name in names)
        if columns == self.features:
            return
        for name in columns:
            if name not in self.features:
                raise DataError(f"Feature '{name}' is not one the model takes{nearest(name, self.features)}")
        absent = [name for name in self.features if name not in columns]
        if absent:
            raise DataError(f"Feature '{absent[0]}' is missing; the model takes {', '.join(self.features)}.")
        if len(columns) != len(self.features):
            raise DataError(
                f"Features are named twice: {', '.join(columns)}; the model takes {', '.join(self.features)}."
            )
        raise DataError(
            f"Features are in the order {', '.join(columns)}, but the model takes {', '.join(self.features)}; "
            "reorder the last axis of the values."
        )

    def check(self, values: ArrayLike, lengths: ArrayLike | None = None) -> tuple[Float, Int]:
        """Values ``(batch, time, features)`` and lengths ``(batch,)`` as the model takes them.

        Args:
            values: ``(batch, time, features)``, or a list of ``(time, features)`` of different lengths.
            lengths: real steps of each row; None: all of them.

        Raises:
            DataError: wrong shape, feature count, length or a missing value where none is allowed.
        """
        array, real = self._joined(values) if isinstance(values, (list, tuple)) else (_floats(values, "values"), None)
        if array.ndim != 3 or array.shape[2] != len(self.features):
            raise DataError(
                f"values has shape {array.shape}, expected (batch, time, {len(self.features)}) with the features "
                f"{', '.join(self.features)}."
            )
        if not array.shape[0] or not array.shape[1]:
            raise DataError(f"values has shape {array.shape}: there is nothing to predict from.")
        if real is not None and lengths is not None:
            raise DataError("lengths was given beside a list of sequences, which have their own lengths; leave it out.")
        real = self._lengths(array, lengths if real is None else real)
        self._check_finite(array, real)
        return array, real

    def _joined(self, sequences: Sequence[Any]) -> tuple[Float, Int]:
        parts = [_floats(part, f"values[{i}]") for i, part in enumerate(sequences)]
        for i, part in enumerate(parts):
            if part.ndim != 2 or part.shape[1] != len(self.features):
                raise DataError(
                    f"values[{i}] has shape {part.shape}, expected (time, {len(self.features)}) with the features "
                    f"{', '.join(self.features)}."
                )
        real = np.array([len(part) for part in parts], np.int32)
        joined = np.zeros((len(parts), max(real, default=0), len(self.features)), np.float32)
        for row, part in zip(joined, parts, strict=True):
            row[: len(part)] = part
        return joined, real

    def _lengths(self, values: Float, lengths: ArrayLike | None) -> Int:
        batch, steps = values.shape[:2]
        if lengths is None:
            self._check_steps(steps, steps)
            return np.full(batch, steps, np.int32)
        real = np.asarray(lengths)
        if real.shape != (batch,) or real.dtype.kind not in "iu":
            raise DataError(
                f"lengths has shape {real.shape} and type {real.dtype}, expected whole numbers ({batch},): "
                "the real steps of every row of values."
            )
        longest, shortest = int(real.max()), int(real.min())
        if shortest < 0 or longest > steps:
            raise DataError(
                f"lengths holds {shortest if shortest < 0 else longest}, but values has {steps} steps; give numbers "
                f"from 0 to {steps}."
            )
        self._check_steps(longest, shortest)
        return real.astype(np.int32, copy=False)

    def _check_steps(self, longest: int, shortest: int) -> None:
        if longest > self.time:
            raise DataError(
                f"A sequence has {longest} steps, but the model's window has {self.time}; give the last {self.time}."
            )
        if not self.variable_length and shortest != self.time:
            raise DataError(f"A window has {shortest} steps, but the model takes windows of exactly {self.time}.")

    def _check_finite(self, values: Float, lengths: Int) -> None:
        if self.gaps_allowed or np.isfinite(values).all():
            return
        real = np.arange(values.shape[1]) < lengths[:, None]
        bad = ~np.isfinite(values) & real[:, :, None] & ~self.missing
        if bad.any():
            row, step, feature = (int(axis[0]) for axis in np.nonzero(bad))
            raise DataError(
                f"values[{row}, {step}] of feature '{self.features[feature]}' is {values[row, step, feature]} "
                f"({int(bad.sum())} such values), but the model's schema allows no missing value there; fill it first."
            )


def _floats(values: ArrayLike, name: str) -> Float:
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError):
        raise DataError(f"{name} is not an array of numbers; give float32 in raw physical units.") from None
