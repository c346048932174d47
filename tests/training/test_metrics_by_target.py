"""Targets of differing scale are never pooled as they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq import config
from keras_seq.data.series import Column, Schema, build_series
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.ensembles.learn import optimal_weights
from keras_seq.evaluation.answers import CandidateAnswers, in_deviations
from keras_seq.evaluation.comparison import compare_answers
from keras_seq.evaluation.postprocessed import Postprocessed, score_postprocessed
from keras_seq.evaluation.scores import score
from keras_seq.export.gate import REQUIREMENT
from keras_seq.export.reference import errors_of
from keras_seq.tasks import TASKS
from keras_seq.training import metrics, value_metrics
from keras_seq.training.predictions import Points
from tests.factories.series import make_series

RNG = np.random.default_rng(5)


def spec_of(std, *, task="regression", horizon=0, names=None):
    names = names or tuple(f"y{k + 1}" for k in range(len(std)))
    scaling = Scaling(center=((0.0,),), scale=((1.0,),), fill=(0.0,))
    return DataSpec(
        task=task, features=("f0",), targets=names, time=5, variable_length=False, horizon=horizon, scaling=scaling,
        target_std=tuple(std), target_mean=(0.0,) * len(std),
    )  # fmt: skip


def points_of(truth, prediction, unit=None):
    count = len(truth)
    unit = np.zeros(count, int) if unit is None else unit
    return Points(truth, prediction, unit, np.arange(count), np.ones(count, int))


PLAIN = config.from_dict({})


def test_a_target_on_a_high_level_does_not_explain_another():
    truth = np.stack([1000 + RNG.normal(size=500), RNG.normal(size=500)], axis=1)
    answer = np.tile([1000.0, 0.0], (500, 1))
    found = score(points_of(truth, answer), spec_of([1.0, 1.0]), PLAIN, part="test")
    for name, k in (("y1", 0), ("y2", 1)):
        own = metrics.score("regression", truth[:, k], answer[:, k])
        assert {metric: found[f"{metric}/{name}"] for metric in own} == pytest.approx(own)
        assert abs(found[f"r2/{name}"]) < 0.02
    assert abs(found["r2"]) < 0.02  # 1.0000 where both are pooled


@pytest.mark.parametrize("horizon", [0, 3])
def test_scales_of_1e8_and_1e_minus_6_count_alike(horizon):
    std = np.array([2e8, 3e-6])
    shape = (400, horizon, 2) if horizon else (400, 2)
    error = RNG.normal(size=shape)
    truth = RNG.normal(size=shape) * std
    task = "forecast" if horizon else "regression"
    spec = spec_of(std, task=task, horizon=horizon)
    found = score(points_of(truth, truth + error * std), spec, PLAIN, part="test")
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert found["mae"] == pytest.approx(np.abs(error).mean())
    assert found["rmse/y2"] == pytest.approx(3e-6 * np.sqrt(np.mean(error[..., 1] ** 2)))
    worse = error * [1.0, 2.0]  # the small one twice as wrong: the deciding figure sees it
    assert score(points_of(truth, truth + worse * std), spec, PLAIN, part="test")["rmse"] > 1.4 * found["rmse"]


def test_one_target_stays_in_its_unit_and_has_no_names():
    truth = RNG.normal(size=(50, 1)) * 1e4
    found = score(points_of(truth, truth + 100), spec_of([1e4]), PLAIN, part="test")
    assert found["rmse"] == pytest.approx(100) and not [name for name in found if "/" in name]


def test_a_target_that_is_constant_in_the_part_leaves_the_others_alone():
    truth = np.stack([np.full(60, 5.0), RNG.normal(size=60)], axis=1)
    found = score(points_of(truth, truth + [0.0, 0.5]), spec_of([0.0, 1.0]), PLAIN, part="test")
    assert np.isnan(found["r2/y1"]) and found["r2"] == pytest.approx(found["r2/y2"])
    assert found["rmse"] == pytest.approx(np.sqrt(0.125))


def test_intervals_hold_and_are_wide_by_target():
    truth = np.stack([RNG.normal(size=1000) * 1000, RNG.normal(size=1000)], axis=1)
    half = np.array([1e6, 0.1])  # the first holds everything, the second 8 %
    decided = Postprocessed(points_of(truth, truth * 0), truth * 0, truth * 0, truth * 0 - half, truth * 0 + half)
    found = score_postprocessed(decided, spec_of([1000.0, 1.0]), PLAIN, {}, part="test")
    inside = pd.DataFrame(np.abs(truth) <= half, columns=["y1", "y2"]).mean()
    assert found["coverage/y1"] == 1 and found["coverage/y2"] == pytest.approx(inside["y2"])
    assert found["coverage"] == pytest.approx(inside.mean())
    assert found["interval_width/y1"] == 2e6 and found["interval_width"] == pytest.approx((2000 + 0.2) / 2)


def test_quantiles_of_several_targets():
    levels, std = (0.1, 0.5, 0.9), np.array([1e6, 1.0])
    truth = RNG.normal(size=(300, 2)) * std
    answers = np.stack([truth * 0 - std, truth * 0, truth * 0 + std], axis=-1)
    given = config.from_dict({"model": {"quantiles": list(levels)}})
    found = score(points_of(truth, answers), spec_of(std), given, part="test")
    own = [value_metrics.pinball(truth[:, k, None], answers[:, k], levels) for k in range(2)]
    assert found["pinball"] == pytest.approx(np.mean(own / std)) and found["pinball/y1"] == pytest.approx(own[0])
    three = RNG.normal(size=(300, 3))  # a baseline answers with points; three targets are not three levels
    found = score(points_of(three, three), spec_of([1.0, 1.0, 1.0]), given, part="test")
    assert found["rmse"] == 0 and "pinball" not in found


def test_a_comparison_is_not_decided_by_the_largest_target():
    std = np.array([1e6, 1.0])
    truth = RNG.normal(size=(300, 2)) * std
    noise = RNG.normal(size=(300, 2))
    predictions = {
        "good on the small one": (truth + noise * std * [1.0, 0.1])[None],
        "hair better on the large one": (truth + noise * std * [0.99, 1.0])[None],
    }
    series = make_series([1] * 300)
    given = CandidateAnswers(truth, predictions, np.arange(300), np.arange(300), {}, 0, series)
    spec = spec_of(std)
    found = compare_answers(given, spec, resamples=200)
    assert found.ranked()[0] == "good on the small one"
    scaled = in_deviations(given, spec)
    name = "good on the small one"
    expected = metrics.score("regression", truth, predictions[name][0], scale=std)["rmse"]
    assert found.estimates[name]["rmse"].value == pytest.approx(expected)
    assert np.std(scaled.truth, axis=0) == pytest.approx([1, 1], rel=0.2)


def test_weights_of_an_ensemble_are_not_learnt_from_the_largest_target_alone():
    std = np.array([1e6, 1.0])
    truth = RNG.normal(size=(400, 2)) * std
    one = truth + RNG.normal(size=truth.shape) * std * [1.0, 0.01]
    two = truth + RNG.normal(size=truth.shape) * std * [0.9, 5.0]
    weights = optimal_weights("regression", np.stack([one, two]), truth)
    assert weights[0] > 0.9


def test_errors_that_a_monitor_follows_are_in_deviations():
    answers, truth = np.array([[1e6, 3.0]]), np.array([[2e6, 5.0]])
    assert errors_of(answers, truth, "regression", scale=[1e6, 1.0]) == pytest.approx([1.5])


def test_epochs_watch_the_scaled_figure_without_a_column_for_every_target():
    truth = RNG.normal(size=(100, 2)) * [1e6, 1.0]
    found = metrics.score("regression", truth, truth * 0, scale=(1e6, 1.0))
    assert found["rmse"] == pytest.approx(1, rel=0.2) and set(found) == {"rmse", "mae", "smape", "r2"}


@pytest.mark.parametrize("text", ["rmse/y 1 [kWh]<=12", "rmse/a>b >= 1e-6", "auc_pr>0.5"])
def test_a_bound_on_the_metric_of_a_target_can_be_required(text):
    found = REQUIREMENT.match(text)
    assert found and float(found[3]) > 0


def test_one_table_says_what_decides():
    from keras_seq.evaluation.measures import MEASURES

    for task, rule in TASKS.items():
        assert MEASURES[task][0].name == rule.metric
    assert TASKS["binary"].metric == TASKS["binary"].monitor == "auc_pr"


# ---------------------------------------------------------------- errors of the seasonal naive forecast


def walks(lengths, *, levels, seed=0, constant=()):
    """Random walks of unit deviation on levels of their own, one series to forecast."""
    rng = np.random.default_rng(seed)
    units = [
        (level + (0 if number in constant else 1) * np.cumsum(rng.normal(size=n)))[:, None].astype(np.float32)
        for number, (n, level) in enumerate(zip(lengths, levels, strict=True))
    ]
    schema = Schema(name="walks", task="forecast", columns=(Column(name="y"),), targets=("y",))
    return build_series(schema, units, units)


def forecast(series, **split):
    from keras_seq.data.prepare import prepare_series
    from tests.factories.series import data_config

    windows = {"mode": "sliding", "length": 5, "horizon": 2, "pad_short": False}
    return prepare_series(series, data_config(split=split, windows=windows))


def last_value(prepared, part="test"):
    """Points of the naive forecast."""
    from keras_seq.training.predictions import points

    index = prepared.index[part]
    last = prepared.series.targets[index.start + index.length - 1]
    return points(prepared.series, index, prepared.spec, np.repeat(last[:, None], 2, axis=1))


def by_hand(prepared, part="test", season=1, rows=None):
    """MASE with pandas: by unit, each in its own naive error; the mean over units."""
    found = last_value(prepared, part)
    error = pd.DataFrame({"unit": found.unit, "e": np.abs(found.prediction - found.truth).mean((1, 2))})
    y = prepared.series.targets[:, 0].astype(float)
    frame = pd.DataFrame({"unit": np.repeat(np.arange(prepared.series.n_units), prepared.series.lengths), "y": y})
    frame = frame if rows is None else frame[rows]
    scale = frame.groupby("unit")["y"].apply(lambda y: y.diff(season).abs().mean())
    return float((error.groupby("unit")["e"].mean() / scale).dropna().mean())


def mase(prepared, part="test", **model):
    from keras_seq.evaluation.naive_error import naive_errors

    experiment = config.from_dict({"model": {"arima": model}} if model else {})
    found = last_value(prepared, part)
    return score(found, prepared.spec, experiment, part=part, naive=naive_errors(prepared, experiment)).get("mase")


def test_mase_of_units_on_differing_levels_is_scaled_inside_units():
    prepared = forecast(walks([120] * 12, levels=range(0, 12000, 1000)), by="unit", validation=2, test=2)
    assert mase(prepared) == pytest.approx(by_hand(prepared), rel=1e-4)
    assert 1 < mase(prepared) < 1.5  # 0.02 where differences run from unit to unit


def test_mase_of_a_split_by_time_is_scaled_by_the_train_rows_of_each_unit():
    series = walks([100, 60, 160], levels=[0, 1e4, -1e4])
    prepared = forecast(series, by="time", validation=10, test=10)
    train = np.zeros(len(series.targets), bool)
    for first, last in zip(prepared.splits.train.first, prepared.splits.train.last, strict=True):
        train[first:last] = True
    assert mase(prepared) == pytest.approx(by_hand(prepared, rows=train), rel=1e-4)


def test_units_no_longer_than_a_season_and_constant_ones_are_left_out_of_mase():
    series = walks([200, 20, 200, 200], levels=[0, 500, 9000, 70], constant=(3,))
    prepared = forecast(series, by="time", validation=0.1, test=0.1)
    train = np.zeros(len(series.targets), bool)
    for first, last in zip(prepared.splits.train.first, prepared.splits.train.last, strict=True):
        train[first:last] = True
    found = last_value(prepared)
    assert 3 in found.unit
    got = mase(prepared, period=24)
    assert np.isfinite(got)
    y = series.targets[:, 0].astype(float)
    frame = pd.DataFrame({"unit": np.repeat(np.arange(4), series.lengths), "y": y})[train]
    scale = frame.groupby("unit")["y"].apply(lambda y: y.diff(24).abs().mean()).replace(0, np.nan)
    error = pd.Series(np.abs(found.prediction - found.truth).mean((1, 2))).groupby(found.unit).mean()
    assert got == pytest.approx((error / scale).dropna().mean(), rel=1e-4)


def test_without_any_scale_there_is_no_mase():
    prepared = forecast(walks([60], levels=[0], constant=(0,)), by="time", validation=10, test=10)
    assert mase(prepared) is None


@pytest.mark.parametrize("target", ["T [K]", "a/b", "..", "Wärme, %", "y"])
def test_metrics_of_targets_called_anything_can_be_recorded(target, tmp_path):
    from mlflow.utils.validation import _validate_metric_name

    from keras_seq.tracking.mlflow_store import metric_name

    _validate_metric_name(metric_name(f"test_rmse/{target}"))
    assert metric_name("test_rmse") == "test_rmse" and metric_name("test_rmse/y") == "test_rmse/y"
