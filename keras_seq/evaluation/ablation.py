"""Ablation: what each component of a configuration is worth, as the same run without it, over the same seeds.

What "off" means is a table of dotted overrides, one function a component, which is empty where the
configuration does not have the component.
"""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_seq.config import Experiment
from keras_seq.errors import ConfigError, nearest
from keras_seq.figures import figure, markdown_table
from keras_seq.models.registry import networks
from keras_seq.tasks import TASKS, deciding
from keras_seq.training.metrics import HIGHER_IS_BETTER

Changes = dict[str, Any]
Component = Callable[[Experiment, str], Changes]
SHORT_SHARE = 4  # lookback off: a quarter of the window
SHORT_STEPS = 30  # of whole histories with a target at every step


def _off(values: Changes) -> Component:
    """Those of ``values``, dotted fields with the value that switches them off, that are on."""
    return lambda e, task: {
        field: off for field, off in values.items() if operator.attrgetter(field)(e) not in (off, ())
    }


def _layers(e: Experiment, task: str) -> Changes:
    return {"model.layers": 1} if e.model.layers > 1 and e.model.family in networks() else {}


def _bidirectional(e: Experiment, task: str) -> Changes:
    if e.model.family == "bilstm":
        return {"model.family": "lstm", "model.bidirectional": False}
    return {"model.bidirectional": False} if e.model.bidirectional else {}


def _attention(e: Experiment, task: str) -> Changes:
    changes: Changes = {"model.family": "lstm"} if e.model.family == "attention_lstm" else {}
    return changes | ({"model.pooling": "mean"} if e.model.pooling == "attention" else {})


def _augmentation(e: Experiment, task: str) -> Changes:
    active = e.data.augment.model_dump(exclude={"minority_only"})
    return {f"data.augment.{name}": 0.0 for name, value in active.items() if value}


def _loss(e: Experiment, task: str) -> Changes:
    plain_loss = TASKS[task].plain_loss
    loss = TASKS[task].default_loss if e.training.loss == "auto" else e.training.loss
    if loss in (plain_loss, "quantile") or e.model.quantiles:
        return {}  # quantiles cannot be learnt by another loss
    return {"training.loss": plain_loss}


