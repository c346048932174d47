from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.data.series import build_series
from keras_seq.data.splits import split
from keras_seq.errors import DataError
from tests.factories.series import data_config, make_series


def classified(units=200, groups=None, rate=0.2, seed=0, **kwargs):
    labels = (np.random.default_rng(seed).random(units) < rate).astype(int)
    return make_series([6] * units, task="binary", per="unit", labels=labels, groups=groups, **kwargs)


def units_of(splits):
    return [set(part.units.tolist()) for _, part in splits.items()]


@settings(max_examples=80, deadline=None)
@given(
    units=st.integers(18, 60),
    per_group=st.integers(1, 3),
    by=st.sampled_from(["unit", "group"]),
    validation=st.one_of(st.floats(0.1, 0.3), st.integers(1, 2)),
    test=st.one_of(st.floats(0.1, 0.3), st.integers(1, 2)),
    seed=st.integers(0, 5),
)
def test_units_and_groups_are_never_shared(units, per_group, by, validation, test, seed):
    groups = [f"g{unit // per_group}" for unit in range(units)]
    series = make_series([4] * units, groups=groups)
    config = data_config(split={"by": by, "validation": validation, "test": test, "seed": seed})
    splits = split(series, config)
    parts = units_of(splits)
    assert set.union(*parts) == set(range(units)) and sum(map(len, parts)) == units
    owners = [{groups[unit] for unit in part} for part in parts]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
    assert split(series, config).fingerprint == splits.fingerprint


def test_another_seed_gives_another_split():
    series = make_series([4] * 50)
    first, second = (split(series, data_config(split={"seed": seed})) for seed in (0, 1))
    assert first.fingerprint != second.fingerprint


def test_shares_and_counts():
    series = make_series([4] * 100)
    sizes = [len(p) for p in units_of(split(series, data_config(split={"validation": 0.2, "test": 0.1})))]
    assert sizes == [70, 20, 10]
    sizes = [len(p) for p in units_of(split(series, data_config(split={"validation": 7, "test": 13})))]
    assert sizes == [80, 7, 13]


def test_stratified_gives_equal_class_shares():
    series = classified(400)
    splits = split(series, data_config(split={"by": "stratified"}))
    shares = [series.targets[part.units].mean() for _, part in splits.items()]
    assert max(shares) - min(shares) < 0.01
    assert [len(part) for _, part in splits.items()] == [280, 60, 60]


def test_stratified_keeps_groups_whole_and_shares_near():
    rng = np.random.default_rng(3)
    heat = np.repeat(np.arange(120), rng.integers(3, 14, 120))
    labels = (rng.random(len(heat)) < rng.beta(1, 6, 120)[heat]).astype(int)
    groups = [f"heat{h}" for h in heat]
    series = make_series([3] * len(heat), task="binary", per="unit", labels=labels, groups=groups)
    splits = split(series, data_config(split={"by": "stratified"}))
    parts = [part.units for _, part in splits.items()]
    shares = [labels[units].mean() for units in parts]
    assert max(shares) - min(shares) < 0.02
    np.testing.assert_allclose([len(p) / len(heat) for p in parts], [0.7, 0.15, 0.15], atol=0.02)
    owners = [set(heat[units]) for units in parts]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])


def test_official_keeps_the_test_units_and_divides_the_rest_by_class():
    labels = [0, 1, 2] * 30
    official = ["train"] * 60 + ["test"] * 30
    series = make_series([5] * 90, task="multiclass", per="unit", labels=labels, classes="abc", official=official)
    splits = split(series, data_config(split={"by": "official", "validation": 0.2}))
    assert splits.test.units.tolist() == list(range(60, 90))
    assert len(splits.validation) == 12
    assert np.bincount(series.targets[splits.validation.units, 0].astype(int)).tolist() == [4, 4, 4]


@pytest.mark.parametrize("by", ["unit", "group", "stratified", "official"])
def test_folds_cover_the_non_test_units_once(by):
    official = ["train"] * 80 + ["test"] * 20 if by == "official" else None
    series = classified(100, groups=[f"g{u // 2}" for u in range(100)], official=official)
    found, tests = [], set()
    for fold in range(4):
        splits = split(series, data_config(split={"by": by, "folds": 4, "fold": fold}))
        train, validation, test = units_of(splits)
        assert not train & validation and not (train | validation) & test
        found.append(validation)
        tests.add(tuple(sorted(test)))
    assert len(tests) == 1
    assert sum(map(len, found)) == len(set.union(*found)) == 100 - len(next(iter(tests)))
    assert max(map(len, found)) - min(map(len, found)) <= 2


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(20, 60), min_size=1, max_size=4),
    validation=st.floats(0.1, 0.3),
    test=st.floats(0.1, 0.3),
)
def test_time_parts_follow_each_other_in_every_unit(lengths, validation, test):
    series = make_series(lengths)
    splits = split(series, data_config(split={"by": "time", "validation": validation, "test": test}))
    np.testing.assert_array_equal(splits.train.first, series.offsets[:-1])
    np.testing.assert_array_equal(splits.train.last, splits.validation.first)
    np.testing.assert_array_equal(splits.validation.last, splits.test.first)
    np.testing.assert_array_equal(splits.test.last, series.offsets[1:])


