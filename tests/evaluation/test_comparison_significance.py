from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference

from keras_seq.errors import DataError
from keras_seq.evaluation import measures, significance
from keras_seq.evaluation.significance import bca_interval, block_counts, cluster_counts, delong, delong_test

RNG = np.random.default_rng(5)


def scored(points: int = 120, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth = (RNG.random(points) < 0.3).astype(float)
    common = signal * truth + RNG.normal(size=points)
    return truth, common + 0.5 * RNG.normal(size=points), common + 0.8 * RNG.normal(size=points)


# ---------------------------------------------------------------- metrics of resamples


def resampled_by_hand(metric, truth, prediction, cluster, counts):
    points = np.concatenate([np.repeat(np.flatnonzero(cluster == c), int(n)) for c, n in enumerate(counts)])
    return metric(truth[points], prediction[points])


@pytest.mark.parametrize(
    ("measure", "metric"),
    [
        (measures.RMSE, reference.root_mean_squared_error),
        (measures.MAE, reference.mean_absolute_error),
        (measures.AUC_ROC, reference.roc_auc_score),
        (measures.AUC_PR, reference.average_precision_score),
        (measures.BRIER, reference.brier_score_loss),
    ],
)
def test_weights_stand_for_repeated_points(measure, metric) -> None:
    truth = (RNG.random(60) < 0.4).astype(float)
    prediction = np.round(RNG.random(60), 1)  # ties
    cluster = np.repeat(np.arange(20), 3)
    counts = cluster_counts(20, 15, np.random.default_rng(0))
    found = measure.resampled(truth, prediction, cluster, counts)
    expected = [resampled_by_hand(metric, truth, prediction, cluster, row) for row in counts]
    np.testing.assert_allclose(found, expected)
    assert measure.of(truth, prediction) == pytest.approx(metric(truth, prediction))


def test_measures_of_classes() -> None:
    truth, table = RNG.integers(0, 3, 50).astype(float), RNG.dirichlet(np.ones(3), 50)
    assert measures.ACCURACY.of(truth, table) == np.mean(table.argmax(1) == truth)
    assert measures.LOG_LOSS.of(truth, table) == pytest.approx(reference.log_loss(truth, table))


def test_an_auc_of_one_class_is_not_a_number() -> None:
    found = measures.AUC_ROC.resampled(
        np.array([0.0, 1.0]), np.array([0.1, 0.9]), np.arange(2), np.array([[2.0, 0.0], [1.0, 1.0]])
    )
    assert np.isnan(found[0]) and found[1] == 1.0


def test_forecast_errors_average_over_steps_and_targets() -> None:
    truth, prediction = RNG.normal(size=(2, 12, 6))
    assert measures.RMSE.of(truth, prediction) == pytest.approx(np.sqrt(np.mean((truth - prediction) ** 2)))


# ---------------------------------------------------------------- resamples and intervals


def test_resamples_keep_their_size() -> None:
    rng = np.random.default_rng(0)
    assert (cluster_counts(17, 50, rng).sum(1) == 17).all()
    counts = block_counts(23, 50, rng, block=5)
    assert (counts.sum(1) == 23).all()
    assert counts.mean() == pytest.approx(1)


def test_blocks_see_the_likeness_of_neighbours() -> None:
    noise = RNG.normal(size=2000)
    series = np.convolve(noise, np.ones(8), mode="valid")
    rng = np.random.default_rng(1)
    single = (cluster_counts(len(series), 400, rng) @ series / len(series)).std()
    blocks = (block_counts(len(series), 400, rng, block=40) @ series / len(series)).std()
    assert single == pytest.approx(series.std() / np.sqrt(len(series)), rel=0.15)
    assert blocks == pytest.approx(8 / np.sqrt(len(series)), rel=0.3)  # what the sum of 8 noises has in truth


def test_bca_agrees_with_scipy() -> None:
    values = RNG.lognormal(size=60)
    counts = cluster_counts(60, 20_000, np.random.default_rng(0))
    left_out = (values.sum() - values) / 59
    found = bca_interval(counts @ values / 60, values.mean(), left_out)
    expected = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_bca_without_spread_is_the_percentile_interval() -> None:
    assert bca_interval([1.0, 1.0, 1.0], 1.0, [1.0, 1.0]) == (1.0, 1.0)
    assert np.isnan(bca_interval([np.nan], 1.0, [1.0])).all()


def test_paired_bootstrap_finds_a_difference_and_none() -> None:
    counts = cluster_counts(100, 2000, np.random.default_rng(0))
    noise = RNG.normal(size=100)
    loss = counts @ (noise + 0.5 * RNG.normal(size=100)) / 100
    worse = loss + counts @ (0.4 + 0.5 * RNG.normal(size=100)) / 100
    found = significance.paired_bootstrap(worse, loss, 0.4, 100)
    assert found.p_value < 1e-6 and found.low > 0
    assert significance.paired_bootstrap(loss, loss, 0.0, 100).p_value == 1.0
    centred = loss - loss.mean()
    assert significance.paired_bootstrap(centred, np.zeros(2000), 0.0, 100).p_value > 0.9


# ---------------------------------------------------------------- Diebold-Mariano


def test_diebold_mariano_one_step_is_the_paired_t_test() -> None:
    first, second = RNG.normal(size=(2, 25)) ** 2
    found = significance.diebold_mariano(first, second)
    expected = stats.ttest_rel(first, second)
    assert found.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("horizon", [2, 4])
def test_diebold_mariano_agrees_with_statsmodels_up_to_the_correction(horizon: int) -> None:
    import statsmodels.api as sm

    noise = RNG.normal(size=63)
    gaps = noise[:-3] + noise[1:-2] + noise[2:-1] + noise[3:] + 0.5
    found = significance.diebold_mariano(gaps, np.zeros(60), horizon=horizon)
    settings = {"maxlags": horizon - 1, "kernel": "uniform", "use_correction": False}
    raw = sm.OLS(gaps, np.ones(60)).fit(cov_type="HAC", cov_kwds=settings).tvalues[0]
    corrected = raw * np.sqrt((60 + 1 - 2 * horizon + horizon * (horizon - 1) / 60) / 60)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(corrected), 59))


