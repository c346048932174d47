"""Naive reference, trained by nothing: the last value, that of a season ago, the mean, the shares of the classes.

Every figure of a model stands beside the best of these, chosen on validation. They are computed from the rows, not from
the model's window, which may be shorter than a season.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import Experiment
from keras_seq.data.scaling import part_rows
from keras_seq.evaluation.naive_error import naive_errors
from keras_seq.evaluation.scores import score
from keras_seq.evaluation.seasons import find_seasons
from keras_seq.training.metrics import deviations
from keras_seq.training.predictions import locate, points

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.series import Series

Array = NDArray[np.float64]
MEAN = "the mean of training"
CHUNK = 50_000  # answers looked up at a time
KNOWN = ", if the target is known by then"


@dataclass(frozen=True)
class NaiveReference:
    """The best naive answers.

    Attributes:
        name: in words.
        season: rows looked back; 0: none.
        metrics: of "validation" and "test", as ``score`` gives them.
        tried: validation error of every candidate: squared, in deviations of the targets, or Brier's of classes;
            empty where there was one candidate.
        answers: of both parts, in the order of their windows, shaped as a model's.
    """

    name: str
    season: int
    metrics: dict[str, dict[str, float]]
    tried: dict[str, float]
    answers: dict[str, Array] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """As ``metrics.json`` keeps it."""
        return {"name": self.name, "season": self.season, "tried": self.tried, **self.metrics}


def naive_reference(experiment: Experiment, prepared: Prepared) -> NaiveReference:
    """Best naive answers of a task, scored as a model is.

    - classes: each with its share of the train part, which calls the commonest one; of a class at every step in a
      split by time also the unit's last known class, which is known only where truths come in time;
    - forecasts: the last value or that of a season before (``find_seasons``);
    - other values: the mean of training; in a split by time also the target's own last value or that of a season
      before, which are known only where truths come in time.

    Of several the one with the least squared error on validation is taken. A model that is itself one of them
    (families ``naive``, ``seasonal_naive``, ``mean``) gets the best of the others.
    """
    if prepared.spec.classifies:
        return _naive_classes(experiment, prepared)
    candidates = _candidates(experiment, prepared)
    tried = {words: _error(_answers(prepared, "validation", season), prepared) for season, words in candidates.items()}
    best = min(candidates, key=lambda season: tried[candidates[season]])
    answers = {part: _answers(prepared, part, best, cap=experiment.data.target_cap) for part in ("validation", "test")}
    return NaiveReference(candidates[best], best, _judged(experiment, prepared, answers), tried, answers)


def reference_answers(prepared: Prepared, part: str, season: int) -> Array:
    """A naive answer to every window of a part, shaped as a model's.

    Args:
        prepared: series and windows.
        part: of the split.
        season: rows looked back, 1 is the last value; 0: the mean of train, or the shares of its classes.
    """
    if prepared.spec.classifies:
        return _repeated(_shares(prepared), prepared, part)
    return np.asarray(_answers(prepared, part, season))


def _naive_classes(experiment: Experiment, prepared: Prepared) -> NaiveReference:
    """The commonest class, or of a class at every step the unit's last one where that is nearer on validation."""
    shares = _shares(prepared)
    commonest = f"always {_classes(prepared)[int(np.argmax(shares))]} ({shares.max():.1%} of training)"
    answers = {part: _repeated(shares, prepared, part) for part in ("validation", "test")}
    if not prepared.spec.per_step or experiment.data.split.by != "time":
        return NaiveReference(commonest, 0, _judged(experiment, prepared, answers), {}, answers)
    last = f"the last class{KNOWN}"
    repeated = {part: _last_classes(shares, prepared, part) for part in ("validation", "test")}
    tried = {name: _brier(own["validation"], prepared) for name, own in ((commonest, answers), (last, repeated))}
    best = min(tried, key=tried.__getitem__)
    chosen, season = (answers, 0) if best == commonest else (repeated, 1)
    return NaiveReference(best, season, _judged(experiment, prepared, chosen), tried, chosen)


def _last_classes(shares: Array, prepared: Prepared, part: str) -> Array:
    """One-hot class of the row before each answer, shaped as a model's; ``shares`` before a unit's first known one."""
    spec, series = prepared.spec, prepared.series
    _, unit, row = locate(series, prepared.index[part], spec)
    last = _last_known(series)[np.maximum(row - 1, 0), 0]
    known = (last >= np.asarray(series.offsets)[unit]) & (last < row)
    number = np.asarray(series.targets)[np.maximum(last, 0), 0]
    one_hot = np.eye(len(shares))[np.where(known, number, 0).astype(np.int64)]
    answers = np.where(known[:, None], one_hot, shares)
    return answers[:, 1:2] if spec.task == "binary" else answers


def _brier(answers: Array, prepared: Prepared) -> float:
    """Mean squared error of probabilities on validation, over what is known and the part's own."""
    found = points(prepared.series, prepared.index["validation"], prepared.spec, answers)
    truth = found.truth.astype(np.int64)
    if prepared.spec.task == "binary":
        return float(np.mean((found.prediction - truth) ** 2))
    return float(np.mean(np.sum((found.prediction - np.eye(answers.shape[1])[truth]) ** 2, axis=1)))


