"""Shapes of the arrays, ids of the units, names of the columns, rows held twice."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np

from keras_seq.data.quality.report import SHOWN, Finding
from keras_seq.data.series import Series


def check_shapes(series: Series) -> list[Finding]:
    """Shapes that contradict each other or the schema."""
    findings = []
    rows, offsets, schema = len(series.values), series.offsets, series.schema

    def bad(message: str) -> None:
        findings.append(Finding("error", "shape", message))

    if rows == 0 or series.n_units == 0:
        bad("the data set holds no rows")
    if series.values.ndim != 2 or series.values.shape[1] != len(schema.columns):
        bad(f"values have shape {series.values.shape}, the schema names {len(schema.columns)} columns")
    if series.values.dtype != np.float32:
        bad(f"values must be float32, got {series.values.dtype}")
    if offsets[0] != 0 or offsets[-1] != rows or (np.diff(offsets) < 0).any():
        bad(f"offsets must rise from 0 to {rows}, got {offsets[0]} to {offsets[-1]}")
    wanted = series.n_units if schema.target_per == "unit" else rows
    if series.targets.shape != (wanted, len(schema.targets)):
        bad(f"targets have shape {series.targets.shape}, expected {(wanted, len(schema.targets))}")
    for name in ("unit_ids", "groups", "official"):
        if len(getattr(series, name)) != series.n_units:
            bad(f"{name} has {len(getattr(series, name))} entries for {series.n_units} units")
    if len(series.time) != rows:
        bad(f"time has {len(series.time)} entries for {rows} rows")
    return findings


def check_ids(series: Series) -> list[Finding]:
    """Ids of units and names of columns that occur twice, units without rows, copies of units."""
    findings = []
    names, counts = np.unique(series.unit_ids, return_counts=True)
    for name in names[counts > 1][:SHOWN]:
        many = int(counts[names == name][0])
        findings.append(Finding("error", "unit id", f"{many} units share this id", unit=str(name)))
    for name, many in Counter((*series.schema.features, *_own_targets(series))).items():
        if many > 1:
            findings.append(Finding("error", "column name", f"the schema names it {many} times", column=name))
    empty = np.flatnonzero(series.lengths == 0)
    if len(empty):
        findings.append(
            Finding("error", "length", "has no rows", unit=str(series.unit_ids[empty[0]]), count=len(empty))
        )
    elif series.n_units > 1:
        findings += _same_units(series)
    return findings


def _same_units(series: Series) -> list[Finding]:
    """Units with equal rows: copies on both sides of a split leak."""
    seen: dict[bytes, int] = {}
    first: tuple[int, int] | None = None
    many = 0
    for unit in range(series.n_units):
        digest = hashlib.blake2b(series.unit_values(unit).data, digest_size=16).digest()
        if digest in seen:
            first = first or (seen[digest], unit)
            many += 1
        seen.setdefault(digest, unit)
    if first is None:
        return []
    message = f"holds the same rows as unit '{series.unit_ids[first[0]]}'; copies must not be split apart"
    return [Finding("warning", "duplicate", message, unit=str(series.unit_ids[first[1]]), count=many)]


def _own_targets(series: Series) -> tuple[str, ...]:
    """Targets that are not, as in a forecast, input columns too."""
    if series.schema.task == "forecast":
        return ()
    return series.schema.targets
