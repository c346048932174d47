"""Units that had not failed at their last row: their remaining life is known to be at least what the table says.

A table says so with a column (``data.censored``). Their targets are then lower bounds: they are kept apart from the
truths, so that nothing is measured, fitted or judged by them, and only the loss of a network looks at them, from below.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.series import Series
from keras_seq.data.unit_column import first_change
from keras_seq.errors import ConfigError, DataError

FLAG = "censored"  # key of ``Series.truth``: bool ``(units,)``
WORDS = {
    **dict.fromkeys(("0", "0.0", "false", "no"), False),
    **dict.fromkeys(("1", "1.0", "true", "yes"), True),
}


def unit_flags(
    codes: NDArray[np.int32],
    texts: Sequence[str],
    offsets: NDArray[np.int64],
    units: Sequence[str],
    file_row: Callable[[int], int],
) -> NDArray[np.bool_]:
    """Whether each unit had not failed at its last row, bool ``(units,)``.

    Args:
        codes: number of the text in each row ``(rows,)``, rows by unit.
        texts: the texts by number.
        offsets: of the units.
        units: their ids, for messages.
        file_row: data row in the file, from 1, of a row.

    Raises:
        DataError: a text is neither 0 nor 1, or a unit has both.
    """
    meaning = [WORDS.get(text.strip().lower()) for text in texts]
    if None in meaning:
        raise DataError(
            f"The column of censored units (data.censored) holds '{texts[meaning.index(None)]}'; it is 1 for a unit "
            "that had not failed at its last row, else 0. Mend the value, or leave data.censored out."
        )
    rows = np.array(meaning, bool)[codes]
    first = rows[offsets[:-1]]
    if change := first_change(rows, offsets):
        row, unit = change
        raise DataError(
            f"Unit '{units[unit]}' is {'censored' if first[unit] else 'not censored'} in its first row and otherwise "
            f"in data row {file_row(row)}; whether it had failed at its last row is one thing (data.censored)."
        )
    return first


def with_bounds(series: Series, config: DataConfig) -> Series:
    """The series with the targets of censored units as lower bounds (``Series.bounds``) instead of truths.

    Raises:
        ConfigError: settings under which a lower bound has no meaning.
        DataError: every unit is censored.
    """
    flags = series.truth.get(FLAG)
    if flags is None or series.bounds is not None or not flags.any():
        return series
    _refuse(series, config)
    if flags.all():
        raise DataError(
            f"All {series.n_units} units of '{series.schema.name}' are censored (data.censored): none is known to have "
            "failed, so no remaining life is known. Bring units that were observed until they failed."
        )
    rows = np.repeat(flags, series.lengths)[:, None]
    bounds = np.where(rows, series.targets, np.float32(np.nan))
    return dataclasses.replace(series, targets=np.where(rows, np.float32(np.nan), series.targets), bounds=bounds)


def _refuse(series: Series, config: DataConfig) -> None:
    task, augment = config.task or series.schema.task, config.augment
    if task != "regression" or series.schema.target_per != "step":
        raise ConfigError(
            f"data.censored is for a regression on the life that is left at every row, but the task is '{task}' with a "
            f"target per {series.schema.target_per}. Leave data.censored out, or set data.task=regression."
        )
    if config.split.by == "time":
        raise ConfigError(
            "data.censored is about whole units, but data.split.by=time cuts every unit; use data.split.by=unit."
        )
    changes = [name for name in ("time_warp", "window_slice", "mixup") if getattr(augment, name)]
    if changes:
        raise ConfigError(
            f"data.augment.{changes[0]}={getattr(augment, changes[0]):g} blends or moves targets, which lower bounds "
            "(data.censored) do not bear; set it to 0. jitter and scaling are allowed."
        )


def census(series: Series) -> str:
    """How many units are censored, in words; empty where none is."""
    flags = series.truth.get(FLAG)
    if flags is None or not flags.any():
        return ""
    return (
        f"{int(flags.sum())} of {len(flags)} units had not failed at their last row: their targets are lower bounds, "
        "which a network learns from below; they are not judged"
    )


def bounded(series: Series) -> NDArray[np.bool_] | None:
    """Rows whose target is a lower bound, bool ``(rows,)``; None where there is none."""
    return None if series.bounds is None else np.asarray(np.isfinite(series.bounds).all(axis=1))
