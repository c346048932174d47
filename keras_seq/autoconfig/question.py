"""Targets, task and inputs chosen for a table, and the columns that could be the target."""

from __future__ import annotations

from dataclasses import dataclass, field

from keras_seq.config import TaskName


@dataclass(frozen=True)
class TargetCandidate:
    """A column that could be the target, and what speaks for it."""

    name: str
    score: int
    why: str


@dataclass
class TargetQuestion:
    """Targets, task and inputs of a table.

    Attributes:
        targets, task: columns and kind of the prediction.
        why: of the task.
        per_unit: one target for a whole unit.
        falls: the target counts down within each unit, as remaining life does.
        features: input columns.
        words: of them those of categories, with what they hold.
        left_out: columns that are not used, with the reason.
        notes: what the user should know of the columns.
    """

    targets: tuple[str, ...]
    task: TaskName
    why: str
    per_unit: bool
    falls: bool = False
    features: tuple[str, ...] = ()
    words: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
