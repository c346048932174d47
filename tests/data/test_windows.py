from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.config import WindowsConfig
from keras_seq.data.splits import Part
from keras_seq.data.windows import index_windows, window_runs
from keras_seq.errors import DataError
from tests.factories.series import make_series


def whole(series):
    return Part(np.arange(series.n_units), series.offsets[:-1], series.offsets[1:])


def by_hand(series, part, windows):
    """The definition, one window after the other."""
    found = []
    for unit, first, last in zip(part.units, part.first, part.last, strict=True):
        begin, length, horizon = int(series.offsets[unit]), windows.length, windows.horizon
        ends = [
            end
            for end in range(begin + 1, last + 1)
            if first <= (end if horizon else end - 1) <= last - max(horizon, 1)
        ]
        if windows.mode == "sliding" and ends[-1] - begin >= length:
            ends = [end for end in ends if end - begin >= length][:: windows.stride]
        else:
            ends = ends[-1:]
        for end in ends:
            start = max(begin, end - length)
            found.append((start, end - start, end if horizon else end - 1, unit, max(start, first)))
    return np.array(found, np.int64).reshape(-1, 5)


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(8, 40), min_size=1, max_size=5),
    mode=st.sampled_from(["whole", "sliding", "last"]),
    length=st.integers(1, 45),
    stride=st.integers(1, 7),
    horizon=st.integers(0, 3),
    cut=st.integers(0, 4),
)
def test_equals_the_definition_for_any_units_and_settings(lengths, mode, length, stride, horizon, cut):
    series = make_series(lengths)
    part = Part(np.arange(series.n_units), series.offsets[:-1] + cut, series.offsets[1:])
    windows = WindowsConfig(mode=mode, length=length, stride=stride, horizon=horizon)
    index = index_windows(series, part, windows)
    expected = by_hand(series, part, windows)
    np.testing.assert_array_equal(
        np.stack([index.start, index.length, index.target, index.unit, index.first], axis=1), expected
    )
    # every row of a window is its unit's own, and every target the part's own
    assert (index.start >= series.offsets[index.unit]).all()
    assert (index.start + index.length <= series.offsets[index.unit + 1]).all()
    assert (index.target >= part.first[index.unit]).all()
    assert (index.target + max(horizon, 1) <= part.last[index.unit]).all()


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(5, 60), min_size=1, max_size=8), stride=st.integers(1, 4))
def test_runs_give_the_same_windows_in_any_order_as_the_expanded_index(lengths, stride):
    series = make_series(lengths)
    runs = window_runs(series, whole(series), WindowsConfig(mode="sliding", length=9, stride=stride))
    index = runs.expand()
    numbers = np.random.default_rng(0).permutation(len(runs))
    for name in ("start", "length", "target", "unit", "first"):
        np.testing.assert_array_equal(getattr(runs.take(numbers), name), getattr(index, name)[numbers])
        np.testing.assert_array_equal(getattr(runs, name), getattr(index, name))
    assert runs.shortest == index.length.min() and runs.longest == index.length.max()
    assert sum(len(block) for block in runs.blocks(3)) == len(index)


def test_whole_keeps_the_last_rows_of_long_units():
    series = make_series([5, 12])
    index = index_windows(series, whole(series), WindowsConfig(mode="whole", length=10))
    assert index.start.tolist() == [0, 7] and index.length.tolist() == [5, 10]
    assert index.target.tolist() == [4, 16]


def test_sliding_matches_the_standard_protocol_for_etth():
    series = make_series([14400])
    windows = WindowsConfig(mode="sliding", length=96, horizon=96)
    part = lambda first, last: Part(np.array([0]), np.array([first]), np.array([last]))  # noqa: E731
    counts = [len(index_windows(series, part(*ends), windows)) for ends in ((0, 8640), (8640, 11520), (11520, 14400))]
    assert counts == [8449, 2785, 2785]


def test_a_unit_shorter_than_the_window_is_padded_or_refused_by_name():
    series = make_series([20, 6, 9])
    windows = WindowsConfig(mode="sliding", length=10)
    index = index_windows(series, whole(series), windows)
    assert index.length[index.unit == 1].tolist() == [6]
    for mode in ("sliding", "last"):
        strict = WindowsConfig(mode=mode, length=10, pad_short=False)
        with pytest.raises(DataError, match=r"Unit '1' has 6 rows.*length=10 \(2 units are shorter.*pad_short"):
            index_windows(series, whole(series), strict)


@pytest.mark.parametrize("mode", ["sliding", "last", "whole"])
def test_a_unit_without_room_for_the_horizon_gives_no_window(mode):
    windows = WindowsConfig(mode=mode, length=3, horizon=5)
    series = make_series([20, 5, 1, 9])
    assert set(index_windows(series, whole(series), windows).unit.tolist()) == {0, 3}
    series = make_series([3, 5])
    with pytest.raises(DataError, match=r"Unit '1' is too short.*5 rows.*horizon=5 needs 6"):
        index_windows(series, whole(series), windows)


def test_millions_of_windows_are_numbered_at_once():
    series = make_series([2_000_000])
    begin = time.process_time()
    index = index_windows(series, whole(series), WindowsConfig(mode="sliding", length=50))
    assert len(index) == 1_999_951
    assert time.process_time() - begin < 2.0  # well under a second on a quiet machine; a loop takes minutes
