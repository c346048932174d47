"""Probabilities that mean what they say: maps fitted on validation, applied inside the graph.

Each fit returns numbers for ``keras_seq.models.decision.calibrate``:

- ``platt``: ``sigmoid(a * logit(p) + b)`` with Platt's softened targets (Platt 1999);
- ``temperature``: one number dividing the logits (Guo et al. 2017), binary or multiclass;
- ``isotonic``: the best rising table (Zadrozny & Elkan 2002), its steps drawn together to points with straight
  lines between (centred isotonic regression, Oron & Flournoy 2017), so that the ranking is kept;
- ``none``: the model's own probabilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_seq.training.class_metrics import EPSILON, log_loss

Array = NDArray[np.float64]
BINARY = ("none", "platt", "temperature", "isotonic")
MULTICLASS = ("none", "temperature")
FOLDS = 5
REPEATS = 5  # of the cross-validation with other folds: one deal of folds decides by luck
FEWEST = 10  # units of the rarest class below which "auto" leaves probabilities alone
FEWEST_ISOTONIC = 1000  # points below which an isotonic table follows noise, so "auto" does not try it
END_RISE = 0.1  # of an isotonic table's outermost levels towards 0 and 1
STEEPEST = 20.0  # largest factor of the logits, and 1 / the smallest


def fit_calibration(
    method: str, truth: ArrayLike, probability: ArrayLike, cluster: ArrayLike
) -> tuple[dict[str, Any], list[str]]:
    """Fit the map that ``evaluation.calibration`` asks for.

    ``auto`` takes the method of the least log loss in cross-validation over clusters, ``none`` among
    them. It stays with ``none`` where the rarest class occurs in fewer than 10 clusters: on 60 sequences
    that a model separates perfectly any sharpening looks good and is wrong on the next ones.

    Args:
        method: none, platt, isotonic, temperature or auto.
        truth: class numbers ``(n,)`` of the validation part.
        probability: of class 1 ``(n,)``, or of all classes ``(n, classes)``.
        cluster: ``(n,)``; points of one cluster (unit, group, block of time) are never split.

    Returns:
        Numbers of the map with its ``method``, and notes for the summary where it was not what was asked.
    """
    actual, answers = np.asarray(truth).astype(np.int64).ravel(), np.asarray(probability, np.float64)
    clusters, multiclass = np.asarray(cluster), answers.ndim == 2
    nothing: dict[str, Any] = {"method": "none"}
    if method == "none":
        return nothing, []
    if multiclass and method in ("platt", "isotonic"):
        return nothing, [f"evaluation.calibration={method} is for two classes; several take temperature: left out"]
    if len(np.unique(actual)) < 2:
        return nothing, [f"calibration left out: all {len(actual)} validation points are of class {actual[0]}"]
    if method != "auto":
        return _checked(fit(method, actual, answers))
    rarest = min(len(np.unique(clusters[actual == label])) for label in np.unique(actual))
    if not multiclass and rarest < FEWEST:
        return nothing, [f"calibration left out: the rarer class has {rarest} validation units, {FEWEST} are needed"]
    if multiclass and len(np.unique(clusters[answers.argmax(1) != actual])) < FEWEST:
        return nothing, [f"calibration left out: fewer than {FEWEST} validation units are classed wrongly"]
    methods = MULTICLASS if multiclass else BINARY if len(actual) >= FEWEST_ISOTONIC else BINARY[:3]
    losses = {name: cross_validated_loss(name, actual, answers, clusters) for name in methods}
    best, notes = _checked(fit(min(methods, key=losses.__getitem__), actual, answers))
    return {**best, "log_loss": losses}, notes


def fit(method: str, truth: NDArray[np.int64], probability: Array) -> dict[str, Any]:
    """Numbers of one map; ``truth (n,)`` and ``probability (n,)`` or ``(n, classes)``."""
    if method == "platt":
        return fit_platt(truth, probability)
    if method == "isotonic":
        return fit_isotonic(truth, probability)
    return fit_temperature(truth, probability) if method == "temperature" else {"method": "none"}


def fit_platt(truth: NDArray[np.int64], probability: Array) -> dict[str, Any]:
    """Slope and offset of the logit of least log loss against ``(N+ + 1)/(N+ + 2)`` and ``1/(N- + 2)``."""
    from scipy.optimize import minimize

    z, target = logit(probability), _softened(truth)

    def loss(numbers: Array) -> tuple[float, Array]:
        score = numbers[0] * z + numbers[1]
        error = _sigmoid(score) - target
        value = np.mean(np.logaddexp(0, score) - target * score)
        return float(value), np.array([np.mean(error * z), np.mean(error)])

    optimum = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 1e-9})
    return {"method": "platt", "slope": float(optimum.x[0]), "offset": float(optimum.x[1])}


def fit_temperature(truth: NDArray[np.int64], probability: Array) -> dict[str, Any]:
    """Temperature of least log loss against Platt's softened targets, so that perfect separation stays finite.

    Args:
        truth: class numbers ``(n,)``.
        probability: of class 1 ``(n,)``, or of every class ``(n, classes)``.

    Returns:
        The map as ``keras_seq.models.decision.calibrate`` takes it.
    """
    from scipy.optimize import minimize_scalar

    if probability.ndim == 1:
        z, target = logit(probability), _softened(truth)
        logits, targets = np.stack([np.zeros_like(z), z], 1), np.stack([1 - target, target], 1)
    else:
        logits, targets = np.log(np.clip(probability, EPSILON, 1.0)), _softened_classes(truth, probability.shape[1])

    def loss(log_factor: float) -> float:
        scores = logits * np.exp(log_factor)
        return float(np.mean(np.logaddexp.reduce(scores, axis=1) - np.sum(targets * scores, axis=1)))

    limit = float(np.log(STEEPEST))
    optimum = minimize_scalar(loss, bounds=(-limit, limit), method="bounded", options={"xatol": 1e-7})
    numbers = {"method": "temperature", "temperature": float(np.exp(-optimum.x))}
    return numbers if probability.ndim == 1 else {**numbers, "multiclass": True}


def fit_isotonic(truth: NDArray[np.int64], probability: Array) -> dict[str, Any]:
    """The rising table nearest to the labels, each of its steps at the mean probability of the step's points.

    Levels are kept ``1/(n + 2)`` from 0 and 1: no call is certain after n points. Outside the outermost points the
    lines go on to probabilities 0 and 1, rising by ``END_RISE`` of the way to certainty, so that nothing ties.
    """
    from sklearn.isotonic import IsotonicRegression

    edge = 1 / (len(truth) + 2)
    level = IsotonicRegression(y_min=edge, y_max=1 - edge).fit_transform(probability, truth)
    y, step, count = np.unique(level, return_inverse=True, return_counts=True)
    x = np.bincount(step, probability) / count
    if x[0] > 0:
        x, y = np.append(0.0, x), np.append(y[0] * (1 - END_RISE), y)
    if x[-1] < 1:
        x, y = np.append(x, 1.0), np.append(y, y[-1] + END_RISE * (1 - y[-1]))
    return {"method": "isotonic", "x": x.tolist(), "y": y.tolist()}


def cross_validated_loss(
    method: str, truth: NDArray[np.int64], probability: Array, cluster: NDArray[np.generic], *, repeats: int = REPEATS
) -> float:
    """Mean log loss on clusters that the map was not fitted on, nats, over several deals of 5 folds.

    Args:
        method: of calibration.
        truth: class numbers ``(n,)``.
        probability: of class 1 ``(n,)``, or of every class ``(n, classes)``.
        cluster: what stays together in a fold, such as the unit, ``(n,)``.
        repeats: number of deals.
    """
    from keras_seq.models.decision import calibrate

    if method == "none":
        return log_loss(truth, probability)
    losses = []
    for repeat in range(repeats):
        held_out, fold_of = np.empty_like(probability), _deal(truth, cluster, seed=repeat)
        for fold in range(FOLDS):
            chosen = fold_of == fold
            numbers = fit(method, truth[~chosen], probability[~chosen])
            held_out[chosen] = np.asarray(calibrate(probability[chosen].astype(np.float32), numbers))
        losses.append(log_loss(truth, held_out))
    return float(np.mean(losses))


def reliability(
    truth: ArrayLike, probability: ArrayLike, *, bins: int = 15, equal_mass: bool = False
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Reliability diagram: mean probability and observed share by bin.

    Args:
        truth: class numbers ``(n,)``.
        probability: of class 1 ``(n,)``; or ``(n, classes)``: the highest against being right.
        bins: number of bins.
        equal_mass: as many points in each bin instead of equal widths.

    Returns:
        Mean probability, observed share and count of each occupied bin.
    """
    hit, values = np.asarray(truth, np.float64).ravel(), np.asarray(probability, np.float64)
    if values.ndim == 2:
        hit, values = (values.argmax(1) == hit).astype(np.float64), values.max(1)
    if equal_mass:
        rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        which = rank * bins // max(len(values), 1)
    else:
        which = np.minimum((values * bins).astype(np.int64), bins - 1)
    count = np.bincount(which, minlength=bins)
    full = count > 0
    sums = [np.bincount(which, weights, minlength=bins)[full] / count[full] for weights in (values, hit)]
    return sums[0], sums[1], count[full]


