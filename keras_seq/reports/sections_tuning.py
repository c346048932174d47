"""The section about a search: its trials as ``python -m tuning`` recorded them, one JSON file a trial."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from keras_seq.reports import charts
from keras_seq.reports.html import NOTHING, PageSection, details, facts, heading, number, paragraph, picture, table
from keras_seq.reports.html_charts import chart
from keras_seq.reports.sources import Sources, read

Trial = Mapping[str, Any]
SLICES = 12  # fields with a panel


def tuning(sources: Sources) -> PageSection:
    """Score by trial, score by value, the best configuration, what the retraining said, all trials."""
    title = "Hyperparameter search"
    study = f"studies/{sources.bundle.experiment.name}"
    command = f"python -m tuning --config FILE; python -m keras_seq.report {sources.run} --study {study}"
    if sources.study is None:
        return PageSection("tuning", title, NOTHING, command)
    about = read(sources.study / "study.json")
    trials = sorted((read(p) for p in (sources.study / "trials").glob("*.json")), key=lambda t: int(t["trial"]))
    higher, objective = about["direction"] == "max", str(about["objective"])
    best = best_trial(trials, higher=higher)
    counts = {s: sum(t["status"] == s for t in trials) for s in ("completed", "pruned", "failed", "running")}
    body = facts(
        {
            "study": about["name"],
            "objective": f"{objective} of the validation part, {'higher' if higher else 'lower'} is better",
            "search": about.get("tuner"),
            "trials": f"{len(trials)}: " + ", ".join(f"{count} {status}" for status, count in counts.items() if count),
            "best": "" if best is None else f"{number(best['score'], 5)} (trial {best['trial']})",
        }
    )
    body += _anew(sources.study)
    if any(_scored(trial) for trial in trials):
        body += _history(trials, objective, higher=higher) + _slices(trials, objective, higher=higher)
    body += picture(
        sources.study / "report" / "importance.png", "Share of the score's variance that each field explains"
    )
    body += picture(
        sources.study / "report" / "parallel.png", "A line a trial, from its values to its score", natural=True
    )
    if best is not None:
        body += heading("Best values") + table(["field", "value"], [[k, _text(v)] for k, v in best["values"].items()])
    return PageSection("tuning", title, body + details("All trials", _all(trials, objective, best)), command)


def best_trial(trials: Sequence[Trial], *, higher: bool) -> Trial | None:
    """The completed trial of the largest budget with the best score, as the study itself chooses it."""
    done = [trial for trial in trials if trial["status"] == "completed" and trial["score"] is not None]
    if not done:
        return None
    most = max(trial["budget"] for trial in done)
    sign = -1.0 if higher else 1.0
    return min((t for t in done if t["budget"] == most), key=lambda t: (sign * t["score"], int(t["trial"])))


def _anew(folder: Path) -> Markup:
    path = folder / "report" / "comparison.json"
    if not path.exists():
        return NOTHING
    return heading("Trained anew, against the configuration itself") + paragraph(read(path)["verdict"]["words"])


def _history(trials: Sequence[Trial], objective: str, *, higher: bool) -> Markup:
    series = {}
    for status in ("completed", "pruned"):
        own = [trial for trial in trials if trial["status"] == status and _scored(trial)]
        if own:
            words = [f"trial {t['trial']}: {number(t['score'], 5)}, budget {t['budget']:.2g}" for t in own]
            series[status] = ([int(t["trial"]) for t in own], [t["score"] for t in own], words)
    drawn = charts.marks(series, x_title="trial", y_title=objective, size=9, y_axis=_sane(trials, higher=higher))
    full = max(trial["budget"] for trial in trials if _scored(trial))
    complete = [t for t in trials if t["status"] == "completed" and _scored(t) and t["budget"] == full]
    best = itertools.accumulate((trial["score"] for trial in complete), max if higher else min)
    drawn["layout"]["showlegend"] = True
    line = {"color": charts.GREEN, "shape": "hv", "width": 2}
    steps = {"x": [int(trial["trial"]) for trial in complete], "y": list(best)}
    drawn["data"].append({"type": "scatter", "mode": "lines", **steps, "name": "best so far", "line": line})
    default = next((trial for trial in trials if trial["default"] and _scored(trial)), None)
    if default is not None:
        charts.add_level(drawn, default["score"], f"configuration itself {number(default['score'])}")
    return chart(drawn, "tuning-history", alt=f"{objective} of every trial and the best so far (of full budget)")


def _slices(trials: Sequence[Trial], objective: str, *, higher: bool) -> Markup:
    chosen = [trial for trial in trials if _scored(trial)]
    fields = dict.fromkeys(name for trial in chosen for name in trial["values"])
    varied = [name for name in fields if len({_text(t["values"].get(name)) for t in chosen}) > 1][:SLICES]
    if not varied:
        return NOTHING
    y_axis = _sane(trials, higher=higher)
    panels = [(name.split(".", 1)[-1], _slice(chosen, name, y_axis)) for name in varied]
    alt = f"{objective} against the value of each field; other fields vary too"
    return chart(charts.panels(panels, row_height=230), "tuning-slices", alt=alt)


def _slice(trials: Sequence[Trial], field: str, y_axis: Mapping[str, Any]) -> charts.Figure:
    """Scores against the values of a field."""
    own = [trial for trial in trials if field in trial["values"]]
    values = [trial["values"][field] for trial in own]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    wide = numeric and min(values) > 0 and max(values) / min(values) > 50
    x_axis = {"type": "log"} if wide else {} if numeric else {"type": "category"}
    texts = [charts.text(_text(value)) for value in values]
    scores = [trial["score"] for trial in own]
    words = [
        f"trial {trial['trial']}: {field} {text}, {number(trial['score'])}"
        for trial, text in zip(own, texts, strict=True)
    ]
    series = {field: (values if numeric else texts, scores, words)}
    return charts.marks(series, x_title="", y_title="", size=6, opacity=0.65, x_axis=x_axis, y_axis=y_axis)


def _sane(trials: Sequence[Trial], *, higher: bool) -> dict[str, Any]:
    """An axis that a diverged trial does not stretch: to three times the spread of the better half."""
    scores = sorted((t["score"] for t in trials if _scored(t)), reverse=higher)
    best, middle, worst = scores[0], scores[len(scores) // 2], scores[-1]
    edge = middle + 3 * (middle - best)
    if best == middle or (worst >= edge if higher else worst <= edge):
        return {}
    low, high = sorted((best - 0.1 * (middle - best), edge))
    return {"range": [low, high]}


def _all(trials: Sequence[Trial], objective: str, best: Trial | None) -> Markup:
    fields = list(dict.fromkeys(name for trial in trials for name in trial["values"]))
    rows = [
        [int(t["trial"]), t["status"], t["score"], *(_text(t["values"].get(name, "")) for name in fields), t["reason"]]
        for t in trials
    ]
    kinds = ["best" if best is t else "bad" if t["status"] == "failed" else "" for t in trials]
    return table(["trial", "status", objective, *(name.split(".", 1)[-1] for name in fields), "why"], rows, kinds=kinds)


def _scored(trial: Trial) -> bool:
    score = trial["score"]
    return isinstance(score, int | float) and score == score and abs(score) != float("inf")


def _text(value: object) -> str:
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
