"""Sections about one run as its bundle records it: key numbers, data, training, metrics, decision layer, settings."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from keras_seq import config
from keras_seq.bundle import read_versions
from keras_seq.evaluation.measures import MEASURES
from keras_seq.reports import charts, sections_answers
from keras_seq.reports.html import (
    NOTHING,
    PageSection,
    code,
    details,
    facts,
    heading,
    number,
    paragraph,
    picture,
    table,
    tiles,
)
from keras_seq.reports.html_charts import chart, numbers_of
from keras_seq.reports.sources import Sources
from keras_seq.tasks import TASKS
from keras_seq.training.metrics import HIGHER_IS_BETTER

PARTS = ("train", "validation", "test")
Metrics = Mapping[str, float]


def summary(sources: Sources) -> PageSection:
    """The few numbers that decide, as recorded."""
    bundle = sources.bundle
    test, validation = bundle.metrics.get("test", {}), bundle.metrics.get("validation", {})
    baseline, naive = bundle.metrics.get("baseline") or {}, bundle.metrics.get("naive") or {}
    rows = []
    for measure in MEASURES[bundle.spec.task][:2]:
        if measure.name in test:
            known = [f"validation {number(validation[measure.name])}"] if measure.name in validation else []
            if measure.name in baseline.get("test", {}):
                known.append(f"{baseline.get('name', 'baseline')} {number(baseline['test'][measure.name])}")
            if measure.name in naive.get("test", {}):
                known.append(f"naive {number(naive['test'][measure.name])} ({naive['name']})")
            better = "higher" if measure.higher_is_better else "lower"
            rows.append((f"{measure.name}, test ({better} is better)", number(test[measure.name]), "; ".join(known)))
    if "coverage" in test:
        wanted = f"wanted {100 * bundle.experiment.evaluation.coverage:g} %"
        rows.append(("truths inside the interval, test", f"{100 * test['coverage']:.1f} %", wanted))
    if "ece" in test:
        beside = f"before calibration {number(test['ece_raw'], 3)}" if "ece_raw" in test else ""
        rows.append(("calibration error (ECE), test", number(test["ece"], 3), beside))
    performance = bundle.metrics.get("performance", {})
    if "latency_ms_batch1" in performance:
        rows.append(("latency of one window", f"{performance['latency_ms_batch1']:.3g} ms", "served signature"))
    if "training_minutes" in performance:
        parameters = performance.get("parameters")
        beside = f"{number(parameters)} parameters" if parameters else ""
        rows.append(("training", f"{performance['training_minutes']:.2g} min", beside))
    return PageSection("summary", "Key numbers", tiles(rows), "python -m keras_seq.train --config FILE")


def data(sources: Sources) -> PageSection:
    """Origin, sizes of the parts, ranges, and what is known of every column."""
    bundle = sources.bundle
    known = bundle.data.get("statistics", {})
    parts = [part for part in PARTS if part in known]
    info = {k: v for k, v in bundle.data.get("info", {}).items() if isinstance(v, str | int | float)}
    rows: dict[str, Any] = {"data set": bundle.schema.name, "task": bundle.spec.task} | info
    if bundle.spec.task == "binary":
        rows["positive class"] = (bundle.spec.classes or ("0", "1"))[1]
    rows |= {"fingerprint": bundle.data.get("fingerprint", "")[:16], "split": bundle.data.get("split", "")[:16]}
    body = facts(rows)
    if parts:
        body += _parts_table(known, parts) + _data_charts(known, parts, bundle.schema.target_unit)
    body += _quality(sources) + details("Columns, as fitted on the train part", _columns(sources))
    return PageSection("data", "Data and their quality", body)


def training(sources: Sources) -> PageSection:
    """Loss, validation metrics and learning rate by epoch; the epoch whose weights were kept."""
    epochs = read_history(sources.bundle.folder / "history.csv")
    if not epochs.get("epoch"):
        text = "This family is fitted at once; there are no epochs."
        return PageSection(
            "training", "Training", paragraph(text) if "performance" in sources.bundle.metrics else NOTHING
        )
    experiment, x = sources.bundle.experiment, epochs["epoch"]
    watch = monitored(experiment.training.monitor, sources.bundle.spec.task)
    kept = _kept_epoch(epochs, watch, experiment.training.keep)
    mark = (kept, f"kept: epoch {kept:g}") if kept else None
    losses: dict[str, list[float]] = {name: epochs[name] for name in ("loss", "val_loss") if name in epochs}
    found = charts.lines(x, losses, x_title="epoch", y_title="loss", at=mark, type="log")
    alt = f"Loss by epoch on a logarithmic axis, {len(x)} epochs"
    blocks = [chart(found, "training-loss", alt=alt, numbers=numbers_of(found, first="epoch"))]
    watched = [f"val_{name}" for name in TASKS[sources.bundle.spec.task].shown if f"val_{name}" in epochs][:4]
    small = [
        (name, charts.lines(x, {name: epochs[name]}, x_title="epoch", y_title="", marks=len(x) < 3)) for name in watched
    ]
    if small:
        joined = charts.panels(small)
        blocks.append(
            chart(
                joined,
                "training-metrics",
                alt=f"Validation metrics by epoch: {', '.join(watched)}",
                numbers=numbers_of(joined, first="epoch"),
            )
        )
    if "lr" in epochs:
        found = charts.lines(
            x, {"learning rate": epochs["lr"]}, x_title="epoch", y_title="learning rate", height=240, rangemode="tozero"
        )
        blocks.append(chart(found, "training-rate", alt="Learning rate by epoch", numbers=numbers_of(found)))
    seconds = sum(epochs.get("seconds", []))
    decided = "the last one of the schedule" if experiment.training.keep == "last" else f"best by {watch}"
    said = {"epochs": len(x), "weights kept": f"epoch {kept:g}, {decided}" if kept else decided}
    said |= {"seconds of epochs": round(seconds, 1) if seconds else "", "optimizer": experiment.training.optimizer}
    return PageSection("training", "Training", facts(said) + NOTHING.join(blocks))


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
    said: dict[str, Any] = {"threshold": fitted.get("threshold"), "calibration": calibration.get("method")}
    interval = fitted.get("interval", {})
    said |= {"intervals": interval.get("method"), "wanted coverage": fitted.get("coverage") if interval else None}
    body = facts(said) + NOTHING.join(paragraph(note, "small") for note in fitted.get("notes", ()))
    body += _held(bundle.metrics, bundle.experiment.evaluation.coverage) + _half_width(interval, bundle)
    if sources.answers is None:
        for stem, alt in (
            ("test_intervals", "Intervals of test units and their coverage, drawn when the model was trained"),
            ("test_roc_pr_calibration", "ROC, precision-recall, calibration and scores of the test part"),
            ("test_calibration", "Calibration of the test part"),
        ):
            body += picture(bundle.folder / "plots" / f"{stem}.png", alt)
    return PageSection("decision", "Calibration and intervals", body)


def answers(sources: Sources) -> PageSection:
    """The model's answers on the test part: interactive where they were asked for, else the run's pictures."""
    command = f"python -m keras_seq.report {sources.run} --answers"
    if sources.answers is not None:
        return PageSection("answers", "Answers on the test part", sections_answers.body(sources.answers), command)
    body = NOTHING.join(
        picture(path, f"{path.stem.replace('_', ' ')}, drawn when the model was trained")
        for path in sorted((sources.bundle.folder / "plots").glob("*.png"))
        if path.stem.endswith(("predictions", "tracks", "confusion", "forecast"))
    )
    if body:
        body = paragraph(f"Pictures of the run; '{command}' asks the model and makes them interactive.") + body
    return PageSection("answers", "Answers on the test part", body, command)


def settings(sources: Sources) -> PageSection:
    """The experiment's own settings and the libraries."""
    versions = read_versions(sources.bundle.folder)
    body = facts(versions) + details("Configuration", code(config.to_yaml(sources.bundle.experiment)))
    return PageSection("settings", "Configuration and versions", body)


