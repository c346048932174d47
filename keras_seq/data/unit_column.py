"""Columns that say one thing of a whole unit: where one of them changes within a unit all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def first_change(values: NDArray[Any], offsets: NDArray[np.int64]) -> tuple[int, int] | None:
    """Row and unit of the first value that is not its unit's first one; None: every unit has one value.

    Args:
        values: ``(rows,)``, rows by unit.
        offsets: of the units ``(units + 1,)``.
    """
    differs = values != np.repeat(values[offsets[:-1]], np.diff(offsets))
    if not differs.any():
        return None
    row = int(np.argmax(differs))
    return row, int(np.searchsorted(offsets, row, side="right")) - 1
