"""The model's answers on its test part, asked once more and laid beside the truth; the numbers must be those recorded.

``measure`` loads the data and the model and leaves plain numbers in ``<run>/report/answers.json``; ``body`` draws them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from keras_seq import config
from keras_seq.bundle import Bundle
from keras_seq.errors import DataError
from keras_seq.reports import charts
from keras_seq.reports.html import NOTHING, number, paragraph, table
from keras_seq.reports.html_charts import chart, numbers_of

MOST = 3000  # points of a cloud; more would only make the page heavy
UNITS, STEPS = 6, 300
TOLERANCE = 1e-4  # of a recorded metric, relative: another processor adds floats in another order


def measure(bundle: Bundle, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask the model on its test part and keep what the charts need.

    Args:
        bundle: loaded.
        overrides: dotted ``data.*`` options such as ``data.home``.

    Raises:
        DataError: the data or the split differ from those of training, or the metrics from those recorded.
    """
    from keras_seq.data.prepare import prepare

    experiment = config.from_dict(config.override(config.to_dict(bundle.experiment), dict(overrides or {})))
    prepared = prepare(experiment.data)
    bundle.check_data(prepared)
    from keras_seq.evaluation.naive_error import naive_errors
    from keras_seq.evaluation.postprocessed import decide_points, score_postprocessed
    from keras_seq.training.predictions import points, predict_windows

    spec, index = bundle.spec, prepared.index["test"]
    prediction = predict_windows(bundle.model, prepared.series, index, spec, experiment.data)
    found = points(prepared.series, index, spec, prediction)
    naive = naive_errors(prepared, experiment)
    decided = decide_points(found, spec, experiment, bundle.decision, part="test", naive=naive)
    metrics = score_postprocessed(decided, spec, experiment, bundle.decision, part="test")
    _same_as_recorded(metrics, bundle)
    judged = decided.judged(experiment, "test")
    left: dict[str, Any] = {"task": spec.task, "part": "test", "points": len(judged.raw), "metrics": metrics}
    left |= {"quality": prepared.quality.to_dict(), "target": spec.targets[0] if spec.targets else ""}
    left |= {"target_unit": bundle.schema.target_unit, "classes": list(spec.classes)}
    if spec.task == "binary":
        return left | _binary(judged, bundle.threshold)
    if spec.task == "multiclass":
        return left | _multiclass(judged, spec.classes)
    cap = experiment.data.target_cap
    if spec.task == "forecast":
        return left | {"cap": cap} | _forecast(judged, cap)
    return left | _values(judged, decided.as_taught(cap), prepared.series, cap)


def body(left: Mapping[str, Any]) -> Markup:
    """Charts of what ``measure`` left."""
    head = f"{number(left['points'])} answers of the {left['part']} part, judged as recorded."
    draw = {"binary": _draw_binary, "multiclass": _draw_multiclass, "forecast": _draw_forecast}
    return paragraph(head) + draw.get(left["task"], _draw_values)(left)


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


def _values(judged: Any, decided: Any, series: Any, cap: float | None) -> dict[str, Any]:
    truth, value = judged.points.truth[:, 0], judged.value[:, 0]
    chosen = _some(len(truth))
    names = [str(series.unit_ids[unit]) for unit in judged.points.unit[chosen]]
    left = {"truth": truth[chosen].tolist(), "value": value[chosen].tolist(), "unit": names, "cap": cap}
    residual = value - (truth if cap is None else np.minimum(truth, cap))
    count, edges = np.histogram(residual, bins=40)
    left |= {"residual": {"count": count.tolist(), "edges": edges.tolist()}}
    return left | {"tracks": _tracks(decided, series)}


