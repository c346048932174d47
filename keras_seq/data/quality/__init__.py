"""Quality check of a series: a report of what is wrong, and where; never a repair.

``check`` lists findings (unit, column, row, severity), vectorised over rows, which are counted from 1
within their unit. ``statistics`` (beside it) counts what is there. One file for each group of checks.
"""

from __future__ import annotations

from keras_seq.config import WindowsConfig
from keras_seq.data.known import known_targets
from keras_seq.data.quality.clock import check_gaps, check_time
from keras_seq.data.quality.codes import check_codes
from keras_seq.data.quality.companions import check_companions
from keras_seq.data.quality.lengths import check_lengths
from keras_seq.data.quality.precision import Precision, precision_findings
from keras_seq.data.quality.reading import check_reading
from keras_seq.data.quality.report import Finding, QualityReport, Severity
from keras_seq.data.quality.rows import columns_of, thinned
from keras_seq.data.quality.shape import check_ids, check_shapes
from keras_seq.data.quality.targets import check_target_rows, check_targets
from keras_seq.data.quality.totals import check_totals
from keras_seq.data.quality.values import check_same_columns, check_value_rows, check_values
from keras_seq.data.series import Series
from keras_seq.data.statistics import statistics

__all__ = ["Finding", "QualityReport", "check", "check_rows", "check_sample", "statistics"]

SAMPLE_ROWS = 200_000


def check(series: Series, windows: WindowsConfig | None = None) -> QualityReport:
    """Check shapes, ids, values, time, targets and (with ``windows``) lengths; change nothing."""
    findings = check_rows(series)
    if not any(finding.rule == "shape" for finding in findings):  # the other checks index by these shapes
        findings = check_reading(series) + findings + check_gaps(series)
        findings += check_values(series) + check_same_columns(series)
        findings += check_codes(columns_of(series)) + check_precision(series)
        findings += check_targets(series) + check_lengths(series, windows) + check_totals(series)
        if not any(finding.severity == "error" for finding in findings):
            findings += check_companions(series)
    ordered = sorted(findings, key=lambda finding: finding.severity != "error")
    return QualityReport(series.schema.name, tuple(ordered), len(series.values), series.n_units)


def check_rows(series: Series) -> list[Finding]:
    """Checks that need only some of the rows: shapes, ids, values, time and targets row by row."""
    findings = check_shapes(series)
    if findings:
        return findings
    return check_ids(series) + check_value_rows(series) + check_time(series) + check_target_rows(series)


def check_sample(series: Series) -> list[Finding]:
    """Checks of whole columns on a sample of at most about 200,000 rows, for a series on disk."""
    rows = thinned(series.offsets, SAMPLE_ROWS)
    findings = check_codes(columns_of(series, rows.numbers)) + check_precision(series) + check_companions(series)
    known = known_targets(series)
    if known is not None:
        what = "units" if series.schema.target_per == "unit" else "rows"
        message = f"missing in {1 - known.mean():.1%} of the {what}; they weigh nothing in training and are not judged"
        severity: Severity = "warning" if known.any() else "error"
        findings.append(
            Finding(severity, "target", message, column=series.schema.targets[0], count=int((~known).sum()))
        )
    return findings


def check_precision(series: Series) -> list[Finding]:
    """Precision that columns lost when they became float32."""
    return precision_findings(Precision(**fact) for fact in series.info.get("precision", ()))
