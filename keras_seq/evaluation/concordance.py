"""Concordance: how often, of two units, the one that failed earlier was foretold the shorter life (Harrell's C)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_seq.config import Experiment
from keras_seq.training.predictions import Points, locate, middle

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.windows import WindowIndex

MOST = 3000  # answers compared, each with each


def concordance(life: ArrayLike, prediction: ArrayLike, failed: ArrayLike, unit: ArrayLike | None = None) -> float:
    """Harrell's C (1982) over comparable pairs; 0.5 is chance, NaN where no pair is comparable.

    A pair is comparable where one is known to have failed at a time at which the other still ran: its life is the
    shorter one, or equal to a censored one's. It counts 1 if its prediction is shorter, too, and 1/2 if equal.

    Args:
        life: time to failure, or for a unit that had not failed the time up to which that is known ``(n,)``.
        prediction: of that time ``(n,)``.
        failed: whether the time is a failure's ``(n,)``.
        unit: number of each one's unit ``(n,)``; pairs inside a unit are left out. None: all are units of their own.
    """
    time, answer = (np.asarray(values, np.float64).ravel() for values in (life, prediction))
    event = np.asarray(failed, bool).ravel()
    comparable = (time[:, None] < time) | ((time[:, None] == time) & ~event)
    comparable &= event[:, None]
    if unit is not None:
        comparable &= np.asarray(unit)[:, None] != np.asarray(unit)
    count = int(comparable.sum())
    if not count:
        return float("nan")
    right = (answer[:, None] < answer) + 0.5 * (answer[:, None] == answer)
    return float(right[comparable].sum() / count)


def part_concordance(
    prepared: Prepared, experiment: Experiment, part: str, predict: Callable[[WindowIndex], NDArray[np.floating]]
) -> Mapping[str, float]:
    """``concordance`` of a part with its censored units, of answers at most ``MOST``; empty where none is censored.

    Args:
        prepared: of the data.
        experiment: windows, and which answers count.
        part: "validation" or "test".
        predict: answers of the model to windows, as ``predict_windows`` gives them.
    """
    from keras_seq.data.windows import index_windows

    series, spec = prepared.series, prepared.spec
    if series.bounds is None:
        return {}
    index = index_windows(series, getattr(prepared.splits, part), experiment.data.windows)
    answers = np.asarray(predict(index))
    truth, unit, row = locate(series, index, spec)
    life = np.where(np.isfinite(truth), truth, series.bounds[row])[:, 0]
    value = (
        middle(answers, experiment.model.quantiles)
        if experiment.model.quantiles
        else answers.reshape(len(life), -1)[:, 0]
    )
    found = Points(life, value, unit, row, row - series.offsets[unit] + 1)
    failed = np.isfinite(truth[:, 0])
    chosen = np.flatnonzero(found.scored(experiment.evaluation, part) & np.isfinite(life))
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, MOST).astype(int))] if len(chosen) > MOST else chosen
    own = found.select(chosen)
    return {"concordance": concordance(own.truth, own.prediction, failed[chosen], own.unit)}
