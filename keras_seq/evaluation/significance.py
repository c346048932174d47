"""Significance of a difference: intervals by bootstrap, paired tests, correction for many models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_seq.errors import DataError

Array = NDArray[np.float64]
Int = NDArray[np.int64]
FEWEST = 10  # clusters below which resampling them says nothing


# ---------------------------------------------------------------- resamples


def cluster_counts(clusters: int, resamples: int, rng: np.random.Generator) -> Array:
    """How often each of ``clusters`` is drawn in every resample of whole clusters, ``(resamples, clusters)``."""
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples).astype(np.float64)


def block_counts(steps: int, resamples: int, rng: np.random.Generator, *, block: int) -> Array:
    """The same for consecutive time steps, drawn in blocks that wrap around (Politis & Romano 1992).

    Errors of neighbouring steps are alike; blocks keep that likeness within a resample.

    Args:
        steps: number of time steps.
        resamples: number of resamples.
        rng: decides.
        block: steps of a block.
    """
    pieces = -(-steps // block)
    starts = rng.integers(0, steps, (resamples, pieces))
    drawn = ((starts[:, :, None] + np.arange(block)) % steps).reshape(resamples, -1)[:, :steps]
    flat = drawn + steps * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * steps).reshape(resamples, steps).astype(np.float64)


# ---------------------------------------------------------------- intervals


def percentile_interval(samples: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Bounds that leave ``(1 - level) / 2`` of the finite resamples on each side; NaN if none is finite."""
    values = np.asarray(samples, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bca_interval(samples: ArrayLike, estimate: float, left_out: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987).

    With ``z0 = Phi^-1(share of resamples below the estimate)`` and the acceleration
    ``a = sum(d^3) / (6 sum(d^2)^1.5)``, ``d`` the mean of the left-out estimates minus each, the bounds are
    the quantiles ``Phi(z0 + (z0 + z) / (1 - a (z0 + z)))`` for ``z = Phi^-1((1 -+ level) / 2)``.

    Args:
        samples: the number in every resample, ``(resamples,)``.
        estimate: the number on all data.
        left_out: the number with each cluster left out, ``(clusters,)``.
        level: coverage meant.

    Returns:
        Low and high; the percentile interval where the correction is not defined.
    """
    from scipy.stats import norm

    values, jackknife = np.asarray(samples, np.float64), np.asarray(left_out, np.float64)
    values, jackknife = values[np.isfinite(values)], jackknife[np.isfinite(jackknife)]
    below = float(np.mean(values < estimate) + np.mean(values == estimate) / 2) if len(values) else 0.0
    deviation = jackknife.mean() - jackknife if len(jackknife) else np.zeros(1)
    spread = float(np.sum(deviation**2))
    if not 0 < below < 1 or spread <= 0:
        return percentile_interval(values, level)
    bias, acceleration = norm.ppf(below), float(np.sum(deviation**3)) / (6 * spread**1.5)
    shifted = bias + norm.ppf([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(values, norm.cdf(bias + shifted / (1 - acceleration * shifted)))
    return float(low), float(high)


# ---------------------------------------------------------------- tests of two


@dataclass(frozen=True)
class Test:
    """Outcome of a paired test.

    Attributes:
        name: of the test.
        difference: first minus second, in the metric's (or loss's) unit.
        p_value: two-sided; 1 where the two are equal.
        low: lower 95 % bound of the difference.
        high: upper bound.
        error: standard error of the difference; NaN where it cannot be told.
        degrees: of Student's t; infinite: normal.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    name: str
    difference: float
    p_value: float
    low: float
    high: float
    error: float = float("nan")
    degrees: float = float("inf")


def student_test(name: str, difference: float, error: float, degrees: float, *, scale: float = 1.0) -> Test:
    """Student's test of a difference, and the 95 % interval that inverts it.

    Args:
        name: of the test.
        difference: first minus second.
        error: its standard error; NaN: nothing can be told, p-value and bounds are NaN.
        degrees: of freedom.
        scale: size of the numbers compared, beside which rounding is nothing.
    """
    nothing = 1e-12 * abs(scale)
    if error <= nothing:
        equal = abs(difference) <= nothing
        difference = 0.0 if equal else difference
        return Test(name, difference, 1.0 if equal else 0.0, difference, difference, 0.0, degrees)
    low, high = student_interval(difference, error, degrees, 0.05)
    return Test(name, difference, two_sided(difference, error, degrees), low, high, error, degrees)


