"""``Series``: units of rows in memory, and the ``Schema`` that names them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keras_seq.config import ConfigSection, TaskName
from keras_seq.data.calendar import Calendar
from keras_seq.data.reading.companion import StaticTable
from keras_seq.data.reading.reading import Reading
from keras_seq.data.row_rules import RowRules
from keras_seq.tasks import classifies

Float = NDArray[np.float32]
Int = NDArray[np.int64]


class Column(ConfigSection):
    """One input column: what it measures and what is allowed in it."""

    name: str
    kind: Literal["feature", "condition", "category"] = "feature"  # condition: also tells the operating condition
    unit: str = ""  # physical unit, for plots and messages
    minimum: float | None = None
    maximum: float | None = None
    missing: bool = Field(False, description="may hold missing values")
    vocabulary: tuple[str, ...] = Field((), description="words of the codes 1, 2, ... of a category; 0: other")
    known_ahead: bool = Field(False, description="tells of later steps what is known before they come (a calendar)")


class Schema(ConfigSection):
    """What the columns of a data set mean; travels in the bundle as ``schema.json``."""

    name: str
    task: TaskName
    columns: tuple[Column, ...]
    targets: tuple[str, ...]
    target_unit: str = ""
    target_per: Literal["step", "unit"] = "step"
    classes: tuple[str, ...] = ()  # multiclass / binary: label texts by class number
    unit_column: str | None = None
    group_column: str | None = None
    time_column: str | None = None
    calendar: Calendar | None = None  # the rule of the stamps, as training read it off
    history: int | Literal["unit"] | None = None  # rows before a window that its covariates read; None: not kept
    static: StaticTable | None = None  # from which some columns are joined by unit
    row_rules: RowRules | None = None  # how doubled stamps are merged and rows resampled; None: the usual ones
    reading: Reading | None = None  # how the table was read; None: a source of the project, or an older bundle

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the input columns in the order of the feature axis."""
        return tuple(column.name for column in self.columns)

    @property
    def classifies(self) -> bool:
        """Whether the targets are classes."""
        return classifies(self.task)

    @property
    def condition_indices(self) -> tuple[int, ...]:
        """Positions on the feature axis of the columns that tell the operating condition."""
        return tuple(i for i, column in enumerate(self.columns) if column.kind == "condition")

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Words of the columns of categories, by name."""
        return {column.name: column.vocabulary for column in self.columns if column.kind == "category"}


@dataclass(frozen=True)
class Series:
    """A data set: rows sorted by unit, then time.

    Attributes:
        schema: names and meaning of the columns.
        values: float32 ``(rows, features)``, raw physical units, NaN where missing.
        targets: float32 ``(rows, targets)`` if ``schema.target_per == "step"``, else
            ``(units, targets)``; class numbers for binary and multiclass.
        offsets: int64 ``(units + 1,)``; unit ``u`` is rows ``offsets[u]:offsets[u + 1]``.
        unit_ids: text ``(units,)``.
        groups: text ``(units,)``; units of one group are never split.
        time: ``(rows,)`` float64 or datetime64, for reports and splits by time.
        official: text ``(units,)``: "train" or "test" where the data come with a split, else "".
        info: facts of the source for reports (Bayes ceiling, origin, ...); JSON-able.
        truth: arrays per unit that no model sees (e.g. the generator's defect probability, which units are censored).
        bounds: float32 ``(rows, targets)`` where units are censored: the least their targets can be, else NaN.
    """

    schema: Schema
    values: Float
    targets: Float
    offsets: Int
    unit_ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    time: NDArray[Any]
    official: NDArray[np.str_]
    info: dict[str, Any] = field(default_factory=dict)
    truth: dict[str, NDArray[Any]] = field(default_factory=dict)
    bounds: Float | None = None

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int:
        """Rows of each unit, ``(units,)``."""
        return np.diff(self.offsets)

    def unit_values(self, unit: int) -> Float:
        """Rows of one unit, ``(time, features)``; a view."""
        return self.values[self.offsets[unit] : self.offsets[unit + 1]]

    def unit_labels(self) -> Float:
        """First target of each unit, ``(units,)``: its label, or its last row's target."""
        return self.targets[:, 0] if self.schema.target_per == "unit" else self.targets[self.offsets[1:] - 1, 0]

    def fingerprint(self) -> str:
        """sha256 over values, targets, offsets and unit ids: equal data, equal text."""
        bounds = () if self.bounds is None else (self.bounds,)
        return self._digest(self.values, self.targets, self.offsets, *bounds)

    def content(self) -> str:
        """sha256 over all that a result hangs on: ``fingerprint``, groups, shipped parts and, in memory, the stamps."""
        digest = hashlib.sha256(self.fingerprint().encode())
        for names in (self.groups, self.official):
            digest.update("\n".join(names.tolist()).encode() + b"|")
        if isinstance(self.time, np.ndarray):
            digest.update(np.ascontiguousarray(self.time).tobytes())
        return digest.hexdigest()

    def target_fingerprint(self) -> str:
        """sha256 over targets, offsets and unit ids: equal truth, whatever the inputs; of rows on disk ``content``."""
        if not isinstance(self.targets, np.ndarray):
            return self.content()
        return self._digest(self.targets, self.offsets)

    def _digest(self, *arrays: NDArray[Any]) -> str:
        digest = hashlib.sha256("\n".join(self.unit_ids.tolist()).encode())
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def build_series(
    schema: Schema,
    units: Sequence[np.ndarray],
    targets: Sequence[np.ndarray] | np.ndarray,
    *,
    unit_ids: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    times: Sequence[np.ndarray] | None = None,
    official: Sequence[str] | None = None,
    info: dict[str, Any] | None = None,
    truth: dict[str, np.ndarray] | None = None,
) -> Series:
    """Join per-unit arrays ``(time, features)`` into a ``Series``.

    ``targets`` holds ``(time, targets)`` per unit if ``schema.target_per == "step"``, else one
    ``(units, targets)`` array.
    """
    lengths = np.array([len(unit) for unit in units], np.int64)
    ids = np.array([str(u) for u in (unit_ids if unit_ids is not None else range(len(units)))])
    joined = np.concatenate(list(targets)) if schema.target_per == "step" else np.asarray(targets)
    clocks = list(times) if times is not None else [np.arange(length, dtype=np.float64) for length in lengths]
    return Series(
        schema=schema,
        values=np.ascontiguousarray(np.concatenate(list(units)), np.float32),
        targets=np.ascontiguousarray(joined, np.float32).reshape(len(joined), -1),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        unit_ids=ids,
        groups=ids if groups is None else np.array([str(g) for g in groups]),
        time=np.concatenate(clocks),
        official=np.array([""] * len(ids)) if official is None else np.array(list(official)),
        info=info or {},
        truth=truth or {},
    )
