"""When a call is made again, and how long it waits: exponential backoff with full jitter.

Only what is safe is repeated: a call that no server has begun to answer (refused, reset before an answer, UNAVAILABLE).
A call that ran into its time limit is not: the server may still be at work on it, and asking again would add load.
Method of the waiting times: "Exponential Backoff And Jitter", Marc Brooker, AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from keras_seq.errors import ConfigError, ServingError

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Retry:
    """Retry policy: attempts and exponential backoff.

    Attributes:
        attempts: calls in all; 1: never again.
        first: longest wait before the second call (seconds); doubled each time.
        longest: of a single wait; also bounds what a server asks for by ``Retry-After``.
        sleep: waits that many seconds.
    """

    attempts: int = 4
    first: float = 0.1
    longest: float = 10.0
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first < 0 or self.longest < 0:
            raise ConfigError(
                f"Retry needs attempts >= 1 and waits >= 0, got attempts={self.attempts}, first={self.first}, "
                f"longest={self.longest}."
            )

    def wait(self, attempt: int, asked: float | None = None) -> float:
        """Seconds to wait after call number ``attempt`` (from 1); at least what the server asked for, up to longest."""
        jitter = random.uniform(0, min(self.longest, self.first * 2 ** (attempt - 1)))
        return min(self.longest, (asked or 0.0) + jitter)

    def run(self, call: Callable[[], Answer]) -> Answer:
        """The answer of ``call``, which raises ``RetryableError`` where it may be repeated.

        Raises:
            ServingError: the text of the last ``RetryableError``, with the number of calls made.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                return call()
            except RetryableError as again:
                if attempt == self.attempts:
                    if attempt > 1:
                        again.error.args = (f"{again.error} ({attempt} calls were made.)",)
                    raise again.error from None
                self.sleep(self.wait(attempt, again.after))
        raise AssertionError("attempts is at least 1")


class RetryableError(Exception):
    """Failure of a call that may safely be repeated.

    Attributes:
        error: what is raised when no call is left.
        after: seconds the server asked to wait, or None.
    """

    def __init__(self, error: ServingError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.after = error, after


def retry_after(text: str | None, now: float | None = None) -> float | None:
    """Seconds of a ``Retry-After`` header, a number or a date (RFC 9110, 10.2.3); None if it says nothing."""
    if not text:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        then = parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None
    return max(0.0, then - (time.time() if now is None else now))
