"""What is wrong with a series, and where: one report, never a repair.

``check`` lists findings (unit, column, row, severity), vectorised over rows, which are counted from 1
within their unit. ``statistics`` (beside it) counts what is there. One file for each group of checks.
"""

from __future__ import annotations

from keras_seq.config import WindowsConfig
from keras_seq.data.quality.clock import check_time
from keras_seq.data.quality.lengths import check_lengths
from keras_seq.data.quality.report import Finding, QualityReport
from keras_seq.data.quality.shape import check_ids, check_shapes
from keras_seq.data.quality.targets import check_targets
from keras_seq.data.quality.values import check_same_columns, check_values
from keras_seq.data.series import Series
from keras_seq.data.statistics import statistics

__all__ = ["Finding", "QualityReport", "check", "statistics"]


def check(series: Series, windows: WindowsConfig | None = None) -> QualityReport:
    """Check shapes, ids, values, time, targets and (with ``windows``) lengths; change nothing."""
    findings = check_shapes(series)
    if not findings:  # the other checks index by these shapes
        findings = check_ids(series) + check_values(series) + check_same_columns(series)
        findings += check_time(series) + check_targets(series) + check_lengths(series, windows)
    ordered = sorted(findings, key=lambda finding: finding.severity != "error")
    return QualityReport(series.schema.name, tuple(ordered), len(series.values), series.n_units)
