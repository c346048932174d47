"""``Finding``: a fault or doubt of the data; ``QualityReport``: the list of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.series import Series
from keras_seq.errors import DataError

Severity = Literal["error", "warning"]
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

    def with_findings(self, more: list[Finding]) -> QualityReport:
        """The report with more findings, errors first."""
        ordered = sorted((*self.findings, *more), key=lambda finding: finding.severity != "error")
        return replace(self, findings=tuple(ordered))

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


def listed(names: Iterable[object], most: int = SHOWN) -> str:
    """Names in quotes, the first ``most`` of them."""
    quoted = [f"'{name}'" for name in names]
    return ", ".join(quoted[:most]) + (f" and {len(quoted) - most} more" if len(quoted) > most else "")


def at_row(
    series: Series, severity: Severity, rule: str, message: str, bad: NDArray[np.bool_], column: str | None
) -> Finding:
    """A finding at the first row where ``bad`` ``(rows,)`` is True."""
    row = int(np.argmax(bad))
    unit = int(np.searchsorted(series.offsets, row, side="right")) - 1
    inside = row - int(series.offsets[unit]) + 1
    return Finding(severity, rule, message, str(series.unit_ids[unit]), column, inside, int(bad.sum()))


def at_target(
    series: Series, severity: Severity, rule: str, message: str, bad: NDArray[np.bool_], column: str
) -> Finding:
    """A finding at the first target where ``bad`` (rows or units) is True."""
    if series.schema.target_per == "step":
        return at_row(series, severity, rule, message, bad, column)
    unit = str(series.unit_ids[int(np.argmax(bad))])
    return Finding(severity, rule, message, unit, column, None, int(bad.sum()))
