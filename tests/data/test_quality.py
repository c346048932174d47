"""The quality report: every rule finds its fault, where it is, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.config import DataConfig, WindowsConfig
from keras_seq.data.quality import check, statistics
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.data.sources import load_series
from keras_seq.errors import DataError

LENGTHS = (5, 4, 6)


def clean(task: str = "regression", per: str = "step", **schema) -> Series:
    """Three units "u0".."u2" of 5, 4 and 6 rows, columns "a" and "b"."""
    rng = np.random.default_rng(0)
    units = [rng.normal(size=(length, 2)).astype(np.float32) for length in LENGTHS]
    labels = np.arange(sum(LENGTHS) if per == "step" else 3, dtype=np.float32)[:, None]
    if task in ("binary", "multiclass"):
        labels %= 2 if task == "binary" else 3
    targets = labels if per == "unit" else np.split(labels, np.cumsum(LENGTHS)[:-1])
    columns = schema.pop("columns", (Column(name="a"), Column(name="b")))
    described = Schema(name="toy", task=task, columns=columns, targets=("y",), target_per=per, **schema)
    return build_series(described, units, targets, unit_ids=["u0", "u1", "u2"])


def spoil(series: Series, name: str, where, value) -> Series:
    array = getattr(series, name).copy()
    array[where] = value
    return dataclasses.replace(series, **{name: array})


def test_clean_series_has_no_findings():
    for task, per in (("regression", "step"), ("binary", "unit"), ("multiclass", "step")):
        report = check(clean(task, per), WindowsConfig(length=4, mode="sliding"))
        assert report.findings == ()
        report.raise_if_bad()


FAULTS = {
    "infinite": (lambda s: spoil(s, "values", (6, 1), np.inf), "error", "b", "u1", 2),
    "missing": (lambda s: spoil(s, "values", (9, 0), np.nan), "error", "a", "u2", 1),
    "no value": (lambda s: spoil(s, "values", (slice(None), 0), np.nan), "error", "a", None, None),
    "constant": (lambda s: spoil(s, "values", (slice(None), 0), 3), "warning", "a", None, None),
    "time order": (lambda s: spoil(s, "time", 8, 1.5), "error", None, "u1", 4),
    "duplicate time": (lambda s: spoil(s, "time", 14, 4), "error", None, "u2", 6),
    "time": (lambda s: spoil(s, "time", 3, np.nan), "error", None, "u0", 4),
    "gap": (lambda s: spoil(s, "time", 14, 40), "warning", None, "u2", 6),
    "unit id": (lambda s: spoil(s, "unit_ids", 2, "u0"), "error", None, "u0", None),
    "target": (lambda s: spoil(s, "targets", (7, 0), np.nan), "warning", "y", "u1", 3),
}


@pytest.mark.parametrize("rule", FAULTS)
def test_one_fault_one_finding(rule):
    change, severity, column, unit, row = FAULTS[rule]
    (finding,) = check(change(clean())).findings
    assert finding.rule == {"no value": "missing"}.get(rule, rule)
    assert (finding.severity, finding.column, finding.unit, finding.row) == (severity, column, unit, row)


@pytest.mark.parametrize(("limit", "value", "side"), [("minimum", -50.0, "below"), ("maximum", 50.0, "above")])
def test_range(limit, value, side):
    columns = (Column(name="a", **{limit: np.sign(value) * 10.0}), Column(name="b"))
    series = spoil(clean(columns=columns), "values", (11, 0), value)
    (finding,) = check(series).errors
    assert (finding.rule, finding.column, finding.unit, finding.row) == ("range", "a", "u2", 3)
    assert f"{value:g} is {side}" in finding.message


def test_missing_is_allowed_where_the_schema_says_so():
    columns = (Column(name="a", missing=True), Column(name="b"))
    series = spoil(clean(columns=columns), "values", (slice(0, 3), 0), np.nan)
    assert check(series).findings == ()
    (finding,) = check(spoil(series, "values", (slice(0, 12), 0), np.nan)).findings
    assert finding.severity == "warning" and "80%" in finding.message


def test_same_column_and_same_unit():
    series = clean()
    series.values[:, 1] = series.values[:, 0]
    (finding,) = check(series).findings
    assert (finding.rule, finding.column, finding.severity) == ("duplicate", "b", "warning")
    series = clean()
    series.values[9:14] = series.values[0:5]
    shorter = dataclasses.replace(
        series,
        offsets=np.array([0, 5, 9, 14]),
        values=series.values[:14],
        targets=series.targets[:14],
        time=series.time[:14],
    )
    (finding,) = check(shorter).findings
    assert (finding.rule, finding.unit) == ("duplicate", "u2") and "'u0'" in finding.message


@pytest.mark.parametrize(
    ("task", "value", "match"),
    [("binary", 2, "from 0 to 1, got 2"), ("binary", 0.5, "got 0.5"), ("multiclass", -1, "got -1")],
)
def test_class_numbers(task, value, match):
    series = spoil(clean(task, "unit"), "targets", (1, 0), value)
    with pytest.raises(DataError, match=match):
        check(series).raise_if_bad()
    assert check(series).errors[0].unit == "u1"


def test_class_balance():
    series = clean("binary", "unit", classes=("no", "yes"))
    series.targets[:] = 1
    with pytest.raises(DataError, match="holds one class only \\('yes'\\)"):
        check(series).raise_if_bad()
    series = clean("multiclass", "step", classes=("x", "y", "z", "w"))
    (finding,) = check(series).findings
    assert finding.severity == "warning" and "class 'w' has no examples" in finding.message


@pytest.mark.parametrize(
    ("windows", "severity", "unit"),
    [
        (WindowsConfig(mode="sliding", length=6), "warning", "u1"),
        (WindowsConfig(mode="sliding", length=6, pad_short=False), "error", "u1"),
        (WindowsConfig(mode="last", length=1, horizon=4), "warning", "u1"),  # left out
        (WindowsConfig(mode="last", length=2, horizon=6), "error", "u0"),  # no unit is left
        (WindowsConfig(mode="whole", length=5), "warning", "u2"),
    ],
)
def test_lengths(windows, severity, unit):
    (finding,) = check(clean(), windows).findings
    assert (finding.rule, finding.severity, finding.unit) == ("length", severity, unit)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"values": np.zeros((15, 3), np.float32)}, "the schema names 2 columns"),
        ({"values": np.zeros((15, 2))}, "must be float32, got float64"),
        ({"targets": np.zeros((3, 1), np.float32)}, r"targets have shape \(3, 1\)"),
        ({"offsets": np.array([0, 5, 3, 15])}, "offsets must rise"),
        ({"time": np.zeros(4)}, "time has 4 entries for 15 rows"),
        ({"groups": np.array(["g"])}, "groups has 1 entries for 3 units"),
    ],
)
def test_shapes(change, match):
    with pytest.raises(DataError, match=match):
        check(dataclasses.replace(clean(), **change)).raise_if_bad()


def test_dates_with_gap_and_order():
    clock = np.datetime64("2024-01-01", "s") + np.concatenate([np.arange(n) for n in LENGTHS]) * np.timedelta64(7, "D")
    series = dataclasses.replace(clean(), time=clock)
    assert check(series).findings == ()
    later = spoil(series, "time", 4, np.datetime64("2025-01-01"))
    (finding,) = check(later).findings
    assert (finding.rule, finding.unit, finding.row) == ("gap", "u0", 5)
    (finding,) = check(spoil(series, "time", 4, np.datetime64("NaT"))).findings
    assert (finding.rule, finding.row) == ("time", 5)


def test_report_lists_errors_first_and_counts():
    series = spoil(spoil(clean(), "values", (slice(0, 15), 0), 1), "values", (slice(3, 5), 1), np.inf)
    report = check(series)
    assert [finding.severity for finding in report.findings] == ["error", "warning"]
    assert "2 in all" in report.to_text() and report.errors[0].count == 2
    assert json.loads(json.dumps(report.to_dict()))["errors"] == 1
    before = series.values.copy()
    check(series)
    np.testing.assert_array_equal(series.values, before)


@settings(max_examples=60, deadline=None)
@given(row=st.integers(0, 14), column=st.integers(0, 1), value=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_any_place_is_found(row, column, value):
    (finding,) = check(spoil(clean(), "values", (row, column), value)).findings
    unit = np.searchsorted([5, 9, 15], row, side="right")
    assert finding.column == "ab"[column] and finding.unit == f"u{unit}"
    assert finding.row == row - (0, 5, 9)[unit] + 1


def test_statistics():
    series = spoil(clean("binary", "unit", classes=("no", "yes")), "values", (0, 0), np.nan)
    facts = statistics(series)
    assert (facts["units"], facts["rows"], facts["features"]) == (3, 15, 2)
    assert facts["length"] == {"min": 4, "median": 5.0, "max": 6}
    assert facts["classes"] == pytest.approx({"no": 2 / 3, "yes": 1 / 3})
    assert facts["missing_share"] == pytest.approx(1 / 30) and facts["columns"]["a"]["missing"] == 1
    assert facts["columns"]["b"]["mean"] == pytest.approx(series.values[:, 1].mean(), rel=1e-5)
    json.dumps(facts)


def test_fd004_is_checked_within_a_second(data_home):
    series = load_series(DataConfig(source="cmapss", subset="FD004", home=str(data_home)))
    before = time.process_time()
    report = check(series, WindowsConfig(length=30, mode="sliding"))
    assert time.process_time() - before < 1.0
    assert not report.errors
    assert any(f.rule == "length" and f.unit.startswith("test-") for f in report.warnings)
