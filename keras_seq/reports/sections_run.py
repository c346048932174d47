"""Sections about one run as its bundle records it: key numbers, training, answers, settings."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from keras_seq import config
from keras_seq.bundle import read_versions
from keras_seq.evaluation.measures import MEASURES
from keras_seq.reports import charts, sections_answers
from keras_seq.reports.html import NOTHING, PageSection, code, details, facts, number, paragraph, picture, tiles
from keras_seq.reports.html_charts import chart
from keras_seq.reports.sources import Sources
from keras_seq.tasks import TASKS
from keras_seq.training.metrics import HIGHER_IS_BETTER


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


def training(sources: Sources) -> PageSection:
    """Loss, validation metrics and learning rate by epoch; the epoch whose weights were kept."""
    epochs = read_history(sources.bundle.folder / "history.csv")
    if not epochs.get("epoch"):
        text = paragraph("This family is fitted at once; there are no epochs.")
        return PageSection("training", "Training", text if "performance" in sources.bundle.metrics else NOTHING)
    experiment, x = sources.bundle.experiment, epochs["epoch"]
    watch = monitored(experiment.training.monitor, sources.bundle.spec.task)
    kept = _kept_epoch(epochs, watch, experiment.training.keep)
    rule = "the last one of the schedule" if experiment.training.keep == "last" else f"best by {watch}"
    seconds = sum(epochs.get("seconds", []))
    rows = {
        "epochs": len(x),
        "weights kept": f"epoch {kept:g}, {rule}" if kept else rule,
        "seconds of epochs": round(seconds, 1) if seconds else "",
        "optimizer": experiment.training.optimizer,
    }
    watched = [f"val_{name}" for name in TASKS[sources.bundle.spec.task].shown if f"val_{name}" in epochs][:4]
    return PageSection("training", "Training", facts(rows) + _epoch_charts(epochs, watched, kept))


def _epoch_charts(epochs: Mapping[str, Sequence[float]], watched: Sequence[str], kept: float | None) -> Markup:
    """Losses, a panel a watched metric, and the learning rate."""
    x, mark = epochs["epoch"], (kept, f"kept: epoch {kept:g}") if kept else None
    losses = {name: epochs[name] for name in ("loss", "val_loss") if name in epochs}
    drawn = charts.lines(x, losses, x_title="epoch", y_title="loss", at=mark, type="log")
    alt = f"Loss by epoch on a logarithmic axis, {len(x)} epochs"
    blocks = [chart(drawn, "training-loss", alt=alt, x="epoch")]
    if watched:
        marks = len(x) < 3
        small = [charts.lines(x, {name: epochs[name]}, x_title="epoch", y_title="", marks=marks) for name in watched]
        alt = f"Validation metrics by epoch: {', '.join(watched)}"
        joined = charts.panels(list(zip(watched, small, strict=True)))
        blocks.append(chart(joined, "training-metrics", alt=alt, x="epoch"))
    if "lr" in epochs:
        rate = {"learning rate": epochs["lr"]}
        drawn = charts.lines(x, rate, x_title="epoch", y_title="learning rate", height=240, rangemode="tozero")
        blocks.append(chart(drawn, "training-rate", alt="Learning rate by epoch", x="x"))
    return NOTHING.join(blocks)


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


def monitored(name: str, task: str) -> str:
    """Metric that ``training.monitor`` means, as ``training.monitors.MetricMonitor`` has it, which needs TensorFlow."""
    plain = name.removeprefix("val_")
    return plain if plain != "auto" else TASKS[task].monitor


def _kept_epoch(epochs: Mapping[str, Sequence[float]], watch: str, keep: str) -> float | None:
    """Epoch that training kept: the last one, or the first best of what was monitored."""
    if keep == "last":
        return epochs["epoch"][-1]
    sign = -1.0 if watch in HIGHER_IS_BETTER else 1.0
    pairs = zip(epochs.get(f"val_{watch}", ()), epochs["epoch"], strict=False)
    scores = [(sign * value, epoch) for value, epoch in pairs if math.isfinite(value)]
    return min(scores)[1] if scores else None


def _float(word: str | None) -> float:
    try:
        return float(word or "nan")
    except ValueError:
        return math.nan
