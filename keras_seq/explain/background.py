"""Background windows: real training windows that stand in for unknown values, laid beside a sample step for step.

The decisions, shared by all methods, so that they explain the same thing:

* **Windows of another length.** A background must have a value at every real step of a sample. One that is at least
  as long gives its *first* steps: a real unit as it was when it was as old as the sample, so that what the model
  counts from a window's start (elapsed steps, own baseline) means the same on both sides. Windows long enough are
  taken first; where there are too few, shorter ones are continued by reflection at their ends, which keeps their
  levels, noise and speed. The length itself is never varied: it is part of what is explained, not of the explanation.
* **Missing values.** Where the sample has none, the background has none either: the model's own imputation works in
  the graph from what was observed, and no straight line ever runs between a number and NaN. A missing value gets
  attribution 0, what it inherits goes to the observation it was filled from. Gaps of a background itself are filled
  as the model would fill them.
* **Operating conditions.** A background is moved into the sample's condition of each step: its deviation from what
  is normal in its own condition is kept. Otherwise half of every explanation would be a change of altitude, and the
  jump between two scalers would lie on the path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from keras_seq.data.prepare import Prepared

Float = NDArray[np.float32]
POOL = 4  # windows looked at for every background wanted, so that long samples find long ones


@dataclass(frozen=True)
class Background:
    """Training windows, without gaps.

    Attributes:
        values: float32 ``(windows, time, features)``: raw units, or with operating conditions scaled deviations.
        lengths: int32 ``(windows,)``.
        count: how many are laid beside a sample.
        spec: of the model.
        kind: ``windows`` or ``mean``.
    """

    values: Float
    lengths: NDArray[np.int32]
    count: int
    spec: DataSpec
    kind: str = "windows"

    def beside(self, sample: Float) -> Float:
        """Backgrounds of one sample.

        Args:
            sample: its real steps ``(steps, features)`` in raw units, NaN where missing.

        Returns:
            ``(count, steps, features)`` raw units, finite everywhere.
        """
        steps = len(sample)
        if self.kind == "mean":
            return self._raw(np.zeros((1, steps, sample.shape[1]), np.float32), sample)
        long = np.flatnonzero(self.lengths >= steps)
        short = np.flatnonzero(self.lengths < steps)
        chosen = _evenly(long, self.count)
        if len(chosen) < self.count:  # the longest of the short ones first: least is continued
            order = short[np.argsort(-self.lengths[short], kind="stable")]
            chosen = np.concatenate([chosen, order[: self.count - len(chosen)]])
        windows = np.stack([self.values[k][_reflected(int(self.lengths[k]), steps)] for k in chosen])
        return self._raw(windows, sample)

    def continued(self, steps: int) -> int:
        """How many of a sample's backgrounds are shorter than ``steps`` and continued."""
        return 0 if self.kind == "mean" else max(0, self.count - int((self.lengths >= steps).sum()))

    def constant(self) -> tuple[str, ...]:
        """Features that never change in the background: they cannot tell anything."""
        real = np.arange(self.values.shape[1]) < self.lengths[:, None]
        rows = self.values[real]
        still = np.ptp(rows, axis=0) <= 1e-6 * np.maximum(np.abs(rows).max(0), 1e-6)
        return tuple(name for name, flat in zip(self.spec.features, still, strict=True) if flat)

    def _raw(self, windows: Float, sample: Float) -> Float:
        """Deviations to raw units, in the sample's condition of each step."""
        scaling = self.spec.scaling
        if len(scaling.center) == 1:
            if self.kind == "mean":
                return (windows + np.asarray(scaling.center[0], np.float32)).astype(np.float32)
            return windows
        condition = conditions(filled(sample, self.spec), self.spec)
        centre = np.asarray(scaling.center, np.float32)[condition]
        scale = np.asarray(scaling.scale, np.float32)[condition]
        return (centre + windows * scale).astype(np.float32)


def make_background(
    prepared: Prepared, count: int, *, kind: str = "windows", seed: int = 0, pool: int = POOL
) -> Background:
    """Windows of the train part.

    Args:
        prepared: the data.
        count: windows laid beside every sample.
        kind: ``windows``, or ``mean``: one window that holds the scaler's centre.
        seed: of the choice among all windows.
        pool: choose among so many times ``count`` windows.

    Raises:
        ConfigError: unknown kind or a count below 1.
        DataError: the train part has fewer windows.
    """
    from keras_seq.explain.samples import cut

    if kind not in ("windows", "mean"):
        raise ConfigError(f"Option '--baseline' is '{kind}'; it can be windows or mean.")
    if count < 1:
        raise ConfigError(f"Option '--backgrounds' is {count}; at least 1 window is needed.")
    index = prepared.index["train"]
    if len(index) < count:
        raise DataError(
            f"The train part has {len(index)} windows, too few for --backgrounds {count}; lower it to at most "
            f"{len(index)}, or use --baseline mean."
        )
    wanted = min(len(index), count * pool)
    numbers = np.sort(np.random.default_rng(seed).choice(len(index), wanted, replace=False))
    windows = cut(prepared.series, index.take(numbers), prepared.spec)
    return from_windows(windows.values, windows.lengths, prepared.spec, count=count, kind=kind)


def from_windows(
    values: ArrayLike, lengths: ArrayLike, spec: DataSpec, *, count: int, kind: str = "windows"
) -> Background:
    """A background of given raw windows ``(windows, time, features)`` with real steps ``lengths``."""
    values, lengths = np.array(values, np.float32), np.asarray(lengths, np.int32)
    real = lengths > 0
    if not real.any():
        raise DataError("No background window has a single real step; give training windows that hold data.")
    values, lengths = values[real], lengths[real]
    for window, length in zip(values, lengths, strict=True):
        window[:length] = filled(window[:length], spec)
        if len(spec.scaling.center) > 1:
            condition = conditions(window[:length], spec)
            centre, scale = np.asarray(spec.scaling.center)[condition], np.asarray(spec.scaling.scale)[condition]
            window[:length] = (window[:length] - centre) / scale
    return Background(values, lengths, min(count, len(values)) if kind == "windows" else 1, spec, kind)


def filled(rows: Float, spec: DataSpec) -> Float:
    """Rows ``(steps, features)`` with gaps filled as the model fills them."""
    bad = ~np.isfinite(rows)
    if not bad.any():
        return rows
    import pandas as pd

    table = pd.DataFrame(np.where(bad, np.nan, rows))
    if spec.impute == "forward":
        table = table.ffill()
    elif spec.impute == "interpolate":
        table = table.interpolate(limit_direction="forward")
    fill = np.asarray(spec.scaling.fill, np.float32)
    values = table.to_numpy(np.float32)
    return np.where(np.isnan(values), fill, values).astype(np.float32)


def conditions(rows: Float, spec: DataSpec) -> NDArray[np.int64]:
    """Operating condition of every row ``(steps,)``, as the model's first layer finds it."""
    scaling = spec.scaling
    where = rows[:, list(scaling.condition_features)][:, None, :]
    distance = np.square((where - np.asarray(scaling.centroids)) / np.asarray(scaling.condition_scale)).sum(-1)
    return distance.argmin(-1)


def _evenly(numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    if len(numbers) <= count:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, count).round().astype(np.int64)]


def _reflected(length: int, steps: int) -> NDArray[np.int64]:
    """Indices ``(steps,)`` that run through ``length`` rows and back again as often as needed."""
    if length == 1:
        return np.zeros(steps, np.int64)
    step = np.arange(steps) % (2 * length - 2)
    return np.where(step < length, step, 2 * length - 2 - step)
