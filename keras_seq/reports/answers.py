"""The model's answers on its test part, asked once more and laid beside the truth; the metrics must be those recorded.

``measure`` loads the data and the model; what it returns is left in ``<run>/report/answers.json``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq import config
from keras_seq.bundle import Bundle
from keras_seq.data.series import Series
from keras_seq.errors import DataError
from keras_seq.evaluation.postprocessed import Postprocessed, answer_part, score_postprocessed

MOST = 3000  # points of a cloud; more would only make the page heavy
UNITS, STEPS = 6, 300
Index = tuple[int | slice | NDArray[np.int64], ...]
TOLERANCE = 1e-4  # of a recorded metric, relative: another processor adds floats in another order


def measure(bundle: Bundle, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask the model on its test part and return what the charts need.

    Args:
        bundle: loaded.
        overrides: dotted ``data.*`` options such as ``data.home``.

    Raises:
        DataError: the data or the split differ from those of training, or the metrics from those recorded.
    """
    from keras_seq.data.prepare import prepare

    experiment = config.from_dict(config.override(config.to_dict(bundle.experiment), dict(overrides or {})))
    prepared, spec = prepare(experiment.data), bundle.spec
    bundle.check_data(prepared)
    answers = answer_part(bundle, prepared, experiment, "test")
    metrics = score_postprocessed(answers, spec, experiment, bundle.decision, part="test")
    _same_as_recorded(metrics, bundle)
    scored, cap = answers.scored(experiment, "test"), experiment.data.target_cap
    common = {
        "task": spec.task,
        "part": "test",
        "points": len(scored.raw),
        "metrics": metrics,
        "quality": prepared.quality.to_dict(),
        "target": spec.targets[0] if spec.targets else "",
        "target_unit": bundle.schema.target_unit,
        "classes": list(spec.classes),
    }
    if spec.task == "binary":
        return common | binary(scored, bundle.threshold)
    if spec.task == "multiclass":
        return common | multiclass(scored, spec.classes)
    if spec.task == "forecast":
        return common | {"cap": cap} | forecast(scored, cap)
    tracks = tracks_of(answers.as_taught(cap), prepared.series)
    return common | values(scored, prepared.series, cap) | {"tracks": tracks}


def _same_as_recorded(metrics: Mapping[str, float], bundle: Bundle) -> None:
    for name, value in bundle.metrics.get("test", {}).items():
        now = metrics.get(name)
        if now is None or not isinstance(value, int | float) or not math.isfinite(value):
            continue
        if abs(now - value) > TOLERANCE * max(abs(value), 1e-6):
            raise DataError(
                f"Bundle '{bundle.folder}' recorded {name} {value:.6g} on test, but its model now has {now:.6g}: the "
                "data or the libraries differ. Judge it again with 'python -m keras_seq.evaluate', or train again."
            )


def values(answers: Postprocessed, series: Series, cap: float | None) -> dict[str, Any]:
    """Truth beside prediction of at most ``MOST`` answers, and the distribution of the errors against capped truth."""
    truth, value = answers.points.truth[:, 0], point_answers(answers)[:, 0]
    chosen = np.sort(np.random.default_rng(0).permutation(len(truth))[:MOST])
    count, edges = np.histogram(value - (truth if cap is None else np.minimum(truth, cap)), bins=40)
    return {
        "truth": truth[chosen].tolist(),
        "value": value[chosen].tolist(),
        "unit": [str(series.unit_ids[unit]) for unit in answers.points.unit[chosen]],
        "cap": cap,
        "residual": {"count": count.tolist(), "edges": edges.tolist()},
    }


def tracks_of(answers: Postprocessed, series: Series) -> list[dict[str, Any]]:
    """Answers along a few units from the shortest to the longest; empty where no unit has several."""
    points = answers.points
    units, count = np.unique(points.unit, return_counts=True)
    if count.max() < 2:
        return []
    units = units[np.argsort(count, kind="stable")]
    tracks = []
    for unit in units[_spread(len(units), UNITS)]:
        own = np.flatnonzero(points.unit == unit)
        own = own[np.argsort(points.row[own], kind="stable")]
        own = own[np.unique(_spread(len(own), STEPS))]
        name = {"unit": str(series.unit_ids[unit]), "step": points.steps[own].tolist()}
        tracks.append(name | _lines(answers, (own, 0)))
    return tracks


