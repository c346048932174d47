"""Precision lost by float32: spread on a high level, counters beyond 2^24, values beyond its range."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.quality.report import Finding
from keras_seq.data.running_stats import Moments

LOST = 0.01  # largest rounding error, in deviations of the column, that nobody sees
LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).tiny)  # normal numbers; smaller ones count as 0


@dataclass(frozen=True)
class Precision:
    """A column as the file has it, in float64.

    Attributes:
        name: of the column.
        low, high, deviation: of its finite values.
        error: largest difference that float32 makes to a value, in deviations.
    """

    name: str
    low: float
    high: float
    deviation: float
    error: float


class PrecisionTaker:
    """Collects the facts of some columns batch by batch."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.moments = {name: Moments(1) for name in self.names}
        self.errors = dict.fromkeys(self.names, 0.0)

    def add(self, columns: Mapping[str, NDArray[np.float64]]) -> None:
        """Take in float64 columns ``(rows,)`` of a batch, NaN where missing."""
        for name in self.names:
            values = columns[name]
            finite = values[np.isfinite(values)]
            if not len(finite):
                continue
            with np.errstate(over="ignore"):
                rounded = finite.astype(np.float32).astype(np.float64)
                finite_too = np.isfinite(rounded)
                self.moments[name].add(finite[:, None])
            if finite_too.any():
                self.errors[name] = max(self.errors[name], float(np.abs(rounded - finite)[finite_too].max()))

    def table(self) -> NDArray[np.float64]:
        """All that is known, ``(names, 6)``: moments and largest error of each; ``merge`` takes it in."""
        rows = [[*self.moments[name].table()[:, 0], self.errors[name]] for name in self.names]
        return np.array(rows, np.float64).reshape(-1, 6)

    def merge(self, table: NDArray[np.float64]) -> None:
        """Take in what a collector of the same columns knows."""
        for name, row in zip(self.names, table, strict=True):
            self.moments[name].merge(row[:5, None])
            self.errors[name] = max(self.errors[name], float(row[5]))

    def facts(self) -> list[Precision]:
        """The facts, a column each; columns without a number are left out."""
        return [self._fact(name) for name in self.names if self.moments[name].count[0]]

    def _fact(self, name: str) -> Precision:
        moments = self.moments[name]
        low, high, deviation = float(moments.low[0]), float(moments.high[0]), float(moments.std[0])
        return Precision(name, low, high, deviation, self.errors[name] / deviation if deviation > 0 else 0.0)


def precision_findings(facts: Iterable[Precision]) -> list[Finding]:
    """What cannot be told apart, or not be held at all, once the columns are float32."""
    findings = []
    for fact in facts:
        largest = max(abs(fact.low), abs(fact.high))
        span = f"{fact.low:.10g} to {fact.high:.10g}"
        if largest > LARGEST:
            message = f"holds {span}, beyond what float32 can (3.4e38): take out what is no measurement, or divide it"
            findings.append(Finding("error", "float32", message, column=fact.name))
        elif fact.low < fact.high and fact.high - fact.low < SMALLEST:
            message = f"holds {span}, closer together than float32 tells apart from 0: multiply it, by 1e{_power(fact)}"
            findings.append(Finding("warning", "float32", message, column=fact.name))
        elif fact.low < fact.high and fact.error > LOST:
            offset = f"{fact.low:.6g}" if fact.low <= 0 or fact.high / fact.low > 10 else f"{fact.low:.10g}"
            message = (
                f"holds {span}; float32 rounds it by up to {fact.error:.2g} of its deviation {fact.deviation:.3g}, "
                f"which is lost to the model: take the level off before (subtract {offset}), or leave it out"
            )
            findings.append(Finding("warning", "float32", message, column=fact.name))
    return findings


def _power(fact: Precision) -> int:
    return int(np.ceil(-np.log10(max(fact.high - fact.low, 1e-300))))
