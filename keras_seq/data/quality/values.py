"""Values of each column: finite, within their range, not constant, not a copy."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.quality.report import Finding, at_row
from keras_seq.data.series import Series

MISSING_MUCH = 0.5  # share of missing values in a column worth a warning


def check_values(series: Series) -> list[Finding]:
    """Missing, infinite, constant values, and those outside the range of the schema."""
    findings = []
    for j, column in enumerate(series.schema.columns):
        values = series.values[:, j]
        finite = np.isfinite(values)
        clean = values if finite.all() else values[finite]
        if len(clean) < len(values):
            findings += _not_finite(series, column.name, values, column.missing)
        if not len(clean):
            continue
        low, high = float(clean.min()), float(clean.max())
        if low == high:
            findings.append(Finding("warning", "constant", f"is always {low:g}: it tells nothing", column=column.name))
        if column.minimum is not None and low < np.float32(column.minimum):
            findings.append(
                _out_of_range(series, column.name, values, values < np.float32(column.minimum), column.minimum)
            )
        if column.maximum is not None and high > np.float32(column.maximum):
            findings.append(
                _out_of_range(series, column.name, values, values > np.float32(column.maximum), column.maximum)
            )
    return findings


def _not_finite(series: Series, name: str, values: NDArray[np.float32], allowed: bool) -> list[Finding]:
    findings = []
    infinite = np.isinf(values)
    if infinite.any():
        findings.append(at_row(series, "error", "infinite", "an infinite value", infinite, name))
    missing = np.isnan(values)
    share = float(missing.mean())
    if share == 1.0:
        findings.append(
            Finding("error", "missing", "holds no value at all; leave it out of data.features", column=name)
        )
    elif share and not allowed:
        message = (
            "a missing value in a column that may not miss any; set 'missing: true' in its schema, or impute "
            "(--data.impute forward)"
        )
        findings.append(at_row(series, "error", "missing", message, missing, name))
    elif share > MISSING_MUCH:
        findings.append(at_row(series, "warning", "missing", f"{share:.0%} of its values are missing", missing, name))
    return findings


def _out_of_range(
    series: Series, name: str, values: NDArray[np.float32], bad: NDArray[np.bool_], limit: float
) -> Finding:
    value = values[np.flatnonzero(bad)[0]]
    side = "below the smallest" if value < limit else "above the largest"
    return at_row(series, "error", "range", f"{value:g} is {side} value allowed, {limit:g}", bad, name)


def check_same_columns(series: Series) -> list[Finding]:
    """Columns with equal values, by digest."""
    findings = []
    seen: dict[bytes, str] = {}
    for j, name in enumerate(series.schema.features):
        values = np.ascontiguousarray(series.values[:, j])
        if values.size < 2 or not (values != values[0]).any():
            continue  # constant columns are told already
        digest = hashlib.blake2b(values.data, digest_size=16).digest()
        if digest in seen:
            findings.append(Finding("warning", "duplicate", f"holds the same values as '{seen[digest]}'", column=name))
        seen.setdefault(digest, name)
    return findings