def _tracks(decided: Any, series: Any) -> list[dict[str, Any]]:
    """A few units from the shortest to the longest, where a unit has several answers."""
    units, count = np.unique(decided.points.unit, return_counts=True)
    if count.max() < 2:
        return []
    units = units[np.argsort(count, kind="stable")]
    units = units[np.linspace(0, len(units) - 1, min(UNITS, len(units))).astype(int)]
    found = []
    for unit in units:
        mine = np.flatnonzero(decided.points.unit == unit)
        mine = mine[np.argsort(decided.points.row[mine], kind="stable")]
        mine = mine[np.unique(np.linspace(0, len(mine) - 1, min(STEPS, len(mine))).astype(int))]
        track = {"unit": str(series.unit_ids[unit]), "step": decided.points.steps[mine].tolist()}
        track |= {"truth": decided.points.truth[mine, 0].tolist()}
        track |= {"value": decided.value[mine, 0].tolist()}
        if decided.lower is not None:
            track |= {"lower": decided.lower[mine, 0].tolist(), "upper": decided.upper[mine, 0].tolist()}
        found.append(track)
    return found


def _binary(judged: Any, threshold: float) -> dict[str, Any]:
    from sklearn.metrics import precision_recall_curve, roc_curve

    truth, score = judged.points.truth, judged.points.prediction
    false_rate, true_rate, _ = roc_curve(truth, score)
    precision, recall, _ = precision_recall_curve(truth, score)
    edges = np.linspace(0, 1, 31)
    shares = {str(c): (np.histogram(score[truth == c], edges)[0] / max((truth == c).sum(), 1)).tolist() for c in (0, 1)}
    return {
        "roc": _thin(false_rate, true_rate),
        "pr": _thin(recall, precision),
        "share": float(truth.mean()),
        "threshold": threshold,
        "scores": {"edges": edges.tolist(), "share": shares},
        "reliability": _reliability(judged),
    }


def _multiclass(judged: Any, classes: tuple[str, ...]) -> dict[str, Any]:
    truth, predicted = judged.points.truth.astype(int), judged.points.prediction.argmax(axis=1)
    count = max(len(classes), judged.points.prediction.shape[1])
    table = np.zeros((count, count), int)
    np.add.at(table, (truth, predicted), 1)
    names = list(classes) or [str(place) for place in range(count)]
    return {"confusion": table.tolist(), "classes": names, "reliability": _reliability(judged)}


def _forecast(answers: Any, cap: float | None) -> dict[str, Any]:
    judged = answers.as_taught(cap)
    truth = judged.points.truth[..., -1]
    inside = None
    if judged.lower is not None:
        hit = (judged.points.truth >= judged.lower) & (judged.points.truth <= judged.upper)
        inside = hit.mean(axis=(0, 2)).tolist()
    horizon = truth.shape[1]
    chosen = np.arange(len(truth))[-STEPS:] if horizon == 1 else np.linspace(0, len(truth) - 1, 3).astype(int)
    windows = [_window(judged, place) for place in chosen] if horizon > 1 else [_window(judged, chosen, first=True)]
    error = answers.value - judged.points.truth  # as the metrics have it
    by_step = {"rmse": np.sqrt((error[..., -1] ** 2).mean(axis=0)).tolist(), "inside": inside}
    return {"horizon": horizon, "windows": windows, "by_step": by_step}


def _window(judged: Any, place: Any, *, first: bool = False) -> dict[str, Any]:
    at = (place, 0, -1) if first else (place, slice(None), -1)
    found = {"name": "one step ahead" if first else f"window {int(place)}"}
    found |= {"truth": judged.points.truth[at].tolist(), "value": judged.value[at].tolist()}
    if judged.lower is not None:
        found |= {"lower": judged.lower[at].tolist(), "upper": judged.upper[at].tolist()}
    return found


def _reliability(judged: Any) -> dict[str, Any]:
    from keras_seq.training.calibration import reliability

    curves = {"answered": judged.points.prediction}
    if not np.allclose(judged.raw, judged.points.prediction, atol=1e-6):
        curves["before calibration"] = judged.raw
    found = {}
    for name, values in curves.items():
        predicted, observed, count = reliability(judged.points.truth, values, bins=10, equal_mass=True)
        found[name] = {"predicted": predicted.tolist(), "observed": observed.tolist(), "count": count.tolist()}
    return found


