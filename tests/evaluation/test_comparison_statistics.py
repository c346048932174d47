from __future__ import annotations

import dataclasses
import math
import time

import numpy as np
import pytest
from scipy.stats import binom

from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.errors import ConfigError
from keras_seq.evaluation.answers import CandidateAnswers
from keras_seq.evaluation.comparison import compare_answers
from keras_seq.evaluation.majority_test import majority_test
from keras_seq.evaluation.verdict import pick_winner
from keras_seq.export.measure_costs import Costs, bearable, interleaved
from keras_seq.reports import comparison as report
from tests.factories.series import make_series

RNG = np.random.default_rng(11)


def spec(task: str, horizon: int = 0) -> DataSpec:
    scaling = Scaling(center=((0.0,),), scale=((1.0,),), fill=(0.0,))
    return DataSpec(
        task=task, features=("f0",), targets=("y",), time=5, variable_length=False, horizon=horizon, scaling=scaling
    )


def answers(series, truth, predictions, unit, row) -> CandidateAnswers:
    metrics = {name: [{"f1": 0.5}] * len(of) for name, of in predictions.items()}
    return CandidateAnswers(truth, predictions, unit, row, metrics, 0, series)


def regression(units: int = 40, per_unit: int = 5, groups=None) -> CandidateAnswers:
    """b's errors are those of a doubled; c's are a's on other units."""
    series = make_series([per_unit] * units, groups=groups)
    unit = np.repeat(np.arange(units), per_unit)
    error = np.repeat(RNG.normal(size=units), per_unit) + RNG.normal(size=units * per_unit)
    truth = RNG.normal(size=(units * per_unit, 1)) * 5
    other = RNG.permutation(error.reshape(units, per_unit)).ravel()
    predictions = {name: (truth + e.reshape(-1, 1))[None] for name, e in (("a", error), ("b", 2 * error), ("c", other))}
    return answers(series, truth, predictions, unit, np.arange(units * per_unit))


def forecasts(steps: int = 104) -> CandidateAnswers:
    series = make_series([400], task="forecast")
    truth = RNG.normal(size=(steps, 1))
    noise = RNG.normal(size=(2, steps, 1))
    predictions = {"good": (truth + noise[0])[None], "bad": (truth + noise[0] + 2 * noise[1])[None]}
    return answers(series, truth, predictions, np.zeros(steps, int), np.arange(296, 296 + steps))


def binary(units: int = 200) -> CandidateAnswers:
    series = make_series([3] * units, task="binary", per="unit", labels=(RNG.random(units) < 0.3).astype(int))
    truth = series.targets[:, 0].astype(float)
    common = truth + RNG.normal(size=units)
    predictions = {"a": common[None], "b": np.stack([0.2 * common + RNG.normal(size=units) for _ in range(3)])}
    return answers(series, truth, predictions, np.arange(units), np.arange(units) * 3 + 2)


def test_units_are_resampled_and_a_clear_difference_is_found() -> None:
    found = compare_answers(regression(), spec("regression"), resamples=500)
    assert found.resampled == "40 units"
    assert found.ranked()[-1] == "b"
    assert found.pair("b", "a").adjusted < 0.05
    assert found.pair("a", "c").adjusted > 0.05
    for of in found.estimates.values():
        assert of["rmse"].low < of["rmse"].value < of["rmse"].high
    assert found.pair("a", "b") is found.pair("b", "a")


def test_intervals_know_that_points_of_a_unit_are_alike() -> None:
    given = regression(units=60, per_unit=30)
    by_unit = compare_answers(given, spec("regression"), resamples=500).estimates["a"]["rmse"]
    scattered = dataclasses.replace(given, unit=RNG.permutation(given.unit))
    by_point = compare_answers(scattered, spec("regression"), resamples=500).estimates["a"]["rmse"]
    assert by_unit.high - by_unit.low > 1.5 * (by_point.high - by_point.low)


