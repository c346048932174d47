"""Whether held-out examples suffice to learn weights, and whether learnt weights beat equal ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import TaskName
from keras_seq.ensembles.learn import LEARNT, loss_of, nested
from keras_seq.ensembles.rules import Array, equal_weights
from keras_seq.figures import figure
from keras_seq.tasks import classifies, deciding
from keras_seq.training.metrics import HIGHER_IS_BETTER

PER_NUMBER = 10  # examples, of the rarer class, that each fitted number needs


def too_few(method: str, task: TaskName, members: int, truth: Array) -> str:
    """Why equal weights are taken instead of learnt ones; empty where the examples suffice.

    Args:
        method: see ``keras_seq.ensembles.learn.METHODS``.
        task: of the members.
        members: how many groups are combined.
        truth: of the points that may teach, ``(points, ...)``.
    """
    if method not in LEARNT:
        return ""
    numbers = {"weighted": members - 1, "hard": 1}.get(method, members + 1)
    needed, (count, what) = PER_NUMBER * numbers, _examples(task, truth)
    if count >= needed:
        return ""
    return (
        f"--method {method} fits {numbers} number{'s' if numbers > 1 else ''} and has {count} {what} to learn from, "
        f"at least {needed} are needed: all members count alike instead. Bring more validation units."
    )


def _examples(task: TaskName, truth: Array) -> tuple[int, str]:
    """How many examples there are of the rarer class, or of values, and what they are called."""
    if not classifies(task):
        return len(truth), "validation points"
    labels = np.asarray(truth).reshape(-1)
    counts = np.unique(labels, return_counts=True)[1]
    if task == "binary":
        positive = int((labels > 0).sum())
        rare = min(positive, len(labels) - positive)
        return rare, f"{'positive' if rare == positive else 'negative'}s among {len(labels)} validation points"
    return int(len(labels) - counts.max(initial=0)), f"points of other than the commonest class among {len(labels)}"


def no_better(
    method: str, task: TaskName, predictions: Array, truth: Array, blocks: NDArray[np.int64], meta: str | None
) -> str:
    """Why equal weights are taken instead of learnt ones that lose on examples left out; empty where they pay.

    Args:
        method: see ``keras_seq.ensembles.learn.METHODS``; votes are not judged.
        task: of the members.
        predictions: of the points that may teach, ``(members, points, ...)``.
        truth: ``(points, ...)``.
        blocks: ``(points,)``; each is answered by weights learnt on the others.
        meta: learner of stacking and blending.
    """
    if method not in LEARNT or method == "hard":
        return ""
    everyone = np.ones(len(truth), bool)
    learnt = loss_of(task, nested(method, task, predictions, truth, blocks, everyone, meta=meta), truth)
    equal = loss_of(task, equal_weights(task, len(predictions)).apply(predictions), truth)
    if learnt <= equal:
        return ""
    name = "log loss" if classifies(task) else "mean squared error"
    return (
        f"--method {method} loses on validation units left out of its learning ({name} {figure(learnt)}, "
        f"{figure(equal)} with equal weights): all members count alike instead."
    )


def behind_a_member(task: TaskName, ensemble: Mapping[str, float], members: Sequence[Mapping[str, Any]]) -> str:
    """Which member is better alone on held-out examples, and by how much; empty where none is.

    Args:
        task: of the members.
        ensemble: held-out metrics of the ensemble.
        members: ``{"name", "metrics": {"validation"}}`` of each.
    """
    metric = deciding(task)
    sign = -1 if metric in HIGHER_IS_BETTER else 1
    best = min(members, key=lambda row: sign * row["metrics"]["validation"][metric])
    own, other = ensemble[metric], best["metrics"]["validation"][metric]
    if not sign * own > sign * other:
        return ""
    member = f"its member '{best['name']}'"
    return f"the ensemble's {metric} on held-out units, {figure(own)}, is worse than {figure(other)} of {member}"
