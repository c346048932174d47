"""Batches of an epoch: the order of windows in training, from the seed alone."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
SORT_BATCHES = 16  # batches whose windows are sorted by length together


def steps_per_epoch(index: Sized, batch_size: int, *, shuffle: bool = True) -> int:
    """Training batches of one epoch.

    All batches have the same size; the last ``len(index) % batch_size`` windows of an epoch's permutation
    wait for another epoch. Without ``shuffle`` the same ones would wait for ever: they make a last batch, filled
    up with windows that weigh nothing. Fewer windows than a batch make one batch of all of them.
    """
    return max(1, len(index) // batch_size if shuffle else -(-len(index) // batch_size))


def epoch_plan(
    lengths: Int,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    shuffle: bool = True,
    group_lengths: bool = False,
    labels: Int | None = None,
) -> Int:
    """Window numbers of every batch of one epoch; a pure function of its arguments.

    Args:
        lengths: real rows of each window, ``(windows,)``.
        batch_size: windows in a batch.
        seed: of the run.
        epoch: number of the epoch.
        shuffle: permute; otherwise in order, every window once, and the last batch is filled up to ``batch_size``
            with the first windows once more, written as ``~number`` (below 0): they weigh nothing.
        group_lengths: put windows of similar length into one batch, to pad less: windows are shuffled,
            sorted by length within 16 batches, and the batches shuffled again.
        labels: class number of each window: every batch gets equal class shares, rare windows again and
            again (in fresh permutations), lengths are then not grouped.

    Returns:
        int64 ``(steps, batch)``.
    """
    rng = np.random.default_rng([seed % 2**63, epoch])
    windows = len(lengths)
    batch = min(batch_size, windows)
    steps = steps_per_epoch(lengths, batch_size, shuffle=shuffle)
    if labels is not None:
        return _balanced(labels, steps, batch, rng)
    if not shuffle:
        return _in_order(windows, steps, batch_size)
    order = rng.permutation(windows)[: steps * batch]
    if group_lengths:
        chunk = np.arange(len(order)) // (SORT_BATCHES * batch)
        order = order[np.lexsort((lengths[order], chunk))]
        return order.reshape(steps, batch)[rng.permutation(steps)]
    return order.reshape(steps, batch)


def _in_order(windows: int, steps: int, batch: int) -> Int:
    """Every window once; what fills the last batch is written as ``~number``."""
    order = np.arange(windows)
    return np.concatenate([order, ~np.resize(order, steps * batch - windows)]).reshape(steps, batch)


def _balanced(labels: Int, steps: int, batch: int, rng: np.random.Generator) -> Int:
    classes = np.unique(labels)
    slots = np.arange(steps * batch) % len(classes)  # round robin: equal shares, whatever the batch size
    order = np.empty(steps * batch, np.int64)
    for number, label in enumerate(classes):
        members = np.flatnonzero(labels == label)
        mine = slots == number
        rounds = -(-int(mine.sum()) // len(members))
        order[mine] = np.concatenate([rng.permutation(members) for _ in range(max(1, rounds))])[: mine.sum()]
    return order.reshape(steps, batch)
