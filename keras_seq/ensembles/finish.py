"""Combination rule from held-out predictions, its out-of-block answers, and the record of the members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_seq.config import Experiment
from keras_seq.ensembles.enough import no_better, too_few
from keras_seq.ensembles.held_out import HeldOut, MemberGroup, view_of
from keras_seq.ensembles.learn import LEARNT, learn_rule, nested
from keras_seq.ensembles.members import predict_member
from keras_seq.ensembles.rules import Array, Rule
from keras_seq.errors import ConfigError
from keras_seq.evaluation.naive_error import naive_errors
from keras_seq.evaluation.scores import score
from keras_seq.training.predictions import middle, points
from keras_seq.training.thresholds import choose_threshold


def settle(held_out: HeldOut, method: str, *, meta: str | None) -> tuple[str, list[str]]:
    """The method that the held-out examples can bear, and why where it is not the one asked for.

    Returns:
        The method, or "mean" with the reason: too few examples to learn from, or weights that lose on those left out.
    """
    if method not in LEARNT:
        return method, []
    task, teach = held_out.prepared.spec.task, held_out.teach
    truth, answers = held_out.truth[teach], _middles(held_out) if _quantiles(held_out) else held_out.predictions
    why = too_few(method, task, len(held_out.groups), truth)
    if not why and not (_quantiles(held_out) and method in ("stacking", "blending")):
        why = no_better(method, task, answers[:, teach], truth, held_out.blocks[teach], meta)
    return ("mean", [why]) if why else (method, [])


def learn(held_out: HeldOut, method: str, *, meta: str | None, memory: int) -> tuple[Rule, Array | None]:
    """The rule learnt from all held-out points, and answers of rules that were learnt without their block.

    Returns:
        The rule, and ``(points, ...)`` to judge it by; None where the graph's own answers are honest.

    Raises:
        ConfigError: a method that does not fit the task.
    """
    spec = held_out.prepared.spec
    if method == "dynamic":
        return _recent(held_out, memory), None
    if not spec.classifies and method in ("stacking", "blending") and _quantiles(held_out):
        raise ConfigError(f"--method {method} has no meaning for quantiles; use mean, median or weighted.")
    teach = held_out.teach
    answers = _middles(held_out) if _quantiles(held_out) else held_out.predictions
    rule = learn_rule(method, spec.task, answers[:, teach], held_out.truth[teach], held_out.blocks[teach], meta=meta)
    if _quantiles(held_out):
        honest = rule.apply(held_out.predictions)
    else:
        honest = nested(method, spec.task, answers, held_out.truth, held_out.blocks, teach, meta=meta)
    return rule, honest.astype(np.float32)


def _quantiles(held_out: HeldOut) -> bool:
    """Whether the members answer with quantiles."""
    return bool(held_out.groups[0].members[0].quantiles)


def _middles(held_out: HeldOut) -> Array:
    """The middle quantile of each member, shaped as the truth."""
    levels = held_out.groups[0].members[0].quantiles
    return middle(held_out.predictions, levels).reshape(len(held_out.groups), *held_out.truth.shape)


def _recent(held_out: HeldOut, memory: int) -> Rule:
    spec = held_out.prepared.spec
    if spec.task != "forecast" or not spec.target_index:
        raise ConfigError(
            "--method dynamic weighs by errors on the window's own past, so it needs forecasts whose targets are among "
            f"the input features; the task is '{spec.task}' with targets {', '.join(spec.targets)}."
        )
    ages = tuple(range(spec.horizon, spec.horizon + memory))
    if not spec.variable_length and ages[-1] >= spec.time:
        raise ConfigError(
            f"--memory {memory} with horizon {spec.horizon} looks back {ages[-1]} steps, the window has {spec.time}; "
            "use a smaller --memory."
        )
    return Rule("recent", spec.task, ages=ages)


def member_metrics(held_out: HeldOut, experiment: Experiment) -> list[dict[str, Any]]:
    """Metrics of each group by itself: held out, and on the test part by the mean of its members."""
    spec, prepared = held_out.prepared.spec, held_out.prepared
    rows, naive = [], naive_errors(prepared, experiment)
    for group, prediction in zip(held_out.groups, held_out.predictions, strict=True):
        validation = points(prepared.series, prepared.index["validation"], spec, prediction)
        threshold = 0.5
        if spec.task == "binary":
            threshold = choose_threshold(validation.truth, validation.prediction, experiment.evaluation)
        metrics = {
            "validation": score(validation, spec, experiment, part="validation", threshold=threshold, naive=naive)
        }
        answers = points(prepared.series, prepared.index["test"], spec, _test(group, held_out, experiment))
        metrics["test"] = score(answers, spec, experiment, part="test", threshold=threshold, naive=naive)
        rows.append(metrics)
    return rows


def _test(group: MemberGroup, held_out: HeldOut, experiment: Experiment) -> Array:
    """The group's mean answer for the test windows."""
    spec = held_out.prepared.spec
    answers = [
        predict_member(
            member, view_of(member, spec.per_step), held_out.prepared, "test", spec=spec, data=experiment.data
        )
        for member in group.members
    ]
    return np.mean(answers, axis=0)


def describe(
    held_out: HeldOut, rule: Rule, method: str, failed: Sequence[dict[str, str]], metrics: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """What the bundle's data.json says about the ensemble."""
    weights: Sequence[float | None] = rule.weights or (None,) * len(held_out.groups)
    groups = []
    for group, weight, own in zip(held_out.groups, weights, metrics, strict=True):
        share = None if weight is None else weight / len(group.members)
        groups.append(
            {"name": group.name, "metrics": own, "members": [member.record(share) for member in group.members]}
        )
    folds = {member.fold for group in held_out.groups for member in group.members}
    return {
        "ensemble": {
            "method": method,
            "saw_validation": method in LEARNT or len(folds) > 1,  # so the final model cannot be judged on it
            "rule": rule.to_dict(),
            "groups": groups,
            "failed": list(failed),
            "validation": "answers of rules learnt without the units they answer for"
            if method in LEARNT
            else "answers for units that taught no member",
        }
    }
