"""History of a study's trials: which ended, how the best score fell, which scores are comparable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from keras_seq.figures import figure
from tuning.records import Record, Study


def ended(study: Study) -> list[Record]:
    """Trials that are over, by number."""
    return [record for record in study.records() if record.status != "running"]


def scored(records: Iterable[Record]) -> list[Record]:
    """Trials that are over and have a finite score, pruned ones included."""
    over = (record for record in records if record.status in ("completed", "pruned"))
    return [record for record in over if record.score is not None and math.isfinite(record.score)]


def full(records: Iterable[Record]) -> list[Record]:
    """Completed trials of the largest budget that any of them had: those whose scores can be compared."""
    done = [record for record in scored(records) if record.status == "completed"]
    most = max((record.budget for record in done), default=1.0)
    return [record for record in done if record.budget == most]


def ranked(records: Iterable[Record], *, higher: bool) -> list[Record]:
    """``full`` trials, best first; of equals the earlier one."""
    sign = -1.0 if higher else 1.0
    return sorted(full(records), key=lambda record: (sign * (record.score or 0.0), record.number))


def default_of(records: Iterable[Record]) -> Record | None:
    """The completed trial with the configuration's own values; None if there is none."""
    return next((record for record in full(records) if record.default), None)


def reference_of(records: Iterable[Record]) -> Record | None:
    """``default_of``, or where halving ended it early (Hyperband) its trial of the largest budget."""
    records = list(records)
    mine = [record for record in scored(records) if record.default]
    return default_of(records) or max(mine, key=lambda record: record.budget, default=None)


def text_of_reference(record: Record) -> str:
    """Its score, and the share of the budget where that is not the whole."""
    return figure(record.score) + (f" (at {record.budget:.0%} of the budget)" if record.budget < 1 else "")


def best_so_far(records: Sequence[Record], *, higher: bool, by_number: bool = False) -> dict[str, float]:
    """Best score when each trial ended, by trial in the order of ending (or of their numbers).

    A score of a larger budget replaces all of smaller ones, so that the last value is that of ``Study.best``.
    Trials that ended before anything completed are left out.
    """
    better = max if higher else min
    scores: dict[str, float] = {}
    best: tuple[float, float] | None = None  # budget, score
    over = [record for record in records if record.ended is not None]
    for record in sorted(over, key=lambda record: (0.0 if by_number else record.ended or 0.0, record.number)):
        score = record.score
        if record.status == "completed" and score is not None and math.isfinite(score):
            if best is None or record.budget > best[0]:
                best = (record.budget, score)
            elif record.budget == best[0]:
                best = (record.budget, better(score, best[1]))
        if best is not None:
            scores[record.trial] = best[1]
    return scores


def sane_limit(scores: Sequence[float], *, higher: bool) -> float:
    """The worst score worth drawing: beyond it a diverged trial would flatten all the others.

    A little worse than the worst score within three interquartile ranges of the far quartile (Tukey's outer fence),
    on the bad side alone.
    """
    good_first = sorted(scores, reverse=higher)
    quarter, three_quarters = good_first[len(scores) // 4], good_first[(3 * len(scores)) // 4]
    reach = 3 * abs(three_quarters - quarter)
    within = [
        score for score in good_first if abs(score - three_quarters) <= reach or abs(score - good_first[0]) <= reach
    ]
    if not reach or good_first[-1] in within:
        return good_first[-1]
    return within[-1] + 0.05 * (within[-1] - within[0])


def seconds(record: Record) -> float | None:
    """How long a trial took, start-up and waiting included."""
    if "total" in record.costs:
        return record.costs["total"]
    return None if record.ended is None else record.ended - record.started


def fields(records: Iterable[Record]) -> list[str]:
    """Fields with at least two different values, or a value in some trials only, in the order of first use."""
    records = list(records)
    names = dict.fromkeys(name for record in records for name in record.values)
    return [name for name in names if len({str(record.values.get(name, absent)) for record in records}) > 1]


class _Absent:
    """A field that a trial did not have, because its condition did not hold."""

    def __repr__(self) -> str:
        return "-"


absent = _Absent()


def text_of(value: object) -> str:
    """A value for people: ``0.00123``, ``true``, ``[32, 16]``, ``none``, ``-`` where absent."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text_of, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {text_of(item)}' for key, item in value.items())}}}"
    return str(value)
