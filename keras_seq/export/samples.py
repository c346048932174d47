"""Real windows of the data a bundle was trained on: for parity, int8 ranges and warm-up requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_seq.bundle import Bundle
from keras_seq.data.spec import DataSpec

if TYPE_CHECKING:
    from keras_seq.data.series import Series
    from keras_seq.data.windows import WindowIndex

SAMPLES = 64  # windows that show the ranges for int8
PROOF = 32  # real test windows that every format and canary answers


def sample_windows(bundle: Bundle, *, part: str = "train", count: int = SAMPLES) -> dict[str, np.ndarray]:
    """Windows spread evenly over a part of the bundle's own data.

    Args:
        bundle: names the data and their split.
        part: "train", "validation" or "test".
        count: at most so many.

    Returns:
        ``values (n, time, features)`` float32, raw units, zeros at padding, and for a bundle of variable length
        ``lengths (n,)`` int32.

    Raises:
        DataError: the data are missing, or differ from those the bundle was trained on.
    """
    chosen = spread(bundle.prepared.index[part], count)
    return window_arrays(bundle.prepared.series, bundle.spec, chosen.start, chosen.length)


def spread(index: WindowIndex, count: int) -> WindowIndex:
    """At most ``count`` windows, evenly over all of them."""
    return index.take(np.unique(np.linspace(0, len(index) - 1, count).astype(np.int64)))


def window_arrays(series: Series, spec: DataSpec, start: np.ndarray, length: np.ndarray) -> dict[str, np.ndarray]:
    """Windows as a client sends them, those longer than the model's window cut at their beginning.

    Args:
        series: holds the rows.
        spec: of the model.
        start: first row of each window.
        length: its rows.

    Returns:
        As ``sample_windows``.
    """
    values = np.zeros((len(start), spec.time, len(spec.features)), np.float32)
    lengths = np.minimum(length, spec.time).astype(np.int32)
    for row, begin, steps, real in zip(values, start, length, lengths, strict=True):
        row[:real] = series.values[begin + steps - real : begin + steps]
    return {"values": values, "lengths": lengths} if spec.variable_length else {"values": values}
