"""Family ``ridge``: linear regression with a penalty for values and forecasts, logistic regression for classes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.fitted import FitRequest, Grown, fit_on_table
from keras_seq.baselines.grown import IMPOSSIBLE, library_answers
from keras_seq.baselines.inputs import VARIANTS
from keras_seq.baselines.lag_ridge import grow_lags, lag_inputs
from keras_seq.baselines.trees import Estimator
from keras_seq.config import Experiment
from keras_seq.data.plans.marks import channels
from keras_seq.figures import Say
from keras_seq.models.body import Space
from keras_seq.models.registry import register
from keras_seq.tasks import TASKS

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

Rows = NDArray[Any]
PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4)  # tried where model.penalty is left open; features in deviations
FOLDS = 3
SPACE: Space = {"model.penalty": {"low": 1e-3, "high": 1e4, "log": True}}
MOST_ROWS = 20_000  # rows of a trial


@register("ridge", fitted=True, variants=VARIANTS, space=SPACE)
def ridge(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """Ridge (Hoerl and Kennard, 1970) or logistic regression on ``model.features``; forecasts on own lags and plan."""
    spec = prepared.spec
    own_past = spec.task == "forecast" and spec.target_index and len(spec.scaling.center) == 1
    if own_past and experiment.model.features == "auto":
        told = channels(prepared.series.schema)
        plan = tuple(i for i, name in enumerate(spec.features) if name in told)
        return fit_on_table(experiment, prepared, say, grow_lags, front=partial(lag_inputs, plan=plan))
    return fit_on_table(experiment, prepared, say, grow_linear)


def grow_linear(job: FitRequest) -> Grown:
    """Standardise, choose the penalty on folds of the training rows, fit; a ``Dense`` layer holds the weights."""
    rows = job.table.features.astype(np.float64)
    mean, deviation = rows.mean(0), rows.std(0)
    constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    scale = np.where(constant, 1.0, deviation)
    inputs = np.where(constant, 0.0, (rows - mean) / scale)
    penalty = job.model.penalty if job.model.penalty is not None else choose_penalty(job, inputs)
    model = _fitted(job, inputs, job.table.answers, penalty)
    kernel, bias = _weights(job, model)
    kernel = np.where(constant[:, None], 0.0, kernel)
    link = TASKS[job.spec.task].activation
    layers: list[tuple[keras.layers.Layer, list[NDArray[Any]] | None]] = [
        (
            keras.layers.Normalization(mean=mean.tolist(), variance=(scale**2).tolist(), dtype="float32", name="scale"),
            None,
        ),
        (keras.layers.Dense(job.outputs, activation=link, dtype="float32", name="linear"), [kernel, bias]),
    ]

    def oracle(rows: NDArray[Any]) -> NDArray[Any]:
        inputs = np.where(constant, 0.0, (rows.astype(np.float64) - mean) / scale)
        return library_answers([model], inputs, job.classes)

    kind = "logistic regression" if job.classes else "ridge"
    return Grown(f"{kind} with penalty {penalty:g}", layers, oracle)


def choose_penalty(job: FitRequest, inputs: NDArray[Any]) -> float:
    """The penalty with the least loss on held-out units, or of a single unit on blocks of its rows.

    Args:
        job: whose answers and units belong to the rows.
        inputs: ``(rows, features)``, scaled.
    """
    from sklearn.model_selection import GroupKFold, KFold

    step = max(1, len(inputs) // MOST_ROWS)
    inputs, answers, unit = inputs[::step], job.table.answers[::step], job.table.unit[::step]
    many = len(np.unique(unit)) >= 2 * FOLDS
    folds = list((GroupKFold(FOLDS) if many else KFold(FOLDS)).split(inputs, groups=unit))
    if job.classes:  # a fold in which a class is not taught cannot be judged
        folds = [fold for fold in folds if set(answers[fold[1]]) <= set(answers[fold[0]])] or folds[:0]

    def loss(penalty: float) -> float:
        losses = [_loss(job, inputs, answers, teach, judge, penalty) for teach, judge in folds]
        return float(np.mean(losses)) if losses else abs(np.log10(penalty) - 1)

    return min(PENALTIES, key=loss)


def _loss(job: FitRequest, inputs: Rows, answers: Rows, teach: Rows, judge: Rows, penalty: float) -> float:
    model = _fitted(job, inputs[teach], answers[teach], penalty)
    if not job.classes:
        spread = np.maximum(np.std(answers, axis=0), 1e-12)  # targets may differ in scale
        return float(np.mean(((model.predict(inputs[judge]).reshape(len(judge), -1) - answers[judge]) / spread) ** 2))
    place = np.searchsorted(model.classes_, answers[judge])
    return float(-np.mean(model.predict_log_proba(inputs[judge])[np.arange(len(judge)), place]))


def _fitted(job: FitRequest, inputs: Rows, answers: Rows, penalty: float) -> Estimator:
    from sklearn.linear_model import LogisticRegression, Ridge

    if not job.classes:
        return Ridge(penalty).fit(inputs, answers)
    return LogisticRegression(C=1.0 / max(penalty, 1e-9), max_iter=500).fit(inputs, answers)


def _weights(job: FitRequest, model: Estimator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Kernel ``(k, outputs)`` and bias; classes that training never saw get an impossible logit."""
    kernel, bias = np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_)
    if not job.classes or job.outputs == 1:
        return kernel, bias
    if len(model.classes_) == 2:  # one logit tells two classes apart
        kernel, bias = np.concatenate([0.0 * kernel, kernel], 1), np.concatenate([[0.0], bias])
    full, start = np.zeros((len(kernel), job.outputs)), np.full(job.outputs, IMPOSSIBLE)
    full[:, model.classes_], start[model.classes_] = kernel, bias
    return full, start