def test_groups_are_kept_whole() -> None:
    groups = [f"g{unit // 2}" for unit in range(40)]
    assert compare_answers(regression(groups=groups), spec("regression"), resamples=200).resampled == "20 groups"


def test_forecasts_get_diebold_mariano_over_times_in_their_order() -> None:
    found = compare_answers(forecasts(), spec("forecast", horizon=1), resamples=500)
    assert found.resampled == "104 times"
    assert found.pairs[0].test == "Diebold-Mariano"
    assert found.ranked() == ["good", "bad"]
    assert found.pairs[0].p_value < 0.01


def test_few_forecasts_that_share_their_steps_tell_nothing() -> None:
    found = compare_answers(forecasts(20), spec("forecast", horizon=15), resamples=200)
    assert found.pairs[0].test == "none: too few independent blocks of time"
    assert not found.pairs[0].told and not pick_winner(found, {}).significant


def test_areas_get_delong_and_other_metrics_the_bootstrap() -> None:
    given = binary()
    found = compare_answers(given, spec("binary"), deciding="auc_roc", resamples=500)
    assert found.pairs[0].test == "DeLong"
    assert found.pairs[0].p_value < 0.01
    assert found.estimates["b"]["auc_roc"].deviation > 0
    by_precision = compare_answers(given, spec("binary"), resamples=500)
    assert by_precision.measures[0].name == "auc_pr"
    assert by_precision.pairs[0].test == "paired bootstrap"


def test_seeds_that_differ_widen_the_interval() -> None:
    given = regression()
    one = given.predictions["a"]
    far = np.concatenate([one, given.predictions["b"]])
    both = dataclasses.replace(given, predictions={"same": np.concatenate([one, one]), "far": far})
    found = compare_answers(both, spec("regression"), resamples=1000)
    width = {name: of["rmse"].high - of["rmse"].low for name, of in found.estimates.items()}
    single = compare_answers(given, spec("regression"), resamples=1000).estimates["a"]["rmse"]
    assert width["same"] == pytest.approx(single.high - single.low, rel=0.15)
    assert width["far"] > 1.5 * width["same"]


def test_the_same_seed_gives_the_same_comparison() -> None:
    given = binary()
    assert compare_answers(given, spec("binary"), resamples=200) == compare_answers(
        given, spec("binary"), resamples=200
    )


def test_a_metric_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a binary comparison has no metric 'rmse'"):
        compare_answers(binary(), spec("binary"), deciding="rmse")


# ---------------------------------------------------------------- verdict


def test_the_fastest_of_equals_wins_and_it_is_said() -> None:
    found = compare_answers(regression(), spec("regression"), resamples=500)
    best, second, _ = found.ranked()
    costs = {"a": Costs(latency_ms_batch1=5.0), "b": Costs(latency_ms_batch1=0.1), "c": Costs(latency_ms_batch1=5.0)}
    costs[second] = Costs(latency_ms_batch1=1.0)
    by_latency = pick_winner(found, costs)
    assert (by_latency.best, by_latency.winner) == (best, second)  # b is faster still, but significantly worse
    assert by_latency.rivals == (best, second)
    assert "is not significant" in by_latency.words
    assert not by_latency.significant
    assert pick_winner(found, costs, rule="accuracy").winner == best
    assert "was not measured" in pick_winner(found, {}, rule="accuracy_per_size").words


def test_a_significant_winner_is_said_to_be_one() -> None:
    given = regression()
    two = {name: given.predictions[name] for name in ("a", "b")}
    found = compare_answers(dataclasses.replace(given, predictions=two), spec("regression"), resamples=500)
    verdict = pick_winner(found, {})
    assert verdict.winner == "a" and verdict.significant
    assert "Significantly worse: b" in verdict.words and "is not significant" not in verdict.words


def test_an_unknown_rule_is_refused() -> None:
    found = compare_answers(binary(), spec("binary"), resamples=200)
    with pytest.raises(ConfigError, match="did you mean 'accuracy'"):
        pick_winner(found, {}, rule="acuracy")


