"""Time: known, rising, without gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.calendar import describe, position
from keras_seq.data.observe_calendar import with_calendar
from keras_seq.data.quality.closed_days import holiday_gaps
from keras_seq.data.quality.report import Finding, at_row
from keras_seq.data.series import Series

DOUBLED = (
    "mend the file, let data.duplicates take the first, the last or the mean of them, or name the zone of a clock that "
    "was put back (data.zone)"
)
FEWEST = 20  # steps from which on no rule among them is told
SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
STEPS = tuple(
    zip(
        (1, 5, 10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800, 2_678_400, 8_035_200),
        (
            "1s",
            "5s",
            "10s",
            "30s",
            "1min",
            "5min",
            "10min",
            "15min",
            "30min",
            "1h",
            "2h",
            "6h",
            "12h",
            "1d",
            "1w",
            "1mo",
            "1q",
        ),
        strict=True,
    )
)
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
        ("time order", steps < zero, "goes back in time; data.sort sorts the rows of each unit by time"),
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
    if calendar is not None and calendar.kind == "irregular" and inside.sum() >= FEWEST:
        return _irregular(series, steps, inside)
    if calendar is None or not calendar.regular or calendar.units:
        return _gaps(series, steps, inside)
    number = np.diff(position(calendar, np.asarray(series.time)))
    missing = (number > 1) & inside
    missing &= ~holiday_gaps(calendar, np.asarray(series.time), missing)
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


def _irregular(series: Series, steps: NDArray[Any], inside: NDArray[np.bool_]) -> list[Finding]:
    """Steps that follow no rule, how they spread, and the remedies; nothing where the model is told the time."""
    if "elapsed" in series.schema.features:
        return []
    dated = steps.dtype.kind == "m"
    number = (steps.astype("timedelta64[ns]").astype(np.float64) / 1e9 if dated else steps.astype(np.float64))[inside]
    low, median, high = (float(value) for value in np.quantile(number, (0.05, 0.5, 0.95)))
    step = f"{median:.3g}" if not dated else next((name for size, name in STEPS if size >= median), "1y")
    shown = [span(value) if dated else f"{value:.3g}" for value in (median, low, high)]
    message = (
        f"steps of time are irregular: median {shown[0]}, nine in ten between {shown[1]} and {shown[2]}; "
        f"data.resample.every {step} brings the rows to a regular step, data.covariates.elapsed true tells the model "
        "the time between them"
    )
    return [Finding("warning", "irregular", message, column=series.schema.time_column)]


def span(seconds: float) -> str:
    """A time span in its usual unit: ``47 s``, ``3.2 h``."""
    size, unit = next(((size, unit) for size, unit in SPANS if seconds >= size), SPANS[-1])
    return f"{seconds / size:.3g} {unit}"


def _first(time: NDArray[Any], rows: NDArray[np.bool_]) -> str:
    value = time[int(np.argmax(rows))]
    return str(value) if time.dtype.kind == "M" else f"{value:g}"
