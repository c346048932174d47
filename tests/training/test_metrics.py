from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from keras_seq.data.home import data_home
from keras_seq.training import class_metrics, metrics, value_metrics

RNG = np.random.default_rng(3)


def binary(n: int, ties: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    truth = (RNG.random(n) < 0.2).astype(float)
    score = np.clip(0.3 * truth + 0.7 * RNG.random(n), 0, 1)
    return truth, np.round(score * ties) / ties if ties else score


@pytest.mark.parametrize("ties", [None, 5, 1])
def test_ranking_agrees_with_scikit_learn(ties: int | None) -> None:
    truth, score = binary(500, ties)
    assert class_metrics.auc_roc(truth, score) == pytest.approx(reference.roc_auc_score(truth, score))
    assert class_metrics.auc_pr(truth, score) == pytest.approx(reference.average_precision_score(truth, score))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=30))
def test_ranking_agrees_on_any_sample(pairs: list[tuple[bool, int]]) -> None:
    truth, score = (np.array(column, float) for column in zip(*pairs, strict=True))
    if 0 < truth.sum() < len(truth):
        assert class_metrics.auc_roc(truth, score) == pytest.approx(reference.roc_auc_score(truth, score))
    if truth.any():
        assert class_metrics.auc_pr(truth, score) == pytest.approx(reference.average_precision_score(truth, score))


def test_ranking_is_fast() -> None:
    truth, score = binary(100_000)
    began = time.process_time()
    class_metrics.auc_roc(truth, score)
    class_metrics.auc_pr(truth, score)
    assert time.process_time() - began < 0.5


def test_undefined_numbers_are_nan() -> None:
    assert np.isnan(class_metrics.auc_roc([1, 1], [0.2, 0.3]))
    assert np.isnan(class_metrics.auc_pr([0, 0], [0.2, 0.3]))
    assert np.isnan(value_metrics.r2([2, 2], [1, 3]))
    assert np.isnan(value_metrics.mape([0, 0], [1, 1]))
    assert np.isnan(value_metrics.mase([1.0], [2.0], train=[5, 5, 5]))


def test_binary_score_agrees_with_scikit_learn() -> None:
    truth, probability = binary(400)
    called = probability >= 0.4
    found = metrics.score("binary", truth, probability[:, None], threshold=0.4)
    expected = {
        "accuracy": reference.accuracy_score(truth, called),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, called),
        "precision": reference.precision_score(truth, called),
        "recall": reference.recall_score(truth, called),
        "f1": reference.f1_score(truth, called),
        "mcc": reference.matthews_corrcoef(truth, called),
        "brier": reference.brier_score_loss(truth, probability),
        "log_loss": reference.log_loss(truth, np.clip(probability, 1e-7, 1 - 1e-7)),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert set(found) == {*expected, "auc_roc", "auc_pr", "ece"}


def test_multiclass_score_agrees_with_scikit_learn() -> None:
    truth = RNG.integers(0, 4, 300)
    probability = RNG.dirichlet(np.ones(4), 300) * 0.6
    probability[np.arange(300), truth] += 0.4
    called = probability.argmax(1)
    found = metrics.score("multiclass", truth, probability)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(truth, called))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(truth, called))
    assert found["f1"] == pytest.approx(reference.f1_score(truth, called, average="macro"))
    assert found["mcc"] == pytest.approx(reference.matthews_corrcoef(truth, called))
    assert found["log_loss"] == pytest.approx(reference.log_loss(truth, probability))
    assert found["auc_roc"] == pytest.approx(reference.roc_auc_score(truth, probability, multi_class="ovr"))


def test_values_agree_with_scikit_learn() -> None:
    truth, prediction = RNG.normal(size=(2, 60, 3))
    found = metrics.score("forecast", truth, prediction)
    assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(truth.ravel(), prediction.ravel()))
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(truth.ravel(), prediction.ravel()))
    assert found["r2"] == pytest.approx(reference.r2_score(truth.ravel(), prediction.ravel()))
    assert value_metrics.mape(truth, prediction) == pytest.approx(
        100 * reference.mean_absolute_percentage_error(truth.ravel(), prediction.ravel())
    )


def test_pinball_agrees_with_scikit_learn() -> None:
    truth, prediction, levels = RNG.normal(size=40), RNG.normal(size=(40, 2)), (0.1, 0.7)
    expected = np.mean([reference.mean_pinball_loss(truth, prediction[:, i], alpha=q) for i, q in enumerate(levels)])
    assert value_metrics.pinball(truth[:, None], prediction, levels) == pytest.approx(expected)


def test_padding_is_left_out() -> None:
    truth = np.array([[1.0, 2.0, 99.0], [3.0, 99.0, 99.0]])[..., None]
    prediction = np.array([[1.0, 3.0, 0.0], [3.0, 0.0, 0.0]])[..., None]
    weights = np.array([[1, 1, 0], [1, 0, 0]])
    assert metrics.score("regression", truth, prediction, weights=weights)["mae"] == pytest.approx(1 / 3)


def test_predictions_are_not_broadcast_against_truth() -> None:
    with pytest.raises(ValueError, match="as many values, got 3 and 1"):
        value_metrics.rmse([1, 2, 3], [1])


def test_phm08_stays_finite() -> None:
    assert np.isfinite(value_metrics.phm08([0.0], [1e9]))
    assert value_metrics.phm08([0.0], [10.0]) > value_metrics.phm08([10.0], [0.0])


def test_smape_and_mase_by_hand() -> None:
    truth, prediction = [100.0, 200.0, 0.0], [110.0, 180.0, 0.0]
    assert value_metrics.smape(truth, prediction) == pytest.approx(200 * (10 / 210 + 20 / 380 + 0) / 3)
    assert value_metrics.smape([1e-6], [-1e-6]) == pytest.approx(200.0)
    assert value_metrics.smape([5e6, 1.0], [4e6, 3.0]) == value_metrics.smape([5.0, 1.0], [4.0, 3.0])  # each in its own
    history = [1.0, 3.0, 2.0, 6.0]  # a season of two: errors 1 and 3
    assert value_metrics.mase([4.0, 9.0], [3.0, 6.0], train=history, season=2) == pytest.approx(1.0)


def test_the_day_before_on_the_hourly_series_of_m4() -> None:
    """The last 48 values of 414 series as in the competition: sMAPE 13.91, MASE 1.193."""
    path = Path(data_home()) / "m4_hourly" / "m4_hourly.parquet"
    if not path.is_file():
        pytest.skip(f"real data set m4_hourly is not under the data home {path.parents[1]} (set KERAS_SEQ_DATA)")
    table = pd.read_parquet(path)
    series = [unit["value"].to_numpy(np.float64) for _, unit in table.groupby("series_id", sort=False)]
    answers = [np.tile(unit[-72:-48], 2) for unit in series]
    smape = [value_metrics.smape(unit[-48:], answer) for unit, answer in zip(series, answers, strict=True)]
    mase = [
        value_metrics.mase(unit[-48:], answer, train=unit[:-48], season=24)
        for unit, answer in zip(series, answers, strict=True)
    ]
    assert np.mean(smape) == pytest.approx(13.9123, abs=1e-3)
    assert np.mean(mase) == pytest.approx(1.1932, abs=1e-3)
