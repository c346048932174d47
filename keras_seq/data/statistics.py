"""Statistics of a series: counts, lengths, time span, ranges, class balance, missing share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.calendar import describe
from keras_seq.data.series import Series


def class_shares(series: Series) -> dict[str, float]:
    """Share of each class among units (target per unit) or rows (per step), by class text."""
    numbers = np.asarray(series.targets)[:, 0]
    numbers = numbers[np.isfinite(numbers)].astype(np.int64)
    classes = series.schema.classes
    count = max(len(classes), 2 if series.schema.task == "binary" else int(numbers.max(initial=0)) + 1)
    shares = np.bincount(numbers, minlength=count) / max(len(numbers), 1)
    return {classes[i] if i < len(classes) else str(i): float(share) for i, share in enumerate(shares)}


def statistics(series: Series) -> dict[str, Any]:
    """Counts, lengths, time span, missing shares, ranges, and class balance or target distribution.

    Returns:
        A JSON-able dict; shares are between 0 and 1, sizes in MB (2**20 bytes).
    """
    lengths, schema = series.lengths, series.schema
    columns = {}
    missing = 0
    for j, name in enumerate(schema.features):
        facts = _distribution(series.values[:, j])
        missing += facts["missing"]
        columns[name] = facts
    result: dict[str, Any] = {
        "name": schema.name,
        "task": schema.task,
        "units": series.n_units,
        "groups": len(np.unique(series.groups)),
        "rows": len(series.values),
        "features": len(schema.columns),
        "size_mb": round(series.values.nbytes / 2**20, 3),
        "length": {
            "min": int(lengths.min(initial=0)) if not len(lengths) else int(lengths.min()),
            "median": float(np.median(lengths)) if len(lengths) else 0.0,
            "max": int(lengths.max(initial=0)),
        },
        "missing_share": missing / max(series.values.size, 1),
        "official": {str(k): int(v) for k, v in zip(*np.unique(series.official, return_counts=True), strict=True)},
        "columns": columns,
    }
    if len(series.time):
        first, last = series.time.min(), series.time.max()
        result["time"] = [str(first), str(last)] if series.time.dtype.kind == "M" else [float(first), float(last)]
    if schema.calendar is not None:
        result["stamps"] = describe(schema.calendar)
    if schema.classifies:
        result["classes"] = class_shares(series)
    else:
        result["targets"] = {name: _distribution(series.targets[:, j]) for j, name in enumerate(schema.targets)}
    return result


def _distribution(values: NDArray[np.float32]) -> dict[str, Any]:
    clean = values[np.isfinite(values)].astype(np.float64)
    facts: dict[str, Any] = {"missing": int(np.isnan(values).sum())}
    if len(clean):
        facts |= {
            "min": float(clean.min()),
            "mean": float(clean.mean()),
            "max": float(clean.max()),
            "std": float(clean.std()),
        }
    return facts
