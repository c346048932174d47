"""Costs of a run: time, memory, size and latency, held against the configured targets."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq.config import TargetsConfig
from keras_seq.machine import peak_bytes

# name of the measurement -> (target field, unit, larger is better)
TARGETS = {
    "auc_roc": ("auc_roc", "", True),
    "auc_pr": ("auc_pr", "", True),
    "latency_ms_batch1": ("inference_ms", "ms", False),
    "peak_memory_gb": ("memory_gb", "GB", False),
    "model_size_mb": ("size_mb", "MB", False),
    "training_minutes": ("training_minutes", "min", False),
}


def peak_memory_gb() -> float:
    """Highest resident memory of this process so far, GB."""
    return peak_bytes() / 2**30


def size_mb(path: Path) -> float:
    """Size of a file or folder, MB (10^6 bytes)."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def latency_ms(call: Callable[[], Any], *, repeats: int = 30, warm_up: int = 3) -> float:
    """Median wall time of ``call``, ms, after warming up."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def serving_latencies(saved_model: Path, values: np.ndarray, lengths: np.ndarray | None) -> dict[str, float]:
    """Latency of the served signature at batch 1 and 64 on real windows.

    Args:
        saved_model: version folder.
        values: float32 ``(windows, time, features)``; repeated up to 64.
        lengths: int32 ``(windows,)`` or None.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(saved_model))
    signature = loaded.signatures["serving_default"]
    result = {}
    for batch in (1, 64):
        chosen = np.resize(np.arange(len(values)), batch)
        inputs = {"values": tf.constant(values[chosen])}
        if lengths is not None:
            inputs["lengths"] = tf.constant(lengths[chosen], tf.int32)
        result[f"latency_ms_batch{batch}"] = latency_ms(functools.partial(signature, **inputs))
    return result


def targets_met(measured: Mapping[str, float], targets: TargetsConfig) -> list[dict[str, Any]]:
    """Each target that is set beside what was measured; measurements a task lacks, or nobody knows, are left out."""
    rows = []
    for name, (field, unit, larger) in TARGETS.items():
        wanted = getattr(targets, field)
        if wanted is None or not np.isfinite(measured.get(name, np.nan)):
            continue
        value, target = float(measured[name]), float(wanted)
        met = value > target if larger else value < target
        rows.append({"name": name, "value": value, "target": target, "unit": unit, "larger": larger, "met": bool(met)})
    return rows