def read_history(path: Path) -> dict[str, list[float]]:
    """Columns of ``history.csv``; empty where there is none."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = rows[0] if rows else {}
    return {name: [_float(row[name]) for row in rows] for name in columns}


def _parts_table(known: Mapping[str, Any], parts: Sequence[str]) -> Markup:
    head = ["part", "units", "groups", "rows", "windows", "shortest", "median", "longest", "missing"]
    rows = []
    for part in parts:
        facts_of, length = known[part], known[part].get("length", {})
        share = f"{100 * facts_of.get('missing_share', 0.0):.3g} %"
        counts = [facts_of.get(name) for name in ("units", "groups", "rows", "windows")]
        rows.append([part, *counts, length.get("min"), length.get("median"), length.get("max"), share])
    return table(head, rows, caption="Parts of the split: sizes, lengths of a unit in steps, share of missing values")


def _data_charts(known: Mapping[str, Any], parts: Sequence[str], unit: str) -> Markup:
    if all("classes" in known[part] for part in parts):
        names = list(dict.fromkeys(name for part in parts for name in known[part]["classes"]))
        share = {
            f"class {name}": [known[p]["classes"].get(name, 0) / sum(known[p]["classes"].values()) for p in parts]
            for name in names
        }
        counts = [[p, *(known[p]["classes"].get(name, 0) for name in names)] for p in parts]
        found = charts.bars(list(parts), share, y_title="share")
        numbers = table(["part", *names], counts, caption="Sequences or rows by class")
        return chart(found, "data-classes", alt="Share of each class by part of the split", numbers=numbers)
    ranges = [
        (part, *(known[part]["target"][name] for name in ("mean", "min", "max")))
        for part in parts
        if "target" in known[part]
    ]
    if not ranges:
        return NOTHING
    found = charts.intervals(ranges, x_title=f"target{f' [{unit}]' if unit else ''}: lowest, mean, highest", best=-1)
    return chart(
        found,
        "data-target",
        alt="Range and mean of the target by part of the split",
        numbers=table(["part", "mean", "lowest", "highest"], ranges),
    )


def _quality(sources: Sources) -> Markup:
    """Findings, if the data were read again; the check at training left none that forbid it."""
    quality = (sources.answers or {}).get("quality")
    if quality is None:
        text = "Training refuses data with errors; 'python -m keras_seq.data check' lists the warnings too."
        return paragraph(text, "small")
    rows = [
        [f["severity"], f["rule"], f["message"], f["column"] or "", f["unit"] or "", f["row"] or "", f["count"]]
        for f in quality["findings"]
    ]
    said = paragraph(f"The quality check: {quality['errors']} errors, {quality['warnings']} warnings.")
    return said + (table(["severity", "rule", "what", "column", "unit", "row", "count"], rows) if rows else NOTHING)


def _columns(sources: Sources) -> Markup:
    bundle, scaling = sources.bundle, sources.bundle.spec.scaling
    one = len(scaling.center) == 1  # several: an operating condition each
    known = {column.name: column for column in bundle.schema.columns}
    rows = []
    for place, name in enumerate(bundle.spec.features):
        column = known.get(name)
        about = [column.kind, column.unit, "yes" if column.missing else "no"] if column else ["", "", ""]
        fitted = [scaling.center[0][place], scaling.scale[0][place]] if one else []
        rows.append([name, *about, *fitted])
    head = ["column", "kind", "unit", "may be missing", *(["centre", "scale"] if one else [])]
    return table(head, rows)


def monitored(name: str, task: str) -> str:
    """What ``training.monitor`` means, as ``training.monitors.Monitor.choose`` reads it, which needs TensorFlow."""
    plain = name.removeprefix("val_")
    return plain if plain != "auto" else TASKS[task].monitor


def _kept_epoch(epochs: Mapping[str, Sequence[float]], watch: str, keep: str) -> float | None:
    """As training chose it: the last one, or the first best of what was monitored."""
    if keep == "last":
        return epochs["epoch"][-1]
    sign = -1.0 if watch in HIGHER_IS_BETTER else 1.0
    pairs = zip(epochs.get(f"val_{watch}", ()), epochs["epoch"], strict=False)
    held = [(sign * value, epoch) for value, epoch in pairs if math.isfinite(value)]
    return min(held)[1] if held else None


def _metric_chart(recorded: Mapping[str, Any], shown: Sequence[str], family: str) -> Markup:
    """A panel a metric: the model beside the baseline, by part; the ceiling as a line."""
    baseline, parts = recorded.get("baseline") or {}, ("validation", "test")
    name = str(baseline.get("name", ""))

    def panel(metric: str) -> charts.Figure:
        held = [part for part in parts if metric in recorded.get(part, {})]
        series = {family: [recorded[part][metric] for part in held]}
        if any(metric in baseline.get(part, {}) for part in held):
            series[f"{name} (baseline)"] = [baseline.get(part, {}).get(metric) for part in held]
        best = recorded.get("ceiling", {}).get(metric)
        level = None if best is None else (best, f"ceiling {number(best)}")
        found = charts.bars(held, series, y_title="", level=level)
        for trace in found["data"]:
            trace |= {"text": [number(value) for value in trace["y"]], "textposition": "outside", "cliponaxis": False}
            trace["marker"]["color"] = charts.BLUE if trace["name"] == charts.text(family) else "#9aa2ab"
        return found

    joined = charts.panels([(f"{metric} ({_better(metric)})", panel(metric)) for metric in shown])
    beside = f"; grey, hatched: the baseline {name}" if name else ""
    alt = f"Recorded metrics of {family} by part: {', '.join(shown)}{beside}"
    return chart(joined, "metrics-bars", alt=alt, numbers=numbers_of(joined, first="part"))


def _targets(rows: Sequence[Mapping[str, Any]]) -> Markup:
    if not rows:
        return NOTHING
    cells = [
        [row["name"], row["value"], f"{'>' if row['larger'] else '<'} {row['target']:g}", row["unit"], bool(row["met"])]
        for row in rows
    ]
    head = ["measured", "value", "target", "unit", "met"]
    return heading("Targets") + table(head, cells, kinds=["" if row["met"] else "bad" for row in rows])


HELD = {
    "": "as answered",
    "_raw": "the model's own",
    "_followed": "if every truth is fed back",
    "_fixed": "as served",  # of runs of older versions, whose "as answered" was followed
}


def _held(recorded: Mapping[str, Any], wanted: float) -> Markup:
    """Coverage and calibration error by part, as recorded."""
    baseline = recorded.get("baseline") or {}
    columns = {part: recorded.get(part, {}) for part in ("validation", "test")}
    columns |= {f"baseline, {part}": baseline.get(part, {}) for part in ("validation", "test")}
    blocks = []
    for metric, title in (("coverage", "share of truths inside"), ("ece", "calibration error (ECE)")):
        parts = [name for name, column in columns.items() if metric in column]
        series = {
            words: [columns[part].get(f"{metric}{ending}") for part in parts]
            for ending, words in HELD.items()
            if any(f"{metric}{ending}" in columns[part] for part in parts)
        }
        if not parts:
            continue
        data: dict[str, Any] = {name: (parts, values, []) for name, values in series.items()}
        found = charts.marks(data, x_title="", y_title=title, size=12, height=280, x_axis={"type": "category"})
        if metric == "coverage":
            found["layout"]["shapes"] = [charts.across(wanted)]
            words = charts.note(1, wanted, f"wanted {wanted:g}", xref="paper", xanchor="right", yanchor="bottom")
            found["layout"]["annotations"] = [words]
        blocks.append(
            chart(
                found,
                f"decision-{metric}",
                alt=f"{title[:1].upper()}{title[1:]} by part",
                numbers=numbers_of(found, first="part"),
            )
        )
    return NOTHING.join(blocks)


def _half_width(interval: Mapping[str, Any], bundle: Any) -> Markup:
    """Half width of a normalised interval by predicted level: the layer's table, its width times its spread."""
    knots, spread, width = (interval.get(name, []) for name in ("knots", "spread", "width"))
    if not knots or not isinstance(knots[0], list) or not isinstance(knots[0][0], int | float):
        return NOTHING
    series = [width[0] * value for value in spread[0]]
    unit = f" [{bundle.schema.target_unit}]" if bundle.schema.target_unit else ""
    found = charts.lines(
        knots[0],
        {"half width": series},
        marks=True,
        rangemode="tozero",
        x_title=f"predicted {bundle.spec.targets[0]}{unit}",
        y_title=f"half width{unit}",
    )
    alt = "Half width of the interval by predicted level, before it is cut at the target's bounds"
    return chart(found, "decision-width", alt=alt, numbers=numbers_of(found, first="predicted"))


def _better(metric: str) -> str:
    if metric.startswith(("coverage", "bias")):
        return "near what is wanted" if metric.startswith("coverage") else "near 0"
    return "higher" if metric in HIGHER_IS_BETTER else "lower"


def _float(word: str | None) -> float:
    try:
        return float(word or "nan")
    except ValueError:
        return math.nan
