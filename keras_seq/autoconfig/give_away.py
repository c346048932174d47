"""Target leakage in a new table: copies of the target are left out, columns that tell it are named."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.autoconfig.question import TargetQuestion
from keras_seq.autoconfig.roles import codes
from keras_seq.autoconfig.table import TableProfile
from keras_seq.data.quality.companions import companions
from keras_seq.data.quality.rows import thinned
from keras_seq.tasks import classifies

MOST_WORDS = 50  # different words of a column that may be classes


def leave_copies_out(table: TableProfile, question: TargetQuestion, inputs: list[str]) -> None:
    """Take copies of a target out of ``inputs``, with the reason."""
    for target in question.targets:
        if table.columns[target].kind == "text" or question.task == "forecast":
            continue
        truth = table.head[target].to_numpy(np.float64)
        for name in list(inputs):
            values = table.head[name].to_numpy(np.float64)
            known = np.isfinite(values) & np.isfinite(truth)
            if known.sum() >= 3 and np.ptp(values[known]) > 0 and np.array_equal(values[known], truth[known]):
                inputs.remove(name)
                question.left_out[name] = f"holds the values of the target '{target}'"


def tell_companions(
    table: TableProfile, question: TargetQuestion, inputs: list[str], unit: str | None, taken: set[str]
) -> None:
    """Note the inputs, and the words left out, that tell a target exactly."""
    order, offsets = _order(table, unit, taken)
    rows = thinned(offsets)
    numbers = order[rows.numbers]
    words = [
        name
        for name, column in table.columns.items()
        if column.kind == "text" and name not in (*inputs, *taken, *question.targets) and column.distinct <= MOST_WORDS
    ]
    columns = {name: _numbers(table, name)[numbers] for name in (*inputs, *words) if name not in question.targets}
    for target in question.targets:
        labels = sorted(table.columns[target].counts or ()) if classifies(question.task) else []
        truth = _labels(table, target, labels) if labels else _numbers(table, target)
        for companion in companions(
            columns,
            truth[numbers],
            rows.offsets,
            name=target,
            classes=tuple(labels),
            forecast=question.task == "forecast",
            words=frozenset(words),
            whole=rows.whole,
        ):
            if companion.name in words:
                question.left_out[companion.name] = f"holds words, and {companion.why}"
            else:
                question.notes.append(f"{companion}.")


def _order(table: TableProfile, unit: str | None, taken: set[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The head's rows by unit and time, and where the units begin ``(units + 1,)``."""
    owner = np.zeros(len(table.head), np.int64) if unit is None else codes(table, unit)
    clocks = [table.clocks[name] for name in taken if name in table.clocks and name != unit]
    order = np.lexsort((clocks[0], owner)) if clocks else np.argsort(owner, kind="stable")
    starts = np.flatnonzero(np.diff(owner[order], prepend=owner.min() - 1))
    return order.astype(np.int64), np.append(starts, len(order)).astype(np.int64)


def _numbers(table: TableProfile, name: str) -> NDArray[np.float64]:
    if table.columns[name].kind in ("number", "flag", "mixed"):
        return np.asarray(table.head[name].to_numpy(np.float64))
    numbers = codes(table, name).astype(np.float64)
    return np.where(numbers < 0, np.nan, numbers)


def _labels(table: TableProfile, name: str, labels: list[str]) -> NDArray[np.float64]:
    """Class numbers in the order of ``labels``; NaN where missing."""
    values = table.head[name]
    if table.columns[name].kind == "text":
        place = {text: float(k) for k, text in enumerate(labels)}
        return np.array([place.get(text, np.nan) for text in values], np.float64)
    distinct = np.unique(values[np.isfinite(values.to_numpy(np.float64))])
    known = np.isfinite(values.to_numpy(np.float64))
    return np.where(known, np.searchsorted(distinct, values.to_numpy(np.float64)), np.nan)
