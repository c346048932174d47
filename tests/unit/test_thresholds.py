from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.errors import DataError
from keras_seq.training.metrics import f1
from keras_seq.training.thresholds import best_f1_threshold


def test_lies_between_the_calls() -> None:
    assert best_f1_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9]) == pytest.approx(0.4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=25))
def test_no_threshold_is_better(pairs: list[tuple[bool, int]]) -> None:
    truth, score = (np.array(column, float) for column in zip(*pairs, strict=True))
    if not truth.any():
        return
    score = score / 8
    threshold = best_f1_threshold(truth, score)
    best = max(f1(truth, score >= cut) for cut in np.unique(score))
    assert f1(truth, score >= threshold) == pytest.approx(best)


def test_order_of_samples_and_ties_change_nothing() -> None:
    rng = np.random.default_rng(0)
    truth, score = (rng.random(200) < 0.3).astype(float), np.round(rng.random(200), 1)
    order = rng.permutation(200)
    assert best_f1_threshold(truth, score) == best_f1_threshold(truth[order], score[order])


@pytest.mark.parametrize(
    ("truth", "score", "message"), [([0, 0], [0.1, 0.2], "no positive"), ([0, 1], [0.1, np.nan], "1 of 2 are not")]
)
def test_refuses_what_has_no_answer(truth: list[int], score: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        best_f1_threshold(truth, score)