def _draw_values(left: Mapping[str, Any]) -> Markup:
    unit = f" [{left['target_unit']}]" if left["target_unit"] else ""
    name = f"{left['target']}{unit}"
    said = [
        f"{charts.text(u)}: true {t:.4g}, predicted {v:.4g}"
        for u, t, v in zip(left["unit"], left["truth"], left["value"], strict=True)
    ]
    cloud = charts.marks(
        {"answers": (left["truth"], left["value"], said)},
        x_title=f"true {name}",
        y_title=f"predicted {name}",
        opacity=0.6,
        size=7,
    )
    low, high = min(left["truth"]), max(left["truth"])
    cap = left["cap"] if left["cap"] is not None else high
    cloud["data"].append(
        {
            "type": "scatter",
            "mode": "lines",
            "x": [low, min(high, cap), high],
            "y": [low, min(high, cap), min(high, cap)],
            "line": {"color": charts.GREY, "dash": "dot"},
            "name": "perfect",
            "hoverinfo": "skip",
        }
    )
    taught = "" if left["cap"] is None else f", as taught: capped at {left['cap']:g}"
    blocks = [chart(cloud, "answers-cloud", alt=f"Predicted against true {name}; the dotted line is perfect{taught}")]
    spread = left["residual"]
    middle = [(a + b) / 2 for a, b in itertools.pairwise(spread["edges"])]
    bars = charts.bars([], {"answers": spread["count"]}, x_title=f"predicted - true {name}", y_title="answers")
    bars["data"][0] |= {"x": middle}
    bars["layout"] |= {"bargap": 0.02, "shapes": [charts.upright(0)]}
    bars["layout"]["xaxis"]["type"] = "linear"
    blocks.append(
        chart(
            bars,
            "answers-residuals",
            alt=f"Distribution of the errors; truth{taught or ' as it is'}",
            numbers=numbers_of(bars, first="error"),
        )
    )
    if left["tracks"]:
        blocks.append(_draw_tracks(left["tracks"], name, taught))
    return NOTHING.join(blocks)


def _draw_tracks(tracks: Any, name: str, taught: str) -> Markup:
    small = []
    for track in tracks:
        inner = charts.lines(
            track["step"], {"prediction": track["value"], "truth": track["truth"]}, x_title="step", y_title=""
        )
        inner["data"][1]["line"]["color"] = charts.GREY
        if "lower" in track:
            inner["data"] = charts.band(track["step"], track["lower"], track["upper"], name="interval") + inner["data"]
        small.append((f"unit {track['unit']}", inner))
    with_band = ", with interval" if "lower" in tracks[0] else ""
    alt = f"{name}: prediction (solid){with_band} and truth (dashed) along {len(tracks)} units, by length{taught}"
    return chart(charts.panels(small, row_height=260), "answers-tracks", alt=alt)


def _draw_binary(left: Mapping[str, Any]) -> Markup:
    roc = charts.lines(
        left["roc"]["x"], {"model": left["roc"]["y"]}, x_title="false positive rate", y_title="true positive rate"
    )
    pr = charts.lines(
        left["pr"]["x"], {"model": left["pr"]["y"]}, x_title="recall", y_title="precision", range=[0, 1.02]
    )
    metrics = left["metrics"]
    titles = [
        f"ROC, AUC {number(metrics.get('auc_roc'), 3)}",
        f"Precision-recall, AUC {number(metrics.get('auc_pr'), 3)}",
    ]
    joined = charts.panels(list(zip(titles, (roc, pr), strict=True)))
    names = left["classes"] if len(left["classes"]) == 2 else ["class 0", "class 1"]
    alt = f"ROC and precision-recall curves; positive: {names[1]}, share {number(left['share'])}"
    blocks = [chart(joined, "answers-curves", alt=alt), _draw_reliability(left)]
    edges = left["scores"]["edges"]
    middle = [round((a + b) / 2, 4) for a, b in itertools.pairwise(edges)]
    series = {names[int(key)]: shares for key, shares in left["scores"]["share"].items()}
    found = charts.bars([], series, x_title=f"predicted probability of {names[1]}", y_title="share of its class")
    for trace in found["data"]:
        trace["x"] = middle
    found["layout"]["xaxis"]["type"] = "linear"
    found["layout"] |= {"shapes": [charts.upright(left["threshold"])]}
    found["layout"]["annotations"] = [
        charts.note(left["threshold"], 1, f"threshold {left['threshold']:.3g}", yref="paper")
    ]
    blocks.append(
        chart(
            found,
            "answers-scores",
            alt="Probabilities by true class; the dotted line is the threshold",
            numbers=numbers_of(found, first="probability"),
        )
    )
    return NOTHING.join(blocks)


