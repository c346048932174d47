"""How rare each class is among the training samples, and the weights that make all count alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig, TaskName, TrainingConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared


def class_shares(prepared: Prepared, config: DataConfig) -> NDArray[np.float64]:
    """Share of each class among training samples (steps, if each has a target) as they are fed.

    Oversampled classes are equal already, so that no weight is added on top. Empty for values.

    Returns:
        ``(classes,)``, summing to 1.
    """
    spec, series, index = prepared.spec, prepared.series, prepared.index["train"]
    if not spec.classifies:
        return np.zeros(0)
    classes = max(len(spec.classes), 2)
    if config.balance == "oversample":
        return np.full(classes, 1 / classes)
    if series.schema.target_per == "unit":
        rows = index.unit
    elif spec.per_step:
        before = np.concatenate([[0], np.cumsum(index.length)[:-1]])
        rows = np.repeat(index.start - before, index.length) + np.arange(index.length.sum())
        rows = rows[rows >= np.repeat(index.first, index.length)]  # those before are of an earlier part
    else:
        rows = index.target
    labels = series.targets[rows, 0]
    counts = np.bincount(labels[np.isfinite(labels)].astype(np.int64), minlength=classes)
    return counts / max(counts.sum(), 1)


def class_weights(shares: NDArray[np.float64], task: TaskName) -> list[float]:
    """``1 / (classes * share)``: the mean over samples is 1 and every class weighs the same.

    Raises:
        ConfigError: the task has no classes.
    """
    if not len(shares):
        raise ConfigError(f"Option 'training.class_weight' is 'balanced', but the task '{task}' has no classes.")
    return [float(1 / (len(shares) * share)) if share else 0.0 for share in shares]


def chosen_weights(training: TrainingConfig, shares: NDArray[np.float64], spec: DataSpec) -> list[float] | None:
    """Weight of each class as ``training`` asks for it: balanced, given, or none.

    Args:
        training: ``class_weight`` and ``class_weights``.
        shares: of ``class_shares``.
        spec: its classes are in the order of the weights.

    Raises:
        ConfigError: the task has no classes, or as many weights as classes were not given.
    """
    given = training.class_weights
    if training.class_weight == "balanced":
        return class_weights(shares, spec.task)
    if not given:
        return None
    names = spec.classes or ("0", "1")
    if not spec.classifies or len(given) != len(names):
        wanted = f"has {len(names)} classes ({', '.join(names)})" if spec.classifies else "has no classes"
        raise ConfigError(
            f"Option 'training.class_weights' has {len(given)} weights, but the task '{spec.task}' {wanted}. "
            "Give one weight a class, in that order, or none."
        )
    return list(given)
