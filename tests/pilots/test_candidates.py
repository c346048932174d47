"""Who is tried: by task, with every season and several windows; families that are not there are not."""

from __future__ import annotations

import pytest

from keras_seq import config
from keras_seq.models.registry import names
from keras_seq.pilots.budget import Budget, OutOfTime, time_limit
from keras_seq.pilots.candidates import cheap, dear, window_lengths


def experiment(**data):
    return config.from_dict({"data": {"source": "table", "path": "t.csv", "targets": ["y"], **data}})


def forecast(length, horizon):
    return experiment(task="forecast", windows={"mode": "sliding", "length": length, "horizon": horizon})


def test_references_come_first_and_reach_back_every_season():
    found = cheap(forecast(48, 24), {1: "", 24: "a day", 168: "a week", 8766: "a year"}, names(), 1000, 24)
    assert [own.name for own in found[:4]] == [
        "naive", "mean", "seasonal_naive, 24 steps", "seasonal_naive, 168 steps"]  # fmt: skip
    assert found[3].changes == {
        "model.family": "seasonal_naive", "model.arima": {"period": 168}, "data.windows.length": 168}  # fmt: skip
    assert {own.window for own in found if own.family == "ridge"} == {48, 168, 336, 96}


def test_windows_are_seasons_and_no_shorter_than_the_horizon_where_there_is_room():
    assert window_lengths(forecast(48, 24), {1: "", 24: "a day"}, 1000) == [48, 96, 8]
    assert window_lengths(forecast(48, 96), {1: ""}, 1000) == [48, 192, 384, 8]
    assert window_lengths(forecast(48, 100), {24: ""}, 130) == [48, 120, 8]
    assert window_lengths(forecast(4, 1), {}, 6) == [4]


@pytest.mark.parametrize(
    ("tried", "there", "missing"),
    [
        (forecast(24, 6), {"extra_trees", "hist_gradient_boosting", "lstm"}, {"gru", "ridge"}),
        (forecast(24, 96), {"extra_trees", "lstm"}, {"hist_gradient_boosting"}),
        (experiment(task="multiclass", windows={"mode": "whole"}), {"extra_trees", "hist_gradient_boosting", "gru"},
         {"lstm"}),
        (experiment(task="regression", windows={"mode": "sliding", "length": 9}), {"extra_trees", "gru"}, {"lstm"}),
    ],
)  # fmt: skip
def test_trees_and_networks_by_task(tried, there, missing):
    families = {own.family for own in dear(tried, names(), 0, {}, 0)}
    assert there <= families and not missing & families and families <= set(names())


def test_several_series_are_also_tried_each_by_its_own_scale():
    assert not [own for own in cheap(forecast(24, 6), {1: ""}, names(), 99, 0) if "itself" in own.name]
    found = cheap(forecast(24, 6), {1: ""}, names(), 99, 0, 5) + dear(forecast(24, 6), names(), 0, {}, 0, 5)
    scaled = [own for own in found if "itself" in own.name]
    assert {own.family for own in scaled} == {"ridge", "extra_trees"}
    assert all(own.model["normalisation"] == "instance" for own in scaled)


def test_the_network_of_the_rules_is_tried_with_its_own_sizes():
    proposed = {"family": "lstm", "units": 7, "arima": {"period": 24}}
    found = next(own for own in dear(forecast(24, 6), names(), 48, proposed, 24) if own.family == "lstm")
    assert found.model == {"units": 7, "arima": {"period": 24}} and found.window == 48


def test_the_budget_is_shared_and_a_limit_ends_what_takes_too_long():
    budget = Budget(100)
    assert budget.share(1) == pytest.approx(100, abs=1) and budget.share(10) == pytest.approx(100 / 6, abs=1)
    assert budget.share(10, cheap=True) == pytest.approx(30, abs=1)
    with pytest.raises(OutOfTime), time_limit(0.05):
        while True:
            sum(range(1000))
