"""Test of yes-or-no predictions against always giving the commoner class: is anything foretold at all?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class MajorityTest:
    """Accuracy of predictions beside that of a constant answer.

    Attributes:
        points: predictions compared.
        accuracy: share that is right.
        low: lower end of its exact 95 % binomial interval (Clopper & Pearson 1934), points taken as independent.
        high: upper end.
        constant: share on which the constant answer is right.
        p_value: of the exact McNemar test that both are right equally often (two-sided).
    """

    points: int
    accuracy: float
    low: float
    high: float
    constant: float
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"right on {self.accuracy:.3f} of {self.points:,} points (95 % binomial interval {self.low:.3f} to "
            f"{self.high:.3f}); always giving the commoner class of training is right on {self.constant:.3f} (exact "
            f"McNemar test: p = {self.p_value:.2g})"
        )


def majority_test(truth: ArrayLike, predicted: ArrayLike, constant: ArrayLike) -> MajorityTest:
    """Compare predictions with a constant answer, point by point.

    Args:
        truth: class numbers 0 and 1, ``(points,)``.
        predicted: by the model, ``(points,)``.
        constant: what is answered without one, ``(points,)``; may change from one training to the next.
    """
    from scipy.stats import binomtest

    actual = np.asarray(truth, np.int64)
    right, plain = (np.asarray(answer, np.int64) == actual for answer in (predicted, constant))
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(0.95)
    gained, lost = int((right & ~plain).sum()), int((plain & ~right).sum())
    p_value = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return MajorityTest(
        len(right), float(right.mean()), float(interval.low), float(interval.high), float(plain.mean()), p_value
    )
