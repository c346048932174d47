"""Trees on statistics of whole sequences, computed by numpy without a graph: the quick baseline of labels per unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.features.causal import window_rows
from keras_seq.data.features.window_statistics import Float, rich_features
from keras_seq.data.series import Series
from keras_seq.data.windows import WindowIndex

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

FEW = 1000  # sequences; fewer: a forest of extremely random trees, more: boosting
CHUNK = 2000  # windows whose features are computed at a time

Estimator: TypeAlias = Any  # scikit-learn and LightGBM have no types
Answer = Callable[[WindowIndex], NDArray]


def fit_units(prepared: Prepared, seed: int, *, target_cap: float | None = None) -> tuple[str, Answer]:
    """Fit trees on ``rich_features`` of the train windows.

    Args:
        prepared: of a data set with a target per unit.
        seed: of the trees.
        target_cap: largest target value in training.

    Returns:
        The family whose defaults the trees have, and a function from windows to float32 ``(windows, 1)``,
        ``(windows, classes)`` or ``(windows, targets)``.
    """
    series, train = prepared.series, prepared.index["train"]

    def describe(index: WindowIndex) -> Float:
        parts = [index.take(slice(low, low + CHUNK)) for low in range(0, len(index), CHUNK)]
        return np.concatenate([rich_features(_as_units(series, part))[0] for part in parts])

    answer = _fit(prepared, describe(train), series.targets[train.unit], seed, target_cap)
    family = "extra_trees" if len(train) < FEW else "hist_gradient_boosting"
    return family, lambda index: np.asarray(answer(describe(index)), np.float32)


def _as_units(series: Series, index: WindowIndex) -> Series:
    """The windows as a series in which each one is a unit."""
    offsets = np.concatenate([[0], np.cumsum(index.length)]).astype(np.int64)
    return replace(series, values=series.values[window_rows(index)], offsets=offsets)


def _fit(
    prepared: Prepared, table: Float, targets: NDArray, seed: int, cap: float | None
) -> Callable[[Float], NDArray]:
    """A function from features ``(n, k)`` to answers."""
    spec = prepared.spec
    if spec.task == "regression":
        capped = np.asarray(targets, np.float64) if cap is None else np.minimum(targets, cap)
        models = [trees(len(table), seed, classes=False).fit(table, column) for column in capped.T]
        return lambda rows: np.stack([model.predict(rows) for model in models], 1)
    labels = np.asarray(targets[:, 0], np.int64)
    count = 1 if spec.task == "binary" else max(2, len(spec.classes), int(labels.max()) + 1)
    if len(np.unique(labels)) == 1:  # nothing can be learnt
        known, probabilities = labels[:1], lambda rows: np.ones((len(rows), 1))
    else:
        model = trees(len(table), seed).fit(table, labels)
        known, probabilities = model.classes_, model.predict_proba
    return lambda rows: class_columns(probabilities(rows), known, count)


def class_columns(share: NDArray[Any], known: NDArray[Any], classes: int) -> NDArray[Any]:
    """Probabilities of classes seen in training ``(n, known)`` to those of all ``(n, classes)``; 1: of class 1."""
    full = np.zeros((len(share), max(classes, 2)))
    full[:, known] = share
    return full[:, 1:2] if classes == 1 else full


def trees(samples: int, seed: int, *, classes: bool = True) -> Estimator:
    """Unfitted trees for so many training samples, with the defaults of the families."""
    from sklearn import ensemble

    kind = "Classifier" if classes else "Regressor"
    if samples < FEW:
        return getattr(ensemble, f"ExtraTrees{kind}")(400, max_features=0.1, random_state=seed)
    return getattr(ensemble, f"HistGradientBoosting{kind}")(
        learning_rate=0.06,
        max_iter=120,
        max_leaf_nodes=12,
        min_samples_leaf=40,
        l2_regularization=1.0,
        max_features=0.15,  # hundreds of weak columns: random shares of them are faster and better
        max_bins=64,
        early_stopping=False,
        random_state=seed,
    )
