"""Sections about serving: benchmark of the formats, the gate's verdict, drift and retraining."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from keras_seq.export.gate import read_verdict
from keras_seq.export.record import METADATA
from keras_seq.reports import charts
from keras_seq.reports.html import NOTHING, PageSection, facts, number, paragraph, table
from keras_seq.reports.html_charts import chart
from keras_seq.reports.sources import Sources, read, read_lines

Row = Mapping[str, Any]


def benchmark(sources: Sources) -> PageSection:
    """Loss of accuracy against latency, latency by batch, and the whole table."""
    title, command = "Formats: accuracy, size, latency", f"python -m keras_seq.benchmark {sources.run}"
    if sources.benchmark is None:
        return PageSection("benchmark", title, NOTHING, command)
    outcome = read(sources.benchmark / "benchmark.json")
    rows, metric = outcome["rows"], outcome["metric"]
    best: dict[str, Row] = {}
    for row in rows:
        if row["format"] not in best or row["batches"]["1"]["p50"] < best[row["format"]]["batches"]["1"]["p50"]:
            best[row["format"]] = row
    body = _bubbles(best, metric) + _latencies(best) + _formats(rows, metric)
    if outcome.get("judged"):  # older files do not say
        body += paragraph(f"{outcome['judged'][:1].upper()}{outcome['judged'][1:]}.", "small")
    body += NOTHING.join(
        paragraph(f"{name} is missing: {reason}", "small") for name, reason in outcome["failed"].items()
    )
    return PageSection("benchmark", title, body, command)


def gate(sources: Sources) -> PageSection:
    """Verdict of the gate on this version, and why; formats and signatures."""
    title, command = "Gate: may it be served?", f"python -m keras_seq.export {sources.run}"
    verdict = read_verdict(sources.export) if sources.export else None
    if sources.export is None or verdict is None:
        return PageSection("gate", title, NOTHING, command)
    words = "Blessed: no check speaks against it." if verdict["blessed"] else "Not blessed."
    checks = verdict.get("checks", [])
    rows = [[c["name"], "pass" if c["passed"] else "fail", c["found"], "; ".join(c["reasons"])] for c in checks]
    kinds = ["" if check["passed"] else "bad" for check in checks]
    about = read(sources.export / METADATA) if (sources.export / METADATA).exists() else {}
    version = {
        "version": sources.export.name,
        "exported": about.get("exported"),
        "formats": ", ".join(about.get("formats", {})),
        "signatures": ", ".join(about.get("signatures", {})),
    }
    pushed = sources.export / "keras_seq" / "pushed.json"
    if pushed.exists():
        version |= {"pushed": read(pushed).get("at")}
    body = Markup("<p><strong>{}</strong></p>").format(words) + facts(version)
    return PageSection(
        "gate", title, body + table(["check", "result", "found", "against it"], rows, kinds=kinds), command
    )


def monitoring(sources: Sources) -> PageSection:
    """Events of drift and retraining: JSON lines with ``time`` and ``event``, as the watcher writes them."""
    title, command = "Drift and retraining", f"python -m keras_seq.report {sources.run} --monitor FOLDER"
    if sources.monitor is None:
        return PageSection("monitoring", title, NOTHING, command)
    paths = sorted(sources.monitor.glob("events*.jsonl"), reverse=True)
    records = [r for path in paths for r in read_lines(path) if isinstance(r.get("event"), str)]
    if not records:
        return PageSection("monitoring", title, paragraph("The watcher has recorded no event."), command)
    return PageSection("monitoring", title, _timeline(records) + _events(records), command)


def _bubbles(best: Mapping[str, Row], metric: str) -> Markup:
    kinds = {
        "Keras": lambda name: name == "keras",
        "SavedModel": lambda name: name == "saved_model",
        "ONNX": lambda name: name.startswith("onnx"),
        "TFLite": lambda name: name.startswith("tflite"),
    }
    largest = max(row["size_mb"] for row in best.values())
    series, sizes, labels = {}, {}, {}
    for kind, belongs in kinds.items():
        own = [row for name, row in best.items() if belongs(name)]
        if own:
            words = [
                f"{charts.text(r['format'])}: {r['batches']['1']['p50']:.3g} ms, {100 * r['loss']:+.2f} %, "
                f"{r['size_mb']:.3g} MB"
                for r in own
            ]
            series[kind] = ([r["batches"]["1"]["p50"] for r in own], [100 * r["loss"] for r in own], words)
            sizes[kind] = [10 + 34 * (r["size_mb"] / largest) ** 0.5 for r in own]
            labels[kind] = [r["format"] for r in own]
    drawn = charts.marks(
        series,
        x_title="median latency of one window [ms]",
        y_title=f"loss of {metric} against Keras [%]",
        x_axis={"type": "log"},
        height=420,
        opacity=0.65,
    )
    for trace in drawn["data"]:
        trace["marker"]["size"] = sizes[trace["name"]]
    charts.add_level(drawn, 0)
    alt = "Loss of accuracy against latency (better of the numbers of threads); the area of a mark is the file's size"
    return chart(drawn, "benchmark-bubbles", alt=alt)


def _latencies(best: Mapping[str, Row]) -> Markup:
    sizes = list(next(iter(best.values()))["batches"])
    series = {f"batch {size}": [row["batches"][size]["p50"] for row in best.values()] for size in sizes}
    drawn = charts.bars(list(best), series, y_title="median latency [ms]", height=360, type="log", rangemode="normal")
    alt = "Median latency by format and batch on a logarithmic axis"
    return chart(drawn, "benchmark-latency", alt=alt, x="format")


def _formats(rows: list[Row], metric: str) -> Markup:
    sizes = list(rows[0]["batches"])
    head = ["format", "threads", metric, "loss [%]", "largest difference", "MB", "gzip MB", "load s"]
    head += [f"batch {size}: p50 / p95 / p99 ms" for size in sizes] + ["resident MB"]
    cells = []
    for row in rows:
        times = [" / ".join(number(row["batches"][s][k], 3) for k in ("p50", "p95", "p99")) for s in sizes]
        own = [row["format"], row["threads"], row["metrics"][metric], 100 * row["loss"]]
        own += [row[name] for name in ("largest", "size_mb", "gzip_mb", "load_s")]
        cells.append([*own, *times, row["resident_mb"]])
    return table(
        head, cells, caption="Every format, a process each; differences in deviations of the target or of probability"
    )


def _timeline(records: Sequence[Row]) -> Markup:
    """Every event at its time, a line a kind; its height is its kind, its details are shown when pointed at."""
    by_kind: dict[str, tuple[list[str], list[str], list[str]]] = {}
    for record in records:
        x, y, words = by_kind.setdefault(str(record["event"]), ([], [], []))
        x.append(_clock(record.get("time")))
        y.append(charts.text(" ".join(str(record[k]) for k in ("model", "version") if k in record) or "events"))
        words.append(charts.text(f"{record['event']}: {_details(record)}"[:300]))
    lanes = len({lane for _, lanes, _ in by_kind.values() for lane in lanes})
    drawn = charts.marks(
        by_kind,
        x_title="",
        y_title="",
        size=12,
        height=140 + 34 * lanes,
        x_axis={"type": "date"},
        y_axis={"type": "category"},
    )
    return chart(drawn, "monitoring-events", alt=f"Events by time, model and kind: {len(records)}")


def _events(records: Sequence[Row]) -> Markup:
    rows = [
        [_clock(r.get("time")), r["event"], r.get("model", ""), r.get("version", ""), r.get("score", ""), _details(r)]
        for r in records[-100:]
    ]
    head = ["time", "event", "model", "version", "score", "more"]
    return table(head, rows, caption=f"Last {len(rows)} of {len(records)} events")


def _details(record: Row) -> str:
    """Details of an event beside its time, kind and model; of its columns the most changed ones."""
    words = []
    for key, value in record.items():
        if key in ("id", "time", "event", "model", "version", "score"):
            continue
        if isinstance(value, str | int | float):
            words.append(f"{key.replace('_', ' ')} {number(value)}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping) and "column" in value[0]:
            words.append("most changed: " + ", ".join(str(change["column"]) for change in value[:3]))
    return "; ".join(words)


def _clock(value: object) -> str:
    """Seconds since 1970 as local time; text stays."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    return charts.text(value or "")
