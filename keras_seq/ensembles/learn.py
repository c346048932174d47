"""Combination rules learnt from held-out predictions: optimal weights, stacking, blending."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import TaskName
from keras_seq.ensembles.rules import Array, Rule, equal_weights, table
from keras_seq.errors import ConfigError, DataError, nearest
from keras_seq.tasks import TASKS, classifies
from keras_seq.training.thresholds import best_f_threshold

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

Int = NDArray[np.int64]
Method = Literal["mean", "median", "weighted", "hard", "soft", "stacking", "blending", "bagging", "snapshot", "dynamic"]
METHODS: tuple[str, ...] = get_args(Method)
LEARNT = ("weighted", "stacking", "blending", "hard")  # read the truth
META = {"ridge": "Ridge", "logistic": "LogisticRegression"}  # short names; else a class of sklearn.linear_model
PENALTIES = (1e-3, 1e-1, 1e1, 1e3)  # of a ridge, chosen by blocks


def learn_rule(
    method: str, task: TaskName, predictions: Array, truth: Array, blocks: Int, *, meta: str | None = None
) -> Rule:
    """Fit the rule of a method.

    Args:
        method: see ``METHODS``; "dynamic" has no numbers to learn and is made by the graph.
        task: of the members.
        predictions: held-out, ``(members, points, ...)``.
        truth: ``(points, ...)`` values as learnt (capped), or class numbers ``(points,)``.
        blocks: number of the group of units (or stretch of time) each point belongs to, ``(points,)``.
        meta: linear learner of stacking and blending; default ridge, or logistic for classes.

    Raises:
        ConfigError: a method that does not fit the task, or an unknown meta learner.
    """
    members = len(predictions)
    if method in ("hard", "soft") and not classifies(task):
        raise ConfigError(f"--method {method} votes on classes, but the members' task is '{task}'; use mean or median.")
    if method in ("mean", "soft", "bagging", "snapshot"):
        return equal_weights(task, members)
    if method == "median":
        return Rule("median", task)
    if method == "hard":
        limits = [best_f_threshold(truth, row) for row in predictions] if task == "binary" else []
        return Rule("vote", task, thresholds=tuple(limits))
    if method == "weighted":
        return Rule("weights", task, weights=tuple(optimal_weights(task, predictions, truth).tolist()))
    kernel, bias = fit_meta(task, predictions, truth, blocks, meta)
    return Rule("linear", task, kernel=tuple(map(tuple, kernel.tolist())), bias=tuple(bias.tolist()))


def optimal_weights(task: TaskName, predictions: Array, truth: Array) -> NDArray[np.float64]:
    """Weights of least loss on held-out predictions, none negative, summing to 1.

    Squared error for values (a quadratic programme), log loss of the mixed probabilities for classes; both are
    convex, so SLSQP finds the one minimum. Bates & Granger (1969); as "linear opinion pool" Genest & Zidek (1986).

    Args:
        task: of the members.
        predictions: ``(members, points, ...)``.
        truth: ``(points, ...)``, or class numbers ``(points,)``.

    Returns:
        float64 ``(members,)``.
    """
    from scipy.optimize import minimize

    members = len(predictions)
    loss = _log_loss(task, predictions, truth) if classifies(task) else _squared(predictions, truth)
    optimum = minimize(
        loss,
        np.full(members, 1 / members),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    weights = np.clip(optimum.x, 0.0, None)
    if not np.isfinite(weights).all() or weights.sum() <= 0:
        raise DataError(f"Optimal weights of {members} members were not found ({optimum.message}); use --method mean.")
    weights[weights < 1e-6] = 0.0
    return weights / weights.sum()


def loss_of(task: TaskName, prediction: Array, truth: Array) -> float:
    """Log loss of classes, else mean squared error in deviations of the truth, of answers ``(points, ...)``."""
    answers = np.asarray(prediction)[None]
    loss = _log_loss(task, answers, truth) if classifies(task) else _squared(answers, truth)
    return float(loss(np.ones(1))[0])


def _squared(predictions: Array, truth: Array) -> Any:
    """Mean squared error and its slope in the weights, in deviations of each target's truth."""
    members, actual = len(predictions), np.asarray(truth, np.float64)
    spread = np.std(actual, axis=tuple(range(max(actual.ndim - 1, 1))))  # a target has the last axis
    errors = (predictions.reshape(members, *actual.shape) - actual) / np.maximum(spread, 1e-12)
    errors = errors.reshape(members, -1).astype(np.float64)
    gram = errors @ errors.T / errors.shape[1]  # weights sum to 1, so the error mixes as the predictions do
    return lambda w: (float(w @ gram @ w), 2 * gram @ w)


def _log_loss(task: TaskName, predictions: Array, truth: Array) -> Any:
    """Log loss of the mixed probability of the true class, and its slope."""
    label = np.asarray(truth).astype(np.int64).reshape(-1)
    if task == "binary":
        yes = predictions.reshape(len(predictions), -1).astype(np.float64)
        own = np.where(label > 0, yes, 1 - yes)
    else:
        own = np.take_along_axis(predictions, label[None, :, None], axis=-1)[..., 0].astype(np.float64)
    own = np.clip(own, 1e-12, 1.0)

    def loss(weights: Array) -> tuple[float, Array]:
        mixed = np.maximum(weights @ own, 1e-12)
        return float(-np.mean(np.log(mixed))), -(own / mixed).mean(1)

    return loss


