"""A naive figure stands beside every model: by the seasons found on train, the mean, or the commonest class."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from keras_seq import config
from keras_seq.baselines.reference import TREES, rivals
from keras_seq.config import DataConfig
from keras_seq.data.prepare import prepare, prepare_series
from keras_seq.evaluation.naive_reference import MEAN, naive_reference
from keras_seq.evaluation.seasons import find_seasons
from keras_seq.pipeline.finalize import naive_words
from tests.factories.series import data_config, make_series

PLAIN = config.from_dict({})


def table(tmp_path, frame, *, horizon=0, by="time", length=24, task=None, **more):
    frame.to_csv(tmp_path / "t.csv", index=False)
    given = {
        "source": "table", "path": str(tmp_path / "t.csv"), "task": task or ("forecast" if horizon else None),
        "split": {"by": by, "validation": 0.2, "test": 0.2}, "time": "t" if "t" in frame else None,
        "windows": {"mode": "sliding", "length": length, "horizon": horizon}, **more,
    }  # fmt: skip
    return prepare(DataConfig.model_validate(given))


def hours(count, seed=0, *, day=0.0, week=0.0, noise=1.0):
    """An hourly series with a daily and a weekly pattern that no sine describes."""
    rng = np.random.default_rng(seed)
    t = np.arange(count)
    y = day * rng.normal(size=24)[t % 24] + week * rng.normal(size=168)[t % 168] + noise * rng.normal(size=count)
    return pd.DataFrame({"t": pd.date_range("2024-01-01", periods=count, freq="h"), "y": y})


@pytest.mark.parametrize(("day", "week", "season", "words"), [(5, 0, 24, "a day"), (2, 6, 168, "a week")])
def test_the_season_that_forecasts_best_is_the_reference(tmp_path, day, week, season, words):
    frame = hours(24 * 7 * 12, day=day, week=week, noise=0.5)
    prepared = table(tmp_path, frame, horizon=12, targets=["y"])
    found = naive_reference(PLAIN, prepared)
    assert found.season == season and words in found.name
    assert {"the last value", MEAN} <= set(found.tried)
    index = prepared.index["test"]
    rows = index.target[:, None] + np.arange(12)
    error = np.abs(frame["y"].to_numpy()[rows - season] - frame["y"].to_numpy()[rows])
    assert found.metrics["test"]["mae"] == pytest.approx(error.mean(), rel=1e-4)


def test_a_season_longer_than_the_window_and_shorter_than_the_horizon(tmp_path):
    frame = pd.DataFrame({"y": np.tile(np.random.default_rng(0).normal(size=7), 60)})
    prepared = table(tmp_path, frame, horizon=10, targets=["y"], length=3)
    found = naive_reference(PLAIN, prepared)
    assert found.season == 7 and found.metrics["test"]["mae"] == pytest.approx(0, abs=1e-6)


def test_a_random_walk_is_best_foretold_by_its_last_value(tmp_path):
    walk = np.random.default_rng(4).normal(size=3000).cumsum()
    prepared = table(tmp_path, pd.DataFrame({"y": walk}), horizon=1, targets=["y"])
    found = naive_reference(PLAIN, prepared)
    assert found.name == "the last value"
    assert found.metrics["test"]["mase"] == pytest.approx(1, abs=0.1)


def test_bike_hours_are_held_against_the_week_before(tmp_path, data_home):
    path = data_home / "bike_hourly" / "bike_sharing_dataset_clean.csv"
    given = {
        "source": "table", "path": str(path), "time": "date_time", "task": "forecast", "targets": ["users"],
        "features": ["users"], "split": {"by": "time", "validation": 0.2, "test": 0.2},
        "windows": {"mode": "sliding", "length": 48, "horizon": 24},
    }  # fmt: skip
    found = naive_reference(PLAIN, prepare(DataConfig.model_validate(given)))
    assert found.season == 168 and found.name == "the value of a week before"
    y = pd.read_csv(path)["users"]
    by_hand = (y - y.shift(168)).abs().iloc[-int(0.2 * len(y)) :].mean()
    assert 67 < by_hand < 72 and found.metrics["test"]["mae"] == pytest.approx(by_hand, rel=0.01)


def test_working_days_make_weeks_of_five():
    days = pd.bdate_range("2022-01-03", periods=400)
    series = make_series([400], task="forecast")
    values = np.array([0, 2, 4, 6, 20], np.float32)[days.weekday.to_numpy()][:, None]
    series = dataclasses.replace(series, targets=values, time=days.to_numpy())
    windows = {"mode": "sliding", "length": 3, "horizon": 2}
    prepared = prepare_series(series, data_config(split={"by": "time", "validation": 60, "test": 60}, windows=windows))
    assert find_seasons(prepared, PLAIN)[5] == "the value of a week before"
    found = naive_reference(PLAIN, prepared)
    assert found.season == 5 and found.metrics["test"]["rmse"] == 0


def test_seasons_are_found_on_train_alone(tmp_path):
    frame = hours(24 * 7 * 10, day=5)
    changed = frame.copy()
    changed.iloc[-24 * 7 * 4 :, 1] = np.sin(np.arange(24 * 7 * 4) * 2 * np.pi / 11) * 50  # validation and test
    one = find_seasons(table(tmp_path, frame, horizon=2, targets=["y"]), PLAIN)
    assert one == find_seasons(table(tmp_path, changed, horizon=2, targets=["y"]), PLAIN) and 11 not in one


def test_rows_added_after_a_part_change_no_naive_answer(tmp_path):
    frame = pd.DataFrame({"y": np.random.default_rng(0).normal(size=300).cumsum()})
    prepared = table(tmp_path, frame, horizon=3, targets=["y"])
    from keras_seq.evaluation.naive_reference import _answers

    before = _answers(prepared, "validation", 5)
    targets = prepared.series.targets.copy()
    targets[prepared.splits.test.first[0] :] = 1e6
    later = dataclasses.replace(prepared, series=dataclasses.replace(prepared.series, targets=targets))
    np.testing.assert_array_equal(before, _answers(later, "validation", 5))


def test_units_do_not_look_into_one_another_and_gaps_take_the_value_before():
    series = make_series([40, 40, 40], task="forecast")
    targets = series.targets.copy()
    targets[90] = np.nan
    series = dataclasses.replace(series, targets=targets)
    from keras_seq.evaluation.naive_reference import _answers

    windows = {"mode": "sliding", "length": 4, "horizon": 2}
    prepared = prepare_series(series, data_config(split={"by": "unit", "validation": 1, "test": 1}, windows=windows))
    for part in ("validation", "test"):
        index = prepared.index[part]
        last = index.start + index.length - 1
        found = _answers(prepared, part, 30)[:, 0, 0]
        begin = series.offsets[index.unit]
        expected = np.where(last + 1 - 30 >= begin, last + 1 - 30, last).astype(float)
        expected[expected == 90] = 89
        np.testing.assert_array_equal(found, expected)


def test_regression_of_whole_units_gets_the_mean_of_training():
    series = make_series([20] * 30, per="unit", labels=list(range(30)))
    prepared = prepare_series(series, data_config(split={"by": "unit", "validation": 5, "test": 5}))
    found = naive_reference(PLAIN, prepared)
    assert found.name == MEAN and found.season == 0
    truth = series.targets[prepared.splits.test.units, 0]
    mean = series.targets[prepared.splits.train.units, 0].mean()
    assert found.metrics["test"]["rmse"] == pytest.approx(np.sqrt(np.mean((truth - mean) ** 2)), rel=1e-5)


def test_regression_in_time_says_that_the_target_must_be_known(tmp_path):
    frame = hours(24 * 60, day=5).assign(x=1.0 * np.arange(24 * 60) % 5)
    in_time = config.from_dict({"data": {"split": {"by": "time"}}})
    found = naive_reference(in_time, table(tmp_path, frame, targets=["y"], features=["x"], task="regression"))
    assert found.season == 24 and found.name.endswith("if the target is known by then")


@pytest.mark.parametrize("labels", [["ok"] * 16 + ["NOK"] * 4, ["a"] * 12 + ["b"] * 5 + ["c"] * 3])
def test_classes_get_their_shares_and_the_commonest_is_called(tmp_path, labels):
    rng = np.random.default_rng(0)
    order = rng.permutation(np.repeat(labels, 5))
    units = np.repeat(np.arange(len(order)), 6)
    frame = pd.DataFrame({"u": units, "x": rng.normal(size=len(units)), "label": np.repeat(order, 6)})
    prepared = table(tmp_path, frame, by="stratified", targets=["label"], unit="u", length=6)
    found = naive_reference(PLAIN, prepared)
    common = pd.Series(labels).mode()[0]
    assert f"always {common}" in found.name
    truth = order[prepared.splits.test.units]
    assert found.metrics["test"]["accuracy"] == pytest.approx((truth == common).mean())
    if len(set(labels)) == 2:
        assert found.metrics["test"]["auc_roc"] == 0.5
        assert found.metrics["test"]["auc_pr"] == pytest.approx((truth != common).mean())


def test_a_naive_model_is_not_held_against_itself(tmp_path):
    prepared = table(tmp_path, hours(24 * 60, day=5), horizon=2, targets=["y"])
    for family, own in (("naive", 1), ("mean", 0)):
        found = naive_reference(config.from_dict({"model": {"family": family}}), prepared)
        assert found.season != own
    seasonal = config.from_dict({"model": {"family": "seasonal_naive", "arima": {"period": 24}}})
    assert naive_reference(seasonal, prepared).season != 24


@pytest.mark.parametrize("family", ["ridge", "hist_gradient_boosting", "random_forest", "naive", "gru"])
@pytest.mark.parametrize("kind", ["forecast", "step", "unit"])
def test_no_model_is_its_own_baseline(family, kind):
    task, per = ("forecast", "step") if kind == "forecast" else ("regression", kind)
    series = make_series([30] * 8, task=task, per=per)
    windows = {"mode": "sliding", "length": 5, "horizon": 2 if kind == "forecast" else 0}
    prepared = prepare_series(series, data_config(split={"by": "unit", "validation": 2, "test": 2}, windows=windows))
    found = rivals(family, prepared) or ("trees of whole units",)
    assert family not in found
    if family in TREES:
        assert not set(found) & {*TREES, "trees of whole units"}


def test_what_the_naive_reference_beats_is_said():
    naive = {"name": "the value of a week before", "test": {"rmse": 71.5}}
    lines = list(naive_words("forecast", {"naive": naive, "test": {"rmse": 76.1}}))
    assert "a week before" in lines[0] and "71.5" in lines[1] and "76.1" in lines[1]
    assert len(list(naive_words("forecast", {"naive": naive, "test": {"rmse": 60.0}}))) == 1
    classes = {"name": "always ok", "test": {"auc_pr": 0.3}}
    assert len(list(naive_words("binary", {"naive": classes, "test": {"auc_pr": 0.9}}))) == 1
