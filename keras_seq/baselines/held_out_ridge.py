"""Ridge regression whose answers for left-out rows come in closed form: for few rows and very many columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PENALTIES = tuple(np.logspace(-3, 5, 13).tolist())  # two decades more than the Rocket papers try
BLOCKS = 10  # held out in turn where all rows are of a few units


@dataclass(frozen=True)
class HeldOutRidge:
    """A fitted ridge regression.

    Attributes:
        penalty: chosen.
        coefficients: ``(columns, outputs)``.
        intercept: ``(outputs,)``.
        held_out: answer for each row by the regression without its group, ``(rows, outputs)``.
        error: mean square of what it is apart from the truth, over rows by their weights, summed over outputs.
    """

    penalty: float
    coefficients: Array
    intercept: Array
    held_out: Array
    error: float


def held_out_groups(unit: NDArray[Any]) -> NDArray[np.int64]:
    """Rows that are left out together: those of a unit; of few units, blocks of rows that follow each other."""
    names, group = np.unique(unit, return_inverse=True)
    if len(names) >= BLOCKS:
        return group.astype(np.int64)
    return (np.arange(len(unit)) * BLOCKS // len(unit)).astype(np.int64)


def fit_held_out(
    inputs: Array, answers: Array, groups: NDArray[np.int64], weights: Array, penalties: tuple[float, ...] = PENALTIES
) -> HeldOutRidge:
    """Fit at every penalty, keep that of the least squared error on left-out groups.

    One decomposition of the rows' products serves all penalties and groups; time grows with the third power of rows.

    Args:
        inputs: ``(rows, columns)``.
        answers: ``(rows, outputs)``, of like scale.
        groups: rows with the same number are left out together, ``(rows,)``.
        weights: of rows, above 0, ``(rows,)``.
        penalties: tried; smallest first.
    """
    root = np.sqrt(weights)[:, None]
    share = weights / weights.sum()
    centre, level = share @ inputs, share @ answers
    rows, targets = root * (inputs - centre), root * (answers - level)
    values, vectors = np.linalg.eigh(rows @ rows.T)
    values = np.maximum(values, 0.0)
    moved = vectors.T @ targets
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    constant = np.sqrt(share)

    def without(penalty: float) -> Array:
        """Answers less targets of rows whose group was left out, in the targets' own scale."""
        left = penalty / (values + penalty)
        residual = vectors @ (left[:, None] * moved)
        if len(members) == len(groups):
            room = (vectors**2) @ left - share
            return -residual / room[:, None] / root
        errors = np.empty_like(residual)
        for chosen in members:
            part = vectors[chosen]
            room = (part * left) @ part.T - np.outer(constant[chosen], constant[chosen])
            errors[chosen] = -np.linalg.solve(room, residual[chosen])
        return errors / root

    errors = {penalty: without(penalty) for penalty in penalties}
    losses = {penalty: float(share @ (apart**2).sum(1)) for penalty, apart in errors.items()}
    best = min(penalties, key=losses.__getitem__)
    dual = vectors @ (moved / (values + best)[:, None])
    coefficients = rows.T @ dual
    return HeldOutRidge(best, coefficients, level - centre @ coefficients, answers + errors[best], losses[best])