def test_diebold_mariano_of_equal_forecasts() -> None:
    loss = RNG.normal(size=20) ** 2
    assert significance.diebold_mariano(loss, loss).p_value == 1.0


def test_diebold_mariano_survives_a_negative_variance() -> None:
    gaps = np.tile([1.0, -0.9], 10)  # autocovariance of -1 at lag 1
    assert 0 < significance.diebold_mariano(gaps, np.zeros(20), horizon=2).p_value < 1


def test_diebold_mariano_needs_origins() -> None:
    with pytest.raises(DataError, match=r"12-step forecasts needs at least 24 origins, got 20"):
        significance.diebold_mariano(np.ones(20), np.zeros(20), horizon=12)


# ---------------------------------------------------------------- DeLong


def delong_by_definition(truth, scores):
    positive, negative = scores[:, truth == 1], scores[:, truth == 0]
    wins = (positive[:, :, None] > negative[:, None]) + 0.5 * (positive[:, :, None] == negative[:, None])
    return wins.mean((1, 2)), np.cov(wins.mean(2)) / positive.shape[1] + np.cov(wins.mean(1)) / negative.shape[1]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 4)), min_size=4, max_size=40))
def test_fast_delong_is_delong(points) -> None:
    truth = np.array([p[0] for p in points], float)
    scores = np.array([p[1:] for p in points], float).T
    if min(truth.sum(), (1 - truth).sum()) < 2:
        with pytest.raises(DataError, match="at least two independent units"):
            delong(truth, scores)
        return
    areas, covariance = delong(truth, scores)
    expected, spread = delong_by_definition(truth, scores)
    np.testing.assert_allclose(areas, expected, atol=1e-12)
    np.testing.assert_allclose(covariance, spread, atol=1e-12)


def test_delong_agrees_with_the_bootstrap() -> None:
    truth, first, second = scored(400)
    counts = cluster_counts(400, 3000, np.random.default_rng(0))
    everyone = np.arange(400)
    one, two = (measures.AUC_ROC.resampled(truth, score, everyone, counts) for score in (first, second))
    areas, covariance = delong(truth, np.stack([first, second]))
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert np.std(one - two) == pytest.approx(error, rel=0.08)
    test = delong_test(truth, first, second)
    assert test.difference == pytest.approx(areas[0] - areas[1])
    assert (test.low, test.high) == pytest.approx(
        significance.percentile_interval(one - two), abs=0.25 * (test.high - test.low)
    )


def test_clustered_delong_agrees_with_the_cluster_bootstrap() -> None:
    clusters = np.repeat(np.arange(100), 4)
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.random(100) < 0.4, 4).astype(float)  # all of a cluster alike, and so are their scores
    shift = rng.normal(size=100)[clusters]
    score = truth + shift + 0.3 * rng.normal(size=400)
    other = truth + rng.normal(size=400)
    counts = cluster_counts(100, 3000, np.random.default_rng(0))
    samples = [measures.AUC_ROC.resampled(truth, s, clusters, counts) for s in (score, other)]
    _, covariance = delong(truth, np.stack([score, other]), clusters)
    _, independent = delong(truth, np.stack([score, other]))
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), np.std(samples, axis=1), rtol=0.12)
    assert covariance[0, 0] > 2 * independent[0, 0]


def test_delong_of_replicates_averages_their_areas() -> None:
    truth, first, second = scored()
    third = first + 0.3 * RNG.normal(size=len(first))
    both = np.mean([reference.roc_auc_score(truth, s) for s in (first, third)])
    expected = both - reference.roc_auc_score(truth, second)
    assert delong_test(truth, [first, third], second).difference == pytest.approx(expected)
    assert delong_test(truth, [first, third], [second, second]).difference == pytest.approx(expected)
    assert delong_test(truth, [first, third], [second, second]).p_value == pytest.approx(
        delong_test(truth, [first, third], second).p_value
    )


def test_delong_of_the_same_scores() -> None:
    truth, first, _ = scored()
    assert delong_test(truth, first, 2 * first).p_value == 1.0


# ---------------------------------------------------------------- many


def test_holm_agrees_with_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p_values = [0.01, 0.04, 0.03, 0.005, 0.9]
    assert significance.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    with_gap = significance.holm([0.02, float("nan"), 0.03])
    assert with_gap[0] == with_gap[2] == pytest.approx(0.04) and np.isnan(with_gap[1])
    assert significance.holm([]) == []
