from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.data.running_stats import Moments
from keras_seq.data.scaling import fit_spec, nearest_condition, part_rows
from keras_seq.data.series import Column, build_series
from keras_seq.data.splits import Part, Splits, split
from keras_seq.errors import ConfigError, DataError
from tests.factories.series import data_config, make_series


def noisy(lengths=(300, 200, 250, 150), **kwargs):
    series = make_series(lengths, features=4, **kwargs)
    values = np.random.default_rng(1).normal(5, 3, series.values.shape).astype(np.float32)
    values[:, 2] = 7.25  # constant
    values[::7, 3] = np.nan
    return dataclasses.replace(series, values=values)


def units_part(series, *units):
    chosen = np.array(units)
    return Part(chosen, series.offsets[chosen], series.offsets[chosen + 1])


def splits_of(series, train=(0, 2)):
    return Splits(units_part(series, *train), units_part(series, 1), units_part(series, 3), "")


def train_rows(series):
    return np.concatenate([series.unit_values(0), series.unit_values(2)]).astype(np.float64)


@settings(max_examples=60, deadline=None)
@given(chunks=st.lists(st.integers(1, 30), min_size=1, max_size=8), offset=st.sampled_from([0.0, 1e6, -3e5]))
def test_moments_in_chunks_equal_those_of_all_rows(chunks, offset):
    rng = np.random.default_rng(len(chunks))
    rows = rng.normal(offset, 2, (sum(chunks), 3))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    rows[0] = offset
    moments = Moments(3)
    for chunk in np.split(rows, np.cumsum(chunks)[:-1]):
        moments.add(chunk)
    np.testing.assert_allclose(moments.mean, np.nanmean(rows, axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, np.nanstd(rows, axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(moments.low, np.nanmin(rows, axis=0))
    np.testing.assert_array_equal(moments.high, np.nanmax(rows, axis=0))
    np.testing.assert_array_equal(moments.count, np.isfinite(rows).sum(axis=0))


@pytest.mark.parametrize("scale", ["zscore", "minmax", "robust", "none"])
def test_numbers_are_those_of_the_train_rows(scale):
    series = noisy()
    spec = fit_spec(series, splits_of(series), data_config(scale=scale))
    rows = train_rows(series)
    center, deviation = np.array(spec.scaling.center[0]), np.array(spec.scaling.scale[0])
    low, middle, high = np.nanquantile(rows, (0.25, 0.5, 0.75), axis=0)
    expected = {
        "zscore": (np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)),
        "minmax": (np.nanmin(rows, axis=0), np.nanmax(rows, axis=0) - np.nanmin(rows, axis=0)),
        "robust": (middle, (high - low) / 1.3489795),
        "none": (np.zeros(4), np.ones(4)),
    }[scale]
    np.testing.assert_allclose(center, expected[0], rtol=1e-6)
    np.testing.assert_allclose(deviation[[0, 1, 3]], expected[1][[0, 1, 3]], rtol=1e-6)
    assert deviation[2] == 1.0
    np.testing.assert_allclose(spec.scaling.fill, np.nanmean(rows, axis=0), rtol=1e-6)


def test_a_column_missing_in_all_of_train_is_left_alone():
    series = noisy()
    series.values[: series.offsets[1], 0] = np.nan
    spec = fit_spec(series, splits_of(series, (0,)), data_config())
    assert (spec.scaling.center[0][0], spec.scaling.scale[0][0], spec.scaling.fill[0]) == (0.0, 1.0, 0.0)


def test_target_numbers_come_from_capped_train_targets():
    series = make_series([100, 50, 80, 60])
    spec = fit_spec(series, splits_of(series), data_config(target_cap=120.0))
    targets = np.concatenate([np.arange(100), np.arange(150, 230)]).clip(max=120)
    np.testing.assert_allclose([spec.target_mean[0], spec.target_std[0]], [targets.mean(), targets.std()], rtol=1e-6)
    per_unit = make_series([9] * 4, per="unit")
    spec = fit_spec(per_unit, splits_of(per_unit), data_config())
    assert (spec.target_mean, spec.target_std) == ((1.0,), (1.0,))  # labels 0 and 2


def conditioned(seed=0):
    """Three settings of a machine, each with its own level and spread of the sensor."""
    rng = np.random.default_rng(seed)
    series = make_series([400, 300, 200, 100], features=2)
    which = rng.integers(0, 3, len(series.values))
    values = np.empty_like(series.values)
    values[:, 0] = np.array([10.0, 20.0, 42.0])[which] + rng.normal(0, 0.01, len(which))
    values[:, 1] = np.array([-5.0, 0.0, 100.0])[which] + np.array([0.1, 1, 10])[which] * rng.normal(size=len(which))
    columns = (Column(name="setting", kind="condition"), Column(name="sensor"))
    schema = series.schema.model_copy(update={"columns": columns})
    return dataclasses.replace(series, schema=schema, values=values), which


def test_every_operating_condition_has_its_own_scale():
    series, which = conditioned()
    spec = fit_spec(series, splits_of(series), data_config(conditions=3))
    scaling = spec.scaling
    assert scaling.condition_features == (0,)
    rows, label = train_rows(series), np.concatenate([which[:400], which[700:900]])
    np.testing.assert_allclose(np.array(scaling.centroids)[:, 0], [10, 20, 42], atol=0.01)
    for number in range(3):
        mine = rows[label == number]
        np.testing.assert_allclose(scaling.center[number], mine.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(scaling.scale[number], mine.std(axis=0), rtol=1e-5)
    found = nearest_condition(rows[:, :1], np.array(scaling.centroids), np.array(scaling.condition_scale))
    np.testing.assert_array_equal(found, label)
    assert fit_spec(series, splits_of(series), data_config(conditions=3)) == spec


def test_conditions_that_cannot_be_told_are_refused():
    series = noisy()
    with pytest.raises(ConfigError, match="no column of the schema 'made' has kind 'condition'"):
        fit_spec(series, splits_of(series), data_config(conditions=2))
    series, which = conditioned()
    series.values[:, 0] = which % 2
    with pytest.raises(DataError, match=r"data.conditions=5.*hold 2 distinct"):
        fit_spec(series, splits_of(series), data_config(conditions=5))


@pytest.mark.parametrize(
    ("lengths", "windows", "expected"),
    [
        ([30, 20, 25, 40], {"mode": "whole", "length": 500}, (40, True)),
        ([30, 20, 25, 40], {"mode": "whole", "length": 20}, (20, False)),
        ([30, 30, 30, 30], {"mode": "whole", "length": 500}, (30, False)),
        ([30, 20, 25, 40], {"mode": "sliding", "length": 20}, (20, False)),
        ([30, 20, 25, 40], {"mode": "sliding", "length": 21}, (21, True)),
        ([30, 20, 25, 40], {"mode": "last", "length": 50}, (50, True)),
    ],
)
def test_window_time_and_whether_it_varies(lengths, windows, expected):
    series = make_series(lengths)
    spec = fit_spec(series, splits_of(series), data_config(windows=windows))
    assert (spec.time, spec.variable_length) == expected


def test_forecast_knows_where_its_targets_are_among_the_features():
    series = make_series([200], task="forecast")
    config = data_config(windows={"mode": "sliding", "length": 20, "horizon": 3}, split={"by": "time"})
    spec = fit_spec(series, split(series, config), config)
    assert spec.target_index == (0,) and spec.horizon == 3 and not spec.variable_length


@pytest.mark.parametrize(
    ("kwargs", "windows", "message"),
    [
        ({"task": "forecast"}, {}, "needs data.windows.horizon"),
        ({}, {"horizon": 2}, "horizon=2 is for task 'forecast'"),
        ({"task": "binary", "per": "unit", "labels": [0, 1, 0, 1]}, {"per_step": True}, "per_step=true needs"),
    ],
)
def test_windows_that_do_not_fit_the_task_are_refused(kwargs, windows, message):
    series = make_series([9] * 4, **kwargs)
    with pytest.raises(ConfigError, match=message):
        fit_spec(series, splits_of(series), data_config(windows=windows))


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=8), chunk=st.integers(1, 11), data=st.data())
def test_part_rows_are_exactly_the_rows_of_the_part(lengths, chunk, data):
    series = make_series(lengths)
    units = np.array(sorted(data.draw(st.sets(st.integers(0, len(lengths) - 1), min_size=1))))
    part = Part(units, series.offsets[units], series.offsets[units + 1])
    ranges = list(part_rows(series, part, chunk))
    assert max(high - low for low, high in ranges) <= chunk
    found = np.concatenate([np.arange(low, high) for low, high in ranges])
    np.testing.assert_array_equal(found, np.concatenate([np.arange(*series.offsets[[u, u + 1]]) for u in units]))


def test_build_series_keeps_order():
    series = make_series([3, 2])
    again = build_series(series.schema, [series.unit_values(0), series.unit_values(1)], np.split(series.targets, [3]))
    assert again.fingerprint() == series.fingerprint()
