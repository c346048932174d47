"""Rows of a series that are looked at closely, and numbers as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.series import Series

MOST_ROWS = 20_000
BLOCK = 1000  # rows that follow one another in a thinned long unit


@dataclass(frozen=True)
class RowSample:
    """Some rows of a series: whole units, or blocks of long ones, evenly spread.

    Attributes:
        numbers: row numbers, rising, int64 ``(n,)``.
        offsets: where the units or blocks begin among them ``(blocks + 1,)``.
        whole: the blocks are whole units.
    """

    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]
    whole: bool


def thinned(offsets: NDArray[np.int64], most: int = MOST_ROWS) -> RowSample:
    """At most about ``most`` rows of units at ``offsets (units + 1,)``; all where they are few."""
    begins, lengths = offsets[:-1], np.diff(offsets)
    if lengths.sum() <= most:
        return RowSample(np.arange(offsets[0], offsets[-1]), offsets - offsets[0], True)
    whole = bool(lengths.max() <= max(BLOCK, most // 20))
    if not whole:  # cut long units into blocks
        pieces = [np.arange(a, a + n, BLOCK) for a, n in zip(begins.tolist(), lengths.tolist(), strict=True) if n]
        ends = [
            np.append(p[1:], a + n) for p, a, n in zip(pieces, begins[lengths > 0], lengths[lengths > 0], strict=True)
        ]
        begins = np.concatenate(pieces)
        lengths = np.concatenate(ends) - begins
    units = max(1, int(len(begins) * most / lengths.sum()))
    chosen = np.unique(np.linspace(0, len(begins) - 1, units).round().astype(np.int64))
    begins, lengths = begins[chosen], lengths[chosen]
    inner = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return RowSample(np.repeat(begins - inner[:-1], lengths) + np.arange(lengths.sum()), inner, whole)


def columns_of(series: Series, rows: NDArray[np.int64] | None = None) -> dict[str, NDArray[Any]]:
    """Input columns and number targets by name; of ``rows``, or of all."""
    values = series.values if rows is None else series.values[rows]
    columns = {name: values[:, j] for j, name in enumerate(series.schema.features)}
    if not series.schema.classifies:
        targets = np.asarray(
            series.targets if rows is None or series.schema.target_per == "unit" else series.targets[rows]
        )
        columns |= {name: targets[:, j] for j, name in enumerate(series.schema.targets) if name not in columns}
    return columns


def number(value: float) -> str:
    """A number in as few digits as tell its float32 value."""
    text = f"{value:.10g}" if abs(value) < 1e15 and value == np.floor(value) else str(np.float32(value))
    return text.removesuffix(".0") if np.isfinite(value) else "nothing"
