"""Facts of a table that a configuration rests on, and its choices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from keras_seq.autoconfig.conditions import Conditions
from keras_seq.autoconfig.official import OfficialSplit
from keras_seq.autoconfig.question import TargetQuestion
from keras_seq.autoconfig.roles import ColumnRole


@dataclass(frozen=True)
class Choice:
    """One value of the configuration, why it is so, what else could be meant, and lines that are shown as they are."""

    key: str
    value: Any
    why: str = ""
    instead: str = ""
    table: tuple[str, ...] = ()


@dataclass
class ConfigurationFacts:
    """Facts of a table that choices rest on.

    Attributes:
        parts: unit, group and time with their reasons.
        question: what is predicted from what.
        lengths: rows by unit, of the whole file.
        step: usual distance of two rows in seconds, 0 where the time is no date.
        weekdays: dates leave weekends out.
        shares: share of each class among units or rows; empty where there are none.
        conditions: operating conditions, or None.
        row_choices: what is done with rows out of order and doubled stamps.
        apart: how many times larger the target of large units is than that of small ones; see ``unlike.unit_ratio``.
        official: the split that comes with the data, or None.
        address: where the table was copied from; empty: it lies where it is.
        wide: that the table looks wide, and how to say so; empty: it does not.
    """

    parts: dict[str, ColumnRole]
    question: TargetQuestion
    lengths: list[int]
    step: float = 0.0
    weekdays: bool = False
    shares: dict[str, float] = field(default_factory=dict)
    conditions: Conditions | None = None
    official: OfficialSplit | None = None
    address: str = ""
    apart: float = 1.0
    wide: str = ""
    row_choices: list[Choice] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of the whole file."""
        return sum(self.lengths)
