from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score

from keras_seq import config
from keras_seq.config import EvaluationConfig
from keras_seq.errors import ConfigError, DataError
from keras_seq.training.class_metrics import f1
from keras_seq.training.thresholds import (
    best_f_threshold,
    cheapest_threshold,
    choose_threshold,
    recall_threshold,
)


def test_lies_between_the_calls() -> None:
    assert best_f_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9]) == pytest.approx(0.4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=25))
def test_no_threshold_is_better(pairs: list[tuple[bool, int]]) -> None:
    truth, score = (np.array(column, float) for column in zip(*pairs, strict=True))
    if not truth.any():
        return
    score = score / 8
    threshold = best_f_threshold(truth, score)
    best = max(f1(truth, score >= cut) for cut in np.unique(score))
    assert f1(truth, score >= threshold) == pytest.approx(best)


def test_order_of_samples_and_ties_change_nothing() -> None:
    rng = np.random.default_rng(0)
    truth, score = (rng.random(200) < 0.3).astype(float), np.round(rng.random(200), 1)
    order = rng.permutation(200)
    assert best_f_threshold(truth, score) == best_f_threshold(truth[order], score[order])


@pytest.mark.parametrize(
    ("truth", "score", "message"), [([0, 0], [0.1, 0.2], "no positive"), ([0, 1], [0.1, np.nan], "1 of 2 are not")]
)
def test_refuses_what_has_no_answer(truth: list[int], score: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        best_f_threshold(truth, score)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=25), st.sampled_from([0.5, 2.0]))
def test_no_threshold_has_a_better_f_beta(pairs: list[tuple[bool, int]], beta: float) -> None:
    truth, score = (np.array(column, float) for column in zip(*pairs, strict=True))
    if not truth.any():
        return
    score = score / 8

    def reached(cut: float) -> float:
        return float(fbeta_score(truth, score >= cut, beta=beta, zero_division=0))

    threshold = best_f_threshold(truth, score, beta=beta)
    assert reached(threshold) == pytest.approx(max(map(reached, np.unique(score))))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=25), st.integers(0, 20))
def test_no_threshold_is_cheaper(pairs: list[tuple[bool, int]], price: int) -> None:
    truth, score = (np.array(column, float) for column in zip(*pairs, strict=True))
    if not truth.any():
        return
    score = score / 8

    def spent(cut: float) -> float:
        called = score >= cut
        return float(price * np.sum((truth > 0) & ~called) + 3 * np.sum((truth == 0) & called))

    threshold = cheapest_threshold(truth, score, false_negative=price, false_positive=3)
    assert spent(threshold) == min(map(spent, [*np.unique(score), 2.0]))


def test_the_cost_of_calibrated_probabilities_leads_to_elkans_threshold() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(200_000)
    truth = rng.random(200_000) < probability
    found = cheapest_threshold(truth, probability, false_negative=9, false_positive=1)
    assert found == pytest.approx(0.1, abs=0.02)


def test_the_highest_threshold_that_reaches_a_recall() -> None:
    truth, score = [0, 1, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.5, 0.7, 0.9]
    assert recall_threshold(truth, score, recall=0.75) == pytest.approx(0.4)
    assert recall_threshold(truth, score, recall=0.76) == pytest.approx(0.15)
    assert recall_threshold(truth, score, recall=0.1) == pytest.approx(0.8)


def test_the_configuration_chooses_the_rule() -> None:
    truth, score = [0, 1, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.5, 0.7, 0.9]
    rules = {
        "half": {},
        "f1": {},
        "fbeta": {"beta": 0.1},
        "cost": {"cost": {"false_negative": 0.1, "false_positive": 9}},
        "recall": {"recall": 1.0},
    }
    found = {
        name: choose_threshold(truth, score, EvaluationConfig(threshold=name, **more)) for name, more in rules.items()
    }
    assert found == pytest.approx({"half": 0.5, "f1": 0.15, "fbeta": 0.4, "cost": 0.4, "recall": 0.15})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 2}, "beta is read by threshold=fbeta only, but threshold is 'f1'"),
        ({"threshold": "fbeta", "recall": 0.5}, "recall is read by threshold=recall only"),
        ({"cost": {"false_negative": 10}}, "cost is read by threshold=cost only"),
        ({"threshold": "cost", "cost": {"false_negative": 0, "false_positive": 0}}, "both are 0"),
        ({"threshold": "recall", "recall": 1.5}, "recall"),
        ({"coverage": 1.0}, "coverage"),
    ],
)
def test_contradictory_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.from_dict({"evaluation": options})
