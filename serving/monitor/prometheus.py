"""A monitor's numbers in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from serving.monitor.distances import DISTANCES
from serving.monitor.watch import ANSWERS, INPUTS, VersionWatch, WatchedGroup

PREFIX = "keras_seq_monitor"


def _of_each(prefix: str, what: str) -> dict[str, tuple[str, str]]:
    """Distances of each column."""
    titles = {name: distance.title for name, distance in DISTANCES.items() if distance.by_column}
    return {f"{prefix}_{name}": ("gauge", f"{title} of {what}.") for name, title in titles.items()}


HELP = {
    "calls_total": ("counter", "Calls watched."),
    "unread_total": ("counter", "Watched calls whose inputs or answers could not be compared."),
    "dropped_total": ("counter", "Calls not watched because the queue was full."),
    "failures_total": ("counter", "Times the monitor could not write or read what it wanted."),
    "drift": ("gauge", "1: drift against the version's reference, confirmed."),
    "drift_score": ("gauge", "Largest distance of the newest window as a share of what is drift."),
    **{name: ("gauge", f"{one.title} of all columns.") for name, one in DISTANCES.items() if not one.by_column},
    **_of_each("feature", "an input"),
    "feature_mean": ("gauge", "Mean of an input since the start."),
    "feature_missing_share": ("gauge", "Share of missing values of an input since the start."),
    **_of_each("prediction", "an answer"),
    "prediction_mean": ("gauge", "Mean of an answer since the start."),
    "error_mean": ("gauge", "Mean error of labelled answers."),
    "labels_total": ("counter", "Answers whose label came."),
}

Samples = dict[str, list[str]]


def render(
    watches: Iterable[VersionWatch], *, dropped: int, failures: int, labelled: Mapping[str, Any] | None = None
) -> str:
    """Metrics page of the monitor.

    Args:
        watches: of the versions.
        dropped: calls the queue did not take.
        failures: of the monitor's own work.
        labelled: ``{"model/version": {"errors": ..., "labels": ...}}`` of ``serving.monitor.labels``.
    """
    samples: Samples = {name: [] for name in HELP}
    samples["dropped_total"].append(line("dropped_total", {}, dropped))
    samples["failures_total"].append(line("failures_total", {}, failures))
    for watch in watches:
        _version(watch, samples)
    for key, facts in (labelled or {}).items():
        model, _, version = key.rpartition("/")
        where = {"model_name": model, "version": version}
        samples["error_mean"].append(line("error_mean", where, facts.get("error", float("nan"))))
        samples["labels_total"].append(line("labels_total", where, facts.get("labels", 0)))
    lines = []
    for name, (kind, about) in HELP.items():
        if samples[name]:
            lines += [f"# HELP {PREFIX}_{name} {about}", f"# TYPE {PREFIX}_{name} {kind}", *samples[name]]
    return "\n".join(lines) + "\n"


def line(name: str, labels: Mapping[str, Any], value: float) -> str:
    """Sample line of Prometheus' text format."""
    text = ",".join(f'{key}="{escape(str(label))}"' for key, label in labels.items())
    return f"{PREFIX}_{name}{{{text}}} {_number(value)}" if text else f"{PREFIX}_{name} {_number(value)}"


def _version(watch: VersionWatch, samples: Samples) -> None:
    where = {"model_name": watch.model, "version": watch.version}
    samples["calls_total"].append(line("calls_total", where, watch.calls))
    samples["unread_total"].append(line("unread_total", where, watch.unread))
    for group in list(watch.groups.values()):
        _group(group, where, samples)


def _group(group: WatchedGroup, where: dict[str, Any], samples: Samples) -> None:
    prefix, label = {INPUTS: ("feature", "feature"), ANSWERS: ("prediction", "output")}[group.name]
    missing = group.missing / max(group.rows, 1)
    for position, column in enumerate(group.columns):
        own = where | {label: column}
        samples[f"{prefix}_mean"].append(line(f"{prefix}_mean", own, float(group.moments.mean[position])))
        if group.name == INPUTS:
            samples["feature_missing_share"].append(line("feature_missing_share", own, float(missing[position])))
    for size, alarm in group.alarms.items():
        place = where | {"of": group.name, "window": size}
        samples["drift"].append(line("drift", place, int(alarm.on)))
        if alarm.distances is None:
            continue
        samples["drift_score"].append(line("drift_score", place, alarm.score))
        for measure, values in alarm.distances.items():
            if not DISTANCES[measure].by_column:
                samples[measure].append(line(measure, place, float(values[0])))
                continue
            name = f"{prefix}_{measure}"
            for column, value in zip(group.columns, values.tolist(), strict=True):
                samples[name].append(line(name, where | {label: column, "window": size}, value))


def escape(text: str) -> str:
    """A label's value between its quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if np.isnan(value):
        return "NaN"
    return repr(value) if isinstance(value, int) else f"{value:.9g}"