def binary(answers: Postprocessed, threshold: float) -> dict[str, Any]:
    """ROC, precision-recall and reliability curves, and the distribution of the scores by class."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    truth, score = answers.points.truth, answers.points.prediction
    false_rate, true_rate, _ = roc_curve(truth, score)
    precision, recall, _ = precision_recall_curve(truth, score)
    edges = np.linspace(0, 1, 31)
    shares = {str(c): (np.histogram(score[truth == c], edges)[0] / max((truth == c).sum(), 1)).tolist() for c in (0, 1)}
    return {
        "roc": _curve(false_rate, true_rate),
        "pr": _curve(recall, precision),
        "share": float(truth.mean()),
        "threshold": threshold,
        "scores": {"edges": edges.tolist(), "share": shares},
        "reliability": reliability_curves(answers),
    }


def multiclass(answers: Postprocessed, classes: tuple[str, ...]) -> dict[str, Any]:
    """Confusion matrix, rows true, and reliability of the highest probability."""
    truth, prediction = answers.points.truth.astype(int), answers.points.prediction
    size = max(len(classes), prediction.shape[1])
    counts = np.zeros((size, size), int)
    np.add.at(counts, (truth, prediction.argmax(axis=1)), 1)
    names = list(classes) or [str(place) for place in range(size)]
    return {"confusion": counts.tolist(), "classes": names, "reliability": reliability_curves(answers)}


def forecast(answers: Postprocessed, cap: float | None) -> dict[str, Any]:
    """A few forecasts beside the truth, capped as taught; error and share inside by step ahead."""
    taught = answers.as_taught(cap)
    truth, lower, upper = taught.points.truth, taught.lower, taught.upper
    inside = None
    if lower is not None and upper is not None:
        inside = ((truth >= lower) & (truth <= upper)).mean(axis=(0, 2)).tolist()
    if (horizon := truth.shape[1]) == 1:
        windows = [{"name": "one step ahead"} | _lines(taught, (slice(-STEPS, None), 0, -1))]
    else:
        places = np.linspace(0, len(truth) - 1, 3).astype(int)
        windows = [{"name": f"window {place}"} | _lines(taught, (place, slice(None), -1)) for place in places]
    error = point_answers(answers) - truth  # as the metrics have it
    by_step = {"rmse": np.sqrt((error[..., -1] ** 2).mean(axis=0)).tolist(), "inside": inside}
    return {"horizon": horizon, "windows": windows, "by_step": by_step}


def reliability_curves(answers: Postprocessed) -> dict[str, dict[str, list[float]]]:
    """Predicted probability, observed share and count of ten bins of equally many answers, by name of the curve."""
    from keras_seq.training.calibration import reliability

    probability = answers.points.prediction
    curves = {"answered": probability}
    if not np.allclose(answers.raw, probability, atol=1e-6):
        curves["before calibration"] = answers.raw
    bins = {name: reliability(answers.points.truth, own, bins=10, equal_mass=True) for name, own in curves.items()}
    names = ("predicted", "observed", "count")
    return {name: {key: own.tolist() for key, own in zip(names, of, strict=True)} for name, of in bins.items()}


def point_answers(answers: Postprocessed) -> NDArray[np.floating]:
    """Point answers of a model of values, which has them."""
    assert answers.value is not None
    return answers.value


def _lines(answers: Postprocessed, place: Index) -> dict[str, list[float]]:
    """Truth, prediction and ends of the interval at an index of their arrays."""
    lines = {"truth": answers.points.truth, "value": answers.value, "lower": answers.lower, "upper": answers.upper}
    return {name: values[place].tolist() for name, values in lines.items() if values is not None}


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` numbers from 0 to ``count - 1`` at even distances."""
    return np.linspace(0, count - 1, min(most, count)).astype(np.int64)


def _curve(x: NDArray[np.float64], y: NDArray[np.float64]) -> dict[str, list[float]]:
    chosen = np.unique(_spread(len(x), 400))
    return {"x": x[chosen].tolist(), "y": y[chosen].tolist()}