def _lookback(e: Experiment, task: str) -> Changes:
    windows = e.data.windows
    if windows.mode != "whole":
        if windows.length < SHORT_SHARE * 2:
            return {}
        return {"data.windows.length": windows.length // SHORT_SHARE}
    if not windows.per_step:
        return {"data.windows.length": max(1, windows.length // SHORT_SHARE)}
    # every step is still answered, from its last steps alone; a batch holds as many steps as before
    steps = e.evaluation.min_steps or SHORT_STEPS
    batch = max(e.training.batch_size, e.training.batch_size * windows.length // (2 * steps))
    return {
        "data.windows.mode": "sliding",
        "data.windows.length": steps,
        "data.windows.per_step": False,
        "data.windows.stride": max(1, steps // 6),
        "training.batch_size": batch,
    }


def _conditions(e: Experiment, task: str) -> Changes:
    return {"data.conditions": 0} if e.data.conditions > 1 else {}


def _schedule(e: Experiment, task: str) -> Changes:
    if e.training.schedule == "constant" and not e.training.warmup:
        return {}
    return {"training.schedule": "constant", "training.warmup": 0.0}


COMPONENTS: dict[str, tuple[str, Component]] = {
    "layers": ("one sequence layer", _layers),
    "bidirectional": ("forwards only", _bidirectional),
    "attention": ("no attention layer, mean instead of attention pooling", _attention),
    "normalisation": ("inputs scaled only", _off({"model.normalisation": "none"})),
    "augmentation": ("training samples as they are", _augmentation),
    "loss": ("squared error or cross-entropy", _loss),
    "lookback": ("a quarter of the window; of whole histories the last steps before each answer", _lookback),
    "history": (
        "no channels of smoothed past, own baseline and elapsed steps",
        _off(
            {
                "model.history.ewm": [],
                "model.history.running_mean": False,
                "model.history.baseline": 0,
                "model.history.elapsed": 0.0,
            }
        ),
    ),
    "noise": ("no noise on inputs", _off({"model.input_noise": 0.0})),
    "dropout": ("no dropout", _off({"model.dropout": 0.0, "model.head_dropout": 0.0})),
    "conditions": ("one scaling for all operating conditions", _conditions),
    "input_dense": ("no dense layer in front", _off({"model.input_dense": 0})),
    "balance": (
        "classes as they are",
        _off({"training.class_weight": "none", "training.class_weights": [], "data.balance": "none"}),
    ),
    "schedule": ("constant learning rate", _schedule),
}


def variants(experiment: Experiment, task: str, wanted: Sequence[str] = ()) -> dict[str, Changes]:
    """Components that the configuration has, with the overrides that switch them off.

    Args:
        experiment: resolved (every model field explicit).
        task: of the data.
        wanted: names; empty: all.

    Raises:
        ConfigError: an unknown component, or none of those wanted is on.
    """
    for name in wanted:
        if name not in COMPONENTS:
            raise ConfigError(f"--off: there is no component '{name}'{nearest(name, COMPONENTS)}")
    changes_by_name = {name: COMPONENTS[name][1](experiment, task) for name in wanted or COMPONENTS}
    changes_by_name = {name: changes for name, changes in changes_by_name.items() if changes}
    if not changes_by_name:
        raise ConfigError(
            f"--off: the configuration '{experiment.name}' has none of {', '.join(wanted or COMPONENTS)}, so there is "
            "nothing to switch off."
        )
    return changes_by_name


def compare(
    full: Sequence[Mapping[str, Any]], off: Sequence[Mapping[str, Any]], task: str, part: str
) -> dict[str, Any]:
    """Gain of a component: the metric without it beside that of the full model, paired by seed and fold.

    Args:
        full: runs of the full model, ``{"seed", "fold", "metrics"}``.
        off: runs without the component, same seeds and folds.
        task: chooses the metric.
        part: "validation" or "test".

    Returns:
        ``{"metric", "full", "off", "difference", "low", "high", "n", "verdict"}``; the difference is off minus
        full with its 95 % interval by Student's t over the seeds (means over folds); NaN ends for one seed. A
        positive ``gain`` means that the component helps.
    """
    metric = deciding(task)
    with_it, without = _by_seed(full, part, metric), _by_seed(off, part, metric)
    seeds = sorted(with_it.keys() & without.keys())
    differences = [without[seed] - with_it[seed] for seed in seeds]
    middle = statistics.fmean(differences)
    half = _half_width(differences)
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    low, high = middle - half, middle + half
    helps, hurts = (low > 0, high < 0) if sign > 0 else (high < 0, low > 0)
    return {
        "metric": metric,
        "full": statistics.fmean(with_it[seed] for seed in seeds),
        "off": statistics.fmean(without[seed] for seed in seeds),
        "difference": middle,
        "low": low,
        "high": high,
        "gain": sign * middle,
        "n": len(seeds),
        "verdict": "helps" if helps else "hurts" if hurts else "not told apart",
    }


def _by_seed(runs: Sequence[Mapping[str, Any]], part: str, metric: str) -> dict[int, float]:
    values: dict[int, list[float]] = {}
    for run in runs:
        values.setdefault(run["seed"], []).append(float(run["metrics"][part][metric]))
    return {seed: statistics.fmean(scores) for seed, scores in values.items()}


def _half_width(differences: Sequence[float]) -> float:
    if len(differences) < 2:
        return math.nan
    from scipy.stats import t

    return float(t.ppf(0.975, len(differences) - 1)) * statistics.stdev(differences) / math.sqrt(len(differences))


def to_markdown(outcome: Mapping[str, Any]) -> str:
    """Markdown table: component, what off means, metric, difference to full with interval, verdict."""
    rows = outcome["components"]
    first = next(iter(rows.values()))
    count = first["n"]
    lines = [
        f"## {outcome['name']}: what each component is worth",
        "",
        f"{first['metric']} on {outcome['part']}, full model {figure(first['full'])}; {count} seed{'s' * (count > 1)}, "
        f"{outcome['folds'] or 'no'} folds. Difference: off minus full, 95 % interval over seeds.",
        "",
    ]
    cells = []
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["gain"]):
        low, high, difference = (figure(row[key], sign=True) for key in ("low", "high", "difference"))
        interval = f"{low} to {high}" if row["n"] > 1 else "one seed"
        cells.append([name, COMPONENTS[name][0], figure(row["off"]), difference, interval, row["verdict"]])
    head = ["switched off", "meaning", first["metric"], "difference", "95 % interval", "the component"]
    lines += markdown_table(head, cells)
    lines += [f"| {name} | failed: {reason} | | | | |" for name, reason in outcome.get("failed", {}).items()]
    return "\n".join(lines) + "\n"
