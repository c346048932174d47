"""What MiniRocket (``keras_seq.models.rocket_features``) draws before it sees a label: dilations, channels, biases.

Draws follow aeon's ``MiniRocket`` (and sktime's ``MiniRocketMultivariateVariable``) number by number, so that a seed
gives the same kernels there and here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 9  # taps of a kernel
KERNELS = 84  # ways to choose three of nine
MOST_CHANNELS = 9  # read by one kernel
GOLDEN = (np.sqrt(5) + 1) / 2

Array = NDArray[Any]


@dataclass(frozen=True)
class Kernels:
    """Kernels without their biases.

    Attributes:
        dilations: distances of taps, steps, ``(dilations,)``.
        counts: biases of each kernel per dilation, ``(dilations,)``.
        channels: 1 where a kernel reads a channel, ``(dilations, channels, 84)``.
        window: number of the training window whose convolution gives the biases, ``(dilations, 84)``.
        quantiles: of that convolution, per dilation ``(84, count)``.
    """

    dilations: NDArray[np.int64]
    counts: NDArray[np.int64]
    channels: NDArray[np.float32]
    window: NDArray[np.int64]
    quantiles: tuple[NDArray[np.float32], ...]


def taps() -> NDArray[np.float32]:
    """Weights of all kernels, ``(9, 84)``: 2 at each one's three places, -1 elsewhere."""
    weights = np.full((WIDTH, KERNELS), -1.0, np.float32)
    for kernel, places in enumerate(combinations(range(WIDTH), 3)):
        weights[list(places), kernel] = 2.0
    return weights


def spread_dilations(length: int, features: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dilations up to a kernel as wide as the sequence, and the biases that each kernel has at every one.

    Args:
        length: of a sequence, steps; at least 9.
        features: wanted; rounded down to a multiple of 84.
        most: dilations of a kernel.
    """
    each = max(features, KERNELS) // KERNELS
    tried = min(each, most)
    exponent = np.log2((length - 1) / (WIDTH - 1))
    dilations, counts = np.unique(np.logspace(0, exponent, tried, base=2).astype(np.int32), return_counts=True)
    counts = (counts * (each / tried)).astype(np.int64)
    for place in range(each - int(counts.sum())):
        counts[place % len(counts)] += 1
    return dilations.astype(np.int64), counts


def draw_kernels(seed: int, *, windows: int, channels: int, length: int, features: int, most: int) -> Kernels:
    """Draw what chance decides.

    Args:
        seed: of the experiment.
        windows: of the train part.
        channels: of a step.
        length: of the longest window, steps.
        features: see ``spread_dilations``.
        most: dilations of a kernel.
    """
    dilations, counts = spread_dilations(max(length, WIDTH), features, most)
    rng = np.random.RandomState(seed)
    exponent = np.log2(min(channels, MOST_CHANNELS) + 1)
    sizes = (2 ** rng.uniform(0, exponent, KERNELS * len(dilations))).astype(np.int64)
    reads = np.zeros((len(sizes), channels), np.float32)
    for row, size in zip(reads, sizes, strict=True):
        row[rng.choice(channels, size, replace=False)] = 1.0
    again = np.random.RandomState(seed)  # the second half of the draws has a generator of its own
    window = np.array([again.randint(windows) for _ in sizes]).reshape(len(dilations), KERNELS)
    quantiles, first = low_discrepancy(KERNELS * int(counts.sum())), 0
    shares = []
    for count in counts:
        shares.append(quantiles[first : first + KERNELS * count].reshape(KERNELS, count))
        first += KERNELS * count
    by_kernel = reads.reshape(len(dilations), KERNELS, channels).transpose(0, 2, 1)
    return Kernels(dilations, counts, by_kernel, window, tuple(shares))


def low_discrepancy(count: int) -> NDArray[np.float32]:
    """Shares that fill (0, 1) evenly however many are taken: multiples of the golden ratio."""
    return (np.arange(1, count + 1) * GOLDEN % 1).astype(np.float32)


def convolve(series: Array, dilation: int, weights: Array) -> Array:
    """One dilated convolution, zeros beyond the ends.

    Args:
        series: ``(steps,)``.
        dilation: distance of taps.
        weights: ``(9,)``.
    """
    padded = np.pad(series, WIDTH // 2 * dilation)
    taps = [padded[tap * dilation : tap * dilation + len(series)] for tap in range(WIDTH)]
    return np.tensordot(weights, np.stack(taps), axes=1)


def biases_of(kernels: Kernels, number: int, window: Array) -> list[tuple[int, int, Array]]:
    """Biases that one training window gives.

    Args:
        kernels: drawn.
        number: of the window.
        window: its channels, ``(steps, channels)``, own steps alone.

    Returns:
        Place of the dilation, kernel and biases ``(count,)`` of each kernel that drew this window.
    """
    found, weights = [], taps()
    for place, kernel in zip(*np.nonzero(kernels.window == number), strict=True):
        series = window @ kernels.channels[place, :, kernel]
        convolved = convolve(series, int(kernels.dilations[place]), weights[:, kernel])
        found.append((int(place), int(kernel), np.quantile(convolved, kernels.quantiles[place][kernel])))
    return found
