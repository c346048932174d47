from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from keras_seq.models.decision import calibrate
from keras_seq.training import class_metrics
from keras_seq.training.calibration import (
    _deal,
    calibration_error,
    fit_calibration,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    logit,
    reliability,
)


def skewed(n: int, *, slope: float = 2.5, offset: float = 0.8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes and the probabilities of a model that is too sure of itself and too high."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1, 1.5, n)
    truth = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.int64)
    return truth, 1 / (1 + np.exp(-(slope * z + offset)))


def applied(probability: np.ndarray, numbers: dict) -> np.ndarray:
    return np.asarray(calibrate(probability.astype(np.float32), numbers))


def test_platt_is_that_of_scikit_learn() -> None:
    truth, probability = skewed(500)
    z = logit(probability)[:, None]
    identity = LogisticRegression().fit(z, truth)  # its decision function is made the logit itself
    identity.coef_, identity.intercept_ = np.array([[1.0]]), np.array([0.0])
    oracle = CalibratedClassifierCV(FrozenEstimator(identity), method="sigmoid").fit(z, truth)
    found = applied(probability, fit_platt(truth, probability))
    np.testing.assert_allclose(found, oracle.predict_proba(z)[:, 1], atol=2e-4)


def test_isotonic_lies_on_the_steps_of_scikit_learn_and_between_them() -> None:
    truth, probability = skewed(3000)
    steps = IsotonicRegression().fit(probability, truth).predict(probability)
    found = applied(probability, fit_isotonic(truth, probability))
    edge = 1 / 3002
    for level in np.unique(steps):
        centre = applied(probability[steps == level].mean()[None], fit_isotonic(truth, probability))
        np.testing.assert_allclose(centre, np.clip(level, edge, 1 - edge), atol=2e-4)
    assert 0 < found.min() < found.max() < 1
    assert np.abs(found - steps).mean() < 0.02  # most of the steps are narrow


def test_isotonic_draws_steps_together_by_hand() -> None:
    numbers = fit_isotonic(np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4]))
    at = np.array([0.0, 0.1, 0.25, 0.325, 0.4, 1.0])  # 0.2 and 0.3 fall and are one step at 0.25
    low, high = 1 / 6, 5 / 6
    np.testing.assert_allclose(applied(at, numbers), [0.9 * low, low, 0.5, (0.5 + high) / 2, high, high + 0.1 * low])


