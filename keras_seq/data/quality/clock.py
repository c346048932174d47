"""Time: known, rising, without gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.calendar import describe, position
from keras_seq.data.observe_calendar import with_calendar
from keras_seq.data.quality.report import Finding, at_row
from keras_seq.data.series import Series

DOUBLED = "mend the file, or let data.duplicates take the first, the last or the mean of them"
GAP = 1.5  # a step this many times the usual one is a gap


def check_time(series: Series) -> list[Finding]:
    """Faults of the time column: unknown, falling or doubled stamps."""
    time = series.time
    unknown = np.isnat(time) if time.dtype.kind == "M" else ~np.isfinite(time.astype(np.float64))
    if unknown.any():
        return [at_row(series, "error", "time", "the time is missing or infinite", unknown, series.schema.time_column)]
    steps, inside = _steps(series)
    zero = steps.dtype.type(0)
    findings = []
    for rule, bad, what in (
        ("time order", steps < zero, "goes back in time; sort the rows of each unit by time"),
        ("duplicate time", steps == zero, f"has the same time as the row before, with other values; {DOUBLED}"),
    ):
        rows = np.append(False, bad & inside)
        if rows.any():
            findings.append(at_row(series, "error", rule, f"time {_first(time, rows)} {what}", rows, None))
    return findings


def check_gaps(series: Series) -> list[Finding]:
    """Stamps that are missing between two rows of a unit; of opening days and months only those of the rule.

    Nothing where the time does not rise, which ``check_time`` tells.
    """
    steps, inside = _steps(series)
    if not inside.any() or not (steps > steps.dtype.type(0))[inside].all():
        return []
    ruled = with_calendar(series)
    calendar = ruled.schema.calendar
    if calendar is None or not calendar.regular or calendar.units:
        return _gaps(series, steps, inside)
    number = np.diff(position(calendar, np.asarray(series.time)))
    missing = (number > 1) & inside
    if not missing.any():
        return []
    share, most = missing.sum() / inside.sum(), int(number[missing].max()) - 1
    message = (
        f"a gap in time before it; {share:.1%} of the steps leave stamps out ({describe(calendar)}), at most {most}"
    )
    return [at_row(series, "warning", "gap", message, np.append(False, missing), None)]


def _steps(series: Series) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Steps of time ``(rows - 1,)``, and which of them are inside a unit."""
    steps = np.diff(series.time)
    inside = np.ones(len(steps), bool)
    inside[series.offsets[1:-1] - 1] = False  # from one unit to the next
    return steps, inside


def _gaps(series: Series, steps: NDArray[Any], inside: NDArray[np.bool_]) -> list[Finding]:
    number = steps.astype("timedelta64[s]").astype(np.float64) if steps.dtype.kind == "m" else steps
    usual = float(np.median(number[inside]))
    long = (number > GAP * usual) & inside
    if usual <= 0 or not long.any():
        return []
    largest = float(number[long].max()) / usual
    share = long.sum() / inside.sum()
    message = f"a gap in time before it; {share:.1%} of the steps are long, the longest {largest:.3g} times the usual"
    return [at_row(series, "warning", "gap", message, np.append(False, long), None)]


def _first(time: NDArray[Any], rows: NDArray[np.bool_]) -> str:
    value = time[int(np.argmax(rows))]
    return str(value) if time.dtype.kind == "M" else f"{value:g}"
