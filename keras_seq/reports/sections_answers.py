"""The section on a model's answers on its test part: charts of what ``answers.measure`` returned."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from keras_seq.reports import charts
from keras_seq.reports.html import NOTHING, number, paragraph, table
from keras_seq.reports.html_charts import chart

Answers = Mapping[str, Any]  # as ``answers.json`` keeps them


def body(answers: Answers) -> Markup:
    """Charts that fit the task."""
    head = f"{number(answers['points'])} answers of the {answers['part']} part, judged as recorded."
    draw = {"binary": _draw_binary, "multiclass": _draw_multiclass, "forecast": _draw_forecast}
    return paragraph(head) + draw.get(answers["task"], _draw_values)(answers)


def _draw_values(answers: Answers) -> Markup:
    unit = f" [{answers['target_unit']}]" if answers["target_unit"] else ""
    name = f"{answers['target']}{unit}"
    taught = "" if answers["cap"] is None else f", as taught: capped at {answers['cap']:g}"
    blocks = _draw_cloud(answers, name, taught) + _draw_errors(answers["residual"], name, taught)
    return blocks + _draw_tracks(answers["tracks"], name, taught) if answers["tracks"] else blocks


def _draw_cloud(answers: Answers, name: str, taught: str) -> Markup:
    """Prediction against truth, and the line of perfect answers, which bends at the cap."""
    truth, value = answers["truth"], answers["value"]
    words = [
        f"{charts.text(u)}: true {t:.4g}, predicted {v:.4g}"
        for u, t, v in zip(answers["unit"], truth, value, strict=True)
    ]
    series, style = {"answers": (truth, value, words)}, {"color": charts.GREY, "dash": "dot"}
    drawn = charts.marks(series, x_title=f"true {name}", y_title=f"predicted {name}", opacity=0.6, size=7)
    low, high = min(truth), max(truth)
    bend = high if answers["cap"] is None else min(high, answers["cap"])
    perfect = {"type": "scatter", "mode": "lines", "x": [low, bend, high], "y": [low, bend, bend], "line": style}
    drawn["data"].append(perfect | {"name": "perfect", "hoverinfo": "skip"})
    return chart(drawn, "answers-cloud", alt=f"Predicted against true {name}; the dotted line is perfect{taught}")


def _draw_errors(residual: Answers, name: str, taught: str) -> Markup:
    drawn = charts.bars([], {"answers": residual["count"]}, x_title=f"predicted - true {name}", y_title="answers")
    drawn["data"][0]["x"] = [(low + high) / 2 for low, high in itertools.pairwise(residual["edges"])]
    drawn["layout"] |= {"bargap": 0.02, "shapes": [charts.upright(0)]}
    drawn["layout"]["xaxis"]["type"] = "linear"
    alt = f"Distribution of the errors; truth{taught or ' as it is'}"
    return chart(drawn, "answers-residuals", alt=alt, x="error")


def _draw_tracks(tracks: Sequence[Answers], name: str, taught: str) -> Markup:
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


def _draw_binary(answers: Answers) -> Markup:
    roc = charts.lines(
        answers["roc"]["x"], {"model": answers["roc"]["y"]}, x_title="false positive rate", y_title="true positive rate"
    )
    pr = charts.lines(
        answers["pr"]["x"], {"model": answers["pr"]["y"]}, x_title="recall", y_title="precision", range=[0, 1.02]
    )
    metrics = answers["metrics"]
    titles = [
        f"ROC, AUC {number(metrics.get('auc_roc'), 3)}",
        f"Precision-recall, AUC {number(metrics.get('auc_pr'), 3)}",
    ]
    joined = charts.panels(list(zip(titles, (roc, pr), strict=True)))
    names = answers["classes"] if len(answers["classes"]) == 2 else ["class 0", "class 1"]
    alt = f"ROC and precision-recall curves; positive: {names[1]}, share {number(answers['share'])}"
    blocks = [chart(joined, "answers-curves", alt=alt), _draw_reliability(answers)]
    edges = answers["scores"]["edges"]
    middle = [round((a + b) / 2, 4) for a, b in itertools.pairwise(edges)]
    series = {names[int(key)]: shares for key, shares in answers["scores"]["share"].items()}
    drawn = charts.bars([], series, x_title=f"predicted probability of {names[1]}", y_title="share of its class")
    for trace in drawn["data"]:
        trace["x"] = middle
    drawn["layout"]["xaxis"]["type"] = "linear"
    drawn["layout"] |= {"shapes": [charts.upright(answers["threshold"])]}
    drawn["layout"]["annotations"] = [
        charts.note(answers["threshold"], 1, f"threshold {answers['threshold']:.3g}", yref="paper")
    ]
    blocks.append(
        chart(
            drawn,
            "answers-scores",
            alt="Probabilities by true class; the dotted line is the threshold",
            x="probability",
        )
    )
    return NOTHING.join(blocks)


def _draw_multiclass(answers: Answers) -> Markup:
    counts, names = answers["confusion"], answers["classes"]
    share = [[value / max(sum(row), 1) for value in row] for row in counts]
    words = [[str(value) if value else "" for value in row] for row in counts]
    drawn = charts.heat(names, names, share, words, x_title="predicted class", y_title="true class")
    grid = table(["true class", *names], [[name, *row] for name, row in zip(names, counts, strict=True)])
    return chart(
        drawn, "answers-confusion", alt="Answers by true and predicted class", numbers=grid
    ) + _draw_reliability(answers)


def _draw_reliability(answers: Answers) -> Markup:
    data: dict[str, Any] = {name: (c["predicted"], c["observed"], []) for name, c in answers["reliability"].items()}
    drawn = charts.marks(data, x_title="predicted probability", y_title="observed share", size=9, height=360)
    for trace in drawn["data"]:
        trace["mode"] = "lines+markers"
    line = {"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": {"color": charts.GREY, "dash": "dot"}}
    drawn["layout"]["shapes"] = [line]
    alt = "Observed share against predicted probability in ten bins of equally many answers; the dotted line is perfect"
    return chart(drawn, "answers-reliability", alt=alt, x="predicted")


def _draw_forecast(answers: Answers) -> Markup:
    small = []
    for window in answers["windows"]:
        x = list(range(1, len(window["truth"]) + 1))
        axis = "step of the period" if answers["horizon"] == 1 else "steps ahead"
        series = {"forecast": window["value"], "truth": window["truth"]}
        inner = charts.lines(x, series, x_title=axis, y_title=answers["target"])
        inner["data"][1]["line"]["color"] = charts.GREY
        if "lower" in window:
            inner["data"] = charts.band(x, window["lower"], window["upper"], name="interval") + inner["data"]
        small.append((window["name"], inner))
    shown = small[0][1] if len(small) == 1 else charts.panels(small, row_height=270)
    taught = "" if answers.get("cap") is None else f", all capped at {answers['cap']:g} as taught"
    alt = f"Forecasts (solid) with interval, and truth (dashed){taught}"
    blocks = [chart(shown, "answers-forecasts", alt=alt)]
    if answers["horizon"] > 1:
        x = list(range(1, answers["horizon"] + 1))
        drawn = charts.lines(
            x,
            {"RMSE": answers["by_step"]["rmse"]},
            marks=True,
            x_title="steps ahead",
            y_title="RMSE",
            rangemode="tozero",
        )
        blocks.append(chart(drawn, "answers-horizon", alt="Error by step ahead", x="steps ahead"))
    return NOTHING.join(blocks)
