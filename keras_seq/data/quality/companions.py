"""Target leakage: columns that are rescaled or shifted copies of the target, codes of its classes, later notes.

An association this exact is no measurement. Whether the column is known when an answer is wanted, only the user
can say: it is named, with the way to leave it out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.quality.association import (
    Float,
    Int,
    ranks,
    running,
    told_by_order,
    told_by_value,
    unexplained,
)
from keras_seq.data.quality.report import Finding
from keras_seq.data.quality.rows import thinned
from keras_seq.data.series import Series

CLOSE = 1 - 0.999**2  # what a correlation of 0.999 leaves unexplained
EXACT = 1e-6  # rounding only
RANKS = 1 - 0.999**2
TREND = 0.02  # a column that time leaves so little of is a clock, not a copy
PURE = 0.999  # share of rows whose class is told
SHIFTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 21, 24, 28, 30, 48, 52, 168, 364, 365)
PROBE = 400  # rows on which a shift is tried first
FEW_ROWS = 30
LEVELS = 20  # different values of a column that are codes
UNITS = 20  # units that a column which is constant in each must tell
NAMES = {"annotation", "annotations", "annotated", "annotator", "groundtruth", "labeled", "labelled"}


@dataclass(frozen=True)
class Companion:
    """A column that leaks the target.

    Attributes:
        name: of the column.
        why: how it goes with the target, as the end of a sentence that begins with the column's name.
    """

    name: str
    why: str

    def __str__(self) -> str:
        return f"'{self.name}' {self.why}: is it known when an answer is wanted? If not, take it out of data.features"


def companions(
    columns: Mapping[str, Float], target: Float, offsets: Int, *, name: str, classes: tuple[str, ...] = (),
    forecast: bool = False, words: frozenset[str] = frozenset(), whole: bool = True,
) -> list[Companion]:  # fmt: skip
    """Columns that tell the target exactly, one line each.

    Args:
        columns: values by name, ``(rows,)`` each, NaN where missing; words as numbers.
        target: values, or class numbers, ``(rows,)``; NaN where missing.
        offsets: where the units begin among the rows, ``(units + 1,)``; the rows of a unit follow one another.
        name: of the target.
        classes: texts of the classes; empty: the target is a number.
        forecast: the target's past is an input, so that only its future gives an answer away.
        words: columns whose numbers stand for words, so that their order means nothing.
        whole: the units are whole, so that running sums begin with them.
    """
    case = _Case(target, offsets, name, classes, forecast, whole)
    if np.isfinite(target).sum() < FEW_ROWS:
        return []
    findings = []
    for column, values in columns.items():
        why = case.classes_told(values, column in words) if classes else case.values_told(values, column in words)
        if not why and not forecast and not NAMES.isdisjoint(_words(column)):
            why = "is a note of the answer by its name"
        if why:
            findings.append(Companion(column, why))
    if not classes and not forecast and not findings:
        findings = case.together({name: values for name, values in columns.items() if name not in words})
    return findings


class _Case:
    """A target and the rows it is compared on."""

    def __init__(
        self, target: Float, offsets: Int, name: str, classes: tuple[str, ...], forecast: bool, whole: bool
    ) -> None:
        self.target, self.offsets, self.name, self.classes = target, offsets, name, classes
        self.forecast, self.whole = forecast, whole
        lengths = np.diff(offsets)
        self.unit = np.repeat(np.arange(len(lengths)), lengths)
        self.time: Float = np.arange(len(target), dtype=np.float64) - np.repeat(offsets[:-1], lengths)
        self.zero = np.zeros(len(target), np.int64)

    def values_told(self, values: Float, words: bool) -> str:
        """How a column tells a target of numbers; empty: it does not."""
        known = np.isfinite(values) & np.isfinite(self.target)
        if known.sum() < FEW_ROWS or np.ptp(values[known]) == 0 or np.ptp(self.target[known]) == 0:
            return ""
        x, y, unit, time = values[known], self.target[known], self.unit[known], self.time[known]
        if words:
            return self._same_words(x, y)
        left = unexplained(x, y, self.zero[known])
        if left < (EXACT if self.forecast else CLOSE):
            moves = f"moves exactly with the target (correlation {np.sqrt(1 - left):.4f})"
            return f"is the target '{self.name}' rescaled, which adds nothing" if self.forecast else moves
        if self.forecast:
            return self._shifted(values, ahead_only=True)
        if unexplained(x, y, unit) < EXACT < unexplained(time, x, unit):
            return "is the target rescaled in each unit"
        return _same_order(x, y, time, unit) or self._run_up(values) or self._shifted(values)

    def classes_told(self, values: Float, words: bool) -> str:
        """How a column tells a target of classes; empty: it does not."""
        known = np.isfinite(self.target)
        labels = self.target[known].astype(np.int64)
        if len(labels) < FEW_ROWS or np.unique(labels).size < 2:
            return ""
        x = values[known]
        by_unit = self._constant(self.target)
        marked = "" if by_unit else self._marks(x, labels)
        seen = np.isfinite(x)
        if seen.sum() < FEW_ROWS or np.ptp(x[seen]) == 0 or (by_unit and len(self.offsets) - 1 < UNITS):
            return marked
        coded = self._coded(x[seen], labels[seen], self.unit[known][seen], words)
        return coded or marked or self._class_shifted(values)

    def together(self, columns: dict[str, Float]) -> list[Companion]:
        """Two or three columns that add up to the target."""
        usable = {n: v for n, v in columns.items() if np.isfinite(v).all() and np.ptp(v) > 0}
        known = np.isfinite(self.target)
        if len(usable) < 2 or known.sum() < 3 * FEW_ROWS:
            return []
        names = list(usable)
        table = np.stack([usable[n][known] for n in names], 1)
        table = (table - table.mean(0)) / table.std(0)
        y = self.target[known] - self.target[known].mean()
        chosen: list[int] = []
        rest = y
        for _ in range(min(3, len(names))):
            score = np.abs(table.T @ rest)
            score[chosen] = -1
            chosen.append(int(score.argmax()))
            fit = np.linalg.lstsq(table[:, chosen], y, rcond=None)[0]
            rest = y - table[:, chosen] @ fit
            if (rest**2).sum() < EXACT * (y**2).sum() and self._is_no_clock(y, known):
                others = " and ".join(f"'{names[j]}'" for j in chosen[1:])
                return [Companion(names[chosen[0]], f"and {others} add up to the target")]
        return []

    def _is_no_clock(self, y: Float, known: NDArray[np.bool_]) -> bool:
        return unexplained(self.time[known], y, self.unit[known]) > EXACT

    def _same_words(self, x: Float, y: Float) -> str:
        """Words, one for each value of the target."""
        words, values = np.unique(x), np.unique(y)
        pairs = np.unique(np.stack([x, y], 1), axis=0)
        many = len(x) >= FEW_ROWS * len(words) / 3
        return "has one word for each value of the target" if len(words) == len(values) == len(pairs) and many else ""

    def _run_up(self, values: Float) -> str:
        """Running maximum, minimum or sum of the target in each unit."""
        if not self.whole or not np.isfinite(self.target).all() or not np.isfinite(values).all():
            return ""
        for kind in ("max", "min", "sum"):
            total = running(self.target, self.unit, kind)
            exact = np.ptp(total) and unexplained(values, total, self.unit) < EXACT
            if exact and unexplained(self.time, total, self.unit) > EXACT:
                return f"is the running {kind} of the target in each unit"
        return ""

    def _shifted(self, values: Float, *, ahead_only: bool = False) -> str:
        """The target of some rows later or before."""
        for shift in SHIFTS:
            for sign in (1,) if ahead_only else (1, -1):
                x, y, unit = self._beside(values, sign * shift)
                begin = len(x) // 2
                part = slice(begin, begin + PROBE)
                if len(x) < FEW_ROWS or unexplained(x[part], y[part], unit[part] * 0) > CLOSE:
                    continue
                time = np.arange(len(x), dtype=np.float64)
                if unexplained(x, y, unit * 0) < EXACT < unexplained(time, x, unit):
                    return self._rows_away(sign * shift)
        return ""

    def _class_shifted(self, values: Float) -> str:
        """A code that tells the class of some rows later or before, and this row's less well."""
        if np.unique(values[np.isfinite(values)]).size > LEVELS:
            return ""
        for shift in SHIFTS:
            for sign in (1, -1):
                x, y, _ = self._beside(values, sign * shift)
                if len(x) < FEW_ROWS or np.count_nonzero(np.diff(y)) < 10:
                    continue
                purity, commonest = told_by_value(_codes(x), _codes(y))
                if purity == 1.0 > commonest:
                    return self._rows_away(sign * shift)
        return ""

    def _beside(self, values: Float, shift: int) -> tuple[Float, Float, Int]:
        """Values beside the targets ``shift`` rows later in the same unit, where both are known."""
        step = abs(shift)
        early, late = slice(None, -step or None), slice(step, None)
        x, y = (values[early], self.target[late]) if shift > 0 else (values[late], self.target[early])
        known = (self.unit[early] == self.unit[late]) & np.isfinite(x) & np.isfinite(y)
        return x[known], y[known], self.unit[early][known]

    def _rows_away(self, shift: int) -> str:
        rows = f"{abs(shift)} row{'s' if abs(shift) > 1 else ''}"
        return f"holds the target '{self.name}' of {rows} {'later' if shift > 0 else 'before'}"

    def _coded(self, x: Float, labels: Int, unit: Int, words: bool) -> str:
        """Values of which each has one class, or a line of values cut into classes."""
        by_unit = self._constant(self.target)
        codes = _codes(x)
        levels = int(codes.max()) + 1
        several = levels <= LEVELS and len(x) >= FEW_ROWS * levels / 3
        if by_unit:  # a number of the unit tells its class as its name does
            several = several and len(np.unique(unit)) >= 5 * levels
        purity, commonest = told_by_value(codes, labels)
        if several and purity >= PURE and 1 - purity < 0.1 * (1 - commonest):
            return "tells the class: each of its values has one class"
        if words or (by_unit and self._constant_column(x, unit)):
            return ""
        purity, stretches = told_by_order(x, labels)
        if purity >= PURE and stretches <= 2 * len(self.classes) and 1 - purity < 0.1 * (1 - commonest):
            return "tells the class: its values fall into one range for each class"
        return ""

    def _marks(self, x: Float, labels: Int) -> str:
        """Filled, or other than usual, in the rows of one class only."""
        seen = np.isfinite(x)
        usual = _commonest(x[seen])
        for mark, text in ((seen, "has a value"), (~seen | (x != usual), f"is other than {usual:g}")):
            share = mark.mean()
            if min(share, 1 - share) < 0.002:
                continue
            same = np.array([(mark == (labels == number)).mean() for number in range(len(self.classes))])
            for where, agreement in (("where", same), ("except where", 1 - same)):
                best = int(agreement.argmax())
                if agreement[best] >= PURE and 1 - agreement[best] < 0.1 * min(share, 1 - share):
                    return f"{text} just {where} the class is '{self.classes[best]}'"
        return ""

    def _constant(self, values: Float) -> bool:
        return len(self.offsets) > 2 and self._constant_column(values, self.unit)

    @staticmethod
    def _constant_column(values: Float, unit: Int) -> bool:
        inside = np.diff(unit) == 0
        with np.errstate(invalid="ignore"):
            return not (np.abs(np.diff(values))[inside] > 0).any()


