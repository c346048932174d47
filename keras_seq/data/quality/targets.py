"""Targets: known, class numbers where classes are asked for, more than one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.quality.report import Finding, at_target
from keras_seq.data.series import Series
from keras_seq.data.statistics import class_shares

RARE = 0.01  # class share worth a warning


def check_targets(series: Series) -> list[Finding]:
    """Targets that no training could use."""
    schema, findings = series.schema, []
    columns = {column.name: column for column in schema.columns}
    for j, name in enumerate(schema.targets):
        values = series.targets[:, j]
        bad = ~np.isfinite(values)
        own = columns.get(name)
        if schema.task == "forecast" and own is not None:
            if own.missing and np.isnan(values[bad]).all():
                bad[:] = False  # told with the column
            elif bad.any():
                continue  # told with the column
        if bad.any():
            findings.append(
                at_target(series, "error", "target", f"must be a finite number, got {values[bad][0]:g}", bad, name)
            )
        elif schema.task in ("binary", "multiclass"):
            findings += _class_numbers(series, values, name)
        elif np.nanmin(values) == np.nanmax(values):
            findings.append(Finding("warning", "target", f"is always {values[0]:g}", column=name))
    if schema.task in ("binary", "multiclass") and not findings:
        findings += _balance(series)
    return findings


def _class_numbers(series: Series, values: NDArray[np.float32], name: str) -> list[Finding]:
    classes = len(series.schema.classes) or (2 if series.schema.task == "binary" else int(values.max(initial=0)) + 1)
    bad = (values < 0) | (values >= classes) | (values != np.floor(values))
    if not bad.any():
        return []
    message = f"must be a class number from 0 to {classes - 1}, got {values[bad][0]:g}"
    return [at_target(series, "error", "target", message, bad, name)]


def _balance(series: Series) -> list[Finding]:
    shares = class_shares(series)
    present = {name: share for name, share in shares.items() if share}
    name = series.schema.targets[0]
    if len(present) == 1:
        return [Finding("error", "classes", f"holds one class only ('{next(iter(present))}')", column=name)]
    findings = [
        Finding("warning", "classes", f"class '{text}' has no examples", column=name)
        for text, share in shares.items()
        if not share
    ]
    rarest = min(present, key=lambda text: present[text])
    if present[rarest] < RARE:
        findings.append(Finding("warning", "classes", f"class '{rarest}' is only {present[rarest]:.2%}", column=name))
    return findings
