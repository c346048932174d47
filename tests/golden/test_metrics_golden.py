"""Numbers worked out by hand from the papers' formulas; they must never move."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.training import class_metrics, value_metrics

TRUTH, ANSWER = [10.0, 20.0, 30.0, 40.0], [12.0, 17.0, 30.0, 44.0]
LABEL, SCORE = [0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.4, 0.4]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rmse", np.sqrt((4 + 9 + 0 + 16) / 4)),
        ("mae", 9 / 4),
        ("mape", 100 * (0.2 + 0.15 + 0 + 0.1) / 4),
        ("smape", 50 * (2 / 22 + 3 / 37 + 4 / 84)),
        ("r2", 1 - 29 / 500),
        ("phm08", (np.exp(0.2) - 1) + (np.exp(3 / 13) - 1) + (np.exp(0.4) - 1)),
    ],
)
def test_values(name: str, expected: float) -> None:
    assert getattr(value_metrics, name)(TRUTH, ANSWER) == pytest.approx(expected, rel=1e-12)


def test_mase_divides_by_the_seasonal_naive_error() -> None:
    assert value_metrics.mase(TRUTH, ANSWER, train=[1, 2, 4, 7]) == pytest.approx(2.25 / 2)  # steps 1, 2, 3
    assert value_metrics.mase(TRUTH, ANSWER, train=[1, 2, 4, 7], season=2) == pytest.approx(2.25 / 4)  # steps 3, 5


def test_ranking() -> None:
    # pairs won by the positives: 0.35 beats 0.1; 0.8 beats all 3; 0.4 beats 0.1 and ties twice -> 6 of 9
    assert class_metrics.auc_roc(LABEL, SCORE) == pytest.approx(6 / 9)
    # thresholds 0.8: P=1, R=1/3; 0.4: P=2/4, R=2/3; 0.35: P=3/5, R=1
    assert class_metrics.auc_pr(LABEL, SCORE) == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)


def test_probabilities() -> None:
    assert class_metrics.brier([1, 0], [0.8, 0.4]) == pytest.approx((0.04 + 0.16) / 2)
    assert class_metrics.log_loss([1, 0], [0.8, 0.4]) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
    # bins of width 0.5: (0.2, 0.4) with one positive, (0.6, 0.9) with two
    assert class_metrics.ece([0, 1, 1, 1], [0.2, 0.4, 0.6, 0.9], bins=2) == pytest.approx((0.4 + 0.5) / 4)


def test_ece_of_classes_compares_confidence_with_accuracy() -> None:
    table = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    assert class_metrics.ece([0, 2], table, bins=1) == pytest.approx(abs(1 - 0.8 - 0.7) / 2)


def test_mcc_of_three_classes() -> None:
    table = class_metrics.confusion([0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0], 3)
    assert table.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    # (4*6 - (2*2 + 2*3 + 2*1)) / sqrt((36 - 14) * (36 - 12))
    assert class_metrics.mcc(table) == pytest.approx(12 / np.sqrt(22 * 24))


def test_intervals_and_quantiles() -> None:
    assert value_metrics.coverage([1, 2, 3], [0, 2.5, 3], [2, 3, 3]) == pytest.approx(2 / 3)
    assert value_metrics.interval_width([0, 2.5, 3], [2, 3, 3]) == pytest.approx(2.5 / 3)
    # truth 1: q=.1 at 0 costs .1, q=.9 at 3 costs .1 * 2
    assert value_metrics.pinball([[1.0]], [[0.0, 3.0]], [0.1, 0.9]) == pytest.approx((0.1 + 0.2) / 2)
