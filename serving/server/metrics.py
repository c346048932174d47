"""Counters and histograms by TensorFlow Serving's names, in Prometheus' text format.

Everything is counted on one thread, the event loop's. Several workers share a folder in which each leaves its numbers
once a second; the one that is asked adds them up.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from serving.contract.status import Code

MAX_NAMES = 1000  # of models in labels: clients choose them, so they are bounded
_NAMES = {code: code.name for code in Code}


def exponential(scale: float, growth: float, count: int) -> list[float]:
    """Upper bounds as ``monitoring::Buckets::Exponential`` makes them; the last bucket is open."""
    bounds, bound = [], scale
    for _ in range(count):
        bounds.append(bound)
        bound *= growth
    return bounds


LATENCY = exponential(10, 1.8, 33)  # microseconds
EXAMPLES = exponential(1, 2, 15)

Key = tuple[str, ...]


class Counter:
    """A number by label values that only grows."""

    kind = "counter"

    def __init__(self, name: str, labels: Key) -> None:
        self.name, self.labels = name, labels
        self.cells: dict[Key, int] = {}

    def add(self, key: Key, amount: int = 1) -> None:
        """Count; ``key`` has a value for every label."""
        self.cells[key] = self.cells.get(key, 0) + amount

    def lines(self) -> Iterable[str]:
        """In Prometheus' format, sorted by label values."""
        yield f"# TYPE {self.name} {self.kind}"
        for key in sorted(self.cells):
            yield f"{self.name}{{{_labels(self.labels, key)}}} {self.cells[key]}"


class Gauge(Counter):
    """A number by label values that goes up and down."""

    kind = "gauge"

    def put(self, key: Key, value: int) -> None:
        """Set it."""
        self.cells[key] = value


class Histogram:
    """Counts by bucket, and their sum, by label values."""

    kind = "histogram"

    def __init__(self, name: str, labels: Key, bounds: list[float]) -> None:
        self.name, self.labels, self.bounds = name, labels, bounds
        self.cells: dict[Key, list[float]] = {}  # a count for every bucket, then the sum

    def add(self, key: Key, value: float) -> None:
        """Count ``value``; a bucket holds what is below its bound."""
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = [0.0] * (len(self.bounds) + 2)
        cell[bisect_right(self.bounds, value)] += 1
        cell[-1] += value

    def lines(self) -> Iterable[str]:
        """In Prometheus' format: cumulative buckets, sum, count."""
        yield f"# TYPE {self.name} histogram"
        bounds = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        for key in sorted(self.cells):
            labels, cell, total = _labels(self.labels, key), self.cells[key], 0
            for bound, count in zip(bounds, cell[:-1], strict=True):
                total += int(count)
                yield f'{self.name}_bucket{{{labels}{"," if labels else ""}le="{bound}"}} {total}'
            yield f"{self.name}_sum{{{labels}}} {cell[-1]:g}"
            yield f"{self.name}_count{{{labels}}} {total}"


class Metrics:
    """Metrics registry of a server.

    Args:
        folder: shared by the workers; None: there is one.
        slot: number of this worker.
    """

    def __init__(self, folder: Path | None = None, slot: int = 0) -> None:
        base = ":tensorflow:serving:"
        self.requests = Counter(f"{base}request_count", ("model_name", "status"))
        self.request_latency = Histogram(f"{base}request_latency", ("model_name", "API", "entrypoint"), LATENCY)
        self.runtime_latency = Histogram(f"{base}runtime_latency", ("model_name", "API", "runtime"), LATENCY)
        self.examples = Histogram(f"{base}request_example_counts", ("model",), EXAMPLES)
        self.example_total = Counter(f"{base}request_example_count_total", ("model",))
        self.runs = Counter(f"{base}batching_session:wrapped_run_count", ())
        self.gauges = Gauge(":keras_seq:serving:now", ("what",))
        self._folder, self._file = folder, folder / f"worker-{slot}.json" if folder else None
        self._names: set[str] = set()
        self._written = ""
        if self._file and self._file.exists():  # of the worker that had this slot before: counters never fall
            self._add(_read(self._file))

    @property
    def _counted(self) -> tuple[Counter | Histogram, ...]:
        return (self.example_total, self.examples, self.requests, self.request_latency, self.runs, self.runtime_latency)

    def request(self, model: str, api: str, entrypoint: str, code: Code, seconds: float) -> None:
        """Count a call that is answered; its latency only if it went well, as TensorFlow Serving does."""
        if model not in self._names:
            if len(self._names) >= MAX_NAMES:
                model = "other"
            self._names.add(model)
        self.requests.add((model, _NAMES[code]))
        if code is Code.OK:
            self.request_latency.add((model, api, entrypoint), seconds * 1e6)

    def example_count(self, model: str, count: int) -> None:
        """Count the examples of a classify or regress call."""
        self.examples.add((model,), count)
        self.example_total.add((model,), count)

    def page(self) -> str:
        """The text of the page, other workers' numbers included."""
        whole = self
        if self._folder:
            whole = Metrics()
            whole._add(self._snapshot())
            for file in self._folder.glob("worker-*.json"):
                if file != self._file:
                    whole._add(_read(file))
        lines = [line for each in (*whole._counted, self.gauges) if each.cells for line in each.lines()]
        return "\n".join(lines) + "\n" if lines else ""

    def write(self) -> None:
        """Leave the numbers for the other workers, if they changed."""
        if self._file is None:
            return
        text = json.dumps(self._snapshot())
        if text != self._written:
            partial = self._file.with_suffix(".partial")
            partial.write_text(text, encoding="utf-8")
            partial.replace(self._file)
            self._written = text

    def _snapshot(self) -> dict[str, Any]:
        return {each.name: [[list(key), cell] for key, cell in each.cells.items()] for each in self._counted}

    def _add(self, snapshot: Mapping[str, Any]) -> None:
        for each in self._counted:
            for labels, cell in snapshot.get(each.name, ()):
                key = tuple(labels)
                if isinstance(each, Counter):
                    each.add(key, cell)
                else:
                    mine = each.cells.setdefault(key, [0.0] * len(cell))
                    each.cells[key] = [left + right for left, right in zip(mine, cell, strict=True)]


def _read(file: Path) -> dict[str, Any]:
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a worker that died or starts just now
        return {}
    return stored if isinstance(stored, dict) else {}


def _labels(names: Key, values: Key) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
