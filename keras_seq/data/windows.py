"""Window index: start, length, target row and unit of every window, never the rows themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import WindowsConfig
from keras_seq.data.series import Series
from keras_seq.data.splits import Part
from keras_seq.data.store.series import is_stored
from keras_seq.errors import DataError

Int = NDArray[np.int64]


@dataclass(frozen=True)
class WindowIndex:
    """Windows by number, units in order and oldest first within a unit.

    Attributes:
        start: absolute first row, int64 ``(windows,)``.
        length: real rows of the window, ``(windows,)``; what is missing to the full length is padding.
        target: absolute row of the target, ``(windows,)``: the window's last row, or with a horizon the
            first future row. Targets per unit are found by ``unit``.
        unit: unit number, ``(windows,)``.
        first: absolute row before which a target per step belongs to another part, ``(windows,)``.
    """

    start: Int
    length: Int
    target: Int
    unit: Int
    first: Int

    def __len__(self) -> int:
        return len(self.start)

    def take(self, numbers: NDArray[np.integer] | slice) -> WindowIndex:
        """The windows with these numbers."""
        return WindowIndex(*(getattr(self, name)[numbers] for name in ("start", "length", "target", "unit", "first")))


@dataclass(frozen=True)
class WindowRuns:
    """Windows as one run per unit: a few numbers per unit, whatever the number of windows.

    Window ``k`` of run ``r`` ends before row ``run_end[r] + k * stride`` and has at most ``reach`` rows.

    Attributes:
        run_unit: unit number, int64 ``(runs,)``.
        run_begin: first row a window may use (the unit's own first row), ``(runs,)``.
        run_end: row after the first window, ``(runs,)``.
        run_count: windows of the run, ``(runs,)``.
        run_first: first row whose target belongs to the part, ``(runs,)``.
        stride: steps between two windows.
        reach: longest window.
        gap: rows from a window's last row to its target (0, or 1 with a horizon).
    """

    run_unit: Int
    run_begin: Int
    run_end: Int
    run_count: Int
    run_first: Int
    stride: int
    reach: int
    gap: int

    def __len__(self) -> int:
        return int(self.run_count.sum())

    @property
    def shortest(self) -> int:
        """Real rows of the shortest window."""
        return int(np.minimum(self.run_end - self.run_begin, self.reach).min())

    @property
    def longest(self) -> int:
        """Real rows of the longest window."""
        last_end = self.run_end + (self.run_count - 1) * self.stride
        return int(np.minimum(last_end - self.run_begin, self.reach).max())

    def expand(self) -> WindowIndex:
        """Every window as arrays."""
        return self.take(np.arange(len(self)))

    def take(self, numbers: NDArray[np.integer] | slice) -> WindowIndex:
        """The windows with these numbers, as arrays."""
        if isinstance(numbers, slice):
            numbers = np.arange(len(self))[numbers]
        before = np.cumsum(self.run_count) - self.run_count
        run = np.searchsorted(before, numbers, side="right") - 1
        end = self.run_end[run] + (numbers - before[run]) * self.stride
        start = np.maximum(self.run_begin[run], end - self.reach)
        return WindowIndex(
            start, end - start, end - 1 + self.gap, self.run_unit[run], np.maximum(start, self.run_first[run])
        )

    def blocks(self, windows: int) -> Iterator[WindowIndex]:
        """All windows in order, about ``windows`` at a time."""
        for low in range(0, len(self), windows):
            yield self.take(np.arange(low, min(low + windows, len(self))))

    @property
    def start(self) -> Int:
        """Absolute first rows; built anew at each call."""
        return self.expand().start

    @property
    def length(self) -> Int:
        """Real rows of each window; built anew at each call."""
        return self.expand().length

    @property
    def target(self) -> Int:
        """Absolute target rows; built anew at each call."""
        return self.expand().target

    @property
    def unit(self) -> Int:
        """Unit of each window; built anew at each call."""
        return np.repeat(self.run_unit, self.run_count)

    @property
    def first(self) -> Int:
        """First row of each window whose target per step is the part's; built anew at each call."""
        return self.expand().first


def index_windows(series: Series, part: Part, windows: WindowsConfig) -> WindowIndex:
    """Number the windows whose targets lie in ``part``.

    - ``whole``: one per unit, its last ``length`` rows if it is longer;
    - ``sliding``: every ``stride`` steps, oldest first, ``length`` rows each. In a split by time the first
      windows may look back into rows of an earlier part, never at their targets;
    - ``last``: one per unit, ending at its last row.

    With ``horizon`` h a window's targets are the h rows after it, all of them inside the part. A unit with too few
    rows in the part for any window gives none.

    Args:
        series: the data.
        part: units and target rows.
        windows: mode, length, stride, horizon, whether short units are padded.

    Returns:
        The windows; of a series on disk as ``WindowRuns``, which has the same attributes but computes
        them when asked, so that the index does not grow with the rows.

    Raises:
        DataError: a unit is shorter than the window and ``pad_short`` is off, or all are too short for any
            window; names a unit and both numbers.
    """
    runs = window_runs(series, part, windows)
    return cast(WindowIndex, runs) if is_stored(series) else runs.expand()


def window_runs(series: Series, part: Part, windows: WindowsConfig) -> WindowRuns:
    """The same windows as ``index_windows`` gives, as one run per unit."""
    gap, length = windows.horizon, windows.length
    begin = series.offsets[part.units]
    last_end = part.last - gap  # where the part's last window ends
    first_end = part.first + (0 if gap else 1)  # where its first one would, if all the past were there
    fits = np.maximum(first_end, begin + 1) <= last_end
    if not fits.all():
        if not fits.any():
            raise _no_window(series, part, gap)
        return window_runs(series, part.take(fits), windows)
    short = last_end - begin < length
    if windows.mode != "whole" and not windows.pad_short:
        _refuse_short(series, part, last_end - begin, length)
    if windows.mode == "sliding":
        first_end = np.where(short, last_end, np.maximum(first_end, begin + length))
        count = (last_end - first_end) // windows.stride + 1
    else:
        first_end, count = last_end, np.ones(len(begin), np.int64)
    return WindowRuns(
        run_unit=part.units,
        run_begin=begin,
        run_end=first_end,
        run_count=count,
        run_first=part.first,
        stride=windows.stride,
        reach=length,
        gap=1 if gap else 0,
    )


def _no_window(series: Series, part: Part, horizon: int) -> DataError:
    """The error for a part whose units are all too short; names the longest one."""
    k = int(np.argmax(part.last - part.first))
    rows, need = int(part.last[k] - part.first[k]), horizon + 1 if horizon else 1
    return DataError(
        f"Unit '{series.unit_ids[part.units[k]]}' is too short for any window: it has {rows} rows in this part of the "
        f"split, but data.windows.horizon={horizon} needs {need} with at least one row of history before the horizon "
        f"({len(part)} units are too short). Lower the horizon, or remove these units."
    )


def _refuse_short(series: Series, part: Part, rows: Int, length: int) -> None:
    short = np.flatnonzero(rows < length)
    if len(short):
        k = int(short[0])
        raise DataError(
            f"Unit '{series.unit_ids[part.units[k]]}' has {int(rows[k])} rows for a window of "
            f"data.windows.length={length} ({len(short)} units are shorter, the shortest has {int(rows.min())}). "
            "Set data.windows.pad_short=true to pad them, lower data.windows.length, or remove these units."
        )


def with_known_targets(
    series: Series, index: WindowIndex, known: NDArray[np.bool_] | None, windows: WindowsConfig, part: str
) -> WindowIndex:
    """The windows of a part whose target is known: per step at least one; of a horizon one to learn, all to be judged.

    Returns:
        ``index`` itself where nothing is missing; else arrays, also for a series on disk (40 bytes a window).

    Raises:
        DataError: no window has a known target.
    """
    if known is None:
        return index
    if series.schema.target_per == "unit":
        answered = known[index.unit]
    else:
        before = np.concatenate([[0], np.cumsum(known)])
        if windows.per_step:
            answered = before[index.start + index.length] > before[index.first]
        else:
            ahead = max(1, windows.horizon)
            answered = before[index.target + ahead] - before[index.target] >= (1 if part == "train" else ahead)
    if not answered.any():
        names = ", ".join(f"'{name}'" for name in series.schema.targets)
        raise DataError(
            f"No window of the {part} part has a known target: {names} is missing in all of its {len(index)} windows. "
            "Give the part other rows (data.split), or fill in targets that are known."
        )
    return index if answered.all() else index.take(np.flatnonzero(answered))


def window_targets(series: Series, index: WindowIndex, horizon: int) -> NDArray[np.float32]:
    """Targets of the windows: ``(windows, targets)``, or ``(windows, horizon, targets)`` of a forecast."""
    if horizon:
        return np.asarray(series.targets[index.target[:, None] + np.arange(horizon)])
    return np.asarray(series.targets[index.unit if series.schema.target_per == "unit" else index.target])