def test_time_counts_are_rows():
    splits = split(make_series([14400]), data_config(split={"by": "time", "validation": 2880, "test": 2880}))
    ends = [(int(p.first[0]), int(p.last[0])) for _, p in splits.items()]
    assert ends == [(0, 8640), (8640, 11520), (11520, 14400)]


def test_time_folds_roll_forward_and_never_train_on_the_future():
    series = make_series([120])
    lasts = []
    for fold in range(3):
        splits = split(series, data_config(split={"by": "time", "test": 20, "folds": 3, "fold": fold}))
        assert splits.train.first[0] == 0
        assert splits.train.last[0] == splits.validation.first[0] < splits.validation.last[0] <= splits.test.first[0]
        lasts.append(int(splits.validation.last[0]))
    assert lasts == [50, 75, 100]


@pytest.mark.parametrize(
    ("series", "settings_", "message"),
    [
        (make_series([50]), {"by": "unit"}, r"has 1 units to divide.*by=time"),
        (make_series([5] * 4, groups=list("aabb")), {"by": "group"}, r"has 2 groups.*at least 3"),
        (make_series([5] * 6), {"by": "unit", "folds": 9}, r"folds=9.*at least 9"),
        (make_series([5] * 6), {"by": "official"}, r"official was asked for.*does not come with"),
        (make_series([5] * 6), {"by": "stratified"}, r"stratified needs a class per unit"),
        (make_series([5] * 6), {"by": "unit", "validation": 0}, r"validation part of the split is empty"),
        (make_series([5] * 6), {"by": "unit", "test": 0}, r"test part of the split is empty"),
        (make_series([5] * 6), {"by": "unit", "validation": 5, "test": 5}, r"part of the split is empty"),
        (make_series([3, 4]), {"by": "time", "validation": 2, "test": 2}, r"Unit '1' has 4 rows.*cut in time"),
        (classified(20), {"by": "time"}, r"one target per unit"),
    ],
)
def test_impossible_splits_say_why(series, settings_, message):
    with pytest.raises(DataError, match=message):
        split(series, data_config(split=settings_))


def test_a_class_without_examples_is_named_with_its_part():
    labels = [0] * 19 + [1]
    series = make_series([5] * 20, task="binary", per="unit", labels=labels, classes=("good", "bad"))
    with pytest.raises(DataError, match=r"(train|validation|test) part of the split has no example of class 'bad'"):
        split(series, data_config(split={"by": "stratified"}))
    with pytest.raises(DataError, match=r"Use data.split.by=stratified, a larger share"):
        split(series, data_config(split={"by": "unit"}))


def test_a_class_missing_in_a_period_is_named():
    base = make_series([60], task="binary")
    targets = (np.arange(60) % 2 * (np.arange(60) < 48)).astype(np.float32)[:, None]
    series = build_series(base.schema, [base.values], [targets])
    told = r"test part of the split has no example of class 1 \(data.split.by=time\): it lies in the time of train and"
    with pytest.raises(DataError, match=told) as error:
        split(series, data_config(split={"by": "time", "validation": 25, "test": 10}))
    assert "by=stratified" not in str(error.value) and "another data.split.seed" not in str(error.value)


def test_a_validation_part_of_its_own_is_kept():
    series = make_series([6, 5, 7, 4], official=["train", "validation", "train", "test"])
    parts = split(series, data_config(split={"by": "official", "validation": 0.5}))
    assert [part.units.tolist() for _, part in parts.items()] == [[0, 2], [1], [3]]


def test_one_training_unit_beside_official_ones_is_cut_in_time():
    series = make_series([20, 10], official=["train", "test"])
    parts = split(series, data_config(split={"by": "official", "validation": 0.25}))
    assert (parts.train.first[0], parts.train.last[0]) == (0, 15)
    assert (parts.validation.first[0], parts.validation.last[0]) == (15, 20)
    assert parts.test.units.tolist() == [1] and parts.test.rows == 10


def test_one_training_unit_needs_rows_for_validation():
    series = make_series([3, 10], official=["train", "test"])
    with pytest.raises(DataError, match="leaves none for one of train and validation"):
        split(series, data_config(split={"by": "official", "validation": 0.05}))
