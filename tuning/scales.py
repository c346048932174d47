"""Axis scales of searched fields, whatever their values: numbers, words, switches, lists, none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from tuning.history import absent, text_of
from tuning.records import Record, Study

FACTOR = 50  # positive numbers that span more are drawn on a logarithmic axis where the space says nothing
LEVELS = 5  # different numbers, up to which each has its tick
MARGIN = 0.12  # between numbers and what is not a number


@dataclass(frozen=True)
class Scale:
    """Axis of one searched field.

    Attributes:
        field: dotted name.
        log: numbers lie by their logarithm.
        numbers: lowest and highest; None where every value is a category of its own.
        words: what is not a number, in order of their places.
        levels: the numbers themselves where there are few.
    """

    field: str
    log: bool
    numbers: tuple[float, float] | None
    words: tuple[str, ...]
    levels: tuple[float, ...] = ()

    def place(self, value: object) -> float:
        """Position in [0, 1]; numbers first, then words."""
        if self.numbers is not None and _is_number(value):
            low, high = (self._level(end) for end in self.numbers)
            share = (self._level(value) - low) / (high - low) if high > low else 0.5
            return share * self._room()
        return self._word(self.words.index(text_of(value)))

    def ticks(self, count: int = 4) -> list[tuple[float, str]]:
        """Positions with labels."""
        words = [(self._word(place), word) for place, word in enumerate(self.words)]
        if self.numbers is None:
            return words
        return [(self.place(value), f"{value:.3g}") for value in self.levels or self._spread(count)] + words

    def _word(self, place: int) -> float:
        if self.numbers is not None:
            return 1.0 - MARGIN * (len(self.words) - 1 - place)
        return place / (len(self.words) - 1) if len(self.words) > 1 else 0.5

    def _room(self) -> float:
        return 1.0 - MARGIN * len(self.words)

    def _level(self, value: float) -> float:
        return math.log(value) if self.log else float(value)

    def _spread(self, count: int) -> list[float]:
        """Numbers at even distances along the axis."""
        low, high = self.numbers or (0.0, 1.0)
        steps = [number / (count - 1) for number in range(count)]
        if self.log:
            return [low * (high / low) ** step for step in steps]
        return [low + step * (high - low) for step in steps]


def scale_of(study: Study, field: str, records: Iterable[Record]) -> Scale:
    """The axis of a field over the values that trials had."""
    values = [record.values.get(field, absent) for record in records]
    numbers = sorted({float(value) for value in values if _is_number(value)})
    others = {text_of(value) for value in values if not _is_number(value)}
    if not numbers or (len(numbers) < 3 and others - {text_of(absent)}):  # words mostly: its numbers are words too
        return Scale(field, False, None, tuple(sorted({text_of(value) for value in values}, key=_order)))
    entry = study.about.get("space", {}).get(field)
    stated = isinstance(entry, Mapping) and "low" in entry
    log = bool(entry.get("log")) if stated else numbers[-1] > FACTOR * numbers[0]
    levels = tuple(numbers) if len(numbers) <= LEVELS else ()
    words = tuple(sorted(others, key=_order))
    return Scale(field, log and numbers[0] > 0, (numbers[0], numbers[-1]), words, levels)


def table(scales: Sequence[Scale], records: Iterable[Record]) -> list[list[float]]:
    """Positions of every trial, ``(trials, fields)``."""
    return [[scale.place(record.values.get(scale.field, absent)) for scale in scales] for record in records]


def _order(word: str) -> tuple[bool, bool, float, str]:
    """Numbers by size, then words; absent last."""
    try:
        return False, False, float(word), word
    except ValueError:
        return word == text_of(absent), True, 0.0, word


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
