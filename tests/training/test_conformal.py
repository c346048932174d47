from __future__ import annotations

import json

import crepes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.training.adaptive import AdaptiveInterval, follow, start
from keras_seq.training.conformal import fit_normalised, fit_quantile, fit_split, needed, reach


def clustered(rng, clusters, points, icc):
    """Absolute errors whose variance lies between units by the share ``icc``."""
    between = rng.normal(size=(clusters, 1)) * np.sqrt(icc)
    return np.abs(between + rng.normal(size=(clusters, points)) * np.sqrt(1 - icc))


@settings(max_examples=40, deadline=None)
@given(st.integers(9, 80), st.sampled_from([0.5, 0.8, 0.9]), st.integers(0, 9))
def test_one_point_a_unit_is_split_conformal(n, coverage, seed):
    rng = np.random.default_rng(seed)
    residual, prediction = rng.normal(size=n), rng.normal(size=5)
    width = float(reach(np.abs(residual), np.arange(n), coverage))
    rank = int(np.ceil(round((n + 1) * coverage, 9)))
    assert width == np.sort(np.abs(residual))[rank - 1]
    if abs((n + 1) * coverage % 1) < 1e-6:  # there the oracle's own rounding takes the next score
        return
    oracle = crepes.ConformalRegressor().fit(residual).predict_int(prediction, confidence=coverage)
    np.testing.assert_allclose(oracle, np.stack([prediction - width, prediction + width], 1))


def test_golden_numbers():
    scores = np.arange(1, 20.0)  # 19 units: the 18th of them covers 18/20
    assert reach(scores, np.arange(19), 0.9) == 18
    assert reach(scores[:9], np.arange(9), 0.9) == 9
    assert needed(0.9) == 9
    assert needed(0.95) == 19
    with pytest.raises(ValueError, match="needs 9 clusters, got 8"):
        reach(scores[:8], np.arange(8), 0.9)


def test_constant_units_count_once_each():
    """A unit of a thousand equal errors is one error."""
    scores, unit = np.repeat(np.arange(1, 20.0), np.arange(1, 20) ** 2), np.repeat(np.arange(19), np.arange(1, 20) ** 2)
    assert reach(scores, unit, 0.9) == 18


@pytest.mark.parametrize("icc", [0.0, 0.5, 1.0])
def test_a_random_point_of_a_new_unit_is_covered(icc):
    rng = np.random.default_rng(3)
    unit, held = np.repeat(np.arange(19), 30), []
    for _ in range(150):
        width = reach(clustered(rng, 19, 30, icc).ravel(), unit, 0.9, draws=60)
        held.append(np.mean(clustered(rng, 4000, 1, icc) <= width))
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)


def test_windows_taken_for_units_would_cover_too_little():
    """What the clusters are for: the same simulation, treating every step as exchangeable."""
    rng, held = np.random.default_rng(3), []
    for _ in range(150):
        width = reach(clustered(rng, 12, 30, 1.0).ravel(), np.arange(360), 0.9)
        held.append(np.mean(clustered(rng, 4000, 1, 1.0) <= width))
    assert np.mean(held) < 0.88


