"""Families ``random_forest``, ``extra_trees`` and ``last_row_forest``: means over independent trees."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from keras_seq.baselines.fitted import FitRequest, Grown, fit_on_table
from keras_seq.baselines.grown import forest_layer, library_answers
from keras_seq.baselines.inputs import VARIANTS
from keras_seq.config import Experiment
from keras_seq.figures import Say
from keras_seq.models.body import Space
from keras_seq.models.registry import register

if TYPE_CHECKING:
    import keras

    from keras_seq.data.prepare import Prepared

MOST_ROWS = 20_000  # rows a tree sees where the share is left open: neighbours in time tell little new
SPACE: Space = {
    "model.trees.iterations": {"low": 100, "high": 500, "step": 100},
    "model.trees.leaves": {"low": 16, "high": 2048, "log": True},
    "model.trees.min_leaf": {"low": 1, "high": 100, "log": True},
    "model.trees.columns": {"low": 0.05, "high": 1.0, "log": True},
}
ROOM = 2_000_000  # rows in all leaves together, at most, where the smallest leaf is left open: tens of megabytes


@register("random_forest", fitted=True, variants=VARIANTS, space=SPACE)
def random_forest(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """Random forest (Breiman, 2001) on ``model.features``."""
    return fit_on_table(experiment, prepared, say, lambda job: grow_forest(job, "RandomForest"))


@register("extra_trees", fitted=True, variants=VARIANTS, space=SPACE)
def extra_trees(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """Extremely randomised trees (Geurts, Ernst and Wehenkel, 2006): strong where samples are few."""
    return fit_on_table(experiment, prepared, say, lambda job: grow_forest(job, "ExtraTrees"))


@register("last_row_forest", fitted=True, space=SPACE)
def last_row_forest(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """Random forest on the last row alone: the weak reference that sees no history."""
    return fit_on_table(experiment, prepared, say, lambda job: grow_forest(job, "RandomForest"), features="last")


def grow_forest(job: FitRequest, kind: str) -> Grown:
    """Fit scikit-learn's forest of the task."""
    from sklearn import ensemble

    settings = forest_settings(job, kind)
    maker = getattr(ensemble, f"{kind}{'Classifier' if job.classes else 'Regressor'}")
    model = maker(**settings, n_jobs=threads(), random_state=job.seed)
    answers = job.table.answers
    answers = answers if job.classes or answers.shape[1] > 1 else answers[:, 0]
    model.fit(job.table.features, answers, sample_weight=job.weight)

    layer = forest_layer(model, job.classes)
    name = f"{settings['n_estimators']} trees, {layer[0].nodes} nodes"
    return Grown(name, [layer], lambda rows: library_answers([model], rows, job.classes))


def forest_settings(job: FitRequest, kind: str) -> dict[str, Any]:
    """scikit-learn's parameters: the configured ones, else defaults by the size of the table."""
    wanted, rows = job.model.trees, len(job.table.features)
    bootstrap = kind == "RandomForest"
    share = wanted.rows or min(1.0, MOST_ROWS / rows)
    trees = wanted.iterations or (400 if rows < 1000 else 200)
    seen = rows * share if bootstrap else rows
    settings: dict[str, Any] = {
        "n_estimators": trees,
        "max_features": wanted.columns or (0.1 if job.kind in ("window", "lags") else 0.33),
        "min_samples_leaf": wanted.min_leaf or max(1, round(seen * trees / ROOM)),
        "max_leaf_nodes": wanted.leaves,
        "max_depth": wanted.depth,
        "bootstrap": bootstrap,
    }
    return settings | ({"max_samples": share if share < 1 else None} if bootstrap else {})


def threads() -> int:
    """Threads to grow with: ``OMP_NUM_THREADS``, which boosting obeys too, else all cores."""
    setting = os.environ.get("OMP_NUM_THREADS", "")
    return int(setting) if setting.isdigit() and int(setting) else os.cpu_count() or 1
