"""Dividing units into parts or folds without breaking groups, with equal class shares where asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]


def share_blocks(
    groups: Int, amounts: list[float], rng: np.random.Generator, *, labels: Int | None = None, by_group: bool = False
) -> Int:
    """Give every unit a part number: 0 for the rest, ``1 ...`` for each of ``amounts``.

    Args:
        groups: group number of each unit, ``(units,)``; a group is never divided.
        amounts: share (< 1) or count (>= 1) of units that each part should get.
        rng: decides; equal generators give equal parts.
        labels: class number of each unit: every part gets the same class shares.
        by_group: amounts are of groups, not of units.

    Returns:
        int64 ``(units,)``.
    """
    total = len(np.unique(groups)) if by_group else len(groups)
    counts = [min(total, _count(amount, total)) for amount in amounts]
    shares = np.array([max(0, total - sum(counts)), *counts], np.float64)
    return _assign(groups, shares / max(shares.sum(), 1), rng, labels, by_group)


def fold_blocks(
    groups: Int, folds: int, rng: np.random.Generator, *, labels: Int | None = None, by_group: bool = False
) -> Int:
    """Give every unit a fold number ``0 .. folds - 1``, folds as equal as groups (and classes) allow."""
    return _assign(groups, np.full(folds, 1 / folds), rng, labels, by_group)


def _count(amount: float, total: int) -> int:
    if amount >= 1:
        return int(amount)
    return max(1, round(amount * total)) if amount > 0 else 0


def _assign(
    groups: Int, shares: NDArray[np.float64], rng: np.random.Generator, labels: Int | None, by_group: bool
) -> Int:
    block_of = np.unique(groups, return_inverse=True)[1].reshape(-1)
    n_blocks = int(block_of.max()) + 1 if len(block_of) else 0
    content: NDArray[np.float64]
    if labels is not None:
        classes, label = np.unique(labels, return_inverse=True)
        label = label.reshape(-1)
        if n_blocks == len(groups):
            return _per_class(label, shares, rng)
        content = np.zeros((n_blocks, len(classes)))
        np.add.at(content, (block_of, label), 1)
    else:
        sizes = np.ones(n_blocks) if by_group else np.bincount(block_of, minlength=n_blocks).astype(np.float64)
        content = sizes.reshape(-1, 1)
    if len(np.unique(content, axis=0)) <= 1:
        part = _cut(rng.permutation(n_blocks), shares)
    else:
        part = _greedy(content, shares, rng)
    return _none_empty(part, shares, content.sum(axis=1))[block_of]


def _cut(order: Int, shares: NDArray[np.float64]) -> Int:
    """Cut a permutation into consecutive pieces of the given shares."""
    borders = np.round(np.cumsum(shares)[::-1][1:][::-1] * len(order)).astype(np.int64)
    part = np.empty(len(order), np.int64)
    part[order] = np.searchsorted(borders, np.arange(len(order)), side="right")
    return part


def _none_empty(part: Int, shares: NDArray[np.float64], sizes: NDArray[np.float64]) -> Int:
    """Give a part that was to get something, but less than half a block, the smallest block of the fullest part."""
    for number in np.flatnonzero(shares > 0):
        counts = np.bincount(part, minlength=len(shares))
        if counts[number] or counts.max() < 2:
            continue
        members = np.flatnonzero(part == counts.argmax())
        part[members[sizes[members].argmin()]] = number
    return part


def _per_class(label: Int, shares: NDArray[np.float64], rng: np.random.Generator) -> Int:
    """Exact strata: cut every class by itself; the largest remainders decide its last examples."""
    part = np.empty(len(label), np.int64)
    for number in range(int(label.max()) + 1):
        members = rng.permutation(np.flatnonzero(label == number))
        wanted = shares * len(members)
        count = np.floor(wanted).astype(np.int64)
        left = len(members) - count.sum()
        # the largest remainders first; a part that would get no example of the class before all
        rank = np.lexsort((rng.random(len(shares)), count - wanted, count > 0))
        open_parts = rank[shares[rank] > 0]
        count[open_parts[:left]] += 1
        part[members] = np.repeat(np.arange(len(shares)), count)
    return part


def _greedy(content: NDArray[np.float64], shares: NDArray[np.float64], rng: np.random.Generator) -> Int:
    """Deal blocks, the largest first, to the part that lacks most of what the block holds.

    Parts are compared by the share of their wanted count still missing, so that all fill at the same pace
    whatever their size; classes count alike, whatever theirs.
    """
    total = np.maximum(content.sum(axis=0), 1)
    order = np.lexsort((rng.random(len(content)), -content.sum(axis=1)))
    have, part = np.zeros((len(shares), content.shape[1])), np.empty(len(content), np.int64)
    wanted = np.maximum(shares[:, None] * total, 1e-9)
    for block in order:
        lack = ((1 - (have + content[block] / 2) / wanted) * (content[block] / total)).sum(axis=1)
        lack[shares <= 0] = -np.inf
        part[block] = int(np.argmax(lack))
        have[part[block]] += content[block]
    return part