def fit_meta(
    task: TaskName, predictions: Array, truth: Array, blocks: Int, meta: str | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a linear meta learner (Wolpert 1992, stacked generalisation) that a dense layer can hold.

    Members' values are read as they are, probabilities as log-odds, class probabilities as logarithms. A ridge's
    penalty is chosen over the blocks, so that units never sit on both sides.

    Returns:
        ``(members * width, width)`` and ``(width,)``.
    """
    link = TASKS[task].link
    rows = table(predictions, link)
    columns = rows.shape[-1]
    rows = rows.reshape(-1, columns)
    learner = _meta_learner(task, meta)
    if classifies(task):
        labels = np.asarray(truth).astype(np.int64).reshape(-1)
        if len(np.unique(labels)) < 2:
            raise DataError("A meta learner needs examples of at least two classes among the held-out predictions.")
        learner.fit(rows, labels)
    else:
        answers = np.asarray(truth, np.float64).reshape(len(rows), -1)
        if meta in (None, "ridge"):
            learner.set_params(alpha=_penalty(rows, answers, np.repeat(blocks, len(rows) // len(blocks))))
        learner.fit(rows, answers[:, 0] if answers.shape[1] == 1 else answers)
    return _as_dense(task, learner, columns, predictions.shape[-1])


def _meta_learner(task: TaskName, meta: str | None) -> BaseEstimator:
    """An unfitted linear learner of scikit-learn by its short or class name."""
    from sklearn import linear_model

    classes = classifies(task)
    name = meta or ("logistic" if classes else "ridge")
    kind = getattr(linear_model, META.get(name, name), None)
    if kind is None or not hasattr(kind, "fit"):
        known = [*META, *(item for item in linear_model.__all__ if item[0].isupper())]
        raise ConfigError(f"--meta: there is no linear learner '{name}'{nearest(name, known)}")
    from sklearn.base import is_classifier

    if is_classifier(kind()) != classes:
        raise ConfigError(f"--meta {name} does not fit task '{task}'; use {'logistic' if classes else 'ridge'}.")
    return kind(max_iter=1000) if name == "logistic" else kind()


def _penalty(rows: Array, answers: Array, blocks: Int) -> float:
    """Ridge penalty of least squared error over blocks left out, relative to the rows' spread."""
    from sklearn.linear_model import Ridge

    spread = float(np.var(rows, axis=0).mean()) * len(rows)
    if len(np.unique(blocks)) < 2:
        return 1e-3 * spread
    errors = []
    for share in PENALTIES:
        parts = [
            np.mean(
                (
                    Ridge(alpha=share * spread)
                    .fit(rows[out], answers[out])
                    .predict(rows[left_out])
                    .reshape(answers[left_out].shape)
                    - answers[left_out]
                )
                ** 2
            )
            for out, left_out in leave_out(blocks)
        ]
        errors.append(float(np.mean(parts)))
    return PENALTIES[int(np.argmin(errors))] * spread


def _as_dense(
    task: TaskName, learner: BaseEstimator, columns: int, width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients of a fitted learner as kernel and bias of a dense layer."""
    if not hasattr(learner, "coef_"):
        raise ConfigError(
            f"--meta: '{type(learner).__name__}' has no coefficients, so no layer can hold it; use ridge."
        )
    kernel = np.zeros((columns, width))
    bias = np.zeros(width)
    coefficients = np.asarray(learner.coef_, np.float64).reshape(-1, columns)
    constant = np.asarray(learner.intercept_, np.float64).reshape(-1)
    if task == "multiclass":
        bias[:] = -30.0  # a class that never occurred is never called
        seen = learner.classes_
        if len(seen) == 2:
            coefficients, constant = np.stack([-coefficients[0], coefficients[0]]) / 2, np.array([-1, 1]) * constant / 2
        kernel[:, seen], bias[seen] = coefficients.T, constant
        return kernel, bias
    kernel[:], bias[:] = coefficients.T, constant
    return kernel, bias


def leave_out(blocks: Int) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """For each block: the points outside of it, and those inside."""
    for number in np.unique(blocks):
        inside = blocks == number
        yield ~inside, inside


def nested(
    method: str,
    task: TaskName,
    predictions: Array,
    truth: Array,
    blocks: Int,
    learnt: NDArray[np.bool_],
    *,
    meta: str | None = None,
) -> Array:
    """Combined predictions in which no point helped to learn the rule that answers it.

    Args:
        method: see ``learn_rule``.
        task: of the members.
        predictions: held-out, ``(members, points, ...)``.
        truth: ``(points, ...)``.
        blocks: ``(points,)``; the rule that answers a block is learnt on the others.
        learnt: points that may teach (long enough histories, known truth), ``(points,)``.
        meta: see ``learn_rule``.

    Returns:
        ``(points, ...)``.

    Raises:
        DataError: a single block, from which nothing can be left out.
    """
    if method not in LEARNT:
        return learn_rule(method, task, predictions, truth, blocks).apply(predictions)
    if len(np.unique(blocks)) < 2:
        raise DataError(
            f"--method {method} learns from held-out units, and there is only one group of them; use --method mean, "
            "or bring more validation units."
        )
    combined = np.empty(predictions.shape[1:], np.float64)
    for outside, inside in leave_out(blocks):
        teach = outside & learnt
        rule = learn_rule(method, task, predictions[:, teach], truth[teach], blocks[teach], meta=meta)
        combined[inside] = rule.apply(predictions[:, inside])
    return combined
