"""What to deploy: the cheapest that is level with the best, in one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.data.scaling import fit_spec
from keras_seq.data.splits import split
from keras_seq.evaluation.deploy import MODEL, Contender, choose_deployment
from keras_seq.training.predictions import Points
from tests.factories.series import data_config, make_series

UNITS, ROWS = 40, 10
SERIES = make_series([ROWS] * UNITS)
DATA = data_config(windows={"mode": "sliding", "length": 3}, split={"by": "time", "validation": 2, "test": 2})
SPEC = fit_spec(SERIES, split(SERIES, DATA), DATA)
NOISE = np.random.default_rng(0).normal(size=(3, UNITS * ROWS, 1))


def contender(name, family, error, which=0):
    row = np.arange(UNITS * ROWS)
    unit, truth = np.repeat(np.arange(UNITS), ROWS), np.zeros((len(row), 1))
    return Contender(name, family, Points(truth, error * NOISE[which], unit, row, row % ROWS + 1))


def deploy(model, baseline, naive, family="lstm", name="the naive reference (the last value)"):
    return choose_deployment(
        [contender(MODEL, family, *model), contender("the baseline ridge", "ridge", *baseline),
         contender(name, "", *naive)], SERIES, SPEC)  # fmt: skip


def test_a_better_model_is_deployed_and_says_by_how_much():
    found = deploy((1, 0), (2, 1), (3, 2))
    assert found.choice == MODEL and found.metric == "rmse"
    assert found.text.startswith("Deploy this model: rmse 0.99") and "of the baseline ridge" in found.text
    assert "the baseline ridge, the nearest, is" in found.text and "+-" in found.text


def test_a_worse_model_is_not():
    found = deploy((3, 0), (2, 1), (1, 2))
    assert found.text.startswith("Deploy the naive reference (the last value): rmse 0.93")
    assert "of this model" in found.text


def test_of_two_that_are_level_the_cheaper_one():
    found = deploy((1, 0), (1.001, 0), (3, 2))
    assert found.choice == "the baseline ridge" and "level with this model" in found.text
    assert deploy((1.001, 0), (1, 0), (3, 2), family="extra_trees").choice == "the baseline ridge"
    assert deploy((1, 0), (1.3, 0), (3, 2), family="naive").choice == MODEL


def test_what_must_know_the_target_by_then_is_no_choice():
    found = deploy((2, 0), (3, 1), (1, 2), name="the naive reference (the last value, if the target is known by then)")
    assert found.choice == MODEL


def test_plain_values_for_the_record():
    told = deploy((1, 0), (2, 1), (3, 2)).to_dict()
    assert set(told) == {"choice", "text", "metric", "contenders"} and len(told["contenders"]) == 3
    assert told["contenders"][MODEL]["value"] == pytest.approx(1, abs=0.1)


def test_one_alone_is_compared_with_nothing():
    assert choose_deployment([contender(MODEL, "lstm", 1)], SERIES, SPEC) is None


def test_two_that_answer_alike_are_told_once():
    found = deploy((2, 0), (1, 2), (1, 2))
    assert len(found.scores) == 2 and found.choice == "the naive reference (the last value)"
