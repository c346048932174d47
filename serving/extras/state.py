"""Calls, latency and what is watched, out of the text of the metrics page: one reader for whatever a server exports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from serving.extras import describe
from serving.extras.http import ExtrasHost

LINE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$")
LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')
ESCAPES = {"n": "\n"}
REQUESTS, LATENCY = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency"
MONITOR = "keras_seq_monitor_"
WATCHED = ("drift", "drift_score", "error_mean", "feature_psi", "prediction_psi", "calls_total", "labels_total")
MOST = 200  # rows
QUANTILES = (0.5, 0.95, 0.99)
Sample = tuple[str, dict[str, str], float]


def samples(text: str) -> Iterator[Sample]:
    """Name, labels and value of every line of Prometheus' text format."""
    for line in text.split("\n"):  # only this ends a line there
        sample = LINE.match(line)
        if line.startswith("#") or not sample:
            continue
        labels = {
            name: re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), value)
            for name, value in LABEL.findall(sample[2] or "")
        }
        try:
            yield sample[1], labels, float(sample[3])
        except ValueError:
            continue


def summary(app: ExtrasHost) -> dict[str, Any]:
    """What the page shows: models, their calls and latency since the start, and what observers found."""
    calls: dict[str, dict[str, float]] = {}
    buckets: dict[str, dict[float, float]] = {}
    watched: list[dict[str, Any]] = []
    for name, labels, value in samples(app.metrics()):
        model = labels.get("model_name", "")
        if name == REQUESTS:
            by_status = calls.setdefault(model, {})
            by_status[labels.get("status", "")] = by_status.get(labels.get("status", ""), 0) + value
        elif name == f"{LATENCY}_bucket":
            counts = buckets.setdefault(model, {})
            bound = float(labels.get("le", "inf"))
            counts[bound] = counts.get(bound, 0.0) + value
        elif name.removeprefix(MONITOR) in WATCHED and name.startswith(MONITOR):
            watched.append({"name": name.removeprefix(MONITOR), "labels": labels, "value": value})
    models = describe.overview(app)
    for model_ in models:
        model_["calls"] = calls.get(model_["name"], {})
        model_["latency_ms"] = latency(buckets.get(model_["name"], {}))
    everyone, _ = describe.is_ready(app)
    watched.sort(key=lambda row: WATCHED.index(row["name"]))
    return {"ready": everyone, "models": models, "watched": watched[:MOST]}


def latency(buckets: Mapping[float, float]) -> dict[str, float]:
    """Quantiles in ms of cumulative counts by upper bound in us, linear within a bucket, as ``histogram_quantile``."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if not total:
        return {}
    quantiles = {}
    for share in QUANTILES:
        rank, low, below = share * total, 0.0, 0.0
        for bound in bounds:
            if buckets[bound] >= rank:
                inside = buckets[bound] - below
                edge = low if bound == float("inf") else low + (bound - low) * (rank - below) / max(inside, 1e-12)
                quantiles[f"p{round(100 * share)}"] = edge / 1000
                break
            low, below = bound, buckets[bound]
    return quantiles
