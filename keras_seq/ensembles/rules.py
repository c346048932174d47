"""Combination rule of an ensemble as numbers: the same on arrays (to evaluate) and in the graph (to serve)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import TaskName
from keras_seq.tasks import TASKS

Array = NDArray[np.floating[Any]]
Kind = Literal["weights", "median", "vote", "linear", "recent"]
SMALLEST = 1e-6  # as in keras_seq.models.combine


@dataclass(frozen=True)
class Rule:
    """A fitted way to combine members.

    Attributes:
        kind: "weights": weighted mean; "median"; "vote": hard votes; "linear": a meta learner; "recent": weights
            by the error on the window's own last steps (only in the graph).
        task: of the members.
        weights: of "weights", one per member.
        thresholds: of "vote" for binary tasks, one per member.
        kernel: of "linear", ``(members * width, width)``.
        bias: of "linear", ``(width,)``.
        ages: of "recent": how many steps ago each old forecast was made.
    """

    kind: Kind
    task: TaskName
    weights: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()
    kernel: tuple[tuple[float, ...], ...] = ()
    bias: tuple[float, ...] = ()
    ages: tuple[int, ...] = ()

    @property
    def link(self) -> str:
        """Scale of a meta learner's inputs: values, log-odds, or logarithms of probabilities."""
        return TASKS[self.task].link

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; empty fields left out."""
        return {name: value for name, value in asdict(self).items() if value}

    def apply(self, predictions: Array) -> Array:
        """Combine predictions ``(members, points, ...)`` to ``(points, ...)``."""
        if self.kind == "weights":
            return np.tensordot(np.asarray(self.weights), predictions, axes=1)
        if self.kind == "median":
            middle = np.median(predictions, axis=0)
            return middle / middle.sum(-1, keepdims=True) if self.task == "multiclass" else middle
        if self.kind == "vote":
            return self._vote(predictions)
        if self.kind == "linear":
            return activate(self.task, table(predictions, self.link) @ np.asarray(self.kernel) + np.asarray(self.bias))
        raise ValueError(f"rule '{self.kind}' needs the windows, not only the predictions")

    def _vote(self, predictions: Array) -> Array:
        if self.task == "binary":
            limits = np.asarray(self.thresholds).reshape(-1, *(1,) * (predictions.ndim - 1))
            return (predictions >= limits).mean(0)
        best = (predictions >= predictions.max(-1, keepdims=True)).astype(np.float64)
        return (best / best.sum(-1, keepdims=True)).mean(0)


def equal_weights(task: TaskName, members: int) -> Rule:
    """The plain mean."""
    return Rule("weights", task, weights=(1.0 / members,) * members)


def table(predictions: Array, link: str) -> Array:
    """Inputs of a meta learner: ``(members, points, ..., width)`` to ``(points, ..., members * width)``."""
    side_by_side = np.concatenate(list(predictions), axis=-1).astype(np.float64)
    if link == "identity":
        return side_by_side
    cut = np.clip(side_by_side, SMALLEST, 1 - SMALLEST)
    logarithm: Array = np.log(cut)
    return logarithm if link == "log" else logarithm - np.log1p(-cut)


def activate(task: TaskName, score: Array) -> Array:
    """From a meta learner's score ``(points,)`` or ``(points, classes)`` to the task's answer, of the same shape."""
    if task == "binary":
        return 1.0 / (1.0 + np.exp(-score))
    if task == "multiclass":
        power = np.exp(score - score.max(-1, keepdims=True))
        return power / power.sum(-1, keepdims=True)
    return score
