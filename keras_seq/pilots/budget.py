"""Budget of seconds, shared among candidates, and a limit that ends one that takes too long."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CHEAP, DEAR = 3.0, 1.5  # of an equal share
SMALLEST = 1 / 6  # of all seconds, for one candidate
LEAST = 1.0  # seconds without which nothing is begun


class OutOfTime(Exception):
    """A candidate took longer than its share."""


class Budget:
    """Seconds of the wall clock.

    Args:
        seconds: in all.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self._began = seconds, time.monotonic()

    @property
    def left(self) -> float:
        """Seconds left."""
        return max(0.0, self.seconds - (time.monotonic() - self._began))

    def share(self, waiting: int, *, cheap: bool = False) -> float:
        """Seconds for the next of so many candidates: more than an equal share, since most need less than theirs.

        No less than ``SMALLEST`` of all seconds: better a few candidates that end than many that do not.
        """
        equal = self.left / max(waiting, 1)
        return min(self.left, max((CHEAP if cheap else DEAR) * equal, SMALLEST * self.seconds))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End the block after so many seconds; without effect outside the main thread, where no signal comes.

    Raises:
        OutOfTime: the block was not done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
