"""Families ``hist_gradient_boosting`` and ``lightgbm``: trees that mend what the ones before them missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_seq.baselines.fitted import FitRequest, Grown, fit_on_table
from keras_seq.baselines.forests import threads
from keras_seq.baselines.grown import Parts, histogram_layer, library_answers, lightgbm_layer
from keras_seq.baselines.inputs import VARIANTS
from keras_seq.baselines.trees import Estimator
from keras_seq.config import Experiment
from keras_seq.errors import ConfigError
from keras_seq.figures import Say
from keras_seq.models.body import Space
from keras_seq.models.registry import register

if TYPE_CHECKING:
    import keras

    from keras_seq.data.prepare import Prepared

MOST_OUTPUTS = 64  # every output is a model of its own
DEFAULTS: dict[str, dict[str, Any]] = {  # by kind of features
    # hundreds of weak columns: random shares of them are faster and better
    "window": {"iterations": 120, "learning_rate": 0.06, "leaves": 12, "min_leaf": 40, "l2": 1.0, "columns": 0.15},
    "lags": {"iterations": 120, "learning_rate": 0.08, "leaves": 31, "min_leaf": 40, "l2": 1.0, "columns": 0.3},
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
WIDE = ("window", "lags")  # kinds of hundreds of columns
WINDOW_BINS, BINS = 64, 255
LEAF_SHARE = 20  # a leaf holds at most this part (1/20) of the rows where min_leaf is left open


@register("hist_gradient_boosting", fitted=True, variants=VARIANTS, space=SPACE)
def hist_gradient_boosting(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """scikit-learn's histogram boosting (after LightGBM, Ke et al., 2017) on ``model.features``."""
    return fit_on_table(experiment, prepared, say, grow_histogram)


@register("lightgbm", fitted=True, variants=VARIANTS, space=SPACE)
def lightgbm(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """LightGBM itself, an optional extra, on ``model.features``.

    Raises:
        ConfigError: it is not installed.
    """
    _require_lightgbm()
    return fit_on_table(experiment, prepared, say, grow_lightgbm)


def grow_histogram(job: FitRequest) -> Grown:
    """Fit one model of classes, or one of values per output."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    settings = boosting_settings(job)
    options = {
        "max_iter": settings["iterations"],
        "learning_rate": settings["learning_rate"],
        "max_leaf_nodes": settings["leaves"],
        "max_depth": job.model.trees.depth,
        "min_samples_leaf": settings["min_leaf"],
        "l2_regularization": settings["l2"],
        "max_features": settings["columns"],
        "max_bins": WINDOW_BINS if job.kind in WIDE else BINS,
        "early_stopping": False,
        "random_state": job.seed,
    }
    kind = HistGradientBoostingClassifier if job.classes else HistGradientBoostingRegressor
    if job.absolute:
        options["loss"] = "absolute_error"
    models = fit_each(job, lambda: kind(**options))
    return _as_layer(job, settings, models, histogram_layer(models, job.classes))


def grow_lightgbm(job: FitRequest) -> Grown:
    """The same with LightGBM."""
    module, settings = _require_lightgbm(), boosting_settings(job)
    options = {
        "n_estimators": settings["iterations"],
        "learning_rate": settings["learning_rate"],
        "num_leaves": settings["leaves"],
        "max_depth": job.model.trees.depth or -1,
        "min_child_samples": settings["min_leaf"],
        "reg_lambda": settings["l2"],
        "colsample_bytree": settings["columns"],
        "max_bin": WINDOW_BINS if job.kind in WIDE else BINS,
        "random_state": job.seed,
        "n_jobs": threads(),
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    kind = module.LGBMClassifier if job.classes else module.LGBMRegressor
    if job.absolute:
        options["objective"] = "regression_l1"
    models = fit_each(job, lambda: kind(**options))
    return _as_layer(job, settings, models, lightgbm_layer(models, job.classes))


def boosting_settings(job: FitRequest) -> dict[str, Any]:
    """The configured numbers, else the defaults of the features' kind."""
    defaults = DEFAULTS[job.kind if job.kind in DEFAULTS else "history"]
    configured = {name: getattr(job.model.trees, name) for name in defaults}
    settings = defaults | {name: value for name, value in configured.items() if value is not None}
    if configured["min_leaf"] is None:  # few rows could not be split at all
        settings["min_leaf"] = max(1, min(settings["min_leaf"], len(job.table.features) // LEAF_SHARE))
    return settings


def fit_each(job: FitRequest, make: Callable[[], Estimator]) -> list[Estimator]:
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
    return [make().fit(table.features, column, sample_weight=job.weight) for column in table.answers.T]


def _as_layer(job: FitRequest, settings: dict[str, Any], models: list[Estimator], layer: Parts) -> Grown:
    times = f"{len(models)} models of " if len(models) > 1 else ""
    name = f"{times}{settings['iterations']} rounds of {settings['leaves']} leaves, {layer[0].nodes} nodes"
    return Grown(name, [layer], lambda rows: library_answers(models, rows, job.classes))


def _require_lightgbm() -> Any:
    try:
        import lightgbm as module
    except ImportError:
        raise ConfigError(
            "Option 'model.family': 'lightgbm' needs the optional extra 'trees'; install it with "
            "\"pip install 'keras-seq[trees]'\", or use hist_gradient_boosting, which needs nothing more."
        ) from None
    return module
