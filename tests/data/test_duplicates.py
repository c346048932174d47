"""Rows of one stamp: copies are told from contradictions, in training and in every later file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.config import DataConfig
from keras_seq.data.duplicates import merge_duplicates
from keras_seq.data.frame_rows import frame_rows
from keras_seq.data.prepare import read_series
from keras_seq.data.quality import check
from keras_seq.data.series import Column, Schema, build_series
from keras_seq.data.table_rows import read_rows
from keras_seq.errors import DataError


def series_of(times, values):
    columns = (Column(name="x"), Column(name="word", kind="category", vocabulary=("a", "b")))
    schema = Schema(name="t", task="regression", columns=columns, targets=("y",), time_column="when")
    blocks = [np.asarray(block, np.float32) for block in values]
    return build_series(schema, [block[:, :2] for block in blocks], [block[:, 2:] for block in blocks], times=times)


ROWS = [[1, 1, 5], [2, 1, 6], [2, 1, 6], [4, 2, 8], [9, 1, 7]]
TIMES = np.array([0.0, 1, 1, 1, 2])


@pytest.mark.parametrize(("how", "second"), [("first", [2, 1, 6]), ("last", [4, 2, 8]), ("mean", [3, 2, 7])])
def test_contradictions_are_merged_and_copies_count_once(how, second):
    made = merge_duplicates(series_of([TIMES], [ROWS]), how)
    rows = np.concatenate([made.series.values, made.series.targets], axis=1)
    assert rows.tolist() == [ROWS[0], second, ROWS[4]] and made.series.time.tolist() == [0, 1, 2]
    assert "1 row is a copy" in made.remarks[0] and f"data.duplicates takes the {how}" in made.remarks[1]


def test_contradictions_stay_for_the_check_where_nothing_is_said():
    made = merge_duplicates(series_of([TIMES], [ROWS]), "error")
    assert made.series.time.tolist() == [0, 1, 1, 2] and len(made.remarks) == 1
    assert any("data.duplicates" in str(finding) for finding in check(made.series).errors)


def test_a_copy_at_the_end_of_the_file_is_one_too():
    made = merge_duplicates(series_of([np.array([0.0, 1, 2, 1])], [[*ROWS[:2], ROWS[4], ROWS[1]]]), "error")
    assert made.series.time.tolist() == [0, 1, 2] and made.rows.tolist() == [0, 1, 2]


def test_units_are_apart_and_missing_values_are_equal():
    nan = np.nan
    made = merge_duplicates(
        series_of([np.zeros(2), np.zeros(1)], [[[nan, 1, nan], [nan, 1, nan]], [[5, 1, 1]]]), "error"
    )
    assert made.series.lengths.tolist() == [1, 1]


tables = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 1), st.integers(0, 2)), min_size=1)


@given(tables, st.sampled_from(["error", "first", "last", "mean"]))
@settings(max_examples=200, deadline=None)
def test_a_rule_applied_twice_changes_nothing(rows, how):
    times, content = np.array([row[0] for row in rows], float), [row[1:] for row in rows]
    once = merge_duplicates(series_of([times], [content]), how)
    twice = merge_duplicates(once.series, how)
    for name in ("values", "targets", "time", "offsets"):
        np.testing.assert_array_equal(getattr(twice.series, name), getattr(once.series, name))
    assert not twice.remarks
    if how != "error":
        assert sorted(set(times)) == sorted(once.series.time.tolist())


def config_of(path, **changes):
    tree = {"source": "table", "path": str(path), "time": "time", "targets": ["y"], "task": "forecast"}
    return DataConfig.model_validate({**tree, **changes})


def hours(path, extra):
    stamps = pd.date_range("2024-01-01", periods=30, freq="h")
    frame = pd.DataFrame({"time": stamps.strftime("%Y-%m-%d %H:%M"), "y": np.arange(30.0)})
    frame = pd.concat([frame[:6], pd.DataFrame({"time": frame["time"][5:6], "y": [extra]}), frame[6:]])
    frame.to_csv(path, index=False)
    return path


def test_files_of_a_model_are_read_by_the_rule_of_training(tmp_path):
    path = hours(tmp_path / "a.csv", 7.0)
    with pytest.raises(DataError, match=r"row 7.*data.duplicates first, last or mean"):
        read_rows(path, read_series(config_of(hours(tmp_path / "b.csv", 5.0))).schema, config_of(path).covariates)
    config = config_of(path, duplicates="mean")
    series = read_series(config)
    assert series.values[5, 0] == 6 and len(series.time) == 30
    for rows in (
        read_rows(path, series.schema, config.covariates),
        frame_rows(pd.read_csv(path), series.schema, config.covariates),
    ):
        np.testing.assert_array_equal(rows.series.values, series.values)
        assert "contradict" in rows.remarks[0]


def test_the_small_file_with_both(data_home):
    path = data_home / "tiny" / "02_duplicate_times.csv"
    if not path.is_file():
        pytest.skip("no tiny tables in the data home")
    series = read_series(config_of(path))
    report = check(series)
    assert [finding.rule for finding in report.errors] == ["duplicate time"]
    assert any("2 rows are copies" in str(finding) for finding in report.warnings)
    assert len(read_series(config_of(path, duplicates="last")).time) == 600
