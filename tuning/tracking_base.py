"""Base class of the stores that a study is recorded in, and tries again while a database is busy."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from tuning.records import Record, Study

Result = TypeVar("Result")


class Backend:
    """Base of the backends; records nothing, which is what "none" wants.

    Attributes:
        name: as in ``tuning.tracking.BACKENDS``.
        recorded: trial -> when it ended, of those known to be in the store.
        asleep_until: monotonic seconds; a store that was away is left alone until then.
        warned: its being away was told.
    """

    name = "none"

    def __init__(self) -> None:
        self.recorded: dict[str, float | None] = {}
        self.asleep_until = 0.0
        self.warned = False

    def begin(self, study: Study) -> None:
        """Make sure that the study itself is on record; called again whenever there is news."""

    def record(self, study: Study, record: Record) -> None:
        """Record an ended trial, unless the store has it; what a killed process left of it is completed."""

    def finish(self, study: Study) -> None:
        """Add the report and the best configuration and close the study's record; it can be opened again."""


def retried(work: Callable[[], Result], *, times: int = 4) -> Result:
    """Do ``work`` again while the database is busy with another process; for seconds, not minutes."""
    for attempt in range(times - 1):
        try:
            return work()
        except Exception as error:
            if not _busy(error):
                raise
            time.sleep(0.1 * 2**attempt * random.uniform(0.5, 1.5))
    return work()


def _busy(error: Exception) -> bool:
    """Another writer holds the database, or makes its tables or the experiment at this very moment."""
    return any(words in str(error) for words in ("database is locked", "already exists", "database table is locked"))
