"""How rare each class is among the training samples, and the weights that make all count alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig, TaskName
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