def calibration_error(truth: ArrayLike, probability: ArrayLike, *, bins: int = 15, equal_mass: bool = False) -> float:
    """Expected calibration error: mean gap of ``reliability``'s bins, weighted by their counts; arguments as there."""
    predicted, observed, count = reliability(truth, probability, bins=bins, equal_mass=equal_mass)
    return float(np.sum(np.abs(predicted - observed) * count) / count.sum())


def logit(probability: ArrayLike) -> Array:
    """Log odds ``(...)``, float64, with probabilities ``(...)`` kept float32's resolution away from 0 and 1."""
    p = np.clip(np.asarray(probability, np.float64), EPSILON, 1 - EPSILON)
    return np.log(p) - np.log1p(-p)


def _sigmoid(score: Array) -> Array:
    return np.exp(-np.logaddexp(0, -score))


def _softened(truth: NDArray[np.int64]) -> Array:
    positives = int(truth.sum())
    return np.where(truth > 0, (positives + 1) / (positives + 2), 1 / (len(truth) - positives + 2))


def _softened_classes(truth: NDArray[np.int64], classes: int) -> Array:
    """Each true class gets ``(N + 1)/(N + classes)`` with N its points; the others share the rest."""
    size = np.bincount(truth, minlength=classes)[truth].astype(np.float64)
    targets = np.repeat((1 / (size + classes))[:, None], classes, axis=1)
    targets[np.arange(len(truth)), truth] = (size + 1) / (size + classes)
    return targets


def _deal(truth: NDArray[np.int64], cluster: NDArray[np.generic], *, seed: int) -> NDArray[np.int64]:
    """Fold of each point: clusters in random order, sorted by mean class, are dealt out, so that folds are alike."""
    names, inverse, count = np.unique(cluster, return_inverse=True, return_counts=True)
    share = np.bincount(inverse, truth) / count
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(share[shuffled], kind="stable")]
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % FOLDS
    return fold[inverse]


def _checked(numbers: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Refuse a falling map: it would turn the model's ranking around."""
    if numbers["method"] == "platt" and numbers["slope"] <= 0:
        return {"method": "none"}, [
            f"calibration left out: Platt's slope is {numbers['slope']:.3g}, so probabilities would turn around; "
            "the model does not separate the classes on validation"
        ]
    return numbers, []