def two_sided(difference: float, error: float, degrees: float) -> float:
    """Two-sided p-value of a difference with its standard error; NaN where there is none."""
    from scipy.stats import t as student

    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * student.sf(abs(difference) / error, degrees))


def student_interval(difference: float, error: float, degrees: float, level: float) -> tuple[float, float]:
    """The values that the test at ``level`` does not reject: it holds 0 exactly where the p-value is not below it."""
    from scipy.stats import t as student

    reach = float(student.isf(level / 2, degrees)) * error if error else 0.0
    return difference - reach, difference + reach


def paired_bootstrap(first: ArrayLike, second: ArrayLike, difference: float, clusters: float) -> Test:
    """Compare two models by the same resamples.

    The standard error is the deviation of the difference over the resamples, widened for few clusters as the usual
    estimate is; p-value and interval are Student's with it.

    Args:
        first: metric of one model in every resample, ``(resamples,)``.
        second: of the other, in the same resamples.
        difference: first minus second on all data.
        clusters: that were resampled; the degrees are one less.
    """
    first_values, second_values = np.asarray(first, np.float64), np.asarray(second, np.float64)
    gaps = first_values - second_values
    gaps = gaps[np.isfinite(gaps)]
    error = float(gaps.std(ddof=1)) * np.sqrt(clusters / (clusters - 1)) if len(gaps) > 1 and clusters > 1 else np.nan
    scale = float(np.nanmax(np.abs([first_values, second_values]), initial=0.0))
    return student_test("paired bootstrap", difference, error, max(clusters - 1, 1), scale=scale)


