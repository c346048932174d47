"""Shadow traffic: copies of real calls to another version or model, whose answers nobody gets; an ``Observer``.

Copies wait in a short queue and run in a thread of their own, at most half of the time, after the real answer was
written: the real call is neither delayed nor can it fail by them. What does not fit is dropped and counted.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq import files
from keras_seq.errors import OutputError
from serving.contract.status import Refused
from serving.models.servable import Arrays, Models
from serving.monitor.prometheus import escape
from serving.observers import ObservedCall
from serving.rollout.plan import POLL, PlanFile, ShadowPlan

log = logging.getLogger(__name__)
PREFIX = "keras_seq_shadow"
QUEUE = 256  # copies that may wait
BUSY = 0.5  # share of the time that copies run
SAVE = 10.0  # seconds between two reports
Key = tuple[str, int, str, str]


@dataclass
class Difference:
    """Answers of one version beside those of its shadow.

    Attributes:
        calls, rows: compared.
        failed: copies that the shadow refused or could not answer.
        seconds, shadow_seconds: in all, of the model's answers.
        outputs: by name: mean and largest absolute difference, share of rows that differ.
        problem: why the last copy failed.
    """

    calls: int = 0
    rows: int = 0
    failed: int = 0
    seconds: float = 0.0
    shadow_seconds: float = 0.0
    outputs: dict[str, dict[str, float]] = field(default_factory=dict)
    problem: str = ""

    def add(self, real: Arrays, other: Arrays) -> None:
        """Take one pair of answers in.

        Raises:
            ValueError: the shadow has other outputs or shapes.
        """
        rows = max((len(value) for value in real.values() if value.ndim), default=1)
        differences = {name: compare(value, other.get(name), name) for name, value in real.items()}
        for name, (mean, largest, unequal) in differences.items():
            old = self.outputs.setdefault(name, {"mean": 0.0, "largest": 0.0, "unequal": 0.0})
            share = rows / (self.rows + rows)
            old["mean"] += (mean - old["mean"]) * share
            old["unequal"] += (unequal - old["unequal"]) * share
            old["largest"] = max(old["largest"], largest)
        self.calls += 1
        self.rows += rows

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        mean = {
            "seconds": self.seconds / max(1, self.calls),
            "shadow_seconds": self.shadow_seconds / max(1, self.calls),
        }
        about = {"calls": self.calls, "rows": self.rows, "failed": self.failed, "problem": self.problem}
        return about | mean | {"outputs": self.outputs}


def compare(real: np.ndarray, other: np.ndarray | None, name: str) -> tuple[float, float, float]:
    """Mean and largest absolute difference, and the share of values that are not equal.

    Raises:
        ValueError: ``other`` is missing or has another shape.
    """
    if other is None:
        raise ValueError(f"the shadow gives no '{name}'")
    real, other = np.asarray(real), np.asarray(other)
    if real.shape != other.shape:
        raise ValueError(f"the shadow's '{name}' has shape {other.shape}, the answer {real.shape}")
    if not real.size:
        return 0.0, 0.0, 0.0
    if real.dtype.kind not in "fiu" or other.dtype.kind not in "fiu":
        unequal = float(np.mean(real.astype(object) != other.astype(object)))
        return unequal, float(unequal > 0), unequal
    apart = np.abs(real.astype(np.float64) - other)
    apart = np.where(np.isnan(real) & np.isnan(other), 0.0, apart)
    return float(np.mean(apart)), float(np.max(apart)), float(np.mean(apart > 0))


class Shadow:
    """Shadow calls by a rollout file's ``shadow`` entries, which it follows.

    Args:
        path: of the file.
        models: of the server.
        folder: takes ``shadow.json``, the report; None: none is written.
        poll: seconds between two looks at the file.
    """

    def __init__(
        self, path: str | Path, models: Models, *, folder: str | Path | None = None, poll: float = POLL
    ) -> None:
        self._models, self._folder = models, Path(folder) if folder is not None else None
        self.dropped, self.failures = 0, 0
        self._plans: dict[str, ShadowPlan] = {}
        self._found: dict[Key, Difference] = {}
        self._queue: deque[ObservedCall] = deque()
        self._taken = self._done = 0
        self._stop, self._saved = threading.Event(), time.monotonic()
        self._watched = PlanFile(path, self._take, poll=poll)
        self._watched.start()
        self._thread = threading.Thread(target=self._run, name="keras-seq-shadow", daemon=True)
        self._thread.start()

    def wants(self, model: str) -> bool:
        """Whether the next call is copied."""
        plan = self._plans.get(model)
        if plan is None or (plan.share < 1 and random.random() >= plan.share):
            return False
        if len(self._queue) >= QUEUE:
            self.dropped += 1
            return False
        return True

    def served(self, call: ObservedCall) -> None:
        """Queue a copy."""
        self._taken += 1
        self._queue.append(call)

    def metrics(self) -> str:
        """Lines in Prometheus' text format."""
        if not self._plans and not self._found:
            return ""
        samples: dict[str, list[str]] = {"calls_total": [], "failed_total": [], "difference_mean": []}
        samples |= {"difference_max": [], "unequal_share": [], "seconds_mean": []}
        for key, difference in list(self._found.items()):
            where = ",".join(f'{name}="{escape(str(text))}"' for name, text in zip(LABELS, key, strict=True))
            samples["calls_total"].append(f"{{{where}}} {difference.calls}")
            samples["failed_total"].append(f"{{{where}}} {difference.failed}")
            samples["seconds_mean"].append(f"{{{where}}} {difference.shadow_seconds / max(1, difference.calls):.9g}")
            for output, numbers in list(difference.outputs.items()):
                own = f'{where},output="{escape(output)}"'
                samples["difference_mean"].append(f"{{{own}}} {numbers['mean']:.9g}")
                samples["difference_max"].append(f"{{{own}}} {numbers['largest']:.9g}")
                samples["unequal_share"].append(f"{{{own}}} {numbers['unequal']:.9g}")
        lines = [f"# TYPE {PREFIX}_dropped_total counter", f"{PREFIX}_dropped_total {self.dropped}"]
        for name, values in samples.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE {PREFIX}_{name} {kind}", *(f"{PREFIX}_{name}{value}" for value in values)]
        return "\n".join(lines) + "\n"

    def report(self) -> dict[str, Any]:
        """All differences so far."""
        pairs = [
            dict(zip(LABELS, key, strict=True)) | difference.to_dict() for key, difference in list(self._found.items())
        ]
        return {"time": time.time(), "dropped": self.dropped, "pairs": pairs}

    def flush(self, timeout: float = 60.0) -> bool:
        """Wait until all copies so far have run; for tests."""
        wanted, end = self._taken, time.monotonic() + timeout
        while self._done < wanted and time.monotonic() < end:
            time.sleep(0.005)
        return self._done >= wanted

    def close(self) -> None:
        """Drop what waits, write the report, stop."""
        self._watched.close()
        self._stop.set()
        self._thread.join(timeout=30)

    def _take(self) -> None:
        self._plans = {name: plan.shadow for name, plan in self._watched.plan.models.items() if plan.shadow}

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            if self._queue:
                try:
                    self._copy(self._queue.popleft())
                except Exception:  # whatever a model raises is the shadow's, not the caller's
                    self.failures += 1
                    if self.failures < 10:
                        log.exception("a shadow call failed")
                self._done += 1
            worked = time.monotonic() - began
            self._save(last=False)
            self._stop.wait(worked / BUSY - worked if self._queue else 0.02)
        self._save(last=True)

    def _copy(self, call: ObservedCall) -> None:
        plan = self._plans.get(call.model)
        if plan is None:
            return
        name = plan.model or call.model
        difference = None
        try:
            with self._models.acquire(name, plan.version) as servable:
                if (name, servable.version) == (call.model, call.version):
                    return  # the latest is the shadow itself by now
                difference = self._pair(call, name, servable.version)
                began = time.perf_counter()
                answers = servable.run(call.signature, call.inputs, list(call.outputs))
                spent = time.perf_counter() - began
            difference.add(call.outputs, answers)
            difference.seconds += call.seconds
            difference.shadow_seconds += spent
        except (Refused, ValueError) as error:
            difference = difference or self._pair(call, name, -1 if plan.version is None else plan.version)
            difference.failed += 1
            difference.problem = str(error)[:500]

    def _pair(self, call: ObservedCall, name: str, version: int) -> Difference:
        return self._found.setdefault((call.model, call.version, name, str(version)), Difference())

    def _save(self, *, last: bool) -> None:
        if self._folder is None or not (last or time.monotonic() - self._saved > SAVE):
            return
        self._saved = time.monotonic()
        with suppress(OutputError):
            files.write_json(self._folder / "shadow.json", self.report())


LABELS = ("model_name", "version", "shadow_model", "shadow_version")
