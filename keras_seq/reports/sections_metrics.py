"""Sections about the metrics of a run, and about its calibration and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from keras_seq.bundle import Bundle
from keras_seq.reports import charts
from keras_seq.reports.html import NOTHING, PageSection, facts, heading, number, paragraph, picture, table
from keras_seq.reports.html_charts import chart
from keras_seq.reports.sources import Sources
from keras_seq.tasks import TASKS
from keras_seq.training.metrics import HIGHER_IS_BETTER

Metrics = Mapping[str, float]
ENDINGS = {
    "": "as answered",
    "_raw": "the model's own",
    "_followed": "if every truth is fed back",
    "_fixed": "as served",  # of runs of older versions, whose "as answered" was followed
}


def metrics(sources: Sources) -> PageSection:
    """Every recorded metric by part, beside the baseline and, where data are generated, the ceiling."""
    recorded = sources.bundle.metrics
    baseline = recorded.get("baseline") or {}
    name = str(baseline.get("name", "baseline"))
    columns: dict[str, Metrics] = {part: recorded[part] for part in ("validation", "test") if recorded.get(part)}
    columns |= {f"{name}, {part}": baseline[part] for part in ("validation", "test") if baseline.get(part)}
    naive = recorded.get("naive") or {}  # older bundles have none
    columns |= {f"naive, {part}": naive[part] for part in ("validation", "test") if naive.get(part)}
    if recorded.get("ceiling"):
        columns["ceiling"] = recorded["ceiling"]
    if not columns:
        return PageSection("metrics", "Metrics", NOTHING, f"python -m keras_seq.evaluate {sources.run}")
    every = dict.fromkeys(metric for column in columns.values() for metric in column)
    shown = [metric for metric in (*TASKS[sources.bundle.spec.task].shown, "coverage") if metric in every]
    order = [*shown, *(metric for metric in every if metric not in shown)]
    rows = [[metric, *(column.get(metric) for column in columns.values()), _better(metric)] for metric in order]
    body = table(["metric", *columns, "better"], rows, caption="Metrics as recorded")
    body = (
        _metric_chart(recorded, shown[:4], sources.bundle.experiment.model.family)
        + body
        + _targets(recorded.get("targets", []))
    )
    if deploy := recorded.get("deploy"):  # older bundles have none
        body = paragraph(deploy["text"]) + body
    if performance := recorded.get("performance"):
        body += heading("Cost") + facts({key.replace("_", " "): value for key, value in performance.items()})
    return PageSection("metrics", "Metrics by part, beside the baseline", body)


def decision(sources: Sources) -> PageSection:
    """Threshold, calibration and prediction intervals: what was fitted, and how well it holds on test."""
    bundle, fitted = sources.bundle, sources.bundle.decision
    test = bundle.metrics.get("test", {})
    if not fitted and "coverage" not in test and "ece" not in test:
        return PageSection("decision", "Calibration and intervals", NOTHING)
    calibration = fitted.get("calibration", {})
    rows: dict[str, Any] = {"threshold": fitted.get("threshold"), "calibration": calibration.get("method")}
    interval = fitted.get("interval", {})
    rows |= {"intervals": interval.get("method"), "wanted coverage": fitted.get("coverage") if interval else None}
    body = facts(rows) + NOTHING.join(paragraph(note, "small") for note in fitted.get("notes", ()))
    body += _coverage_and_calibration(bundle.metrics, bundle.experiment.evaluation.coverage)
    body += _half_width(interval, bundle)
    if sources.answers is None:
        for stem, alt in (
            ("test_intervals", "Intervals of test units and their coverage, drawn when the model was trained"),
            ("test_roc_pr_calibration", "ROC, precision-recall, calibration and scores of the test part"),
            ("test_calibration", "Calibration of the test part"),
        ):
            body += picture(bundle.folder / "plots" / f"{stem}.png", alt)
    return PageSection("decision", "Calibration and intervals", body)


def _metric_chart(recorded: Mapping[str, Any], shown: Sequence[str], family: str) -> Markup:
    """A panel a metric: the model beside the baseline, by part; the ceiling as a line."""
    baseline, parts = recorded.get("baseline") or {}, ("validation", "test")
    name = str(baseline.get("name", ""))

    def panel(metric: str) -> charts.Figure:
        own = [part for part in parts if metric in recorded.get(part, {})]
        series = {family: [recorded[part][metric] for part in own]}
        if any(metric in baseline.get(part, {}) for part in own):
            series[f"{name} (baseline)"] = [baseline.get(part, {}).get(metric) for part in own]
        best = recorded.get("ceiling", {}).get(metric)
        level = None if best is None else (best, f"ceiling {number(best)}")
        drawn = charts.bars(own, series, y_title="", level=level)
        for trace in drawn["data"]:
            trace |= {"text": [number(value) for value in trace["y"]], "textposition": "outside", "cliponaxis": False}
            trace["marker"]["color"] = charts.BLUE if trace["name"] == charts.text(family) else "#9aa2ab"
        return drawn

    joined = charts.panels([(f"{metric} ({_better(metric)})", panel(metric)) for metric in shown])
    beside = f"; grey, hatched: the baseline {name}" if name else ""
    alt = f"Recorded metrics of {family} by part: {', '.join(shown)}{beside}"
    return chart(joined, "metrics-bars", alt=alt, x="part")


def _targets(rows: Sequence[Mapping[str, Any]]) -> Markup:
    if not rows:
        return NOTHING
    cells = [
        [row["name"], row["value"], f"{'>' if row['larger'] else '<'} {row['target']:g}", row["unit"], bool(row["met"])]
        for row in rows
    ]
    head = ["measured", "value", "target", "unit", "met"]
    return heading("Targets") + table(head, cells, kinds=["" if row["met"] else "bad" for row in rows])


def _coverage_and_calibration(recorded: Mapping[str, Any], wanted: float) -> Markup:
    """Coverage and calibration error by part, as recorded."""
    baseline = recorded.get("baseline") or {}
    columns = {part: recorded.get(part, {}) for part in ("validation", "test")}
    columns |= {f"baseline, {part}": baseline.get(part, {}) for part in ("validation", "test")}
    blocks = []
    for metric, title in (("coverage", "share of truths inside"), ("ece", "calibration error (ECE)")):
        parts = [name for name, column in columns.items() if metric in column]
        series = {
            words: [columns[part].get(f"{metric}{ending}") for part in parts]
            for ending, words in ENDINGS.items()
            if any(f"{metric}{ending}" in columns[part] for part in parts)
        }
        if not parts:
            continue
        data: dict[str, Any] = {name: (parts, values, []) for name, values in series.items()}
        drawn = charts.marks(data, x_title="", y_title=title, size=12, height=280, x_axis={"type": "category"})
        if metric == "coverage":
            charts.add_level(drawn, wanted, f"wanted {wanted:g}")
        alt = f"{title[:1].upper()}{title[1:]} by part"
        blocks.append(chart(drawn, f"decision-{metric}", alt=alt, x="part"))
    return NOTHING.join(blocks)


def _half_width(interval: Mapping[str, Any], bundle: Bundle) -> Markup:
    """Half width of a normalised interval by predicted level: the layer's table, its width times its spread."""
    knots, spread, width = (interval.get(name, []) for name in ("knots", "spread", "width"))
    if not knots or not isinstance(knots[0], list) or not isinstance(knots[0][0], int | float):
        return NOTHING
    series = [width[0] * value for value in spread[0]]
    unit = f" [{bundle.schema.target_unit}]" if bundle.schema.target_unit else ""
    drawn = charts.lines(
        knots[0],
        {"half width": series},
        marks=True,
        rangemode="tozero",
        x_title=f"predicted {bundle.spec.targets[0]}{unit}",
        y_title=f"half width{unit}",
    )
    alt = "Half width of the interval by predicted level, before it is cut at the target's bounds"
    return chart(drawn, "decision-width", alt=alt, x="predicted")


def _better(metric: str) -> str:
    if metric.startswith(("coverage", "bias")):
        return "near what is wanted" if metric.startswith("coverage") else "near 0"
    return "higher" if metric in HIGHER_IS_BETTER else "lower"
