"""Units of one kind and of very unlike size: a season of eight steps on a level, times 1 to 100,000."""

from __future__ import annotations

import numpy as np

from keras_seq.data.series import Column, Schema, Series, build_series

SIZES = (1.0, 30.0, 1000.0, 30_000.0, 100_000.0)


def unlike_units(rows: int = 160, *, sizes: tuple[float, ...] = SIZES, odd: bool = False) -> Series:
    """A forecast of ``y``; ``odd``: beside them a constant unit, one of zeros and one with a single demand."""
    rng = np.random.default_rng(0)
    step = np.arange(rows)
    units = [
        size * (5 + 0.01 * step + np.sin(2 * np.pi * (step + 3 * k) / 8) + 0.1 * rng.normal(size=rows))
        for k, size in enumerate(sizes)
    ]
    if odd:
        units += [np.full(rows, 12.5), np.zeros(rows), np.where(step == rows // 3, 7.0, 0.0)]
    schema = Schema(name="unlike", task="forecast", columns=(Column(name="y"),), targets=("y",))
    values = [unit[:, None].astype(np.float32) for unit in units]
    return build_series(schema, values, [unit.copy() for unit in values])
