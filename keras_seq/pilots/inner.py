"""Inner split: the train part alone, cut once more in the way the data are divided; no other row is ever read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.prepare import prepare_split
from keras_seq.data.series import Series
from keras_seq.data.split_assignment import fold_blocks
from keras_seq.data.splits import Part, Splits
from keras_seq.errors import DataError
from keras_seq.tasks import classifies

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

Int = NDArray[np.int64]
FOLDS = 4  # of units or groups
JUDGED = 0.3  # latest share of every unit's train rows that is judged, by time
PERIODS = 2  # pieces of these rows, each foretold from what lies before it
FEW, MANY = 6000, 60_000  # rows (or, of labels by unit, ten times the units): all folds, two of them, else one
MOST_TRAIN, MOST_JUDGED = 20_000, 4000  # windows of a fold
LEAST_TRAIN, MOST_NUMBERS = 2000, 20_000_000  # fewer train windows where they hold many numbers together
LEAST = 2  # judged rows of a unit


@dataclass
class InnerData:
    """The train part as a series of its own, and its folds.

    Attributes:
        series: rows of the train part and nothing else.
        folds: a split each; validation and test are the same judged rows.
        by_time: folds are cut in time, not by unit.
    """

    series: Series
    folds: list[Splits]
    by_time: bool
    _held: dict[str, list[Prepared]] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """Longest window worth trying: half of what the shortest training unit of the first fold holds."""
        train = self.folds[0].train
        return max(2, int((train.last - train.first).min()) // 2)

    def prepared(self, data: DataConfig) -> list[Prepared]:
        """The folds with windows and numbers fitted on each one's train rows; windows are thinned where they are many.

        Raises:
            DataError: windows that a fold cannot be cut into.
        """
        key = data.model_dump_json()
        if key not in self._held:
            self._held.clear()  # candidates of one window length follow one another
            self._held[key] = [_thinned(prepare_split(self.series, data, fold)) for fold in self.folds]
        return self._held[key]


def inner_data(series: Series, train: Part, data: DataConfig) -> InnerData:
    """The train part cut in the way of ``data.split``: in time, or by whole units, groups or strata.

    An official split is imitated by units where there are enough, else in time.

    Args:
        series: the data, of which only ``train`` is read.
        train: the part that training would learn from.
        data: says how the data are divided, and the horizon.

    Raises:
        DataError: too few rows or units to hold anything back.
    """
    own = rows_of(series, train)
    groups = np.unique(own.groups, return_inverse=True)[1].reshape(-1).astype(np.int64)
    count = int(groups.max()) + 1
    by_time = data.split.by == "time" or (count < 3 and own.schema.target_per == "step")
    if by_time:
        return InnerData(own, _periods(own, max(1, data.windows.horizon)), True)
    if count < 2:
        raise DataError(f"The train part has {count} unit, and candidates need others to be tried on.")
    return InnerData(own, _unit_folds(own, groups, data), False)


def rows_of(series: Series, part: Part) -> Series:
    """The rows of a part as a series; what lies outside is not in it."""
    rows = np.concatenate([np.arange(low, high) for low, high in zip(part.first, part.last, strict=True)])
    per_unit = series.schema.target_per == "unit"
    return dataclasses.replace(
        series,
        values=np.asarray(series.values[rows]),
        targets=np.asarray(series.targets[part.units if per_unit else rows]),
        time=series.time[rows],
        offsets=np.concatenate([[0], np.cumsum(part.last - part.first)]).astype(np.int64),
        unit_ids=series.unit_ids[part.units],
        groups=series.groups[part.units],
        official=np.full(len(part.units), ""),
        truth={name: values[part.units] for name, values in series.truth.items()},
        bounds=None if series.bounds is None else series.bounds[rows],
    )


def _unit_folds(series: Series, groups: Int, data: DataConfig) -> list[Splits]:
    """Folds of whole groups, with equal shares of the classes where units have one."""
    labels = None
    if series.schema.target_per == "unit" and classifies(data.task or series.schema.task):
        known = np.asarray(series.targets)[:, 0]
        labels = np.where(np.isfinite(known), known, -1).astype(np.int64)
    folds = min(FOLDS, int(groups.max()) + 1)
    rng = np.random.default_rng([data.split.seed, 1])
    fold = fold_blocks(groups, folds, rng, labels=labels, by_group=data.split.by == "group")
    size = 10 * series.n_units if series.schema.target_per == "unit" else len(series.values)
    used = folds if size <= FEW else 2 if size <= MANY else 1
    found = []
    for number in range(used):
        judged = fold == number
        if judged.any() and not judged.all():
            units = np.arange(series.n_units)
            found.append(_splits(_whole(series, units[~judged]), _whole(series, units[judged])))
    return found


def _periods(series: Series, horizon: int) -> list[Splits]:
    """The latest rows of every unit in one or two periods, each judged by what lies before it."""
    pieces = PERIODS if len(series.values) <= MANY else 1
    for periods in dict.fromkeys((pieces, 1)):
        folds = [_period(series, horizon, number, periods) for number in range(periods)]
        if all(len(fold.train) for fold in folds):
            return folds
    raise DataError(
        f"The train part has at most {int(series.lengths.max())} rows in a unit, too few to try forecasts of {horizon} "
        f"step{'s' if horizon > 1 else ''} on rows held back."
    )


def _period(series: Series, horizon: int, number: int, periods: int) -> Splits:
    begin, end = series.offsets[:-1], series.offsets[1:]
    least = periods * (horizon + LEAST - 1)
    judged = np.maximum(np.round(JUDGED * series.lengths).astype(np.int64), least)
    first = end - judged + judged * number // periods
    last = end - judged + judged * (number + 1) // periods
    units = np.flatnonzero(first - begin > horizon)
    return _splits(Part(units, begin[units], first[units]), Part(units, first[units], last[units]))


def _whole(series: Series, units: Int) -> Part:
    return Part(units, series.offsets[units], series.offsets[units + 1])


def _splits(train: Part, judged: Part) -> Splits:
    """Splits of a fold; its judged rows stand for validation and test."""
    return Splits(train, judged, judged, fingerprint="inner")


def _thinned(prepared: Prepared) -> Prepared:
    """At most so many windows; judged ones at rows that do not hang on the window's length."""
    train, judged = prepared.index["train"], prepared.index["validation"]
    width = prepared.spec.time * len(prepared.spec.features)
    most = max(LEAST_TRAIN, min(MOST_TRAIN, MOST_NUMBERS // width))
    if len(train) > most:
        train = train.take(np.linspace(0, len(train) - 1, most).astype(np.int64))
    step = -(-len(judged) // MOST_JUDGED)
    if step > 1 and prepared.series.schema.target_per == "step":
        place = judged.target - prepared.series.offsets[judged.unit]
        judged = judged.take(np.flatnonzero(place % step == 0))
    return dataclasses.replace(prepared, index={"train": train, "validation": judged, "test": judged})
