"""The rule of one standard error: the simplest that is level with the best."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.data.scaling import fit_spec
from keras_seq.data.splits import split
from keras_seq.evaluation.paired_error import MetricScore
from keras_seq.pilots.choose import choose, judge
from keras_seq.training.predictions import Points
from tests.factories.series import data_config, make_series


def spec(series):
    """Numbers of a regression on all rows."""
    data = data_config(windows={"mode": "sliding", "length": 3}, split={"by": "time"})
    return fit_spec(series, split(series, data), data)


RANK = {"naive": 0, "ridge": 1, "trees": 1, "lstm": 2}


def score(name, value, behind, error, slack=0.0):
    return MetricScore(name, value, 1.0, behind, error, slack)


def test_the_simplest_kind_that_is_level_with_the_best_is_chosen():
    scores = [score("naive", 12, 4, 1), score("ridge", 8.4, 0.4, 0.5), score("lstm", 8, 0, 0)]
    assert choose(scores, RANK).name == "ridge"
    assert choose(scores, {"naive": 0, "lstm": 2}).name == "lstm"
    assert choose(scores, {"naive": 0}).name == "naive"


def test_of_one_kind_the_best_is_chosen():
    scores = [score("ridge", 8.4, 0.4, 0.5), score("trees", 8.2, 0.2, 0.5), score("lstm", 8, 0, 0)]
    assert choose(scores, RANK).name == "trees"


def test_a_difference_within_the_slack_is_none():
    assert choose([score("naive", 10.05, 0.05, 0.0, 0.1), score("lstm", 10, 0, 0, 0.1)], RANK).name == "naive"
    assert choose([score("naive", 10.2, 0.2, 0.0, 0.1), score("lstm", 10, 0, 0, 0.1)], RANK).name == "lstm"


def test_where_no_error_can_be_told_the_best_is_chosen():
    scores = [score("naive", 12, 4, np.nan), score("ridge", np.nan, np.nan, np.nan), score("lstm", 8, 0, 0)]
    assert choose(scores, RANK).name == "lstm"


def test_equal_perfect_answers_choose_the_simplest():
    assert choose([score("naive", 0, 0, 0), score("lstm", 0, 0, 0)], RANK).name == "naive"


@pytest.mark.parametrize("units", [40, 1])
def test_errors_are_paired_and_by_unit_or_block_of_time(units):
    """A bad unit is bad for both; what differs between the two is small and sure."""
    rng, rows = np.random.default_rng(0), 40
    series = make_series([rows] * units)
    shared = np.repeat(rng.normal(0, 10, units * 8), rows // 8)[:, None]
    truth, row = np.zeros((len(shared), 1)), np.arange(len(shared))
    unit = np.repeat(np.arange(units), rows)

    def points(answers):
        return Points(truth, answers, unit, row, row - series.offsets[unit] + 1)

    noise = rng.normal(0, 0.1, shared.shape)
    found = judge({"worse": points(shared * 1.1 + noise), "best": points(shared)}, series, spec(series))
    assert found["best"].behind == 0 and found["best"].behind_error == 0
    assert found["worse"].behind == pytest.approx(found["worse"].value - found["best"].value)
    assert 0 < found["worse"].behind_error < 0.2 * found["worse"].error
    assert not found["worse"].level


def test_units_of_unlike_scale_count_alike():
    """An error is counted in changes of its own unit, so that a unit a thousand times larger does not decide alone."""
    series = make_series([20, 20])
    series.targets[:, 0] = np.concatenate([np.arange(20) * 1.0, np.arange(20) * 1000.0])
    row = np.arange(40)
    unit = np.repeat([0, 1], 20)
    truth = np.repeat(series.targets.astype(np.float64), 2, axis=1)  # two steps ahead

    def points(error):
        return Points(truth, truth + (error * np.array([1.0, 1000.0]))[unit][:, None], unit, row, row + 1)

    answers = {"good in large": points(np.array([2.0, 0.5])), "good in small": points(np.array([0.5, 0.7]))}
    pooled, own = (judge(answers, series, spec(series), unlike=unlike) for unlike in (False, True))
    assert pooled["good in large"].behind == 0
    assert own["good in small"].behind == 0
    assert own["good in large"].value == pytest.approx(np.sqrt((4 + 0.25) / 2))


def test_a_unit_that_never_changes_is_measured_by_the_usual_one():
    series = make_series([20, 20])
    series.targets[:, 0] = np.concatenate([np.full(20, 7.0), np.arange(20) * 3.0])
    row, unit = np.arange(40), np.repeat([0, 1], 20)
    truth = series.targets.astype(np.float64)
    own = judge({"one off": Points(truth, truth + 3, unit, row, row + 1)}, series, spec(series), unlike=True)
    assert own["one off"].value == pytest.approx(1.0)
