"""ADWIN: a window over a stream that drops its past when the past is no longer like the present.

Bifet and Gavalda, "Learning from time-changing data with adaptive windowing" (2007): the window is kept as buckets of
1, 2, 4, ... values, and every split of it into old and new is tested with a bound that holds for values in [0, 1].
Answers equal those of ``river.drift.ADWIN`` value for value.
"""

from __future__ import annotations

import math
from collections import deque

Bucket = tuple[float, float]  # sum and sum of squared deviations of 2^row values


class Adwin:
    """ADWIN detector of one stream of numbers.

    Args:
        delta: confidence; smaller raises fewer false alarms.
        clock: values between two tests.
        most: buckets of one size before two are merged.
        shortest: values either side of a split has at least.
        grace: values before the first test.

    Attributes:
        width: values in the window.
        total: their sum.
        rose: whether the last change found was a rise.
    """

    def __init__(
        self, delta: float = 0.002, *, clock: int = 32, most: int = 5, shortest: int = 5, grace: int = 10
    ) -> None:
        self.delta, self.clock, self.most, self.shortest, self.grace = delta, clock, most, shortest, grace
        self.rose = False
        self._clear()

    def _clear(self) -> None:
        self._rows: list[deque[Bucket]] = [deque()]  # newest and smallest first; in a row the oldest is left
        self.width, self.total, self._squares, self._seen, self._changed = 0, 0.0, 0.0, 0, False

    @property
    def mean(self) -> float:
        """Mean of the window; 0 before the first value."""
        return self.total / self.width if self.width else 0.0

    def update(self, value: float) -> bool:
        """Take a value in; True if the window was cut. After a cut the next value starts a new window."""
        if self._changed:
            self._clear()
        if self.width:
            self._squares += self.width * (value - self.mean) ** 2 / (self.width + 1)
        self.width += 1
        self.total += value
        self._rows[0].append((value, 0.0))
        self._merge()
        self._seen += 1
        if self._seen % self.clock == 0 and self.width > self.grace:
            while self._cut():
                self._changed = True
        return self._changed

    def _merge(self) -> None:
        """Two oldest buckets of a full row become one of the next."""
        for row, buckets in enumerate(self._rows):
            if len(buckets) <= self.most:
                return
            if row + 1 == len(self._rows):
                self._rows.append(deque())
            size = 2**row
            (sum1, squares1), (sum2, squares2) = buckets.popleft(), buckets.popleft()
            between = size * (sum1 / size - sum2 / size) ** 2 / 2
            self._rows[row + 1].append((sum1 + sum2, squares1 + squares2 + between))

    def _cut(self) -> bool:
        """Drop the oldest bucket if some split of the window shows a change."""
        old, old_sum, new, new_sum = 0, 0.0, self.width, self.total
        for row in range(len(self._rows) - 1, -1, -1):
            for bucket in self._rows[row]:
                old, new = old + 2**row, new - 2**row
                old_sum, new_sum = old_sum + bucket[0], new_sum - bucket[0]
                if new < self.shortest:
                    return False
                if old >= self.shortest and abs(old_sum / old - new_sum / new) > self._bound(old, new):
                    self.rose = new_sum / new > old_sum / old
                    self._drop()
                    return True
        return False

    def _bound(self, old: int, new: int) -> float:
        spread = math.log(2 * math.log(self.width) / self.delta)
        shares = 1 / (old - self.shortest + 1) + 1 / (new - self.shortest + 1)
        variance = self._squares / self.width
        return math.sqrt(max(0.0, 2 * shares * variance * spread)) + 2 / 3 * spread * shares

    def _drop(self) -> None:
        row = len(self._rows) - 1
        total, squares = self._rows[row].popleft()
        size = 2**row
        self.width -= size
        self.total -= total
        if self.width:
            between = size * self.width * (total / size - self.mean) ** 2 / (size + self.width)
            self._squares -= squares + between
        else:
            self._squares = 0.0
        while row and not self._rows[row]:
            self._rows.pop()
            row -= 1
