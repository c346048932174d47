"""Distances and ADWIN beside their oracles: scipy, river, numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import entropy, ks_2samp

from serving.monitor.adwin import Adwin
from serving.monitor.distances import Bins, Kernel, Sorted, ks, psi

# 4 bins, worked out by hand: 2 * (-0.05) * ln(0.8) + 2 * 0.05 * ln(1.2)
HAND = ([0.25, 0.25, 0.25, 0.25], [0.20, 0.30, 0.30, 0.20], 0.0405465)
# 3 bins: 0.1 * ln(0.6 / 0.5) - 0.1 * ln(0.2 / 0.3)
THREE = ([0.5, 0.3, 0.2], [0.6, 0.2, 0.2], 0.0587787)
# a bin that becomes empty counts as 0.0001
EMPTY = ([0.5, 0.5], [1.0, 0.0], 0.5 * np.log(2) + (1e-4 - 0.5) * np.log(2e-4))


@pytest.mark.parametrize(("expected", "actual", "value"), [HAND, THREE, EMPTY])
def test_psi_golden(expected, actual, value):
    assert psi(np.array(expected), np.array(actual)) == pytest.approx(value, rel=1e-5)


@given(hnp.arrays(np.float64, (2, 8), elements=st.floats(0.01, 1)))
def test_psi_is_both_relative_entropies(shares):
    e, a = shares / shares.sum(axis=1, keepdims=True)
    assert psi(e, a) == pytest.approx(entropy(a, e) + entropy(e, a), abs=1e-9)


small = hnp.arrays(np.float32, st.tuples(st.integers(1, 60), st.just(2)), elements=st.integers(-5, 5).map(float))


@given(small, small)
def test_ks_is_scipys(reference, traffic):
    found = ks(Sorted(reference).ranks(traffic))
    wanted = [ks_2samp(reference[:, k], traffic[:, k]).statistic for k in range(2)]
    assert found == pytest.approx(wanted, abs=1e-12)


def test_ks_of_continuous_values_with_gaps():
    rng = np.random.default_rng(0)
    reference, traffic = rng.normal(size=(500, 1)).astype("f4"), rng.normal(0.4, 2, size=(90, 1)).astype("f4")
    traffic[::7] = np.nan
    clean = traffic[np.isfinite(traffic)]
    assert ks(Sorted(reference).ranks(traffic))[0] == pytest.approx(ks_2samp(reference[:, 0], clean).statistic)


def test_columns_without_values_are_no_distance():
    reference = np.full((50, 1), np.nan, np.float32)
    assert ks(Sorted(reference).ranks(np.ones((5, 1), np.float32)))[0] == 0
    assert ks(Sorted(np.ones((5, 1), np.float32)).ranks(np.full((5, 1), np.nan, np.float32)))[0] == 0


def test_bins_tell_new_ranges_and_gaps_apart():
    rows = np.linspace(0, 1, 1000, dtype=np.float32)[:, None]
    bins = Bins(rows)
    numbers = bins.numbers(np.array([[-1], [0.05], [0.95], [2], [np.nan]], np.float32))[:, 0].tolist()
    assert len(set(numbers)) == 5
    shares = bins.shares(bins.numbers(rows))
    assert shares[0, 1:11] == pytest.approx(np.full(10, 0.1), abs=0.01)
    assert shares[0].sum() == pytest.approx(1)


def test_a_constant_column_that_moves_is_seen():
    rows = np.full((200, 1), 14.62, np.float32)
    bins = Bins(rows)
    same, moved = bins.shares(bins.numbers(rows)), bins.shares(bins.numbers(rows - np.float32(0.01)))
    assert psi(same, same)[0] == 0
    assert psi(same, moved)[0] > 5


def test_mmd_is_about_nothing_within_and_large_without():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(600, 5)) * [1, 10, 100, 1e-3, 1]
    kernel = Kernel(rows)

    def mmd(given):
        prepared = kernel.prepare(given)
        return kernel.mmd2(prepared, kernel.to_reference(prepared))

    same = rng.normal(size=(200, 5)) * [1, 10, 100, 1e-3, 1]
    assert abs(mmd(same)) < 0.01
    assert mmd(same + np.array([1, 0, 0, 0, 0])) > 0.03
    assert mmd(same * np.array([1, 1, 1, 3, 1])) > abs(mmd(same)) * 2


def test_mmd_of_two_gaussians_is_the_closed_form():
    """E k for the kernel exp(-d^2 / w) between normals of unit variance: sqrt(w / (w + 4)) exp(-m^2 / (w + 4))."""
    rng = np.random.default_rng(2)
    rows, traffic = rng.normal(size=(4000, 1)), rng.normal(1.0, 1, size=(2000, 1))
    kernel = Kernel(rows)
    prepared = kernel.prepare(traffic)
    w, shift = kernel.width, 1.0 / kernel.scale[0]
    closed = 2 * np.sqrt(w / (w + 4)) * (1 - np.exp(-(shift**2) / (w + 4)))
    assert kernel.mmd2(prepared, kernel.to_reference(prepared)) == pytest.approx(closed, rel=0.35)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("delta", [0.05, 0.002, 1e-6])
def test_adwin_is_rivers(seed, delta):
    drift = pytest.importorskip("river.drift", reason="river, the oracle, is not installed")
    rng = np.random.default_rng(seed)
    walk = np.clip(np.cumsum(rng.normal(0, 0.02, 800)) + 0.5, 0, 1)
    stream = np.concatenate([rng.beta(2, 5 + seed, 1200), rng.beta(2, 2, 700), walk])
    oracle, ours, cuts = drift.ADWIN(delta=delta), Adwin(delta), 0
    for value in stream.tolist():
        oracle.update(value)
        assert ours.update(value) == oracle.drift_detected
        assert ours.width == oracle.width
        assert ours.mean == pytest.approx(oracle.estimation, abs=1e-9)
        cuts += oracle.drift_detected
    assert cuts


def test_adwin_tells_rises_from_falls():
    rng = np.random.default_rng(0)
    for low, high, rose in ((0.2, 0.6, True), (0.6, 0.2, False)):
        adwin = Adwin()
        values = np.concatenate([rng.normal(low, 0.05, 500), rng.normal(high, 0.05, 500)])
        assert [adwin.rose for value in values if adwin.update(float(value))][:1] == [rose]


def test_words_that_change_their_shares_are_seen_however_rare():
    codes = np.repeat([1.0, 2.0, 3.0, 4.0], [900, 60, 30, 10])[:, None]
    swapped = np.where(codes == 3.0, 4.0, np.where(codes == 4.0, 3.0, codes))
    bins = Bins(codes)
    shares = bins.shares(bins.numbers(codes))
    assert psi(shares, bins.shares(bins.numbers(codes)))[0] == 0
    assert psi(shares, bins.shares(bins.numbers(swapped)))[0] == pytest.approx(2 * 0.02 * np.log(3), rel=1e-5)
