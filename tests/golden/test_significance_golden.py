"""Small cases worked out by hand from the papers' formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from keras_seq.evaluation.significance import delong, delong_test, diebold_mariano, holm


def test_delong() -> None:
    # positives 0.9 0.4, negatives 0.5 0.1: wins (1, 1), (0, 1) -> area 3/4
    # positives' components 1, 1/2: variance 1/8; negatives' 1/2, 1: 1/8; area's variance 1/16 + 1/16
    areas, covariance = delong([1, 1, 0, 0], [[0.9, 0.4, 0.5, 0.1], [0.4, 0.9, 0.5, 0.1]])
    np.testing.assert_allclose(areas, [0.75, 0.75])
    np.testing.assert_allclose(np.diag(covariance), [1 / 8, 1 / 8])
    # the positives change places: their components go (1, 1/2) and (1/2, 1), covariance -1/8; negatives' +1/8
    assert covariance[0, 1] == pytest.approx(0)


def test_delong_test() -> None:
    # second model ranks the other way: areas 3/4 and 1/4, components mirrored, covariance -1/8
    test = delong_test([1, 1, 0, 0], [0.9, 0.4, 0.5, 0.1], [0.1, 0.6, 0.5, 0.9])
    assert test.difference == pytest.approx(0.5)
    assert test.p_value == pytest.approx(2 * stats.norm.sf(0.5 / np.sqrt(1 / 8 + 1 / 8 + 2 / 8)))


def test_diebold_mariano_two_steps() -> None:
    # differences 1 2 3 2: mean 2, deviations -1 0 1 0, g0 = 2/4, g1 = 0/4; n = 4, h = 2
    # DM = 2 / sqrt(0.5 / 4); correction sqrt((4 + 1 - 4 + 2/4) / 4) = sqrt(1.5 / 4)
    test = diebold_mariano([2, 3, 4, 3], [1, 1, 1, 1], horizon=2)
    statistic = 2 / np.sqrt(0.125) * np.sqrt(1.5 / 4)
    assert test.p_value == pytest.approx(2 * stats.t.sf(statistic, 3))
    assert test.high - test.low == pytest.approx(2 * stats.t.ppf(0.975, 3) * 2 / statistic)


def test_holm() -> None:
    # sorted .01 .02 .03 times 3 2 1: .03 .04 .03, made to rise
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
