"""Families ``hist_gradient_boosting`` and ``lightgbm``: trees that mend what the ones before them missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.baselines.fitted import FitRequest, Grown, fit_on_table
from keras_seq.baselines.forests import threads
from keras_seq.baselines.grown import histogram_layer, lightgbm_layer
from keras_seq.baselines.history_defaults import VARIANTS
from keras_seq.config import Experiment
from keras_seq.errors import ConfigError
from keras_seq.models.body import Space
from keras_seq.models.registry import register

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

MOST_OUTPUTS = 64  # every output is a model of its own
DEFAULTS: dict[str, dict[str, Any]] = {  # by kind of features
    # hundreds of weak columns: random shares of them are faster and better
    "window": {"iterations": 120, "learning_rate": 0.06, "leaves": 12, "min_leaf": 40, "l2": 1.0, "columns": 0.15},
    "history": {"iterations": 150, "learning_rate": 0.05, "leaves": 20, "min_leaf": 20, "l2": 5.0, "columns": 1.0},
}
SPACE: Space = {
    "model.trees.iterations": {"low": 50, "high": 500, "log": True},
    "model.trees.learning_rate": {"low": 0.01, "high": 0.2, "log": True},
    "model.trees.leaves": {"low": 4, "high": 63, "log": True},
    "model.trees.min_leaf": {"low": 5, "high": 200, "log": True},
    "model.trees.l2": {"low": 0.01, "high": 100.0, "log": True},
    "model.trees.columns": {"low": 0.05, "high": 1.0, "log": True},
}
WINDOW_BINS, BINS = 64, 255
LEAF_SHARE = 20  # a leaf holds at most this part (1/20) of the rows where min_leaf is left open


@register("hist_gradient_boosting", fitted=True, variants=VARIANTS, space=SPACE)
def hist_gradient_boosting(experiment: Experiment, prepared: Prepared, say: Callable[[str], None]) -> Any:
    """scikit-learn's histogram boosting (after LightGBM, Ke et al., 2017) on ``model.features``."""
    return fit_on_table(experiment, prepared, say, grow_histogram)


@register("lightgbm", fitted=True, variants=VARIANTS, space=SPACE)
def lightgbm(experiment: Experiment, prepared: Prepared, say: Callable[[str], None]) -> Any:
    """LightGBM itself, an optional extra, on ``model.features``.

    Raises:
        ConfigError: it is not installed.
    """
    _require_lightgbm()
    return fit_on_table(experiment, prepared, say, grow_lightgbm)


def grow_histogram(job: FitRequest) -> Grown:
    """Fit one model of classes, or one of values per output."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    found = boosting_settings(job)
    settings = {
        "max_iter": found["iterations"],
        "learning_rate": found["learning_rate"],
        "max_leaf_nodes": found["leaves"],
        "max_depth": job.model.trees.depth,
        "min_samples_leaf": found["min_leaf"],
        "l2_regularization": found["l2"],
        "max_features": found["columns"],
        "max_bins": WINDOW_BINS if job.kind == "window" else BINS,
        "early_stopping": False,
        "random_state": job.seed,
    }
    kind = HistGradientBoostingClassifier if job.classes else HistGradientBoostingRegressor
    models = fit_each(job, lambda: kind(**settings))
    layer = histogram_layer(models, job.outputs if job.classes else 0)
    return Grown(_told(found, len(models), layer[0].nodes), [layer], oracle_of(job, models))


def grow_lightgbm(job: FitRequest) -> Grown:
    """The same with LightGBM."""
    module, found = _require_lightgbm(), boosting_settings(job)
    settings = {
        "n_estimators": found["iterations"],
        "learning_rate": found["learning_rate"],
        "num_leaves": found["leaves"],
        "max_depth": job.model.trees.depth or -1,
        "min_child_samples": found["min_leaf"],
        "reg_lambda": found["l2"],
        "colsample_bytree": found["columns"],
        "max_bin": WINDOW_BINS if job.kind == "window" else BINS,
        "random_state": job.seed,
        "n_jobs": threads(),
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    kind = module.LGBMClassifier if job.classes else module.LGBMRegressor
    models = fit_each(job, lambda: kind(**settings))
    layer = lightgbm_layer(models, job.outputs if job.classes else 0)
    return Grown(_told(found, len(models), layer[0].nodes), [layer], oracle_of(job, models))


def boosting_settings(job: FitRequest) -> dict[str, Any]:
    """The configured numbers, else the defaults of the features' kind."""
    defaults = DEFAULTS["window" if job.kind == "window" else "history"]
    given = {name: getattr(job.model.trees, name) for name in defaults}
    found = defaults | {name: value for name, value in given.items() if value is not None}
    if given["min_leaf"] is None:  # few rows could not be split at all
        found["min_leaf"] = max(1, min(found["min_leaf"], len(job.table.features) // LEAF_SHARE))
    return found


def fit_each(job: FitRequest, make: Callable[[], Any]) -> list[Any]:
    """One fitted model of classes, or one per output.

    Raises:
        ConfigError: more outputs than models are reasonable.
    """
    table = job.table
    if job.classes:
        return [make().fit(table.features, table.answers)]
    if job.outputs > MOST_OUTPUTS:
        raise ConfigError(
            f"Option 'model.family': '{job.model.family}' needs a model for every output, and {job.outputs} outputs "
            f"(horizon times targets) are more than {MOST_OUTPUTS}; use random_forest or ridge, fewer data.targets, or "
            "a shorter data.windows.horizon."
        )
    return [make().fit(table.features, column) for column in table.answers.T]


def oracle_of(job: FitRequest, models: list[Any]) -> Callable[[Any], Any]:
    """The library's own answers, ``(n, outputs)``."""

    def values(rows: Any) -> Any:
        return np.stack([model.predict(rows) for model in models], 1)

    def probabilities(rows: Any) -> Any:
        full = np.zeros((len(rows), max(job.outputs, 2)))
        full[:, models[0].classes_] = models[0].predict_proba(rows)
        return full[:, 1:2] if job.outputs == 1 else full

    return probabilities if job.classes else values


def _told(found: dict[str, Any], models: int, nodes: int) -> str:
    times = f"{models} models of " if models > 1 else ""
    return f"{times}{found['iterations']} rounds of {found['leaves']} leaves, {nodes} nodes"


def _require_lightgbm() -> Any:
    try:
        import lightgbm as module
    except ImportError:
        raise ConfigError(
            "Option 'model.family': 'lightgbm' needs the optional extra 'trees'; install it with "
            "\"pip install 'keras-seq[trees]'\", or use hist_gradient_boosting, which needs nothing more."
        ) from None
    return module
