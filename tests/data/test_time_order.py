"""Rows that come newest first, or in any order: in training and in prediction."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq import config
from keras_seq.config import DataConfig
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.prepare import read_series
from keras_seq.data.quality import check
from keras_seq.data.series import Column, Schema, build_series
from keras_seq.data.table_rows import read_rows
from keras_seq.data.time_order import in_time_order

SCHEMA = Schema(name="t", task="regression", columns=(Column(name="x"),), targets=("y",), time_column="time")


def series(*times):
    values = [np.arange(len(time), dtype=np.float32)[:, None] for time in times]
    return build_series(SCHEMA, values, values, times=[np.array(time, "M8[s]").astype("M8[ns]") for time in times])


def table(order, unit="a"):
    days = pd.date_range("2024-03-01", periods=len(order))
    return pd.DataFrame({"id": unit, "day": days[order].strftime("%Y-%m-%d"), "x": np.array(order) * 1.5, "y": order})


OPTIONS = {"source": "table", "unit": "id", "time": "day", "targets": ("y",), "features": ("x",)}


def test_newest_first_is_turned_round_in_training_and_prediction(tmp_path):
    path = tmp_path / "table.csv"
    table(list(range(19, -1, -1))).to_csv(path, index=False)
    trained = read_series(DataConfig(path=str(path), **OPTIONS))
    np.testing.assert_array_equal(trained.targets[:, 0], np.arange(20))
    assert not check(trained).errors
    rows = read_rows(path, trained.schema, CovariatesConfig(), with_targets=True)
    np.testing.assert_array_equal(rows.series.values[:, 0], np.arange(20) * 1.5)
    assert rows.file_row.tolist() == list(range(20, 0, -1))
    assert "newest first and were turned round" in rows.remarks[0]


def test_one_unit_that_falls_among_others_is_left_to_the_check():
    mixed = series([1, 2, 3], [9, 5, 2])
    assert in_time_order(mixed, sort=False).rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert in_time_order(mixed, sort=True).rows.tolist() == [0, 1, 2, 5, 4, 3]


def test_any_order_is_sorted_only_where_it_is_asked_for(tmp_path):
    path = tmp_path / "table.csv"
    order = np.random.default_rng(0).permutation(20)
    table(order).to_csv(path, index=False)
    assert any(
        finding.rule == "time order" for finding in check(read_series(DataConfig(path=str(path), **OPTIONS))).errors
    )
    trained = read_series(DataConfig(path=str(path), sort=True, **OPTIONS))
    np.testing.assert_array_equal(trained.targets[:, 0], np.arange(20))
    rows = read_rows(path, trained.schema, CovariatesConfig(), with_targets=True)  # the schema keeps the rule
    np.testing.assert_array_equal(rows.series.targets[:, 0], np.arange(20))


def test_sorting_needs_the_rows_in_memory(tmp_path):
    from keras_seq.data.prepare import prepare
    from keras_seq.errors import ConfigError

    table(list(range(20))).to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(ConfigError, match=r"data\.sort"):
        prepare(DataConfig(path=str(tmp_path / "table.csv"), sort=True, cache=False, **OPTIONS))
    assert config.from_dict({"data": {"sort": True}}).data.sort


@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=12), min_size=1, max_size=4))
def test_sorted_rows_are_those_of_a_stable_sort(times):
    before = series(*times)
    after = in_time_order(before, sort=True)
    rises = any(late > early for time in times for early, late in itertools.pairwise(time))
    for unit, time in enumerate(times):
        rows = slice(before.offsets[unit], before.offsets[unit + 1])
        falls = any(late < early for early, late in itertools.pairwise(time))
        turned = np.argsort(time, kind="stable") if rises else np.arange(len(time))[::-1]  # newest first: turned round
        wanted = turned if falls else np.arange(len(time))
        np.testing.assert_array_equal(after.rows[rows] - before.offsets[unit], wanted)
        np.testing.assert_array_equal(after.series.values[rows, 0], wanted)
    again = in_time_order(after.series, sort=True)
    np.testing.assert_array_equal(again.rows, np.arange(len(before.values)))


def test_of_one_stamp_the_entry_at_the_top_of_a_newest_first_file_is_the_last():
    assert in_time_order(series([5, 3, 3, 1]), sort=False).rows.tolist() == [3, 2, 1, 0]
