"""Parts of a study: whatever the split, trials see nothing of the test part, and what their validation parts are."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from keras_seq import config
from keras_seq.data.prepare import prepare_series
from keras_seq.data.splits import split
from keras_seq.errors import ConfigError, DataError
from tests.factories.series import make_series
from tuning.folds import parts, without_test
from tuning.settings import settings

AMOUNT_OF_ROWS = st.one_of(st.floats(0.1, 0.3), st.integers(4, 12))
AMOUNT_OF_UNITS = st.one_of(st.floats(0.1, 0.3), st.integers(1, 3))
BY_TIME = st.fixed_dictionaries(
    {
        "by": st.just("time"),
        "validation": AMOUNT_OF_ROWS,
        "test": AMOUNT_OF_ROWS,
        "train_window": st.sampled_from(["expanding", "sliding"]),
    }
)
BY_UNIT = st.fixed_dictionaries(
    {
        "by": st.sampled_from(["unit", "group", "official"]),
        "validation": AMOUNT_OF_UNITS,
        "test": AMOUNT_OF_UNITS,
        "seed": st.integers(0, 3),
    }
)
PROTOCOLS = [{}, {"folds": 3}, {"origins": 2}, {"origins": 4}]
WINDOWS = [
    {"mode": "sliding", "length": 5},
    {"mode": "sliding", "length": 4, "horizon": 2},
    {"mode": "whole", "length": 30, "per_step": True},
]


def experiment_of(cut: dict, windows: dict, **data: object) -> config.Experiment:
    return config.from_dict({"data": {"source": "table", "split": cut, "windows": windows, **data}})


def some_series(lengths: list[int], windows: dict):
    count = len(lengths)
    return make_series(
        lengths,
        task="forecast" if windows.get("horizon") else "regression",
        groups=[f"g{unit // 2}" for unit in range(count)],
        official=["test" if unit % 4 == 3 else "train" for unit in range(count)],
    )


def rows_of(part, series) -> set[int]:
    return {row for low, high in zip(part.first, part.last, strict=True) for row in range(low, high)}


def reached(prepared) -> list[np.ndarray]:
    """All that training and validation read: rows of windows, their targets, and what was fitted."""
    arrays = []
    for name in ("train", "validation"):
        index = prepared.index[name]
        ahead = max(prepared.spec.horizon, 1)
        for start, length, target in zip(index.start, index.length, index.target, strict=True):
            arrays += [prepared.series.values[start : start + length], prepared.series.targets[target : target + ahead]]
    return arrays


@examples(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(40, 70), min_size=12, max_size=16),
    cut=st.one_of(BY_TIME, BY_UNIT),
    protocol=st.sampled_from(PROTOCOLS),
    windows=st.sampled_from(WINDOWS),
    scale=st.sampled_from(["zscore", "minmax", "robust"]),
    poison=st.sampled_from([1e6, np.nan]),
)
@pytest.mark.slow
def test_poisoned_test_rows_change_no_trial(lengths, cut, protocol, windows, scale, poison):
    assume(cut["by"] == "time" or not protocol.get("origins"))
    experiment = experiment_of(cut, windows, scale=scale)
    series = some_series(lengths, windows)
    try:
        tested = rows_of(split(series, experiment.data).test, series)
        made = [part.data for part in parts(experiment, settings(protocol))]
        clean = [without_test(prepare_series(series, data)) for data in made]
    except (ConfigError, DataError):
        assume(False)
    values, targets = series.values.copy(), series.targets.copy()
    values[sorted(tested)] = poison
    if np.isfinite(poison) or cut["by"] == "time":  # a unit without any target is no test unit in the first place
        targets[sorted(tested)] = poison
    poisoned = dataclasses.replace(series, values=values, targets=targets)
    for data, before in zip(made, clean, strict=True):
        assert not tested & (rows_of(before.splits.train, series) | rows_of(before.splits.validation, series))
        splits = split(poisoned, data)
        assert splits.fingerprint == before.splits.fingerprint
        after = without_test(prepare_series(poisoned, data)) if poison == 1e6 else None
        if after is None:  # a test part without a number is refused as bad data; what is fitted must not see it
            from keras_seq.data.scaling import fit_spec

            assert fit_spec(poisoned, splits, data) == before.spec
            continue
        assert after.spec == before.spec
        for one, other in zip(reached(before), reached(after), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("validation", "test"), [(40, 0.25), (0.25, 40), (40, 40), (0.2, 0.2), (7, 0.4)], ids=lambda amount: str(amount)
)
def test_origins_differ_follow_each_other_and_end_at_the_test_part(validation, test):
    experiment = experiment_of({"by": "time", "validation": validation, "test": test}, WINDOWS[0])
    series = make_series([160, 200])
    whole = split(series, experiment.data)
    count = 4 if validation != 7 else 7
    cuts = [split(series, part.data) for part in parts(experiment, settings({"origins": count}))]
    assert len({cut.fingerprint for cut in cuts}) == count
    np.testing.assert_array_equal(cuts[0].validation.first, whole.validation.first)
    for cut, later in itertools.pairwise(cuts):
        np.testing.assert_array_equal(cut.validation.last, later.validation.first)
    np.testing.assert_array_equal(cuts[-1].validation.last, whole.validation.last)
    for cut in cuts:
        np.testing.assert_array_equal(cut.train.last, cut.validation.first)
        np.testing.assert_array_equal(cut.test.first, whole.test.first)
        np.testing.assert_array_equal(cut.test.last, whole.test.last)


def test_a_sliding_train_window_moves_on_with_the_origins():
    cut = {"by": "time", "validation": 40, "test": 40, "train_window": "sliding"}
    series = make_series([200])
    cuts = [split(series, part.data) for part in parts(experiment_of(cut, WINDOWS[0]), settings({"origins": 4}))]
    assert [int(cut.train.first[0]) for cut in cuts] == [0, 10, 20, 30]
    assert {cut.train.rows for cut in cuts} == {120}


def test_folds_leave_the_test_part_where_the_configuration_has_it():
    for cut in ({"by": "unit"}, {"by": "official", "validation": 3}, {"by": "time", "validation": 5, "test": 0.2}):
        experiment = experiment_of(cut, WINDOWS[0])
        series = some_series([40] * 16, WINDOWS[0])
        whole = split(series, experiment.data).test
        for part in parts(experiment, settings({"folds": 3})):
            test = split(series, part.data).test
            np.testing.assert_array_equal(test.units, whole.units)
            np.testing.assert_array_equal(test.first, whole.first)


def test_a_unit_too_short_for_the_origins_is_left_out_and_named_where_none_is_long_enough():
    experiment = experiment_of({"by": "time", "validation": 0.1, "test": 10}, WINDOWS[0])
    series = make_series([100, 30])
    for part in parts(experiment, settings({"origins": 3})):
        assert split(series, part.data).train.units.tolist() == [0, 1]
    cuts = [split(series, part.data) for part in parts(experiment, settings({"origins": 6}))]
    assert [cut.validation.units.tolist() for cut in cuts] == [[0], [0, 1], [0], [0, 1], [0], [0, 1]]
    for cut in cuts:
        np.testing.assert_array_equal(cut.train.units, cut.validation.units)
    with pytest.raises(DataError, match=r"Unit '0' has 100 rows.*periods=50"):
        [split(series, part.data) for part in parts(experiment, settings({"origins": 50}))]