# ---------------------------------------------------------------- report and costs


def test_the_report_names_all_and_bolds_the_best(tmp_path) -> None:
    found = compare_answers(regression(), spec("regression"), resamples=200)
    costs = {name: Costs(latency_ms_batch1=1.0, size_mb=2.0) for name in "abc"}
    rows = report.table_rows(found, costs, dict.fromkeys("abc", 1), {"a": {"r2": 0.5}})
    text = report.to_markdown(found, pick_winner(found, costs), rows, {"data": "made"}, [])
    best = found.ranked()[0]
    assert f"| {best} | **{found.estimates[best]['rmse'].value:.4g}**" in text
    assert "40 units" in text and "batch 1 [ms]" in text and "memory" not in text.split("|")[0]
    lines = report.to_csv(rows).splitlines()
    assert len(lines) == 4 and "r2" in lines[0]
    picture = report.draw(found, tmp_path / "c.png")
    assert picture.stat().st_size > 5000


def test_latencies_are_taken_in_turns() -> None:
    order: list[str] = []
    calls = {name: {1: lambda name=name: order.append(name)} for name in "ab"}
    found = interleaved(calls, rounds=4, warm_up=2)
    assert sorted(order[:2]) == ["a", "b"] and len(order) == 12
    assert order != ["a", "b"] * 6  # the first of a round changes
    assert all(math.isfinite(of[1]) for of in found.values())


def test_calls_against_a_constant_by_hand() -> None:
    truth = np.array([1] * 6 + [0] * 4)
    called = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 1])
    found = majority_test(truth, called, np.ones(10))
    assert (found.points, found.accuracy, found.constant) == (10, 0.8, 0.6)
    assert found.p_value == pytest.approx(2 * (1 + 4) / 2**4)  # 3 gained, 1 lost
    # Clopper & Pearson: the shares at which 8 or more, or 8 or fewer, of 10 have a chance of 2.5 %
    assert binom.sf(7, 10, found.low) == pytest.approx(0.025)
    assert binom.cdf(8, 10, found.high) == pytest.approx(0.025)
    assert majority_test(truth, np.ones(10), np.ones(10)).p_value == 1.0
    assert "right on 0.800 of 10 points" in str(found)


# ---------------------------------------------------------------- costs of slow models


def test_a_slow_model_is_called_less_often_and_never_with_a_batch_beyond_bearing() -> None:
    now, called, said = [0.0], [], []

    def call(batch: int, seconds: float):
        def act() -> None:
            called.append(batch)
            now[0] += seconds * batch

        return act

    slow = {batch: call(batch, 2.0) for batch in (1, 8, 64)}
    assert set(bearable(slow, longest=20.0, say=said.append, clock=lambda: now[0])) == {1}
    assert called == [1, 1, 8, 8] and "64 windows at a time are left out: 8 take 16.0 s" in said[0]
    fast = {batch: call(batch, 0.001) for batch in (1, 8, 64)}
    assert set(bearable(fast, clock=lambda: now[0])) == {1, 64}
    crawling = {batch: call(batch, 30.0) for batch in (1, 8, 64)}
    assert set(bearable(crawling, clock=lambda: now[0])) == {1}


def test_latencies_end_with_their_time() -> None:
    counts = {"slow": 0, "fast": 0}

    def slow() -> None:
        counts["slow"] += 1
        time.sleep(0.05)

    def fast() -> None:
        counts["fast"] += 1

    found = interleaved({"slow": {1: slow}, "fast": {1: fast}}, rounds=1000, seconds=0.3)
    assert 1 <= counts["slow"] < 15 and counts["fast"] == counts["slow"]
    assert found["slow"][1] >= 50 > found["fast"][1]
    once = interleaved({"slow": {1: slow}}, rounds=1000, seconds=0.0)
    assert once["slow"][1] >= 50
