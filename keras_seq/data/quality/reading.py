"""Ambiguous readings of a table, and which was taken."""

from __future__ import annotations

from keras_seq.data.quality.report import Finding
from keras_seq.data.series import Series


def check_reading(series: Series) -> list[Finding]:
    """Warnings for what the reader had to choose in the file, and for what became of its rows (``series.info``)."""
    rows = [Finding("warning", "rows", remark) for remark in series.info.get("row_remarks", ())]
    return [Finding("warning", "reading", choice) for choice in series.info.get("choices", ())] + rows