def test_every_horizon_and_target_has_its_own_width():
    rng = np.random.default_rng(0)
    scale = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    width = np.array(fit_split(rng.normal(size=(20_000, 3, 2)) * scale, np.arange(20_000) // 10, 0.9)["width"])
    np.testing.assert_allclose(width / scale, 1.645, rtol=0.06)


def test_normalised_intervals_hold_at_every_level():
    rng = np.random.default_rng(0)

    def draw(n):
        level = rng.uniform(0, 100, (n, 1))
        return level, rng.normal(size=(n, 1)) * (1 + level / 10)

    level, residual = draw(8000)
    numbers = fit_normalised(residual, level, np.arange(8000) // 40, 0.9)
    assert numbers["method"] == "normalised"
    level, residual = draw(40_000)
    half = numbers["width"][0] * np.interp(level, numbers["knots"][0], numbers["spread"][0])
    inside, band = np.abs(residual) <= half, np.digitize(level, [25, 50, 75])
    by_band = [inside[band == k].mean() for k in range(4)]
    assert min(by_band) > 0.87
    assert max(by_band) < 0.93
    equal = fit_split(residual, np.arange(40_000) // 40, 0.9)["width"][0]
    assert half.mean() < 0.98 * equal


def test_normalised_with_given_spread_is_that_of_crepes():
    rng = np.random.default_rng(0)
    level = rng.uniform(1, 9, 400)
    residual = rng.normal(size=400) * level
    oracle = crepes.ConformalRegressor().fit(residual, sigmas=level).predict_int(level, sigmas=level, confidence=0.9)
    width = reach(np.abs(residual) / level, np.arange(400), 0.9)
    np.testing.assert_allclose(oracle[:, 1] - level, width * level)


def test_few_points_get_equal_intervals():
    rng = np.random.default_rng(0)
    assert fit_normalised(rng.normal(size=(52, 1, 1)), np.zeros((52, 1, 1)), np.arange(52), 0.9)["method"] == "split"


@pytest.mark.parametrize(("factor", "sign"), [(0.5, 1), (2.0, -1)])
def test_quantiles_too_narrow_or_too_wide_are_led_back(factor, sign):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(5000, 2))
    levels = (0.05, 0.5, 0.95)
    quantiles = np.broadcast_to(factor * np.array([-1.645, 0, 1.645]), (5000, 2, 3))
    numbers = fit_quantile(truth, quantiles, levels, np.arange(5000), 0.9)
    assert (numbers["low"], numbers["high"]) == (0, 2)
    margin = np.array(numbers["margin"])
    assert (np.sign(margin) == sign).all()
    np.testing.assert_allclose(margin, 1.645 * (1 - factor), atol=0.06)


def drifting(rng, n):
    scale = np.where(np.arange(n) < n // 2, 1.0, 3.0)
    return rng.normal(size=(n, 1, 1)) * scale[:, None, None]


def test_adaptive_intervals_follow_a_drift_that_fixed_ones_miss():
    rng = np.random.default_rng(0)
    before, truth = rng.normal(size=(300, 1, 1)), drifting(rng, 2000)
    fixed = fit_split(before, np.arange(300), 0.9)["width"][0][0]
    width = follow(start(before, 0.9), truth, np.zeros_like(truth))
    assert np.mean(np.abs(truth) <= fixed) < 0.8
    assert np.mean(np.abs(truth) <= width) == pytest.approx(0.9, abs=0.01)


def test_a_late_truth_is_not_used_early():
    rng = np.random.default_rng(0)
    before, truth = rng.normal(size=(60, 4, 1)), rng.normal(size=(40, 4, 1))
    plain = follow(start(before, 0.9, delay=4), truth, np.zeros_like(truth), delay=4)
    other = truth.copy()
    other[20:] = 1e6
    changed = follow(start(before, 0.9, delay=4), other, np.zeros_like(truth), delay=4)
    np.testing.assert_array_equal(plain[:24], changed[:24])
    assert (plain[24:] != changed[24:]).any()


def test_levels_move_as_the_paper_says():
    state = AdaptiveInterval(np.arange(1, 20.0)[:, None], 0.9, rate=0.05)
    assert state.half_width() == 18
    state.observe([100.0], [0.0], state.half_width())  # missed
    assert state.alpha == pytest.approx(0.1 + 0.05 * (0.1 - 1))
    state.observe([0.0], [0.0], state.half_width())  # held
    assert state.alpha == pytest.approx(0.055 + 0.05 * 0.1)
    level = state.alpha.copy()
    state.observe([np.nan], [0.0], state.half_width())  # never known
    assert state.alpha == level


def test_the_state_survives_as_json():
    rng = np.random.default_rng(0)
    state = start(rng.normal(size=(80, 3, 2)), 0.8, delay=3)
    follow(state, rng.normal(size=(20, 3, 2)), np.zeros((20, 3, 2)), delay=3)
    again = AdaptiveInterval.from_dict(json.loads(json.dumps(state.to_dict())))
    np.testing.assert_allclose(again.half_width(), state.half_width(), rtol=1e-3)
    np.testing.assert_array_equal(again.alpha, state.alpha)
    assert again.size == state.size


def test_the_state_stays_small():
    assert AdaptiveInterval(np.ones((3000, 96, 7)), 0.9).size * 96 * 7 <= 100_000
