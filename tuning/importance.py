"""Importance of the searched fields: the variance of the score, split among them (fANOVA).

After functional ANOVA on a random forest (Hutter, Hoos & Leyton-Brown 2014, An efficient approach for assessing
hyperparameter importance). Here the forest is averaged over the values that were tried, every field on its own, and
not over boxes of its leaves, so that choices and conditional fields need no special case: that a field was absent is
one of its values. Totals by Jansen's (1999) estimator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuning.history import fields, sane_limit, scored
from tuning.records import Record, Study
from tuning.scales import scale_of, table

ENOUGH = 10  # trials
SEVERAL = 4  # trials of one budget, below which their ranks say nothing
TREES = 200
DRAWS = 2048
WEAK = 0.2  # out-of-bag R^2 under which a ranking is guesswork


@dataclass(frozen=True)
class FieldImportance:
    """Shares of the score's variance by field, and how well the forest explains it.

    Attributes:
        fields: most important first.
        main: share of the variance that each field alone explains.
        total: the same with its interactions; the sum over fields may pass 1.
        explained: out-of-bag R^2 of the forest.
        trials: that it was grown on.
        budgets: different ones that they had; above 1 the forest learnt ranks within each.
    """

    fields: tuple[str, ...]
    main: tuple[float, ...]
    total: tuple[float, ...]
    explained: float
    trials: int
    budgets: int

    @property
    def weak(self) -> bool:
        """The forest explains too little to rank anything."""
        return self.explained < WEAK


def importance(study: Study, records: Sequence[Record] | None = None) -> FieldImportance | None:
    """Importance of every field that varied.

    Where trials had different budgets (hyperband), the forest learns each one's rank among those of its own budget:
    the few that had all of it tell too little, and their scores cannot be mixed with the others'. Diverged scores are
    drawn in to the limit of the plots; they would be all that the forest sees.

    Returns:
        None where there are too few trials, or none differ.
    """
    chosen = _comparable(study.records() if records is None else records)
    names = fields(chosen)
    if not names:
        return None
    budgets = len({record.budget for record in chosen})
    target = _ranks(chosen) if budgets > 1 else _sane(chosen, higher=study.higher)
    if np.ptp(target) == 0:
        return None
    places = np.array(table([scale_of(study, name, chosen) for name in names], chosen), np.float32)
    main, total, explained = _decompose(places, target)
    order = np.argsort(-total, kind="stable")
    return FieldImportance(
        tuple(names[i] for i in order),
        tuple(float(main[i]) for i in order),
        tuple(float(total[i]) for i in order),
        explained,
        len(chosen),
        budgets,
    )


def _comparable(records: Sequence[Record]) -> list[Record]:
    """Completed trials of those budgets that several of them had; none where that is too few."""
    done = [record for record in scored(records) if record.status == "completed"]
    counts = Counter(record.budget for record in done)
    several = [record for record in done if counts[record.budget] >= SEVERAL or len(counts) == 1]
    return several if len(several) >= ENOUGH else []


def _sane(records: Sequence[Record], *, higher: bool) -> np.ndarray:
    scores = [float(record.score or 0.0) for record in records]
    worst = sane_limit(scores, higher=higher)
    return np.maximum(scores, worst) if higher else np.minimum(scores, worst)


def _ranks(records: Sequence[Record]) -> np.ndarray:
    """Each trial's rank among those of its budget, from 0 to 1."""
    rank = np.zeros(len(records))
    for budget in {record.budget for record in records}:
        mine = np.array([i for i, record in enumerate(records) if record.budget == budget])
        scores = np.array([float(records[i].score or 0.0) for i in mine])
        rank[mine] = (np.argsort(np.argsort(scores, kind="stable"), kind="stable") + 0.5) / len(mine)
    return rank


def _decompose(places: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Main and total shares of each column of ``places (trials, fields)``, and the forest's out-of-bag R^2."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        TREES, min_samples_leaf=2, max_features=max(1, -(-places.shape[1] // 2)), oob_score=True, random_state=0
    )
    forest.fit(places, target)
    draw = np.random.default_rng(0)

    def sample() -> np.ndarray:  # every field on its own
        return np.column_stack([draw.choice(column, DRAWS) for column in places.T])

    first, second = sample(), sample()
    swapped = np.repeat(first[None], places.shape[1], axis=0)  # (fields, draws, fields)
    for column in range(places.shape[1]):
        swapped[column, :, column] = second[:, column]
    answers = forest.predict(np.concatenate([first[None], second[None], swapped]).reshape(-1, places.shape[1]))
    mine, theirs, *others = answers.reshape(-1, DRAWS)
    variance = max(float(np.var(np.concatenate([mine, theirs]))), 1e-12)
    total = np.array([np.mean((mine - other) ** 2) for other in others]) / (2 * variance)
    main = 1 - np.array([np.mean((theirs - other) ** 2) for other in others]) / (2 * variance)
    return np.clip(main, 0.0, 1.0), total, float(forest.oob_score_)
