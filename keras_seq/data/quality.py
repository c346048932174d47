"""What is wrong with a series, and where: one report, never a repair.

``check`` lists findings (unit, column, row, severity), vectorised over rows, which are counted from 1
within their unit. ``statistics`` (beside it) counts what is there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import WindowsConfig
from keras_seq.data.series import Series
from keras_seq.data.statistics import class_shares, statistics
from keras_seq.errors import DataError

__all__ = ["Finding", "QualityReport", "check", "statistics"]

Severity = Literal["error", "warning"]
MISSING_MUCH = 0.5  # share of missing values in a column worth a warning
RARE = 0.01  # class share worth a warning
GAP = 1.5  # a step this many times the usual one is a gap
SHOWN = 5  # findings named in an error message


@dataclass(frozen=True)
class Finding:
    """One fault: what, where first, and how often.

    Attributes:
        severity: "error" stops training, "warning" does not.
        rule: short name of the check.
        message: what is wrong, with the value found.
        unit: id of the (first) unit concerned.
        column: column concerned.
        row: first row concerned, from 1 within the unit.
        count: how many rows, units or columns are concerned.
    """

    severity: Severity
    rule: str
    message: str
    unit: str | None = None
    column: str | None = None
    row: int | None = None
    count: int = 1

    def __str__(self) -> str:
        where = [f"column '{self.column}'"] if self.column else []
        where += [f"unit '{self.unit}'"] if self.unit is not None else []
        where += [f"row {self.row}"] if self.row is not None else []
        more = f" ({self.count} in all)" if self.count > 1 else ""
        return f"{', '.join(where)}: {self.message}{more}" if where else f"{self.message}{more}"


@dataclass(frozen=True)
class QualityReport:
    """The findings of one check, errors first."""

    name: str
    findings: tuple[Finding, ...]
    rows: int
    units: int

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that stop training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that do not."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def raise_if_bad(self) -> None:
        """Raise one ``DataError`` that lists the first errors, if there are any."""
        errors = self.errors
        if errors:
            rest = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
            listed = "; ".join(f"[{finding.rule}] {finding}" for finding in errors[:SHOWN])
            raise DataError(
                f"Data set '{self.name}' fails the quality check with {len(errors)} error(s): {listed}{rest}. Mend the "
                "data, or the schema where the data are right ('python -m keras_seq.data check' shows the report)."
            )

    def to_text(self) -> str:
        """The report for people, one finding a line."""
        head = (
            f"quality of '{self.name}': {self.rows} rows in {self.units} units, "
            f"{len(self.errors)} error(s), {len(self.warnings)} warning(s)"
        )
        return "\n".join([head, *(f"  {f.severity:<7} [{f.rule}] {f}" for f in self.findings)])

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "name": self.name,
            "rows": self.rows,
            "units": self.units,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "findings": [asdict(finding) for finding in self.findings],
        }


def check(series: Series, windows: WindowsConfig | None = None) -> QualityReport:
    """Check shapes, ids, values, time, targets and (with ``windows``) lengths; change nothing."""
    findings = _shapes(series)
    if not findings:  # the other checks index by these shapes
        findings = _ids(series) + _values(series) + _same_columns(series) + _time(series) + _targets(series)
        findings += _lengths(series, windows)
    ordered = sorted(findings, key=lambda finding: finding.severity != "error")
    return QualityReport(series.schema.name, tuple(ordered), len(series.values), series.n_units)


def _shapes(series: Series) -> list[Finding]:
    found = []
    rows, offsets, schema = len(series.values), series.offsets, series.schema

    def bad(message: str) -> None:
        found.append(Finding("error", "shape", message))

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
    return found


def _ids(series: Series) -> list[Finding]:
    found = []
    names, counts = np.unique(series.unit_ids, return_counts=True)
    for name in names[counts > 1][:SHOWN]:
        many = int(counts[names == name][0])
        found.append(Finding("error", "unit id", f"{many} units share this id", unit=str(name)))
    for name, many in Counter((*series.schema.features, *_own_targets(series))).items():
        if many > 1:
            found.append(Finding("error", "column name", f"the schema names it {many} times", column=name))
    empty = np.flatnonzero(series.lengths == 0)
    if len(empty):
        found.append(Finding("error", "length", "has no rows", unit=str(series.unit_ids[empty[0]]), count=len(empty)))
    elif series.n_units > 1:
        found += _same_units(series)
    return found


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


def _values(series: Series) -> list[Finding]:
    found = []
    for j, column in enumerate(series.schema.columns):
        values = series.values[:, j]
        finite = np.isfinite(values)
        clean = values if finite.all() else values[finite]
        if len(clean) < len(values):
            found += _not_finite(series, column.name, values, column.missing)
        if not len(clean):
            continue
        low, high = float(clean.min()), float(clean.max())
        if low == high:
            found.append(Finding("warning", "constant", f"is always {low:g}: it tells nothing", column=column.name))
        if column.minimum is not None and low < np.float32(column.minimum):
            found.append(
                _out_of_range(series, column.name, values, values < np.float32(column.minimum), column.minimum)
            )
        if column.maximum is not None and high > np.float32(column.maximum):
            found.append(
                _out_of_range(series, column.name, values, values > np.float32(column.maximum), column.maximum)
            )
    return found


def _not_finite(series: Series, name: str, values: NDArray[np.float32], allowed: bool) -> list[Finding]:
    found = []
    infinite = np.isinf(values)
    if infinite.any():
        found.append(_at(series, "error", "infinite", "an infinite value", infinite, name))
    missing = np.isnan(values)
    share = float(missing.mean())
    if share == 1.0:
        found.append(Finding("error", "missing", "holds no value at all; leave it out of data.features", column=name))
    elif share and not allowed:
        message = (
            "a missing value in a column that may not miss any; set 'missing: true' in its schema, or impute "
            "(--data.impute forward)"
        )
        found.append(_at(series, "error", "missing", message, missing, name))
    elif share > MISSING_MUCH:
        found.append(_at(series, "warning", "missing", f"{share:.0%} of its values are missing", missing, name))
    return found


def _out_of_range(
    series: Series, name: str, values: NDArray[np.float32], bad: NDArray[np.bool_], limit: float
) -> Finding:
    value = values[np.flatnonzero(bad)[0]]
    side = "below the smallest" if value < limit else "above the largest"
    return _at(series, "error", "range", f"{value:g} is {side} value allowed, {limit:g}", bad, name)


def _same_columns(series: Series) -> list[Finding]:
    """Columns with equal values, by digest."""
    found = []
    seen: dict[bytes, str] = {}
    for j, name in enumerate(series.schema.features):
        values = np.ascontiguousarray(series.values[:, j])
        if values.size < 2 or not (values != values[0]).any():
            continue  # constant columns are told already
        digest = hashlib.blake2b(values.data, digest_size=16).digest()
        if digest in seen:
            found.append(Finding("warning", "duplicate", f"holds the same values as '{seen[digest]}'", column=name))
        seen.setdefault(digest, name)
    return found


def _time(series: Series) -> list[Finding]:
    time = series.time
    unknown = np.isnat(time) if time.dtype.kind == "M" else ~np.isfinite(time.astype(np.float64))
    if unknown.any():
        return [_at(series, "error", "time", "the time is missing or infinite", unknown, series.schema.time_column)]
    steps = np.diff(time)
    inside = np.ones(len(steps), bool)
    inside[series.offsets[1:-1] - 1] = False  # from one unit to the next
    zero = steps.dtype.type(0)
    found = []
    for rule, bad, what in (
        ("time order", steps < zero, "goes back in time; sort the rows of each unit by time"),
        ("duplicate time", steps == zero, "has the same time as the row before; remove one of them"),
    ):
        rows = np.append(False, bad & inside)
        if rows.any():
            found.append(_at(series, "error", rule, f"time {_first(time, rows)} {what}", rows, None))
    if not found and inside.any():
        found += _gaps(series, steps, inside)
    return found


def _gaps(series: Series, steps: NDArray[Any], inside: NDArray[np.bool_]) -> list[Finding]:
    number = steps.astype("timedelta64[s]").astype(np.float64) if steps.dtype.kind == "m" else steps
    usual = float(np.median(number[inside]))
    long = (number > GAP * usual) & inside
    if usual <= 0 or not long.any():
        return []
    largest = float(number[long].max()) / usual
    share = long.sum() / inside.sum()
    message = f"a gap in time before it; {share:.1%} of the steps are long, the longest {largest:.3g} times the usual"
    return [_at(series, "warning", "gap", message, np.append(False, long), None)]


def _targets(series: Series) -> list[Finding]:
    schema, found = series.schema, []
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
            found.append(
                _target_at(series, "error", "target", f"must be a finite number, got {values[bad][0]:g}", bad, name)
            )
        elif schema.task in ("binary", "multiclass"):
            found += _class_numbers(series, values, name)
        elif np.nanmin(values) == np.nanmax(values):
            found.append(Finding("warning", "target", f"is always {values[0]:g}", column=name))
    if schema.task in ("binary", "multiclass") and not found:
        found += _balance(series)
    return found


def _class_numbers(series: Series, values: NDArray[np.float32], name: str) -> list[Finding]:
    classes = len(series.schema.classes) or (2 if series.schema.task == "binary" else int(values.max(initial=0)) + 1)
    bad = (values < 0) | (values >= classes) | (values != np.floor(values))
    if not bad.any():
        return []
    message = f"must be a class number from 0 to {classes - 1}, got {values[bad][0]:g}"
    return [_target_at(series, "error", "target", message, bad, name)]


def _balance(series: Series) -> list[Finding]:
    shares = class_shares(series)
    present = {name: share for name, share in shares.items() if share}
    name = series.schema.targets[0]
    if len(present) == 1:
        return [Finding("error", "classes", f"holds one class only ('{next(iter(present))}')", column=name)]
    found = [
        Finding("warning", "classes", f"class '{text}' has no examples", column=name)
        for text, share in shares.items()
        if not share
    ]
    rarest = min(present, key=lambda text: present[text])
    if present[rarest] < RARE:
        found.append(Finding("warning", "classes", f"class '{rarest}' is only {present[rarest]:.2%}", column=name))
    return found


def _lengths(series: Series, windows: WindowsConfig | None) -> list[Finding]:
    if windows is None:
        return []
    need = windows.length + windows.horizon
    lengths = series.lengths
    found = []
    if windows.mode != "whole":
        short = np.flatnonzero(lengths < need)
        if len(short):
            unit = short[np.argmin(lengths[short])]
            text = f"has {lengths[unit]} rows, a window needs {need} (data.windows.length + horizon)"
            # A forecast never pads its future: such a unit gives nothing.
            fatal = not windows.pad_short or lengths[unit] <= windows.horizon
            text += "; shorten data.windows.length or remove it" if fatal else "; it will be padded"
            severity: Severity = "error" if fatal else "warning"
            found.append(Finding(severity, "length", text, unit=str(series.unit_ids[unit]), count=len(short)))
    else:
        long = np.flatnonzero(lengths > windows.length)
        if len(long):
            unit = long[np.argmax(lengths[long])]
            text = f"has {lengths[unit]} rows; only its last {windows.length} are kept (data.windows.length)"
            found.append(Finding("warning", "length", text, unit=str(series.unit_ids[unit]), count=len(long)))
    return found


def _at(
    series: Series, severity: Severity, rule: str, message: str, bad: NDArray[np.bool_], column: str | None
) -> Finding:
    """A finding at the first row where ``bad`` ``(rows,)`` is True."""
    row = int(np.argmax(bad))
    unit = int(np.searchsorted(series.offsets, row, side="right")) - 1
    inside = row - int(series.offsets[unit]) + 1
    return Finding(severity, rule, message, str(series.unit_ids[unit]), column, inside, int(bad.sum()))


def _target_at(
    series: Series, severity: Severity, rule: str, message: str, bad: NDArray[np.bool_], column: str
) -> Finding:
    if series.schema.target_per == "step":
        return _at(series, severity, rule, message, bad, column)
    unit = str(series.unit_ids[int(np.argmax(bad))])
    return Finding(severity, rule, message, unit, column, None, int(bad.sum()))


def _first(time: NDArray[Any], rows: NDArray[np.bool_]) -> str:
    value = time[int(np.argmax(rows))]
    return str(value) if time.dtype.kind == "M" else f"{value:g}"


def _own_targets(series: Series) -> tuple[str, ...]:
    """Targets that are not, as in a forecast, input columns too."""
    if series.schema.task == "forecast":
        return ()
    return series.schema.targets
