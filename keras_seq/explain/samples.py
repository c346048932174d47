"""Windows to explain, cut from a bundle's own data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.data.windows import WindowIndex, window_targets
from keras_seq.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from keras_seq.data.prepare import Prepared


@dataclass(frozen=True)
class Samples:
    """Windows in raw units.

    Attributes:
        values: float32 ``(samples, time, features)``, NaN where missing, 0 at padding.
        lengths: int32 ``(samples,)``, real steps.
        names: of the samples.
        unit: unit number, int64 ``(samples,)``, -1 where unknown.
        row: absolute row of the last step, int64 ``(samples,)``, -1 where unknown.
        truth: ``(samples, ...)`` targets, NaN where unknown; None where nothing is known.
    """

    values: NDArray[np.float32]
    lengths: NDArray[np.int32]
    names: tuple[str, ...]
    unit: NDArray[np.int64]
    row: NDArray[np.int64]
    truth: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, numbers: NDArray[np.integer] | NDArray[np.bool_]) -> Samples:
        """Samples by number or mask."""
        return Samples(
            self.values[numbers],
            self.lengths[numbers],
            tuple(np.array(self.names, object)[numbers]),
            self.unit[numbers],
            self.row[numbers],
            None if self.truth is None else self.truth[numbers],
        )

    def prefix(self, steps: int) -> Samples:
        """The same samples as they were after ``steps`` steps (shorter ones unchanged)."""
        lengths = np.minimum(self.lengths, steps).astype(np.int32)
        values = np.where((np.arange(self.values.shape[1]) < lengths[:, None])[:, :, None], self.values, 0)
        return replace(self, values=values.astype(np.float32), lengths=lengths)


def from_arrays(
    values: ArrayLike, spec: DataSpec, lengths: ArrayLike | None = None, names: Sequence[str] = ()
) -> Samples:
    """Windows that a caller brings.

    Args:
        values: ``(samples, time, features)`` raw units.
        spec: of the model.
        lengths: real steps ``(samples,)``; None: all.
        names: of the samples.

    Raises:
        DataError: another number of features, samples longer than the window, or lengths beyond the values.
    """
    values = np.asarray(values, np.float32)
    if values.ndim != 3 or values.shape[2] != len(spec.features) or not len(values):
        raise DataError(
            f"Samples have shape {values.shape}; expected (samples, time, {len(spec.features)}) with the features "
            f"{', '.join(spec.features[:6])}{' ...' if len(spec.features) > 6 else ''}."
        )
    count = len(values)
    lengths = np.full(count, values.shape[1]) if lengths is None else np.asarray(lengths)
    lengths = lengths.astype(np.int32).reshape(count)
    if lengths.max() > values.shape[1] or lengths.min() < 0:
        raise DataError(f"'lengths' reach from {lengths.min()} to {lengths.max()}, but values hold {values.shape[1]}.")
    longest = int(lengths.max())
    if longest > spec.time or (not spec.variable_length and (lengths != spec.time).any()):
        expected = f"at most {spec.time}" if spec.variable_length else f"exactly {spec.time}"
        raise DataError(f"Samples have up to {longest} steps, but the model takes {expected}; cut them to their end.")
    values = values[:, : longest if spec.variable_length else spec.time]
    real = (np.arange(values.shape[1]) < lengths[:, None])[:, :, None]
    unknown = np.full(count, -1, np.int64)
    names = tuple(names) or tuple(f"sample {i}" for i in range(count))
    return Samples(np.where(real, values, 0).astype(np.float32), lengths, names, unknown, unknown)


def choose(prepared: Prepared, part: str, count: int, *, units: Sequence[str] = ()) -> Samples:
    """Windows spread evenly over a part, or the last window of each named unit.

    Raises:
        ConfigError: no such part, or a count below 1.
        DataError: a unit that the part does not hold.
    """
    if part not in prepared.index:
        raise ConfigError(f"Option '--part' is '{part}'; it can be {', '.join(prepared.index)}.")
    if count < 1:
        raise ConfigError(f"Option '--samples' is {count}; at least 1 sample is explained.")
    series, index = prepared.series, prepared.index[part]
    if units:
        numbers = _last_windows(series, index, units, part)
    else:
        numbers = np.unique(np.linspace(0, len(index) - 1, min(count, len(index))).round().astype(np.int64))
    return cut(series, index.take(numbers), prepared.spec)


def cut(series: Series, index: WindowIndex, spec: DataSpec) -> Samples:
    """The windows of an index with the truth of their last step."""
    lengths = np.minimum(index.length, spec.time).astype(np.int32)
    time = int(lengths.max()) if spec.variable_length else spec.time
    values = np.zeros((len(index), time, len(spec.features)), np.float32)
    for row, start, length, real in zip(values, index.start, index.length, lengths, strict=True):
        row[:real] = series.values[start + length - real : start + length]
    last = index.start + index.length - 1
    ids = series.unit_ids[index.unit]
    step = last - series.offsets[index.unit] + 1
    alone = len(np.unique(ids)) == len(ids) and len(ids) > 1
    names = tuple(str(name) if alone else f"{name} @ {at}" for name, at in zip(ids, step, strict=True))
    truth = window_targets(series, index, spec.horizon)
    return Samples(values, lengths, names, index.unit, last, truth)


def _last_windows(series: Series, index: WindowIndex, units: Sequence[str], part: str) -> NDArray[np.int64]:
    by_name = {str(series.unit_ids[unit]): int(unit) for unit in np.unique(index.unit)}
    unknown = [name for name in units if name not in by_name]
    if unknown:
        raise DataError(
            f"Option '--units': the {part} part has no unit '{unknown[0]}'{nearest(unknown[0], list(by_name)[:50])}"
        )
    numbers = index.unit
    return np.array([int(np.flatnonzero(numbers == by_name[name])[-1]) for name in units], np.int64)
