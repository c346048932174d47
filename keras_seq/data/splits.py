"""Train, validation and test: whole units, whole groups, or a cut in time; never windows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig, SplitConfig
from keras_seq.data.known import usable_units
from keras_seq.data.series import Series
from keras_seq.data.split_assignment import fold_blocks, share_blocks
from keras_seq.errors import DataError
from keras_seq.tasks import classifies

Int = NDArray[np.int64]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Part:
    """Part of a split: units, and of each the absolute rows ``[first, last)`` whose targets belong to the part.

    Attributes:
        units: unit numbers, ascending, int64 ``(n,)``.
        first: first target row, ``(n,)``; later than the unit's first row only in a split by time.
        last: row after the last target row, ``(n,)``.
    """

    units: Int
    first: Int
    last: Int

    def __len__(self) -> int:
        return len(self.units)

    def take(self, chosen: NDArray[np.bool_]) -> Part:
        """The units where ``chosen (n,)`` is True."""
        return Part(self.units[chosen], self.first[chosen], self.last[chosen])

    @property
    def rows(self) -> int:
        """Target rows of the part."""
        return int((self.last - self.first).sum())


@dataclass(frozen=True)
class Splits:
    """The three parts, and a text that is equal for equal splits."""

    train: Part
    validation: Part
    test: Part
    fingerprint: str

    def items(self) -> list[tuple[str, Part]]:
        """``(name, part)`` in the order train, validation, test."""
        return [(name, getattr(self, name)) for name in PARTS]


def split(series: Series, config: DataConfig) -> Splits:
    """Divide the units (or, by time, the rows of each unit) into train, validation and test.

    Units of one group stay together in every mode but ``time``. The result depends only on the series
    and on ``config.split``. Units that can give no sample (no more rows than the horizon, no known target, or, by
    time, too few rows to be cut) belong to no part.

    Raises:
        DataError: too few units or groups, no official split in the data, a part without units, or a
            class without examples in a part.
    """
    settings = config.split
    usable = np.flatnonzero(usable_units(series, config.windows.horizon))
    if not len(usable):
        raise DataError(
            f"No unit of '{series.schema.name}' can give a sample: each of its {series.n_units} units has no known "
            f"target or too few rows (data.windows.horizon={config.windows.horizon}; the longest has "
            f"{series.lengths.max()})."
        )
    if settings.by == "time":
        parts = _by_time(series, settings, usable)
    elif settings.by == "official" and _cannot_divide_units(series, settings):
        parts = _official_by_time(series, settings, usable)
    else:
        train, validation, test = _by_unit(series, settings, _labels(series, config), usable)
        parts = (_whole_units(series, train), _whole_units(series, validation), _whole_units(series, test))
    for name, part in zip(PARTS, parts, strict=True):
        if not part.rows:
            raise DataError(
                f"The {name} part of the split is empty (data.split.by={settings.by}, validation="
                f"{settings.validation:g}, test={settings.test:g}, {series.n_units} units). "
                "Give each part a larger share or count, or bring more units."
            )
    if settings.bootstrap is not None:
        parts = (_resampled(series, parts[0], settings), *parts[1:])
    _check_classes(series, config, parts)
    return Splits(*parts, fingerprint=_fingerprint(series, parts))


def _labels(series: Series, config: DataConfig) -> Int | None:
    """Class number per unit, or None where units have no class."""
    task = config.task or series.schema.task
    if not classifies(task) or series.schema.target_per != "unit":
        return None
    labels = np.asarray(series.targets)[:, 0]
    return np.where(np.isfinite(labels), labels, -1).astype(np.int64)


def _by_unit(series: Series, settings: SplitConfig, labels: Int | None, everyone: Int) -> tuple[Int, Int, Int]:
    """Unit numbers of train, validation and test, among ``everyone``."""
    if settings.by == "stratified" and labels is None:
        raise DataError(
            "data.split.by=stratified needs a class per unit, but this data set has "
            f"task '{series.schema.task}' with a target per {series.schema.target_per}. Use unit, group or time."
        )
    rng = np.random.default_rng(settings.seed)
    groups = np.unique(series.groups, return_inverse=True)[1].reshape(-1).astype(np.int64)
    stratify = labels if settings.by in ("stratified", "official") else None
    if settings.by == "official":
        test = np.intersect1d(_official_test(series), everyone)
    else:
        _check_enough(series, settings, groups, everyone, need=3 if not settings.folds else 2)
        labels_all = None if stratify is None else stratify[everyone]
        by_group = settings.by == "group"
        chosen = share_blocks(groups[everyone], [settings.test], rng, labels=labels_all, by_group=by_group)
        test = everyone[chosen == 1]
    rest = np.setdiff1d(everyone, test)
    if (series.official == "validation").any():
        validation = np.intersect1d(np.flatnonzero(series.official == "validation"), everyone)
        return np.setdiff1d(rest, validation), validation, test
    if settings.folds:
        _check_enough(series, settings, groups, rest, need=settings.folds)
        fold = fold_blocks(
            groups[rest],
            settings.folds,
            rng,
            labels=None if stratify is None else stratify[rest],
            by_group=settings.by == "group",
        )
        chosen_validation = fold == settings.fold
    else:
        wanted = settings.validation
        if wanted < 1 and settings.by != "official":  # a share of all units, as test is
            total = len(np.unique(groups[everyone])) if settings.by == "group" else len(everyone)
            wanted = max(1.0, round(wanted * total)) if wanted else 0.0
        labels_rest = None if stratify is None else stratify[rest]
        chosen_validation = share_blocks(
            groups[rest], [wanted], rng, labels=labels_rest, by_group=settings.by == "group"
        ).astype(bool)
    return rest[~chosen_validation], rest[chosen_validation], test


def _resampled(series: Series, train: Part, settings: SplitConfig) -> Part:
    """As many groups of training units as there are, drawn with replacement (Breiman 1996); drawn twice counts twice.

    Validation and test stay as they are, so nothing of them can be drawn.
    """
    if settings.by == "time":
        raise DataError(
            "data.split.bootstrap draws whole units anew, but data.split.by=time cuts every unit in time. Use a split "
            "by unit or group, or another ensemble (--method snapshot)."
        )
    names, group = np.unique(series.groups[train.units], return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"data.split.bootstrap draws training units anew, but they belong to {len(names)} group; bring more units."
        )
    rng = np.random.default_rng([settings.seed, settings.bootstrap or 0])
    times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
    return _whole_units(series, np.repeat(train.units, times[group.reshape(-1)]))


def _official_test(series: Series) -> Int:
    test = np.flatnonzero(series.official == "test")
    if not len(test) or len(test) == series.n_units:
        raise DataError(
            f"data.split.by=official was asked for, but the data set '{series.schema.name}' does not come with a "
            "split of its own into train and test units. Name the test file with data.test_path, or use unit, group, "
            "stratified or time."
        )
    return test


def _cannot_divide_units(series: Series, settings: SplitConfig) -> bool:
    """Whether the rows beside the official test part are of one group, so that no unit of it can be validation."""
    own = (series.official == "validation").any() or settings.folds or series.schema.target_per == "unit"
    return not own and len(np.unique(series.groups[series.official != "test"])) == 1


def _official_by_time(series: Series, settings: SplitConfig, units: Int) -> tuple[Part, Part, Part]:
    """The test units among ``units`` as they come; of the others the last rows, in time, are validation."""
    test = np.intersect1d(_official_test(series), units)
    rest = np.setdiff1d(units, test)
    begin, end = series.offsets[rest], series.offsets[rest + 1]
    cut = end - _amount(settings.validation, end - begin)
    if (cut <= begin).any() or (cut >= end).any():
        unit = int(rest[np.argmax((cut <= begin) | (cut >= end))])
        raise DataError(
            f"Unit '{series.unit_ids[unit]}' has {int(series.lengths[unit])} rows, of which data.split.validation="
            f"{settings.validation:g} leaves none for one of train and validation. Ask for another share, or name a "
            "file with data.validation_path."
        )
    return Part(rest, begin, cut), Part(rest, cut, end), _whole_units(series, test)


def _check_enough(series: Series, settings: SplitConfig, groups: Int, units: Int, *, need: int) -> None:
    count = len(np.unique(groups[units]))
    if count < need:
        what = "groups" if len(np.unique(series.groups)) < series.n_units else "units"
        purpose = f"data.split.folds={settings.folds}" if settings.folds else "train, validation and test"
        raise DataError(
            f"The data set '{series.schema.name}' has {count} {what} to divide, too few for {purpose}, which needs "
            f"at least {need} (data.split.by={settings.by}). Use data.split.by=time to cut each unit in time, "
            "fewer folds, or bring more units."
        )


def _whole_units(series: Series, units: Int) -> Part:
    units = np.sort(units).astype(np.int64)
    return Part(units, series.offsets[units], series.offsets[units + 1])


def _by_time(series: Series, settings: SplitConfig, units: Int) -> tuple[Part, Part, Part]:
    """Cut the rows of ``units`` chronologically; folds and periods move the validation part forward in time.

    The test rows are the same for every fold and every period. Units too short to give every part a row are left
    out; an error where all are.
    """
    if series.schema.target_per == "unit":
        raise DataError(
            "data.split.by=time cuts units in time, but this data set has one target per unit. "
            "Use unit, group, stratified or official."
        )
    begin, end, lengths = series.offsets[units], series.offsets[units + 1], series.lengths[units]
    test_first, test_last = _test_period(settings, begin, end)
    if settings.folds:
        size = (test_first - begin) // (settings.folds + 1)
        validation_first = test_first - size * (settings.folds - settings.fold)
        validation_last = validation_first + size
    else:
        validation_first, validation_last = _validation_period(settings, test_first, lengths)
    train_first = _train_first(settings, begin, end, test_first, validation_first)
    whole = (validation_first > train_first) & (validation_last > validation_first) & (test_first < test_last)
    if not whole.any():
        longest = int(np.argmax(lengths))
        raise DataError(
            f"Unit '{series.unit_ids[units[longest]]}' has {int(lengths[longest])} rows, too few to be cut in time "
            f"with data.split.validation={settings.validation:g}, test={settings.test:g}, folds={settings.folds}, "
            f"origins={settings.origins}, periods={settings.periods} ({len(units)} such units): each part needs rows. "
            "Ask for less, or use data.split.by=unit."
        )
    return (
        Part(units[whole], train_first[whole], validation_first[whole]),
        Part(units[whole], validation_first[whole], validation_last[whole]),
        Part(units[whole], test_first[whole], test_last[whole]),
    )


def _test_period(settings: SplitConfig, begin: Int, end: Int) -> tuple[Int, Int]:
    """First test row of every unit and the row after its last; of several origins, one piece of the test rows."""
    rows = _amount(settings.test, end - begin)
    if not settings.origins:
        return end - rows, end.copy()
    return (
        end - rows + rows * settings.origin // settings.origins,
        end - rows + rows * (settings.origin + 1) // settings.origins,
    )


def _validation_period(settings: SplitConfig, test_first: Int, lengths: Int) -> tuple[Int, Int]:
    """First validation row of every unit and the row after its last; of several periods, one piece of these rows."""
    rows = _amount(settings.validation, lengths)
    pieces = max(settings.periods, 1)
    return (
        test_first - rows + rows * settings.period // pieces,
        test_first - rows + rows * (settings.period + 1) // pieces,
    )


def _train_first(settings: SplitConfig, begin: Int, end: Int, test_first: Int, validation_first: Int) -> Int:
    """First training row; of a sliding window it moves on as far as the origin or the period did since the first."""
    if settings.train_window == "expanding" or not (settings.origins or settings.periods):
        return begin.copy()
    if settings.periods:
        return begin + validation_first - (test_first - _amount(settings.validation, end - begin))
    return begin + test_first - (end - _amount(settings.test, end - begin))


def _amount(amount: float, lengths: Int) -> Int:
    """Rows that a share (< 1) or a count (>= 1) asks for, per unit."""
    if amount >= 1:
        return np.full(len(lengths), int(amount), np.int64)
    return np.round(amount * lengths).astype(np.int64)


def _check_classes(series: Series, config: DataConfig, parts: tuple[Part, ...]) -> None:
    task = config.task or series.schema.task
    if not classifies(task):
        return
    classes = [_classes_in(series, part) for part in parts]
    every = set(range(len(series.schema.classes))) if series.schema.classes else set().union(*classes)
    if task == "binary":
        every |= {0, 1}
    for name, present in zip(PARTS, classes, strict=True):
        if name == "test" and config.split.by == "official":
            continue  # the data's own test part is what it is
        missing = sorted(every - present)
        if missing:
            names = series.schema.classes
            text = ", ".join(f"'{names[c]}'" if c < len(names) else str(c) for c in missing)
            raise DataError(
                f"The {name} part of the split has no example of class {text} "
                f"{_lacking(config, name, classes, missing)}"
            )


def _lacking(config: DataConfig, name: str, classes: list[set[int]], missing: list[int]) -> str:
    """How the split was made, and what gives a part the classes that it lacks."""
    by, seed = config.split.by, config.split.seed
    if by == "time":
        holders = [part for part, present in zip(PARTS, classes, strict=True) if set(missing) & present]
        where = f"it lies in the time of {' and '.join(holders)}" if holders else "no part has it"
        return (
            f"(data.split.by=time): {where}. Move the cuts until every part has some: other shares or counts of steps "
            "for data.split.validation and data.split.test; neither a seed nor stratifying moves them. Or remove the "
            "class."
        )
    if by == "official":
        return f"(data.split.by=official). The part is the data's own: add such units to {name}, or remove the class."
    first = "" if by == "stratified" else "data.split.by=stratified, "
    return (
        f"(data.split.by={by}, seed={seed}). Use {first}a larger share for {name}, another data.split.seed, or remove "
        "the class."
    )


def _classes_in(series: Series, part: Part) -> set[int]:
    if series.schema.target_per == "unit":
        labels = np.asarray(series.targets)[part.units, 0]
        return {int(c) for c in np.unique(labels[np.isfinite(labels)])}
    classes: set[int] = set()
    for first, last in zip(part.first, part.last, strict=True):
        labels = np.asarray(series.targets[first:last])[:, 0]
        classes |= {int(c) for c in np.unique(labels[np.isfinite(labels)])}
    return classes


def _fingerprint(series: Series, parts: tuple[Part, ...]) -> str:
    digest = hashlib.sha256("\n".join(series.unit_ids.tolist()).encode())
    for part in parts:
        for array in (part.units, part.first, part.last):
            digest.update(np.ascontiguousarray(array, np.int64).tobytes() + b"|")
    return digest.hexdigest()