def diebold_mariano(first: ArrayLike, second: ArrayLike, *, horizon: int = 1, seed_variance: float = 0.0) -> Test:
    """Equal forecast accuracy (Diebold & Mariano 1995), corrected for few forecasts.

    With the loss difference ``d_t``, its mean ``m`` over ``n`` origins, autocovariances
    ``g_k = sum_t (d_t - m)(d_{t-k} - m) / n`` and horizon ``h``::

        DM  = m / sqrt((g_0 + 2 sum_{k=1}^{h-1} g_k) / n)
        HLN = DM * sqrt((n + 1 - 2h + h(h - 1)/n) / n)

    is held against Student's t with ``n - 1`` degrees (Harvey, Leybourne & Newbold 1997). Where the
    variance comes out negative, the autocovariances get Bartlett's weights ``1 - k/h``.

    Args:
        first: loss of one model at every origin in order of time, ``(origins,)``.
        second: of the other.
        horizon: steps ahead in units of the distance between two origins; forecasts overlap by one less.
        seed_variance: of the mean loss difference over trainings, where losses are means over seeds; added.

    Raises:
        DataError: fewer origins than twice the horizon, or than 3.
    """
    from scipy.stats import t as student

    gaps = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    count = len(gaps)
    if count < max(3, 2 * horizon):
        raise DataError(
            f"The Diebold-Mariano test of {horizon}-step forecasts needs at least {max(3, 2 * horizon)} origins, got "
            f"{count}. Use a longer test period or a shorter data.windows.stride."
        )
    mean = float(gaps.mean())
    if np.ptp(gaps) == 0 and not seed_variance:
        equal = mean == 0
        return Test("Diebold-Mariano", mean, 1.0 if equal else 0.0, mean, mean)
    deviation = gaps - mean
    covariance = np.array([deviation[lag:] @ deviation[: count - lag] / count for lag in range(horizon)])
    variance = (covariance[0] + 2 * covariance[1:].sum()) / count
    if variance <= 0:
        bartlett = 1 - np.arange(1, horizon) / horizon
        variance = (covariance[0] + 2 * bartlett @ covariance[1:]) / count
    correction = np.sqrt((count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count)
    error = float(np.sqrt(variance / correction**2 + seed_variance))
    reach = float(student.ppf(0.975, count - 1)) * error
    p_value = float(2 * student.sf(abs(mean) / error, count - 1))
    return Test("Diebold-Mariano", mean, p_value, mean - reach, mean + reach)


def delong(truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None) -> tuple[Array, Array]:
    """Areas under ROC curves on the same points and their covariance (DeLong et al. 1988).

    A positive's component is the share of negatives it outranks (ties half), from mid-ranks in
    ``O(n log n)`` (Sun & Xu 2014); a negative's likewise. Points of one cluster are not independent: their
    components are added up before the covariance is taken (Obuchowski 1997).

    Args:
        truth: 0/1 ``(points,)``.
        scores: ``(models, points)``; a third axis ``(models, replicates, points)`` averages the areas of
            replicates (seeds) of a model.
        clusters: cluster number of each point; none: every point is one.

    Returns:
        Areas ``(models,)`` and covariance ``(models, models)``.

    Raises:
        DataError: a class is missing, or lies within a single cluster.
    """
    positive = np.asarray(truth).ravel() > 0.5
    table = np.asarray(scores, np.float64)
    table = table[:, None] if table.ndim == 2 else table
    which = np.arange(len(positive)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    spread_over = [len(np.unique(which[chosen])) for chosen in (positive, ~positive)]
    if min(spread_over) < 2:
        raise DataError(
            f"DeLong's test needs both classes in at least two independent units each, got positives in "
            f"{spread_over[0]} and negatives in {spread_over[1]}. Judge a part with more units of both classes."
        )
    count, other = int(positive.sum()), int((~positive).sum())
    of_positive, of_negative = _components(positive, table)
    areas = of_positive.mean(1)
    own = _added_up(of_positive - areas[:, None], which[positive], which.max() + 1)
    far = _added_up(of_negative - areas[:, None], which[~positive], which.max() + 1)
    n_own, n_far, total = spread_over[0], spread_over[1], len(np.unique(which))
    covariance = own @ own.T * (n_own / (n_own - 1)) / count**2 + far @ far.T * (n_far / (n_far - 1)) / other**2
    if clusters is not None:
        mixed = own @ far.T
        covariance = covariance + (mixed + mixed.T) * (total / (total - 1)) / (count * other)
    return areas, covariance


def delong_test(
    truth: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    seed_variance: float = 0.0,
    degrees: float = float("inf"),
) -> Test:
    """Equal areas under the ROC curves of two models on the same points.

    Args:
        truth: 0/1 ``(points,)``.
        first: scores of one model, ``(points,)`` or ``(replicates, points)``.
        second: of the other.
        clusters: as in ``delong``.
        seed_variance: of the difference of mean areas over trainings; added.
        degrees: of Student's t; infinite: normal, as published.
    """
    first_scores, second_scores = (np.atleast_2d(np.asarray(score, np.float64)) for score in (first, second))
    areas = np.empty(2)
    if len(first_scores) == len(second_scores):
        areas, covariance = delong(truth, np.stack([first_scores, second_scores]), clusters)
    else:  # every replicate is a model; then average within each side
        single, inner = delong(truth, np.concatenate([first_scores, second_scores]), clusters)
        mix = np.zeros((2, len(single)))
        mix[0, : len(first_scores)], mix[1, len(first_scores) :] = 1 / len(first_scores), 1 / len(second_scores)
        areas, covariance = mix @ single, mix @ inner @ mix.T
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    variance = (variance if variance > 1e-18 else 0.0) + seed_variance
    return student_test("DeLong", difference, float(np.sqrt(variance)), degrees)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (Holm 1979): the chance of any false alarm stays below the level.

    ``adjusted_(i) = max_{j <= i} min(1, (m - j + 1) p_(j))``; NaN stays NaN and does not count.
    """
    values = np.asarray(p_values, np.float64)
    adjusted = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = values[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return [float(value) for value in adjusted]


def _components(positive: NDArray[np.bool_], scores: Array) -> tuple[Array, Array]:
    """Structural components ``(models, positives)`` and ``(models, negatives)``, replicates averaged."""
    from scipy.stats import rankdata

    count, other = int(positive.sum()), int((~positive).sum())
    together = rankdata(scores, axis=2)
    among_own = rankdata(scores[:, :, positive], axis=2)
    among_far = rankdata(scores[:, :, ~positive], axis=2)
    of_positive = (together[:, :, positive] - among_own) / other
    of_negative = 1 - (together[:, :, ~positive] - among_far) / count
    return of_positive.mean(1), of_negative.mean(1)


def _added_up(components: Array, cluster: Int, clusters: int) -> Array:
    """Sums ``(models, clusters)`` of components by cluster."""
    total = np.zeros((clusters, len(components)))
    np.add.at(total, cluster, components.T)
    return total.T
