"""The cheap, strong model a network has to beat, chosen by task and fitted on the train windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.causal import history_features, window_features, window_rows
from keras_seq.baselines.features import Float, Int, rich_features
from keras_seq.data.series import Series
from keras_seq.data.windows import WindowIndex

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

SETTLED = 30  # steps of a unit after which its rows teach
MANY_UNITS = 5  # from so many units on, each has a history of its own to compare with
FEW_SAMPLES = 1000  # fewer: a forest of extremely random trees; more: boosting
MOST_ROWS = 300_000
CHUNK = 2000  # windows whose features are computed at a time


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline.

    Attributes:
        name: what it is, for tables.
        answer: gives the answers of ``predict``.
    """

    name: str
    answer: Callable[[WindowIndex], NDArray]

    def predict(self, index: WindowIndex) -> Float:
        """Answers for every window, in order, shaped like a network's.

        Returns:
            float32: regression ``(windows, targets)``, or with a target at every step ``(steps of all
            windows joined, targets)``; binary ``(windows, 1)``; multiclass ``(windows, classes)``;
            forecast ``(windows, horizon, targets)``.
        """
        return np.asarray(self.answer(index), np.float32)


def fit_baseline(
    prepared: Prepared, seed: int = 0, *, target_cap: float | None = None, length: bool = True
) -> Baseline:
    """Fit the baseline of the task on ``prepared.index["train"]``.

    - target per unit: trees on ``rich_features`` of each window;
    - target per step: boosting (150 trees) on ``history_features`` of the rows, or with fewer than
      ``MANY_UNITS`` units on ``window_features``;
    - forecast: the best of naive, seasonal naive, mean and ridge on lags, chosen on validation.

    Args:
        prepared: series, windows and fitted numbers.
        seed: of the trees.
        target_cap: largest target value in training (remaining useful life: 125).
        length: whether the length of a sequence may be a feature (target per unit).
    """
    if prepared.spec.horizon:
        from keras_seq.baselines.forecasts import fit_forecast

        return Baseline(*fit_forecast(prepared))
    per_unit = prepared.series.schema.target_per == "unit"
    return _fit_units(prepared, seed, target_cap, length) if per_unit else _fit_rows(prepared, seed, target_cap)


def _fit_units(prepared: Prepared, seed: int, cap: float | None, length: bool) -> Baseline:
    series, train = prepared.series, prepared.index["train"]

    def describe(index: WindowIndex) -> Float:
        parts = [index.take(slice(low, low + CHUNK)) for low in range(0, len(index), CHUNK)]
        return np.concatenate([rich_features(_as_units(series, part), length=length)[0] for part in parts])

    kind, answer = _fit(prepared, describe(train), series.targets[train.unit], seed, cap)
    return Baseline(f"{kind} on rich features", lambda index: answer(describe(index)))


def _as_units(series: Series, index: WindowIndex) -> Series:
    """The windows as a series in which each one is a unit."""
    offsets = np.concatenate([[0], np.cumsum(index.length)]).astype(np.int64)
    return replace(series, values=series.values[window_rows(index)], offsets=offsets)


def _fit_rows(prepared: Prepared, seed: int, cap: float | None) -> Baseline:
    series, spec, train = prepared.series, prepared.spec, prepared.index["train"]
    historic = spec.per_step or series.n_units >= MANY_UNITS
    if historic:
        table, _ = history_features(series, spec)

        def describe(index: WindowIndex) -> Float:
            chosen: Float = table[_rows(index, spec.per_step)]
            return chosen

    else:

        def describe(index: WindowIndex) -> Float:
            return window_features(series, index)[0]

    rows = _rows(train, spec.per_step)
    steps = rows - np.repeat(series.offsets[:-1], series.lengths)[rows] + 1
    teach = np.isfinite(series.targets[rows]).all(1)
    if spec.per_step:  # rows before the part's first target belong to another part
        teach &= rows >= np.repeat(train.first, train.length)
    if historic and (teach & (steps >= SETTLED)).any():
        teach &= steps >= SETTLED
    chosen = np.flatnonzero(teach)
    if len(chosen) > MOST_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MOST_ROWS, replace=False))
    kind, answer = _fit(prepared, describe(train)[chosen], series.targets[rows[chosen]], seed, cap)
    return Baseline(f"{kind} on {'history' if historic else 'window'} features", lambda i: answer(describe(i)))


def _rows(index: WindowIndex, per_step: bool) -> Int:
    """Absolute rows that are answered."""
    return window_rows(index) if per_step else index.target


def _fit(
    prepared: Prepared, table: Float, targets: NDArray, seed: int, cap: float | None
) -> tuple[str, Callable[[Float], NDArray]]:
    """A name and a function from features ``(n, k)`` to answers."""
    if prepared.spec.task == "regression":
        capped = np.asarray(targets, np.float64) if cap is None else np.minimum(targets, cap)
        models = [_regressor(len(table), seed).fit(table, column) for column in capped.T]
        return _name(models[0]), lambda rows: np.stack([model.predict(rows) for model in models], 1)
    labels = np.asarray(targets[:, 0], np.int64)
    if len(np.unique(labels)) == 1:
        return _fit_constant(prepared, int(labels[0]))
    model = unit_classifier(len(table), seed).fit(table, labels)
    known, count = model.classes_, max(2, len(prepared.spec.classes), int(labels.max()) + 1)

    def answer(rows: Float) -> NDArray:
        full = np.zeros((len(rows), count))
        full[:, known] = model.predict_proba(rows)
        return full[:, 1:2] if prepared.spec.task == "binary" else full

    return _name(model), answer


def _fit_constant(prepared: Prepared, label: int) -> tuple[str, Callable[[Float], NDArray]]:
    """All train windows have one class: nothing can be learnt."""
    spec = prepared.spec
    answer = np.array([float(label)]) if spec.task == "binary" else np.eye(max(len(spec.classes), label + 1))[label]
    return "constant", lambda rows: np.tile(answer, (len(rows), 1))


def unit_classifier(samples: int, seed: int) -> Any:
    """The unfitted classifier for so many training samples: few make a forest, many boosting."""
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

    if samples < FEW_SAMPLES:
        return ExtraTreesClassifier(400, max_features=0.1, random_state=seed)
    return HistGradientBoostingClassifier(
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


def _regressor(samples: int, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor

    if samples < FEW_SAMPLES:
        return ExtraTreesRegressor(400, max_features=0.3, random_state=seed)
    return HistGradientBoostingRegressor(
        max_iter=150,
        learning_rate=0.05,
        max_leaf_nodes=20,
        l2_regularization=5.0,
        early_stopping=False,
        random_state=seed,
    )


def _name(model: Any) -> str:
    return "boosted trees" if type(model).__name__.startswith("Hist") else "extra trees"
