"""Trials of different windows are judged on rows that all of them answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from keras_seq import config
from keras_seq.data.prepare import prepare_series
from keras_seq.errors import ConfigError
from tests.factories.series import make_series
from tuning import space as spaces
from tuning.rows import check_common_rows, common_rows, on_common_rows, windows_of


def made(windows: dict, space: dict, by: str = "unit"):
    experiment = config.from_dict({"data": {"source": "table", "split": {"by": by}, "windows": windows}})
    return experiment, windows_of(spaces.parse(space, experiment), experiment)


def judged_rows(series, experiment, windows) -> list[int]:
    """Rows of the answers, as they are laid beside the truth."""
    from keras_seq.training.predictions import locate

    prepared = on_common_rows(prepare_series(series, experiment.data), windows)
    index = prepared.index["validation"]
    _, _, row = locate(prepared.series, index, prepared.spec)
    first = np.repeat(index.first, index.length) if prepared.spec.per_step else np.zeros(len(row))
    return sorted(set(row[row >= first].tolist()))


def with_windows(experiment, windows):
    changes = {f"data.windows.{name}": value for name, value in windows.model_dump().items()}
    return config.replace(experiment, **changes)


LENGTHS = [50, 61, 47, 8, 55, 70, 52, 12, 66, 58, 49, 60, 5, 53, 51, 50]


@examples(max_examples=60, deadline=None)
@given(
    own=st.integers(2, 40),
    low=st.integers(2, 15),
    more=st.integers(1, 30),
    by=st.sampled_from(["unit", "time"]),
    seed=st.integers(0, 5),
    per_step=st.booleans(),
)
def test_all_lengths_are_judged_on_the_same_rows(own, low, more, by, seed, per_step):
    series = make_series(LENGTHS if by == "unit" else [90, 70, 81])
    base = {"mode": "whole" if per_step else "sliding", "length": own, "per_step": per_step}
    experiment, windows = made(base, {"data.windows.length": {"low": low, "high": low + more}}, by)
    experiment = config.replace(experiment, **{"data.split.seed": seed})
    rows = {
        length: judged_rows(series, config.replace(experiment, **{"data.windows.length": length}), windows)
        for length in {own, low, low + more // 2, low + more}
    }
    assert rows[own] and all(one == rows[own] for one in rows.values())


def test_without_it_a_longer_window_would_be_judged_on_later_rows_only():
    series = make_series([50] * 12)
    experiment, _ = made({"mode": "sliding", "length": 5}, {"data.windows.length": [5, 30]})
    counts = []
    for length in (5, 30):
        one = config.replace(experiment, **{"data.windows.length": length})
        counts.append(len(judged_rows(series, one, [])))
    assert counts == [92, 42]  # of 2 units: 46 each, and 21


def test_lengths_in_steps_of_the_stride_share_rows_and_others_do_not():
    series = make_series([60] * 12)
    base = {"mode": "sliding", "length": 10, "stride": 5}
    experiment, windows = made(base, {"data.windows.length": {"low": 10, "high": 30, "step": 10}})
    prepared = prepare_series(series, experiment.data)
    assert check_common_rows(prepared, windows) == (
        "trials are judged on the 14 of 22 validation rows that every window of the space answers"
    )
    _, apart = made(base, {"data.windows.length": [10, 12]})
    with pytest.raises(
        ConfigError, match=r"no validation row that all of these windows answer.*multiples of the stride"
    ):
        check_common_rows(prepared, apart)


@pytest.mark.parametrize(
    ("space", "count"),
    [
        ({"data.windows.stride": [1, 2, 3]}, 3),
        ({"data.windows.mode": ["sliding", "last"]}, 2),
        ({"data.windows.length": [4, 8], "data.windows.stride": [1, 2]}, 6),  # and the configuration's own, 6
        ({"model.units": [4, 8]}, 0),
    ],
)
def test_whatever_of_the_windows_is_searched_rows_are_shared(space, count):
    experiment, windows = made({"mode": "sliding", "length": 6}, space)
    assert len(windows) == count
    series = make_series([40] * 12)
    everything = {
        tuple(judged_rows(series, with_windows(experiment, one), windows))
        for one in windows or [experiment.data.windows]
    }
    assert len(everything) == 1 and next(iter(everything))


def test_nothing_is_left_out_where_windows_are_not_searched_or_answer_alike():
    series = make_series([40] * 12)
    experiment, windows = made({"mode": "last", "length": 6}, {"data.windows.length": [4, 6, 20]})
    prepared = prepare_series(series, experiment.data)
    assert check_common_rows(prepared, windows) == "" and check_common_rows(prepared, []) == ""
    assert on_common_rows(prepared, []) is prepared
    assert len(common_rows(series, prepared.splits.validation, windows)) == len(prepared.index["validation"])


def test_the_horizon_decides_what_is_judged_and_cannot_be_searched():
    with pytest.raises(ConfigError, match=r"data.windows.horizon' decides what is judged"):
        made({"mode": "sliding", "length": 6}, {"data.windows.horizon": [1, 2]})
