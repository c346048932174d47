"""Rows of a forecast as the peers' scripts take them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ForecastRows:
    """What ``leaderboard_rows.py`` writes: see there. ``y`` is the target's column, gaps filled forward."""

    values: np.ndarray
    y: np.ndarray
    offsets: np.ndarray
    end: np.ndarray
    origins: np.ndarray
    hours: np.ndarray
    meta: dict[str, Any]

    @property
    def horizon(self) -> int:
        return int(self.meta["horizon"])

    def unit(self, row: int) -> int:
        """Number of the unit of a row."""
        return int(np.searchsorted(self.offsets, row, side="right") - 1)

    def ahead(self, rows: np.ndarray) -> np.ndarray:
        """Columns known ahead ``(*rows.shape, columns)``, and hour, weekday and month where rows are dated."""
        known = np.array(self.meta["known"], int)
        columns = [self.values[np.minimum(rows, len(self.values) - 1)][..., known]]
        if self.meta["dated"]:
            hours = self.hours[np.minimum(rows, len(self.hours) - 1)]
            month = (hours // 24 // 30.4375) % 12
            columns += [np.stack([hours % 24, (hours // 24 + 4) % 7, month], axis=-1)]
        return np.nan_to_num(np.concatenate(columns, axis=-1)).astype(np.float32)


def read(path: str) -> ForecastRows:
    """Read a rows file."""
    with np.load(path) as rows:
        meta = json.loads(str(rows["meta"]))
        y = rows["values"][:, meta["target"]].astype(np.float64)
        for low, high in zip(rows["offsets"][:-1], rows["offsets"][1:], strict=True):
            part = y[low:high]
            known = np.maximum.accumulate(np.where(np.isnan(part), 0, np.arange(len(part))))
            y[low:high] = np.nan_to_num(part[known])
        return ForecastRows(rows["values"], y, rows["offsets"], rows["end"], rows["origins"], rows["hours"], meta)


def history(rows: ForecastRows, origin: int, most: int) -> np.ndarray:
    """At most ``most`` values of the target up to and including the origin."""
    return rows.y[max(rows.offsets[rows.unit(origin)], origin + 1 - most) : origin + 1]
