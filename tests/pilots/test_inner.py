"""Inner folds: cut from the train part alone, in the way the data are divided."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from keras_seq.data.splits import Part, split
from keras_seq.errors import DataError
from keras_seq.pilots.inner import inner_data, rows_of
from tests.factories.series import data_config, make_series


def forecast(rows, horizon, length=12):
    windows = {"mode": "sliding", "length": length, "horizon": horizon}
    return data_config(task="forecast", windows=windows, split={"by": "time", "validation": 0.15, "test": 0.15})


def test_folds_in_time_are_foretold_from_what_lies_before_them():
    series, data = make_series([400], task="forecast"), forecast(400, horizon=6)
    train = split(series, data).train
    inner = inner_data(series, train, data)
    assert inner.by_time and len(inner.folds) == 2 and len(inner.series.values) == train.rows == 280
    for fold, prepared in zip(inner.folds, inner.prepared(data), strict=True):
        assert fold.train.last[0] == fold.validation.first[0]
        learnt, judged = prepared.index["train"], prepared.index["validation"]
        assert (learnt.target + 6).max() <= fold.train.last[0] <= judged.target.min()
        assert (judged.target + 6).max() <= fold.validation.last[0]
    assert inner.folds[0].validation.last[0] == inner.folds[1].validation.first[0]


def test_folds_of_units_keep_groups_together_and_classes_even():
    labels, groups = [0, 1] * 20, [f"g{unit // 2}" for unit in range(40)]
    series = make_series([9] * 40, task="binary", per="unit", labels=labels, classes=("a", "b"), groups=groups)
    data = data_config(windows={"mode": "whole", "length": 9}, split={"by": "stratified"})
    inner = inner_data(series, split(series, data).train, data)
    assert not inner.by_time and len(inner.folds) == 4
    judged = np.concatenate([fold.validation.units for fold in inner.folds])
    assert sorted(judged) == list(range(inner.series.n_units))
    for fold in inner.folds:
        held, learnt = (set(inner.series.groups[part.units]) for part in (fold.validation, fold.train))
        assert not held & learnt
        assert set(inner.series.targets[fold.validation.units, 0]) == {0.0, 1.0}


def test_an_official_test_part_is_in_no_fold():
    series = make_series([9] * 30, task="multiclass", per="unit", labels=[0, 1, 2] * 10, classes=("a", "b", "c"),
                         official=["train"] * 21 + ["test"] * 9)  # fmt: skip
    data = data_config(windows={"mode": "whole", "length": 9}, split={"by": "official"})
    parts = split(series, data)
    inner = inner_data(series, parts.train, data)
    assert set(inner.series.unit_ids) == set(series.unit_ids[parts.train.units])
    assert not (inner.series.official == "test").any()


@pytest.mark.parametrize("by", ["time", "unit"])
def test_rows_outside_the_train_part_do_not_matter(by):
    series = make_series([60] * 6)
    data = data_config(windows={"mode": "sliding", "length": 5}, split={"by": by, "validation": 0.2, "test": 0.2})
    train = split(series, data).train
    inside = np.zeros(len(series.values), bool)
    for low, high in zip(train.first, train.last, strict=True):
        inside[low:high] = True
    poison = np.where(inside[:, None], np.float32(0), np.float32(1e9))
    poisoned = dataclasses.replace(series, targets=series.targets + poison, values=series.values + poison)
    plain, other = (inner_data(own, train, data) for own in (series, poisoned))
    assert plain.series.content() == other.series.content()


def test_many_windows_are_thinned_at_rows_that_no_window_length_moves():
    series, short, long = make_series([40_000], task="forecast"), forecast(40_000, 2, 8), forecast(40_000, 2, 50)
    inner = inner_data(series, split(series, short).train, short)
    judged = [inner.prepared(data)[0].index["validation"] for data in (short, long)]
    np.testing.assert_array_equal(judged[0].target, judged[1].target)
    assert len(judged[0]) <= 4000 and len(inner.prepared(short)[0].index["train"]) <= 20_000


def test_too_little_to_hold_anything_back_is_said():
    series = make_series([20], task="forecast")
    with pytest.raises(DataError, match="too few to try forecasts of 9 steps"):
        inner_data(series, Part(np.array([0]), np.array([0]), np.array([14])), forecast(20, 9))


def test_rows_of_a_part_are_a_series_of_their_own():
    series = make_series([5, 6, 7])
    own = rows_of(series, Part(np.array([0, 2]), np.array([1, 11]), np.array([4, 18])))
    assert own.lengths.tolist() == [3, 7] and own.unit_ids.tolist() == ["0", "2"]
    np.testing.assert_array_equal(own.targets[:, 0], [1, 2, 3, *range(11, 18)])
