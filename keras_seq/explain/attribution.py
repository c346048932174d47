"""``Attribution``: what every method returns, how well it adds up, and how it is kept on disk."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq import files
from keras_seq.errors import DataError

Float = NDArray[np.float32]
ARRAYS = ("values", "base", "predictions", "lengths")
ALL = "all sensors"  # the one column of a method that does not tell sensors apart


@dataclass(frozen=True)
class Attribution:
    """How much every value of every sample moved the answer.

    Attributes:
        values: float32 ``(samples, time, features)`` in units of the answer; 0 at padding and missing values.
        base: float64 ``(samples,)``, the answer where nothing of the sample is known: the mean over its background.
        predictions: float64 ``(samples,)``, the answer explained.
        lengths: int32 ``(samples,)``, real steps.
        features: names on the last axis.
        units: their physical units, "" where there is none.
        method: such as ``integrated_gradients``.
        output: what is explained, such as "probability of 'defect'".
        output_unit: its unit.
        samples: name of each sample.
        additive: the method promises ``base + sum of values == prediction``.
        output_range: by which errors are divided: how far answers to samples and backgrounds spread.
        details: numbers of the method (nodes, backgrounds, seed, seconds), JSON-able.
    """

    values: Float
    base: NDArray[np.float64]
    predictions: NDArray[np.float64]
    lengths: NDArray[np.int32]
    features: tuple[str, ...]
    units: tuple[str, ...]
    method: str
    output: str
    output_unit: str = ""
    samples: tuple[str, ...] = ()
    additive: bool = True
    output_range: float = 1.0
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Bring arrays into their types.

        Raises:
            DataError: the shapes contradict each other.
        """
        values = np.asarray(self.values, np.float32)
        count = len(values)
        object.__setattr__(self, "values", values)
        for name, kind in (("base", np.float64), ("predictions", np.float64), ("lengths", np.int32)):
            array = np.broadcast_to(np.asarray(getattr(self, name), kind), (count,)).copy()
            object.__setattr__(self, name, array)
        object.__setattr__(self, "samples", tuple(self.samples) or tuple(str(i) for i in range(count)))
        if values.ndim != 3 or values.shape[2] != len(self.features) or len(self.units) != len(self.features):
            raise DataError(
                f"Attributions of method '{self.method}' have shape {values.shape} for {len(self.features)} features "
                f"and {len(self.units)} units; expected (samples, time, features)."
            )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def by_sensor(self) -> bool:
        """Whether the method tells sensors apart; attention only says where in time a layer reads."""
        return not (self.method == "attention" and self.features == (ALL,))

    def additivity_error(self) -> NDArray[np.float64]:
        """``|base + sum of values - prediction| / output_range`` of every sample, ``(samples,)``."""
        total = self.base + self.values.sum(axis=(1, 2), dtype=np.float64)
        return np.abs(total - self.predictions) / max(self.output_range, 1e-12)

    def real(self) -> NDArray[np.bool_]:
        """Where steps are real, ``(samples, time)``."""
        return np.arange(self.values.shape[1]) < self.lengths[:, None]

    def by_feature(self) -> NDArray[np.float64]:
        """Sums over time ``(samples, features)``."""
        return self.values.sum(axis=1, dtype=np.float64)

    def by_lag(self) -> NDArray[np.float32]:
        """``values`` by lag from the last real step ``(samples, lags, features)``, NaN before the start."""
        time = self.values.shape[1]
        step = self.lengths[:, None] - 1 - np.arange(time)
        turned = np.take_along_axis(self.values, np.maximum(step, 0)[:, :, None], axis=1)
        return np.where(step[:, :, None] >= 0, turned, np.nan).astype(np.float32)

    def importance(self) -> NDArray[np.float64]:
        """Mean over samples of ``|sum over time|`` per feature, ``(features,)``."""
        return np.abs(self.by_feature()).mean(axis=0)

    def take(self, numbers: NDArray[np.integer] | NDArray[np.bool_]) -> Attribution:
        """Attributions of some samples, by number or mask."""
        arrays = {name: getattr(self, name)[numbers] for name in ARRAYS}
        return replace(self, **arrays, samples=tuple(np.array(self.samples, object)[numbers]))

    def save(self, path: str | Path) -> Path:
        """Write ``<path>.npz`` and ``<path>.json``, atomically; no pickle."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        array, text = _paths(path)
        with files.new_file(array) as partial:
            np.savez_compressed(partial, **{name: getattr(self, name) for name in ARRAYS})
        names = [one.name for one in fields(self) if one.name not in ARRAYS]
        files.write_json(text, {name: getattr(self, name) for name in names})
        return array

    @classmethod
    def load(cls, path: str | Path) -> Attribution:
        """Read what ``save`` wrote; ``path`` with or without ending.

        Raises:
            DataError: there is none, or it cannot be read.
        """
        array, text = _paths(Path(path))
        try:
            with np.load(array, allow_pickle=False) as arrays:
                content = {name: arrays[name] for name in ARRAYS}
            rest = files.read_json(text)
            for name in ("features", "units", "samples"):
                rest[name] = tuple(rest[name])
            return cls(**content, **rest)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"No attributions can be read from '{array}' and '{text.name}' ({error}); make them again with "
                "'python -m keras_seq.explain BUNDLE'."
            ) from None


def _paths(path: Path) -> tuple[Path, Path]:
    stem = path.with_suffix("") if path.suffix in (".npz", ".json") else path
    return stem.with_name(stem.name + ".npz"), stem.with_name(stem.name + ".json")
