"""Units in the order of the input: what is known of each, and the refusal of rows that cannot be streamed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import DataError

SORTED = "The input is streamed and must be sorted by unit, then time, without duplicates"
SORT = "(files of a folder go by their names). Sort it ('python -m keras_seq.data check' gives the full report)"


class UnitList:
    """Grows by rows that follow one another: those of a chunk, or of a shard.

    Args:
        timed: rows have times, which must rise; else steps are counted.

    Attributes:
        names: of the units.
        rows: of each.
        groups: of each.
        times: first and last of each.
        targets: first known ones of each, ``(targets,)``.
        constant: every unit has one target so far.
    """

    def __init__(self, *, timed: bool) -> None:
        self.timed = timed
        self.names: dict[str, None] = {}
        self.rows: list[int] = []
        self.groups: list[str] = []
        self.times: list[tuple[Any, Any]] = []
        self.targets: list[NDArray[np.float32]] = []
        self.constant = True

    @property
    def last(self) -> str | None:
        """The unit whose rows may go on."""
        return next(reversed(self.names), None)

    def add(
        self, unit: str, group: str, rows: int, times: Sequence[Any], target: NDArray[np.float32], where: str
    ) -> bool:
        """Take in rows of a unit.

        Args:
            unit: of the rows.
            group: of the unit.
            rows: how many.
            times: first and last of them, rising.
            target: first known ones of them.
            where: they begin, for messages.

        Returns:
            Whether the unit is a new one.

        Raises:
            DataError: its earlier rows are not the ones just before, its time does not rise, or its group changes.
        """
        begins = unit != self.last
        if begins and unit in self.names:
            raise DataError(
                f"The rows of unit '{unit}' are not together ({where} there are more of them). {SORTED} {SORT}; a file "
                "that fits into memory can be read unsorted with data.cache=true."
            )
        if begins:
            self.names[unit] = None
            self.rows.append(rows)
            self.groups.append(group)
            self.times.append((times[0], times[1]))
            self.targets.append(target)
            return True
        first, last = self.times[-1]
        if self.timed and not times[0] > last:
            raise not_rising(unit, times[0], last, where)
        if group != self.groups[-1]:
            raise DataError(
                f"Unit '{unit}' belongs to group '{self.groups[-1]}' and, {where}, to group '{group}'; a unit has one "
                "group."
            )
        before = self.targets[-1]
        self.rows[-1] += rows
        self.times[-1] = first, times[1]
        self.constant &= bool(((target == before) | np.isnan(target) | np.isnan(before)).all())
        self.targets[-1] = np.where(np.isfinite(before), before, target)
        return False


def not_rising(unit: str, time: Any, before: Any, where: str) -> DataError:
    """The error for a time that does not follow the one before."""
    return DataError(f"Time does not rise in unit '{unit}': {time} follows {before}, {where}. {SORTED} {SORT}.")
