"""How often paired tests of two models that are equal in law raise a false alarm, and how often they find a real one.

Usage: python scripts/paired_levels.py [--tables 1000]

Every table holds the squared errors of two models over time; errors depend on their neighbours as named, and the models
are equal in law (level) or one errs 20 % more (power). Rates are of 5 % tests; prints Markdown.

- as published: Diebold-Mariano of one step with the correction of Harvey, Leybourne and Newbold;
- HAC: Newey-West with the automatic bandwidth of Andrews (1991), as statsmodels and forecasting packages offer;
- blocks: circular block bootstrap with the automatic block length of Politis & White (2004; corrected 2009);
- fixed: as many slow cosines as 2 n^(1/3) (Coroneo & Iacone 2020), whatever the dependence;
- ours: slow cosines, their number by the data; "-" is the share of tables in which it says that nothing can be told.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from keras_seq.evaluation.dependence import autocorrelation, cosine_terms, sum_variance
from keras_seq.evaluation.significance import diebold_mariano, two_sided
from tests.factories.errors import autoregressive, moving_average

Draw = Callable[[np.random.Generator, int], np.ndarray]
RESAMPLES = 499


def with_several(draw: Draw, units: int) -> Draw:
    """Mean loss of units that share half of their errors."""

    def losses(rng: np.random.Generator, steps: int) -> np.ndarray:
        shared = draw(rng, steps)
        return np.mean([(shared + draw(rng, steps)) ** 2 for _ in range(units)], axis=0)

    return losses


def squared(draw: Draw) -> Draw:
    """Squared errors."""
    return lambda rng, steps: draw(rng, steps) ** 2


LOSSES: dict[str, Draw] = {
    "independent": squared(autoregressive(0.0)),
    "AR 0.5": squared(autoregressive(0.5)),
    "AR 0.9": squared(autoregressive(0.9)),
    "AR 0.97": squared(autoregressive(0.97)),
    "AR 0.9, t(3)": squared(autoregressive(0.9, heavy=True)),
    "MA 12": squared(moving_average(12)),
    "season 24, 0.8": squared(autoregressive(0.8, lag=24)),
    "AR 0.9, 4 units": with_several(autoregressive(0.9), 4),
}
STEPS = (100, 500, 2000)


def as_published(gaps: np.ndarray) -> float:
    """P-value of Diebold-Mariano for one step."""
    return diebold_mariano(gaps, np.zeros(len(gaps))).p_value


def newey_west(gaps: np.ndarray) -> float:
    """P-value with Bartlett's weights and Andrews' bandwidth by an autoregression of order one."""
    count, deviation = len(gaps), gaps - gaps.mean()
    first = float(np.clip(autocorrelation(gaps, 1)[0], -0.97, 0.97))
    width = 1.1447 * (4 * first**2 / ((1 - first) ** 2 * (1 + first) ** 2) * count) ** (1 / 3)
    lags = min(int(width), count - 1)
    covariance = np.array([deviation[lag:] @ deviation[: count - lag] / count for lag in range(lags + 1)])
    weights = 2 * (1 - np.arange(lags + 1) / (lags + 1))
    weights[0] = 1
    return two_sided(float(gaps.mean()), float(np.sqrt(weights @ covariance / count)), count - 1)


def block_length(gaps: np.ndarray) -> int:
    """Politis & White's automatic length of circular blocks."""
    count = len(gaps)
    run = max(5, int(np.ceil(np.sqrt(np.log10(count)))))
    most = int(np.ceil(np.sqrt(count))) + run
    likeness = autocorrelation(gaps, most)
    small = np.abs(likeness) < 2 * np.sqrt(np.log10(count) / count)
    quiet = [lag for lag in range(most - run + 1) if small[lag : lag + run].all()]
    reach = 2 * max(quiet[0] if quiet else int(np.flatnonzero(~small).max()) + 1, 1)
    lags = np.arange(-min(reach, most), min(reach, most) + 1)
    covariance = np.append(1.0, likeness)[np.abs(lags)] * gaps.var()
    taper = np.clip(2 * (1 - np.abs(lags) / reach), 0, 1)
    bias, spectrum = (taper * np.abs(lags) * covariance).sum(), (taper * covariance).sum()
    length = (2 * bias**2 / (4 / 3 * spectrum**2)) ** (1 / 3) * count ** (1 / 3)
    return int(np.clip(round(length), 1, min(3 * np.sqrt(count), count / 3)))


def block_bootstrap(gaps: np.ndarray, rng: np.random.Generator) -> float:
    """P-value by the share of resamples beyond 0."""
    count, length = len(gaps), block_length(gaps)
    sums = np.convolve(np.append(gaps, gaps[: length - 1]), np.ones(length), "valid")
    means = sums[rng.integers(0, count, (RESAMPLES, max(count // length, 1)))].mean(1) / length
    beyond = min((means <= 0).sum(), (means >= 0).sum())
    return min(1.0, 2 * (beyond + 1) / (RESAMPLES + 1))


def slow_cosines(gaps: np.ndarray, terms: int) -> float:
    """P-value from a number of cosines; NaN for none."""
    if not terms:
        return float("nan")
    return two_sided(float(gaps.mean()), float(np.sqrt(sum_variance(gaps, terms))) / len(gaps), terms)


def p_values(gaps: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Of every test, in the order of the table."""
    fixed = 2 * int(len(gaps) ** (1 / 3))
    return [
        as_published(gaps),
        newey_west(gaps),
        block_bootstrap(gaps, rng),
        slow_cosines(gaps, fixed),
        slow_cosines(gaps, cosine_terms(gaps)),
    ]


def rows(tables: int) -> Iterator[str]:
    """The table, line by line."""
    yield "| errors | times | as published | HAC | blocks | fixed | ours | - | power of fixed | of ours |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, draw in LOSSES.items():
        for steps in STEPS:
            rng = np.random.default_rng(steps)
            pairs = [(draw(rng, steps), draw(rng, steps)) for _ in range(tables)]
            level = np.array([p_values(one - two, rng) for one, two in pairs])
            power = [[p_values(one - 1.44 * two, rng)[at] for at in (3, 4)] for one, two in pairs[: tables // 2]]
            rates = [f"{rate:.3f}" for rate in np.mean(level < 0.05, axis=0)]
            found = [f"{rate:.2f}" for rate in np.mean(np.array(power) < 0.05, axis=0)]
            yield f"| {' | '.join([name, str(steps), *rates, f'{np.isnan(level[:, -1]).mean():.2f}', *found])} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=1000, help="of every row (1000)")
    for line in rows(parser.parse_args().tables):
        print(line, flush=True)


if __name__ == "__main__":
    main()
