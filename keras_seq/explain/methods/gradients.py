"""Integrated gradients, expected gradients, gradient times input: one compiled function, other places on the path.

* Integrated gradients (Sundararajan, Taly and Yan, 2017): from each background to the sample along a straight line,
  by Gauss-Legendre nodes; the mean over the backgrounds. Where a sample's attributions do not add up yet, nodes are
  doubled on the paths that miss their own difference; the error that is left is reported sample by sample.
* Expected gradients (Erion et al., 2021): one random place a background, the same expectation with noise.
* Gradient times input: the gradient at the sample times its distance from the mean background.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ConfigError
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.registry import needs_gradient, register

if TYPE_CHECKING:
    from keras_seq.explain.masked_model import MaskedModel

TOLERANCE = 0.005  # of the range of answers
FIRST_NODES, MOST_NODES = 4, 512  # kinks (relu, maxima) need many, on the few paths that cross them
ROWS_AT_ONCE = 2**27  # bytes of rows prepared at a time


@register(check=needs_gradient, rank=1, main=1)
def integrated_gradients(
    masked: MaskedModel, *, nodes: int | None = None, tolerance: float = TOLERANCE, most_nodes: int = MOST_NODES
) -> Attribution:
    """Integrated gradients over all backgrounds.

    Args:
        masked: samples, backgrounds and model.
        nodes: of every path; None: doubled from 4 until the attributions add up.
        tolerance: largest ``|base + sum - prediction|``, as a share of the range of answers.
        most_nodes: give up doubling here; the error is then reported as it is.

    Returns:
        Additive attributions; ``details`` holds nodes and completeness error by sample.

    Raises:
        ModelError: the model's answer moves in steps.
        ConfigError: less than one node.
    """
    masked.explained.require_gradient("integrated_gradients")
    if nodes is not None and nodes < 1:
        raise ConfigError(f"'nodes' is {nodes}; a path needs at least 1.")
    start = time.perf_counter()
    count = len(masked.samples)
    values: list[NDArray[np.float64]] = [np.zeros(0)] * count
    error, used = np.zeros(count), np.zeros(count)
    ladder = [nodes] if nodes is not None else [FIRST_NODES]
    while nodes is None and ladder[-1] < most_nodes:
        ladder.append(2 * ladder[-1])
    with masked.ticker.stage("integrated gradients", count) as tick:
        for batch in _batches(masked, np.arange(count)):
            totals, error[batch], used[batch] = _complete(masked, batch, ladder, tolerance)
            for k, one in zip(batch, totals, strict=True):
                values[k] = one
            tick(len(batch))
    return masked.attribution(
        list(values),
        "integrated_gradients",
        additive=True,
        nodes=used.tolist(),
        completeness_error=error.tolist(),
        tolerance=tolerance,
        seconds=time.perf_counter() - start,
    )


def _complete(
    masked: MaskedModel, batch: NDArray[np.int64], ladder: list[int], tolerance: float
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64], NDArray[np.float64]]:
    """Attributions of samples of one width, their errors, and the mean number of nodes on their paths.

    Every path knows what it must add up to, so only the paths that miss it are walked again with twice the nodes.
    """
    paths: list[NDArray[Any]] = [np.zeros(0)] * len(batch)
    goals = [masked.predictions[k] - masked.base_answers[k] for k in batch]
    nodes = [np.zeros(len(goal)) for goal in goals]
    todo = {i: np.arange(len(goal)) for i, goal in enumerate(goals)}
    for now in ladder:
        places, weights = gauss_legendre(now)
        for i, integrals in _walk(masked, batch, todo, places, weights):
            if not len(paths[i]):
                paths[i] = integrals
            else:
                paths[i][todo[i]] = integrals
            nodes[i][todo[i]] = now
        misses = [path.sum(axis=(1, 2), dtype=np.float64) - goal for path, goal in zip(paths, goals, strict=True)]
        allowed = tolerance * masked.output_range
        todo = {i: _worst(misses[i], allowed) for i in todo if abs(misses[i].mean()) > allowed}
        if not todo:
            break
    error = np.array([abs(miss.mean()) for miss in misses]) / masked.output_range
    return [path.mean(0, dtype=np.float64) for path in paths], error, np.array([n.mean() for n in nodes])


def _worst(misses: NDArray[np.float64], allowed: float) -> NDArray[np.int64]:
    """Paths to walk again: those that leave the others together at most half of what is allowed."""
    order = np.argsort(np.abs(misses))
    left = np.cumsum(np.abs(misses[order])) / len(misses) <= 0.5 * allowed
    return np.sort(order[~left])


def _walk(
    masked: MaskedModel,
    batch: NDArray[np.int64],
    todo: dict[int, NDArray[np.int64]],
    places: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Integrals along the paths from some backgrounds ``todo`` of each sample: ``(backgrounds, width, features)``."""
    size = max(1, ROWS_AT_ONCE // (masked.beside(int(batch[0]))[0].nbytes * places.shape[1]))
    pending: list[int] = []
    for i in (*todo, None):
        if i is not None:
            pending.append(i)
            if sum(len(todo[j]) for j in pending) < size and i != list(todo)[-1]:
                continue
        if not pending:
            continue
        rows = [_rows(masked, int(batch[j]), todo[j], places) for j in pending]
        products = masked.explained.path_gradients(*(np.concatenate(parts) for parts in zip(*rows, strict=True)))
        products = np.einsum(
            "bntf,n->btf", products.reshape(-1, len(weights), *products.shape[1:]), weights.astype(np.float32)
        )
        low = 0
        for j in pending:
            yield j, products[low : low + len(todo[j])]
            low += len(todo[j])
        pending = []


@register(check=needs_gradient, rank=2)
def expected_gradients(masked: MaskedModel, *, places: int = 1, seed: int = 0) -> Attribution:
    """Expected gradients: ``places`` random places on the way from every background.

    Additive on average only: its error falls with the square root of backgrounds times places.

    Raises:
        ModelError: the model's answer moves in steps.
    """
    masked.explained.require_gradient("expected_gradients")
    rng = np.random.default_rng(seed)

    def explain(k: int) -> NDArray[np.float64]:
        shares = rng.random((len(masked.beside(k)), places))
        rows = _rows(masked, k, np.arange(len(shares)), shares)
        return masked.explained.path_gradients(*rows).mean(0, dtype=np.float64)

    return masked.attribute_each("expected_gradients", explain, additive=False, places=places, seed=seed)


@register(check=needs_gradient, rank=3)
def gradient_times_input(masked: MaskedModel) -> Attribution:
    """The gradient at the sample times its distance from the backgrounds' mean: quick, local, not additive.

    Raises:
        ModelError: the model's answer moves in steps.
    """
    masked.explained.require_gradient("gradient_times_input")
    start = time.perf_counter()
    values: list[NDArray[np.float64]] = []
    for k in range(len(masked.samples)):
        other = masked.beside(k).mean(0, keepdims=True)
        products = masked.explained.path_gradients(
            masked.sample(k)[None],
            other,
            np.ones(1, np.float32),
            masked.samples.lengths[k : k + 1],
            masked.select[k : k + 1],
        )
        values.append(products[0].astype(np.float64))
    return masked.attribution(values, "gradient_times_input", additive=False, seconds=time.perf_counter() - start)


def gauss_legendre(nodes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places in (0, 1) as ``(1, nodes)`` and their weights ``(nodes,)``, which sum to 1."""
    place, weight = np.polynomial.legendre.leggauss(nodes)
    return ((place + 1) / 2)[None], weight / 2


def _rows(
    masked: MaskedModel, k: int, backgrounds: NDArray[np.int64], shares: NDArray[np.float64]
) -> tuple[NDArray[Any], ...]:
    """All places on the paths from some backgrounds of one sample: what ``path_gradients`` takes."""
    windows, places = masked.beside(k)[backgrounds], shares.shape[1]
    count = len(windows) * places
    sample = np.broadcast_to(masked.sample(k), (count, *windows.shape[1:]))
    share = np.broadcast_to(shares, (len(windows), places)).reshape(-1).astype(np.float32)
    lengths = np.full(count, masked.samples.lengths[k], np.int32)
    select = np.tile(masked.select[k], (count, 1))
    return sample, np.repeat(windows, places, axis=0), share, lengths, select


def _batches(masked: MaskedModel, numbers: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Samples of equal width whose paths fit into ``ROWS_AT_ONCE`` together."""
    for width in np.unique(masked.width[numbers]):
        mine = numbers[masked.width[numbers] == width]
        each = len(masked.beside(int(mine[0]))) * int(width) * len(masked.explained.spec.features) * 4
        size = max(1, ROWS_AT_ONCE // max(each, 1))
        for low in range(0, len(mine), size):
            yield mine[low : low + size]
