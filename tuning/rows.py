"""Common validation rows where a study searches windows: those that every window of the space answers.

A longer window answers later rows only, and in most units these are easier or harder than the first ones. Scores over
each trial's own rows would compare the rows and not the trials.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq import config
from keras_seq.config import WindowsConfig
from keras_seq.errors import ConfigError, DataError
from tuning.space import Parameter, current_value, every_whole_number

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.series import Series
    from keras_seq.data.splits import Part
    from keras_seq.data.windows import WindowIndex

Int = NDArray[np.int64]
SECTION = "data.windows."


def windows_of(parameters: Sequence[Parameter], experiment: config.Experiment) -> list[WindowsConfig]:
    """Every ``data.windows`` that a trial may have, the experiment's own first; nothing where none is searched.

    Of lengths in a range the shortest and the longest stand for all where windows follow each other row by row.
    """
    searched = [parameter for parameter in parameters if parameter.field.startswith(SECTION)]
    if not searched:
        return []
    row_by_row = experiment.data.windows.stride == 1 and all(p.field != f"{SECTION}stride" for p in searched)
    columns = []
    for parameter in searched:
        values = list(parameter.choices) if parameter.kind == "choice" else every_whole_number(parameter)
        if row_by_row and parameter.kind != "choice":
            values = [values[0], values[-1]]
        columns.append(list(dict.fromkeys([current_value(experiment, parameter.field), *values])))
    distinct: dict[str, WindowsConfig] = {}
    for combination in itertools.product(*columns):
        changes = {parameter.field: value for parameter, value in zip(searched, combination, strict=True)}
        try:
            windows = config.replace(experiment, **changes).data.windows
        except ConfigError:  # a trial of it would fail
            continue
        distinct.setdefault(windows.model_dump_json(), windows)
    return list(distinct.values())


def common_rows(series: Series, part: Part, windows: Sequence[WindowsConfig]) -> Int:
    """Rows of a part, absolute and ascending ``(rows,)``, at which all of ``windows`` give an answer.

    Windows that the part cannot be cut into are passed over: their trials fail.
    """
    from keras_seq.data.windows import index_windows

    answered = []
    for windows_config in windows:
        try:
            answered.append(_answered(index_windows(series, part, windows_config), per_step=windows_config.per_step))
        except DataError:
            continue
    return reduce(np.intersect1d, answered) if answered else np.arange(0)


def on_common_rows(prepared: Prepared, windows: Sequence[WindowsConfig]) -> Prepared:
    """Data whose validation windows answer at the rows that all of ``windows`` answer."""
    if not windows:
        return prepared
    rows = common_rows(prepared.series, prepared.splits.validation, windows)
    index = _restricted(prepared.index["validation"], rows, per_step=prepared.spec.per_step)
    return dataclasses.replace(prepared, index=prepared.index | {"validation": index})


def check_common_rows(prepared: Prepared, windows: Sequence[WindowsConfig]) -> str:
    """How many of the configuration's own validation answers are judged; "" where it is all of them.

    Raises:
        ConfigError: the windows of the space have no row in common.
    """
    if not windows:
        return ""
    index = prepared.index["validation"]
    own = len(_answered(index, per_step=prepared.spec.per_step))
    common = len(common_rows(prepared.series, prepared.splits.validation, windows))
    if not common:
        raise ConfigError(
            "Option 'tuning.space' searches data.windows.*, but there is no validation row that all of these windows "
            "answer, so trials could not be compared. Search data.windows.length alone with data.windows.stride=1, or "
            "lengths that differ by multiples of the stride, or give one study to each window."
        )
    if common == own:
        return ""
    return f"trials are judged on the {common} of {own} validation rows that every window of the space answers"


def _answered(index: WindowIndex, *, per_step: bool) -> Int:
    """Absolute rows of a part's answers, each once, ascending."""
    end = index.start + index.length
    if not per_step:
        return np.unique(end - 1)
    first = np.maximum(index.start, index.first)
    pieces = [np.arange(low, high) for low, high in zip(first, end, strict=True)]
    return np.unique(np.concatenate(pieces)) if pieces else np.arange(0)


def _restricted(index: WindowIndex, rows: Int, *, per_step: bool) -> WindowIndex:
    """The windows that answer at ``rows``; of those that answer at every step, no answer before the first of them."""
    end = index.start + index.length
    if not per_step:
        return index.take(np.flatnonzero(np.isin(end - 1, rows)))
    place = np.searchsorted(rows, np.maximum(index.start, index.first))
    first = np.append(rows, np.iinfo(np.int64).max)[place]
    inside = np.flatnonzero(first < end)
    return dataclasses.replace(index.take(inside), first=first[inside])
