"""Quality of the parts of a split: train, validation and test compared with one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.quality.report import Finding, listed
from keras_seq.data.quality.rows import number
from keras_seq.data.quality.words import count_codes, words_not_in_train
from keras_seq.data.running_stats import Moments
from keras_seq.data.scaling import is_constant, known_moments, part_rows
from keras_seq.data.series import Series
from keras_seq.data.splits import Part, Splits
from keras_seq.data.store.series import is_stored
from keras_seq.data.windows import WindowIndex, WindowRuns

FEW_WINDOWS = 20  # windows of a part; fewer are worth a warning
FEW_OF_A_CLASS = 10  # windows of a class in a part
MISSING_APART = 0.2  # difference of the shares of missing values
FAR = 1.0  # values so many ranges of the train part beyond it are far
FAR_SHARE, FARTHEST = 0.01, 10.0  # told if so many rows are far, or one is so many ranges away
CHUNK = 1 << 16  # rows looked at at a time


@dataclass(frozen=True)
class PartFacts:
    """Moments of one part.

    Attributes:
        name: of the part.
        part: its units and rows.
        values, targets: moments of the columns.
        rows: target rows of the part.
    """

    name: str
    part: Part
    values: Moments
    targets: Moments
    rows: int


def check_parts(series: Series, splits: Splits, index: dict[str, WindowIndex], horizon: int = 0) -> list[Finding]:
    """Warnings about the parts: units left out, columns that change their kind, too few windows or examples."""
    facts = [_facts(series, name, part) for name, part in splits.items()]
    findings = _left_out(series, splits, horizon)
    for part in facts:
        findings += _without_windows(series, part, index[part.name])
        findings += _few(series, part, index[part.name])
    findings += _targets(series, facts[0])
    for other in facts[1:]:
        findings += _missing_apart(series, facts[0], other) + _far_away(series, facts[0], other)
    return findings + _constant(series, facts) + _new_words(series, facts)


def _facts(series: Series, name: str, part: Part) -> PartFacts:
    per_step = series.schema.target_per == "step"
    known = known_moments(series, part)
    values, targets = known or (Moments(len(series.schema.columns)), Moments(len(series.schema.targets)))
    for rows in _pieces(series, part) if known is None else ():
        values.add(series.values[rows])
        if per_step:
            targets.add(series.targets[rows])
    if not per_step:
        targets = Moments(len(series.schema.targets))
        targets.add(np.asarray(series.targets)[part.units])
    return PartFacts(name, part, values, targets, part.rows)


def _pieces(series: Series, part: Part) -> Iterator[slice | NDArray[np.int64]]:
    """The rows of a part in pieces that index its arrays; many short units of a series in memory come together."""
    if is_stored(series):
        yield from (slice(low, high) for low, high in part_rows(series, part))
        return
    lengths = part.last - part.first
    begins = part.first - np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rows = np.repeat(begins, lengths) + np.arange(lengths.sum())
    yield from (rows[low : low + CHUNK] for low in range(0, len(rows), CHUNK))


def _left_out(series: Series, splits: Splits, horizon: int) -> list[Finding]:
    """Units that belong to no part; those not longer than the horizon are told with the lengths."""
    inside = np.zeros(series.n_units, bool)
    for _, part in splits.items():
        inside[part.units] = True
    outside = np.flatnonzero(~inside & (series.lengths > horizon))
    if not len(outside):
        return []
    unit = int(outside[0])
    message = f"has {series.lengths[unit]} rows, too few to give each part of the split some, or no known target"
    message += f"; left out: {listed(series.unit_ids[outside])}"
    return [Finding("warning", "length", message, unit=str(series.unit_ids[unit]), count=len(outside))]


def _without_windows(series: Series, facts: PartFacts, index: WindowIndex) -> list[Finding]:
    """Units of a part that give no window there."""
    part = facts.part
    without = np.setdiff1d(part.units, index.run_unit if isinstance(index, WindowRuns) else index.unit)
    if not len(without):
        return []
    unit = int(without[0])
    rows = int((part.last - part.first)[np.searchsorted(part.units, unit)])
    message = f"has {rows} rows in the {facts.name} part, which give no window with a known target"
    message += f"; left out there: {listed(series.unit_ids[without])}"
    return [Finding("warning", "length", message, unit=str(series.unit_ids[unit]), count=len(without))]


def _few(series: Series, facts: PartFacts, index: WindowIndex) -> list[Finding]:
    """Too few windows, or too few of a class, to learn from or to judge by."""
    hangs = "what is learnt" if facts.name == "train" else "the choice" if facts.name == "validation" else "the figures"
    if len(index) < FEW_WINDOWS:
        message = f"the {facts.name} part holds {len(index)} windows only: {hangs} will hang on single ones; give it "
        return [Finding("warning", "few windows", message + "a larger share (data.split), or bring more data")]
    if not series.schema.classifies:
        return []
    rows = index.unit if series.schema.target_per == "unit" else index.target
    labels = np.asarray(series.targets[rows])[:, 0]
    counts = np.bincount(labels[np.isfinite(labels)].astype(np.int64), minlength=len(series.schema.classes))
    few = np.flatnonzero((counts > 0) & (counts < FEW_OF_A_CLASS))
    if not len(few):
        return []
    names = series.schema.classes
    rare = ", ".join(f"'{names[k] if k < len(names) else k}' {counts[k]}" for k in few[:5])
    more = f" and {len(few) - 5} more classes" if len(few) > 5 else ""
    message = f"the {facts.name} part holds few windows of a class ({rare}{more}): {hangs} will hang on single ones"
    return [Finding("warning", "few of a class", message, column=series.schema.targets[0], count=len(few))]


def _targets(series: Series, train: PartFacts) -> list[Finding]:
    """Targets without a spread in train: nothing can be learnt."""
    if series.schema.classifies:
        return []
    return [
        Finding("warning", "target", f"is always {number(train.targets.low[j])} in the train part", column=name)
        for j, name in enumerate(series.schema.targets)
        if train.targets.count[j] and train.targets.low[j] == train.targets.high[j]
    ]


def _constant(series: Series, facts: Sequence[PartFacts]) -> list[Finding]:
    """Columns that stand still in train and move later, or the other way round."""
    train, later = facts[0], facts[1:]
    findings = []
    for j, name in enumerate(series.schema.features):
        if name in series.schema.vocabularies:
            continue
        still = bool(is_constant(train.values)[j])
        if still and (moved := [part for part in later if _moves(part.values, train.values, j)]):
            findings.append(Finding("warning", "constant in train", _still_in_train(train, moved, j), column=name))
        for part in later:
            if not still and _stands(part.values, j) and (share := _share(series, train, j, part.values.low[j])) < 0.5:
                message = f"is always {number(part.values.low[j])} in the {part.name} part, which {share:.0%} of the "
                message += "train rows are: what it tells cannot be judged there"
                findings.append(Finding("warning", f"constant in {part.name}", message, column=name))
    return findings


def _new_words(series: Series, facts: Sequence[PartFacts]) -> list[Finding]:
    """Words of later parts that train does not hold."""
    findings = []
    for j, column in enumerate(series.schema.columns):
        if column.kind == "category":
            counts = [
                count_codes(column, (series.values[rows][:, j] for rows in _pieces(series, part.part)))
                for part in facts
            ]
            for part, count in zip(facts[1:], counts[1:], strict=True):
                findings += words_not_in_train(column, counts[0], count, part.name)
    return findings


def _moves(values: Moments, train: Moments, j: int) -> bool:
    """Whether a later part holds other values than the one value (or none) of train."""
    if not values.count[j]:
        return False
    return not train.count[j] or values.low[j] < train.low[j] or values.high[j] > train.high[j]


def _stands(values: Moments, j: int) -> bool:
    return bool(values.count[j] >= FEW_WINDOWS and values.low[j] == values.high[j])


def _share(series: Series, train: PartFacts, j: int, value: float) -> float:
    """Share of a value among the train rows."""
    same = sum(int((series.values[rows][:, j] == np.float32(value)).sum()) for rows in _pieces(series, train.part))
    return same / max(train.rows, 1)


def _still_in_train(train: PartFacts, moved: list[PartFacts], j: int) -> str:
    values = train.values
    known = f"is always {number(values.low[j])}" if values.low[j] == values.high[j] else "hardly changes"
    known = known if values.count[j] else "has no value"
    later = " and ".join(
        f"{number(part.values.low[j])} to {number(part.values.high[j])} in {part.name}" for part in moved
    )
    return f"{known} in the train part but {later}: nothing can be learnt of it, it counts as 0 (or leave it out)"


def _missing_apart(series: Series, train: PartFacts, other: PartFacts) -> list[Finding]:
    """Columns that miss far more, or less, in a later part."""
    here = 1 - train.values.count / max(train.rows, 1)
    there = 1 - other.values.count / max(other.rows, 1)
    apart = np.flatnonzero(np.abs(here - there) > MISSING_APART)
    if not len(apart):
        return []
    worst = int(apart[np.argmax(np.abs(here - there)[apart])])
    message = f"misses {here[worst]:.0%} of its values in train, {there[worst]:.0%} in {other.name}"
    message += "" if len(apart) == 1 else f"; so do {listed(series.schema.features[j] for j in apart if j != worst)}"
    column = series.schema.features[worst]
    return [Finding("warning", "missing by part", message, column=column, count=len(apart))]


def _far_away(series: Series, train: PartFacts, other: PartFacts) -> list[Finding]:
    """Columns whose values in a later part lie far outside what train holds."""
    low, high = train.values.low, train.values.high
    width = high - low
    with np.errstate(invalid="ignore"):
        beyond = np.maximum(other.values.high - high, low - other.values.low)
        far = np.flatnonzero(~is_constant(train.values) & (other.values.count > 0) & (beyond > FAR * width))
    findings = []
    for j in (j for j in far if series.schema.columns[j].kind != "category"):
        rows = 0
        for piece in _pieces(series, other.part):
            values = series.values[piece][:, j]
            with np.errstate(invalid="ignore"):
                rows += int(((values > high[j] + FAR * width[j]) | (values < low[j] - FAR * width[j])).sum())
        if rows >= FAR_SHARE * other.rows or beyond[j] > FARTHEST * width[j]:
            message = (
                f"{rows} of {other.rows} values in the {other.name} part lie far outside what train holds "
                f"({number(low[j])} to {number(high[j])}; {other.name}: {number(other.values.low[j])} to "
                f"{number(other.values.high[j])})"
            )
            findings.append(Finding("warning", "far outside train", message, column=series.schema.features[j]))
    return findings
