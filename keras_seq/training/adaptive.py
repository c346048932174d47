"""Intervals that follow drift: adaptive conformal inference (Gibbs & Candes 2021), one answer after the other.

A fixed interval holds its coverage while errors stay what they were on validation. Where truths arrive later
(forecasts), the level is steered by what the last intervals missed::

    a[t + 1] = a[t] + rate * (a - missed[t])        missed: 1 where the truth lay outside, else 0

and the next interval reaches to the ``1 - a[t]`` quantile of the latest scores. Over ``T`` answers the share missed
differs from ``a`` by at most ``(max(a, 1 - a) + rate) / (rate T)`` as long as the scores bracket the truth, whatever
the data do. Each horizon and target has a level of its own. The state is JSON, so that a server or ``predict``
can go on where it stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
RATE = 0.02  # of a feedback that comes at once; divided by the answers a truth is late
LARGEST = 100_000  # numbers kept as latest scores: what bounds the state's size
LONGEST = 250  # answers kept at most


class AdaptiveInterval:
    """State of the adapting intervals.

    Args:
        scores: latest absolute errors, oldest first, ``(n, targets)`` or ``(n, horizon, targets)``; the last ones
            are kept.
        coverage: wanted share ``1 - a``.
        rate: step of the level.
        alpha: levels reached so far, the shape of one answer; None: ``a``.
    """

    def __init__(self, scores: ArrayLike, coverage: float, *, rate: float = RATE, alpha: ArrayLike | None = None):
        values = np.asarray(scores, np.float64)
        self.coverage, self.rate = coverage, rate
        self.size = max(1, min(LONGEST, len(values), LARGEST // max(int(values[0].size), 1)))
        self.scores: deque[Array] = deque(values[-self.size :], maxlen=self.size)
        self.alpha = np.full(values.shape[1:], 1 - coverage) if alpha is None else np.asarray(alpha, np.float64)

    def half_width(self) -> Array:
        """Half width of the next interval, the shape of one answer.

        Levels at or below 0 ask for everything: they get the largest of the latest scores.
        """
        ranked, count = np.sort(np.stack(self.scores), axis=0), len(self.scores)
        rank = np.clip(np.ceil((count + 1) * (1 - self.alpha)).astype(np.int64), 1, count) - 1
        widths: Array = np.take_along_axis(ranked, rank[None], axis=0)[0]
        return np.where(self.alpha >= 1, 0.0, widths)

    def observe(self, truth: ArrayLike, prediction: ArrayLike, half_width: ArrayLike) -> None:
        """Learn from one answer whose truth is known now.

        Args:
            truth: shape of one answer; where it is not finite nothing is learned about that position.
            prediction: of the model.
            half_width: the one given out with that answer.
        """
        score = np.abs(np.asarray(truth, np.float64) - np.asarray(prediction, np.float64))
        known = np.isfinite(score)
        missed = score > np.asarray(half_width)
        self.alpha = np.where(known, self.alpha + self.rate * (1 - self.coverage - missed), self.alpha)
        self.scores.append(np.where(known, score, self.scores[-1]))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able state; scores to 4 digits."""
        rounded = [[float(f"{value:.4g}") for value in score.ravel()] for score in self.scores]
        return {
            "coverage": self.coverage,
            "rate": self.rate,
            "shape": list(self.alpha.shape),
            "alpha": self.alpha.ravel().tolist(),
            "scores": rounded,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> AdaptiveInterval:
        """The state that ``to_dict`` wrote."""
        shape = tuple(state["shape"])
        scores = np.array(state["scores"], np.float64).reshape(-1, *shape)
        alpha = np.array(state["alpha"], np.float64).reshape(shape)
        return cls(scores, state["coverage"], rate=state["rate"], alpha=alpha)


def start(residual: ArrayLike, coverage: float, *, delay: int = 1, rate: float = RATE) -> AdaptiveInterval:
    """State after validation.

    Args:
        residual: ``(n, targets)`` or ``(n, horizon, targets)``, oldest first.
        coverage: wanted share.
        delay: answers until a truth is known. The rate is divided by it: else the level would run away before
            the first feedback to it comes back.
        rate: step of the level for a delay of 1.
    """
    return AdaptiveInterval(np.abs(np.asarray(residual, np.float64)), coverage, rate=rate / max(delay, 1))


def follow(state: AdaptiveInterval, truth: ArrayLike, prediction: ArrayLike, *, delay: int = 1) -> Array:
    """Give out intervals one after the other and learn from each truth ``delay`` answers later.

    Args:
        state: changed in place.
        truth: ``(n, ...)``, oldest first; NaN where it is not known.
        prediction: ``(n, ...)``.
        delay: answers until the truth of an answer is known.

    Returns:
        Half widths ``(n, ...)`` as they would have been given out at the time.
    """
    actual, answers = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    widths = np.empty(answers.shape)
    for now in range(len(answers)):
        if now >= delay:
            then = now - delay
            state.observe(actual[then], answers[then], widths[then])
        widths[now] = state.half_width()
    return widths
