"""Values of each column: finite, within their range, not constant, not a copy."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.quality.report import Finding, at_row
from keras_seq.data.quality.rows import number
from keras_seq.data.quality.words import word_at
from keras_seq.data.series import Column, Series

MISSING_MUCH = 0.5  # share of missing values in a column worth a warning


def check_value_rows(series: Series) -> list[Finding]:
    """Infinite and missing values, and those outside the schema's range: what a piece of the rows tells as well."""
    findings = []
    for j, column in enumerate(series.schema.columns):
        values = series.values[:, j]
        if not np.isfinite(values).all():
            findings += _not_finite(series, column, values)
        for limit, beyond in ((column.minimum, np.less), (column.maximum, np.greater)):
            if limit is not None and (bad := beyond(values, np.float32(limit)) & np.isfinite(values)).any():
                findings.append(_out_of_range(series, column.name, values, bad, limit))
    return findings


def check_values(series: Series) -> list[Finding]:
    """Columns without a value, with few of them, or with one value only; looks at all rows."""
    findings = []
    lossy = {fact["name"] for fact in series.info.get("precision", ())}  # told in the file's own numbers
    for j, column in enumerate(series.schema.columns):
        values = series.values[:, j]
        missing = np.isnan(values)
        known = values[np.isfinite(values)]
        if missing.all():
            message = "holds no value at all; leave it out of data.features"
            findings.append(Finding("error", "missing", message, column=column.name))
        elif column.missing and missing.mean() > MISSING_MUCH:
            message = f"{missing.mean():.0%} of its values are missing"
            findings.append(at_row(series, "warning", "missing", message, missing, column.name))
        if len(known) and known.min() == known.max() and column.name not in lossy:
            rounded = " in float32" if abs(known[0]) >= 2**24 else ""
            value = f"'{word_at(column, known[0])}'" if column.kind == "category" else number(float(known[0]))
            message = f"is always {value}{rounded}: it tells nothing"
            findings.append(Finding("warning", "constant", message, column=column.name))
    return findings


def _not_finite(series: Series, column: Column, values: NDArray[np.float32]) -> list[Finding]:
    findings = []
    infinite, missing = np.isinf(values), np.isnan(values)
    if infinite.any():
        findings.append(
            at_row(
                series, "error", "infinite", "an infinite value, or one beyond float32 (3.4e38)", infinite, column.name
            )
        )
    if missing.any() and not missing.all() and not column.missing:
        message = (
            "a missing value in a column that may not miss any; set 'missing: true' in its schema, or impute "
            "(--data.impute forward)"
        )
        findings.append(at_row(series, "error", "missing", message, missing, column.name))
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
