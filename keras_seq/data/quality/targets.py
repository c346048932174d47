"""Targets: known, class numbers where classes are asked for, more than one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.censored import census
from keras_seq.data.quality.report import Finding, at_target
from keras_seq.data.series import Column, Series
from keras_seq.data.statistics import class_shares

RARE = 0.01  # class share worth a warning


def check_target_rows(series: Series) -> list[Finding]:
    """Infinite targets, and class numbers that are none: what a piece of the rows tells as well as all of them."""
    findings = []
    for j, name in enumerate(series.schema.targets):
        values = series.targets[:, j]
        infinite = np.isinf(values)
        if infinite.any() and _own_column(series, name) is None:  # there it is told with the column
            message = f"must be a finite number, got {values[infinite][0]:g}"
            findings.append(at_target(series, "error", "target", message, infinite, name))
        elif series.schema.classifies:
            findings += _class_numbers(series, values, name)
    return findings


def check_targets(series: Series) -> list[Finding]:
    """Targets that are missing, the same everywhere, or of one class only; looks at all rows."""
    findings = []
    for j, name in enumerate(series.schema.targets):
        values = series.targets[:, j]
        known = values[np.isfinite(values)]
        missing = np.isnan(values)
        if series.bounds is not None:  # no truth, but known in part
            missing &= ~np.isfinite(series.bounds[:, j])
        own = _own_column(series, name)
        if missing.any() and (own is None or (own.missing and len(known))):  # else it is told with the column
            findings.append(_missing(series, name, missing))
        if not series.schema.classifies and len(known) and known.min() == known.max():
            findings.append(Finding("warning", "target", f"is always {known[0]:.9g}", column=name))
    if words := census(series):
        findings.append(Finding("warning", "censored", words))
    sound = not any(finding.severity == "error" for finding in (*findings, *check_target_rows(series)))
    if series.schema.classifies and sound:
        findings += _balance(series)
    return findings


def _own_column(series: Series, name: str) -> Column | None:
    """The input column that a target is, too, in a forecast."""
    columns = series.schema.columns if series.schema.task == "forecast" else ()
    return next((column for column in columns if column.name == name), None)


def _missing(series: Series, name: str, missing: NDArray[np.bool_]) -> Finding:
    if missing.all():
        return Finding("error", "target", "holds no value at all; name another one in data.targets", column=name)
    what = "units" if series.schema.target_per == "unit" else "rows"
    message = f"is missing in {missing.mean():.1%} of the {what}; they weigh nothing in training and are not judged"
    return at_target(series, "warning", "target", message, missing, name)


def _class_numbers(series: Series, values: NDArray[np.float32], name: str) -> list[Finding]:
    known = values[np.isfinite(values)]
    classes = len(series.schema.classes) or (2 if series.schema.task == "binary" else int(known.max(initial=0)) + 1)
    with np.errstate(invalid="ignore"):
        bad = (values < 0) | (values >= classes) | ((values != np.floor(values)) & np.isfinite(values))
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