def _same_order(x: Float, y: Float, time: Float, unit: Int) -> str:
    """Whether a column rises and falls with the target, and not just both with time."""
    every = np.zeros(len(x), np.int64)
    if unexplained(ranks(x, every), ranks(y, every), every) < RANKS:
        clock = unexplained(ranks(time, every), ranks(y, every), every) < TREND
        return "" if clock else "rises and falls with the target (rank correlation above 0.999)"
    if unit[-1] == 0 or unexplained(ranks(x, unit), ranks(y, unit), unit) > RANKS:
        return ""
    clock = min(unexplained(time, x, unit), unexplained(time, ranks(x, unit), unit)) < TREND
    return "" if clock else "rises and falls with the target in each unit (rank correlation above 0.999)"


def _codes(values: Float) -> Int:
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _commonest(values: Float) -> float:
    if not len(values):
        return 0.0
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()])


def _words(name: str) -> set[str]:
    apart = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    return {*re.split(r"[^a-z]+", apart), re.sub(r"[^a-z]", "", apart)}


def check_companions(series: Series) -> list[Finding]:
    """Input columns that give a target away, as warnings; at most about 20,000 rows are looked at."""
    schema = series.schema
    rows = thinned(series.offsets)
    values = np.asarray(series.values[rows.numbers], np.float64)
    if schema.target_per == "unit":
        unit = np.searchsorted(series.offsets, rows.numbers, side="right") - 1
        targets = np.asarray(series.targets)[unit]
    else:
        targets = series.targets[rows.numbers]
    columns = {name: values[:, j] for j, name in enumerate(schema.features) if name not in schema.targets}
    findings: dict[str, Finding] = {}
    for j, name in enumerate(schema.targets):
        for companion in companions(
            columns,
            np.asarray(targets[:, j], np.float64),
            rows.offsets,
            name=name,
            classes=_class_texts(series, targets[:, j]),
            forecast=schema.task == "forecast",
            whole=rows.whole,
        ):
            message = str(companion).removeprefix(f"'{companion.name}' ")
            findings.setdefault(companion.name, Finding("warning", "companion", message, column=companion.name))
    return list(findings.values())


def _class_texts(series: Series, labels: NDArray[np.floating]) -> tuple[str, ...]:
    if not series.schema.classifies:
        return ()
    known = labels[np.isfinite(labels)]
    highest = int(known.max(initial=1)) if len(known) else 1
    names = series.schema.classes
    return tuple(names[k] if k < len(names) else str(k) for k in range(max(len(names), highest + 1)))