def _draw_multiclass(left: Mapping[str, Any]) -> Markup:
    counts, names = left["confusion"], left["classes"]
    share = [[value / max(sum(row), 1) for value in row] for row in counts]
    words = [[str(value) if value else "" for value in row] for row in counts]
    found = charts.heat(names, names, share, words, x_title="predicted class", y_title="true class")
    grid = table(["true class", *names], [[name, *row] for name, row in zip(names, counts, strict=True)])
    return chart(
        found, "answers-confusion", alt="Answers by true and predicted class", numbers=grid
    ) + _draw_reliability(left)


def _draw_reliability(left: Mapping[str, Any]) -> Markup:
    data: dict[str, Any] = {name: (c["predicted"], c["observed"], []) for name, c in left["reliability"].items()}
    found = charts.marks(data, x_title="predicted probability", y_title="observed share", size=9, height=360)
    for trace in found["data"]:
        trace["mode"] = "lines+markers"
    line = {"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": {"color": charts.GREY, "dash": "dot"}}
    found["layout"]["shapes"] = [line]
    alt = "Observed share against predicted probability in ten bins of equally many answers; the dotted line is perfect"
    return chart(found, "answers-reliability", alt=alt, numbers=numbers_of(found, first="predicted"))


def _draw_forecast(left: Mapping[str, Any]) -> Markup:
    small = []
    for window in left["windows"]:
        x = list(range(1, len(window["truth"]) + 1))
        axis = "step of the period" if left["horizon"] == 1 else "steps ahead"
        series = {"forecast": window["value"], "truth": window["truth"]}
        inner = charts.lines(x, series, x_title=axis, y_title=left["target"])
        inner["data"][1]["line"]["color"] = charts.GREY
        if "lower" in window:
            inner["data"] = charts.band(x, window["lower"], window["upper"], name="interval") + inner["data"]
        small.append((window["name"], inner))
    shown = small[0][1] if len(small) == 1 else charts.panels(small, row_height=270)
    taught = "" if left.get("cap") is None else f", all capped at {left['cap']:g} as taught"
    alt = f"Forecasts (solid) with interval, and truth (dashed){taught}"
    blocks = [chart(shown, "answers-forecasts", alt=alt)]
    if left["horizon"] > 1:
        x = list(range(1, left["horizon"] + 1))
        found = charts.lines(
            x, {"RMSE": left["by_step"]["rmse"]}, marks=True, x_title="steps ahead", y_title="RMSE", rangemode="tozero"
        )
        blocks.append(
            chart(found, "answers-horizon", alt="Error by step ahead", numbers=numbers_of(found, first="steps ahead"))
        )
    return NOTHING.join(blocks)


def _some(count: int) -> np.ndarray:
    chosen = np.random.default_rng(0).permutation(count)[:MOST]
    return np.sort(chosen)


def _thin(x: np.ndarray, y: np.ndarray, most: int = 400) -> dict[str, list[float]]:
    kept = np.unique(np.linspace(0, len(x) - 1, min(most, len(x))).astype(int))
    return {"x": x[kept].tolist(), "y": y[kept].tolist()}