def _candidates(experiment: Experiment, prepared: Prepared) -> dict[int, str]:
    """Seasons and their words; 0 is the mean."""
    family, spec = experiment.model.family, prepared.spec
    seasons = {0: MEAN}
    per_row = prepared.series.schema.target_per == "step"
    if per_row and (spec.horizon or experiment.data.split.by == "time"):
        known = "" if spec.horizon else KNOWN
        seasons |= {season: words + known for season, words in find_seasons(prepared, experiment).items()}
    own = {"mean": 0, "naive": 1}.get(family)
    if family == "seasonal_naive":
        arima = experiment.model.arima
        own = arima.seasonal[3] or round(arima.period) or int(prepared.series.info.get("season", 0))
    rest = {season: words for season, words in seasons.items() if season != own}
    return rest or seasons


def _answers(prepared: Prepared, part: str, season: int, *, cap: float | None = None) -> Array:
    """Answers in the order of the part's windows, shaped as a model's."""
    spec, series, index = prepared.spec, prepared.series, prepared.index[part]
    truth, unit, row = locate(series, index, spec)
    mean = np.asarray(spec.target_mean, np.float64)
    if season == 0:
        answers = np.broadcast_to(mean, truth.shape)
    else:
        ahead = np.arange(1, spec.horizon + 1) if spec.horizon else np.zeros(1, np.int64)
        target = row[:, None] + ahead if spec.horizon else _target_rows(prepared, part, row)[:, None]
        back = season * np.maximum(-(-ahead // season), 1)
        origin = row[:, None] if spec.horizon else target - 1
        pieces = [slice(low, low + CHUNK) for low in range(0, len(target), CHUNK)]
        origin, rows, last = np.broadcast_to(origin, target.shape), target - back, _last_known(series)
        answers = np.concatenate([_at(series, last, rows[k], origin[k], unit[k], mean) for k in pieces])
        answers = answers if spec.horizon else answers[:, 0]
    return answers if cap is None else np.minimum(answers, cap)


def _target_rows(prepared: Prepared, part: str, row: NDArray[np.int64]) -> NDArray[np.int64]:
    return row if prepared.spec.per_step else np.asarray(prepared.index[part].target)


def _last_known(series: Series) -> NDArray[np.int64]:
    """The last row up to each row whose target is not missing ``(rows, targets)``; -1 before there is one."""
    known = np.isfinite(np.asarray(series.targets))
    return np.maximum.accumulate(np.where(known, np.arange(len(known))[:, None], -1), axis=0)


def _at(
    series: Series,
    before: NDArray[np.int64],
    rows: NDArray[np.int64],
    latest: NDArray[np.int64],
    unit: NDArray[np.integer],
    mean: Array,
) -> NDArray[np.float32]:
    """Targets at ``rows``; before a unit's first row the latest known one, where that is missing the one before it.

    Args:
        series: their rows.
        before: of ``_last_known``.
        rows: ``(answers, steps)`` looked at.
        latest: ``(answers, steps)``, the last row whose target is known.
        unit: of each answer.
        mean: stands in where nothing is known.
    """
    begin = np.asarray(series.offsets)[unit][:, None]
    rows = np.where(rows < begin, latest, rows)
    values = np.asarray(series.targets)
    last = before[np.maximum(rows, 0)]  # (answers, steps, targets)
    known = (last >= begin[..., None]) & (rows >= begin)[..., None]
    targets = np.take_along_axis(values, np.maximum(last, 0).reshape(-1, values.shape[1]), axis=0).reshape(last.shape)
    return np.where(known, targets, mean).astype(np.float32)


def _error(answers: Array, prepared: Prepared) -> float:
    """Mean squared error on validation in deviations."""
    spec = prepared.spec
    truth = np.asarray(locate(prepared.series, prepared.index["validation"], spec)[0], np.float64)
    return float(np.nanmean(((answers - truth) / deviations(spec.target_std)) ** 2))


def _judged(experiment: Experiment, prepared: Prepared, answers: dict[str, Array]) -> dict[str, dict[str, float]]:
    points_only = experiment.model.model_copy(update={"quantiles": ()})
    plain, spec = experiment.model_copy(update={"model": points_only}), prepared.spec
    naive, metrics = naive_errors(prepared, experiment), {}
    for part, values in answers.items():
        found = points(prepared.series, prepared.index[part], spec, np.asarray(values, np.float32))
        metrics[part] = score(found, spec, plain, part=part, naive=naive)
    return metrics


def _shares(prepared: Prepared) -> Array:
    """Share of every class in the train part."""
    series, train, count = prepared.series, prepared.splits.train, len(_classes(prepared))
    if series.schema.target_per == "unit":
        pieces = [np.asarray(series.targets)[train.units, 0]]
    else:
        pieces = [np.asarray(series.targets[low:high])[:, 0] for low, high in part_rows(series, train)]
    counts = np.zeros(count)
    for labels in pieces:
        counts += np.bincount(labels[np.isfinite(labels)].astype(np.int64), minlength=count)[:count]
    return counts / max(counts.sum(), 1.0)


def _classes(prepared: Prepared) -> tuple[str, ...]:
    return prepared.spec.classes or ("0", "1")


def _repeated(shares: Array, prepared: Prepared, part: str) -> Array:
    answers = len(locate(prepared.series, prepared.index[part], prepared.spec)[1])
    own = shares[1:2] if prepared.spec.task == "binary" else shares
    return np.tile(own, (answers, 1))