def test_isotonic_steps_at_0_and_1_are_kept() -> None:
    numbers = fit_isotonic(np.array([0, 0, 1, 1]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert numbers["x"] == [0.0, 1.0]
    np.testing.assert_allclose(numbers["y"], [1 / 6, 5 / 6])


@pytest.mark.parametrize("n", [60, 1200])
def test_isotonic_keeps_the_ranking(n: int) -> None:
    truth, probability = skewed(n)
    steps = IsotonicRegression(out_of_bounds="clip").fit(probability, truth)
    numbers = fit_isotonic(truth, probability)
    later, raw = skewed(4000, seed=1)
    assert class_metrics.auc_pr(later, raw) - class_metrics.auc_pr(later, steps.predict(raw)) > 1e-3  # plateaus cost
    for measure in (class_metrics.auc_roc, class_metrics.auc_pr):
        assert measure(later, applied(raw, numbers)) == pytest.approx(measure(later, raw), abs=1e-6)
    if n == 1200:
        stepped, found = steps.predict(raw), applied(raw, numbers)
        assert (
            class_metrics.ece(later, found)
            < class_metrics.ece(later, stepped) + 0.005
            < class_metrics.ece(later, raw) / 2
        )
        assert class_metrics.log_loss(later, found) < class_metrics.log_loss(later, stepped) + 0.001


def test_temperature_undoes_a_factor_of_the_logits() -> None:
    truth, probability = skewed(50_000, slope=3.0, offset=0.0)
    assert fit_temperature(truth, probability)["temperature"] == pytest.approx(3.0, rel=0.05)
    rng = np.random.default_rng(1)
    z = rng.normal(0, 1, (50_000, 4))
    classes = np.argmax(z + rng.gumbel(size=z.shape), axis=1)
    sure = np.exp(2 * z) / np.exp(2 * z).sum(1, keepdims=True)
    numbers = fit_temperature(classes, sure)
    assert numbers["temperature"] == pytest.approx(2.0, rel=0.05)
    found = applied(sure, numbers)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert (found.argmax(1) == sure.argmax(1)).all()
    assert class_metrics.ece(classes, found) < 0.01 < class_metrics.ece(classes, sure)


def test_auto_mends_what_is_off_and_does_not_spoil_what_is_right() -> None:
    truth, probability = skewed(1200)
    later, raw = skewed(20_000, seed=1)
    numbers, notes = fit_calibration("auto", truth, probability, np.arange(1200) // 4)
    assert numbers["method"] in ("platt", "isotonic")
    assert not notes
    assert class_metrics.ece(later, raw) > 0.1
    assert class_metrics.ece(later, applied(raw, numbers)) < 0.03
    assert numbers["log_loss"][numbers["method"]] == min(numbers["log_loss"].values())
    numbers, _ = fit_calibration("auto", *skewed(900, slope=1.0, offset=0.0), np.arange(900))
    later, right = skewed(20_000, slope=1.0, offset=0.0, seed=1)
    assert class_metrics.log_loss(later, applied(right, numbers)) < class_metrics.log_loss(later, right) + 0.003


def test_auto_does_not_trust_a_few_perfect_answers() -> None:
    truth = np.repeat([0, 1], [54, 6])
    perfect = np.where(truth, 0.97, 0.02)
    numbers, notes = fit_calibration("auto", truth, perfect, np.arange(60))
    assert numbers == {"method": "none"}
    assert "6 validation units, 10 are needed" in notes[0]
    for method in ("platt", "temperature"):  # asked for, they stay finite
        found = applied(perfect, fit_calibration(method, truth, perfect, np.arange(60))[0])
        assert 0.001 < found.min() < found.max() < 0.999


def test_what_cannot_be_calibrated_says_so() -> None:
    numbers, notes = fit_calibration("platt", np.zeros(20), np.full(20, 0.3), np.arange(20))
    assert numbers["method"] == "none"
    assert "all 20 validation points are of class 0" in notes[0]
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.5
    numbers, notes = fit_calibration(
        "platt", truth, np.where(truth, 0.3, 0.6) + rng.normal(0, 0.1, 400), np.arange(400)
    )
    assert numbers["method"] == "none"
    assert "turn around" in notes[0]
    numbers, notes = fit_calibration("platt", rng.integers(0, 3, 60), np.full((60, 3), 1 / 3), np.arange(60))
    assert numbers["method"] == "none"
    assert "two classes" in notes[0]


def test_clusters_are_never_split() -> None:
    rng = np.random.default_rng(0)
    unit, truth = rng.integers(0, 40, 500), rng.integers(0, 2, 500)
    for seed in range(3):
        fold = _deal(truth, unit, seed=seed)
        assert all(len(np.unique(fold[unit == name])) == 1 for name in np.unique(unit))
        assert set(fold) == set(range(5))


def test_reliability_by_hand() -> None:
    truth, probability = [0, 1, 1, 1], [0.1, 0.3, 0.6, 0.9]
    predicted, observed, count = reliability(truth, probability, bins=2)
    np.testing.assert_allclose([*predicted, *observed, *count], [0.2, 0.75, 0.5, 1.0, 2, 2])
    assert calibration_error(truth, probability, bins=2) == pytest.approx((0.3 + 0.25) / 2)
    assert calibration_error(truth, probability, bins=1) == pytest.approx(0.275)
    assert calibration_error(truth, probability, bins=4, equal_mass=True) == pytest.approx((0.1 + 0.7 + 0.4 + 0.1) / 4)


def test_the_error_is_that_of_the_metrics() -> None:
    truth, probability = skewed(700)
    assert calibration_error(truth, probability) == pytest.approx(class_metrics.ece(truth, probability))
    classes = np.stack([1 - probability, probability], 1)
    assert calibration_error(truth, classes) == pytest.approx(class_metrics.ece(truth, classes))
