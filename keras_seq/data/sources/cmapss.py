"""NASA C-MAPSS turbofan engines, run to failure (Saxena et al., PHM 2008): remaining useful life.

Training engines run to failure, so the target of a row is the cycles left in the file. Test engines
stop earlier: ``RUL_*.txt`` holds the cycles left after each one's last row, and the rows before have
that many more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.home import require
from keras_seq.data.series import Column, Schema, Series
from keras_seq.data.sources.registry import source_info, subset_of
from keras_seq.errors import DataError

SETTINGS = (("setting_1", "kft"), ("setting_2", "Mach"), ("setting_3", "deg"))  # altitude, speed, throttle
SENSORS = (
    ("T2", "degR"),
    ("T24", "degR"),
    ("T30", "degR"),
    ("T50", "degR"),
    ("P2", "psia"),
    ("P15", "psia"),
    ("P30", "psia"),
    ("Nf", "rpm"),
    ("Nc", "rpm"),
    ("epr", ""),
    ("Ps30", "psia"),
    ("phi", "pps/psi"),
    ("NRf", "rpm"),
    ("NRc", "rpm"),
    ("BPR", ""),
    ("farB", ""),
    ("htBleed", ""),
    ("Nf_dmd", "rpm"),
    ("PCNfR_dmd", "rpm"),
    ("W31", "lbm/s"),
    ("W32", "lbm/s"),
)
WIDTH = 2 + len(SETTINGS) + len(SENSORS)


def load_cmapss(config: DataConfig) -> Series:
    """All engines of one subset, those of the training file first; target RUL in cycles at every row.

    Raises:
        DataError: a file is missing or malformed, or the test files do not belong together.
    """
    subset = subset_of(config)
    info = source_info("cmapss")
    train_path, test_path, left_path = require("cmapss", "cmapss", info.files_of(subset), config.home)
    train, test, left = read_rows(train_path, WIDTH), read_rows(test_path, WIDTH), read_rows(left_path, 1)[:, 0]
    train_offsets, test_offsets = _engines(train, train_path), _engines(test, test_path)
    if len(test_offsets) - 1 != len(left):
        raise DataError(
            f"'{left_path}' has {len(left)} lines, but '{test_path}' has {len(test_offsets) - 1} engines; "
            "both must come from the same subset."
        )
    rows = np.concatenate([train, test])
    offsets = np.concatenate([train_offsets, len(train) + test_offsets[1:]])
    after = np.concatenate([np.zeros(len(train_offsets) - 1), left])
    lengths = np.diff(offsets)
    last = np.repeat(offsets[1:] - 1, lengths)
    rul = np.repeat(after, lengths) + last - np.arange(len(rows))
    names = [("train", train, train_offsets), ("test", test, test_offsets)]
    ids = np.array([f"{part}-{int(data[row, 0])}" for part, data, starts in names for row in starts[:-1]])
    return Series(
        schema=_schema(subset),
        values=np.ascontiguousarray(rows[:, 2:], np.float32),
        targets=rul.astype(np.float32)[:, None],
        offsets=offsets,
        unit_ids=ids,
        groups=ids,
        time=rows[:, 1].copy(),
        official=np.array([part for part, _, starts in names for _ in starts[:-1]]),
        info={"origin": info.licence, "url": info.url, "subset": subset},
    )


def read_rows(path: Path, width: int) -> NDArray[np.float64]:
    """A blank-separated table of numbers without header, float64 ``(rows, width)``.

    Raises:
        DataError: a line has another number of columns or holds text; names file and line.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, sep=r"\s+", header=None, dtype=np.float64)
        values = table.to_numpy()
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(_first_fault(path, width) or f"File '{path}' cannot be read: {error}.") from None
    if values.shape[1] != width or not np.isfinite(values).all():
        raise DataError(_first_fault(path, width) or f"File '{path}' must hold {width} finite numbers per line.")
    return values


def _first_fault(path: Path, width: int) -> str | None:
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            words = line.split()
            if not words:
                continue
            if len(words) != width:
                return f"Line {number} of '{path}' has {len(words)} columns, expected {width}."
            for column, word in enumerate(words, start=1):
                try:
                    finite = np.isfinite(float(word))
                except ValueError:
                    finite = False
                if not finite:
                    return f"Line {number}, column {column} of '{path}' must be a finite number, got {word!r}."
    return None


def _engines(rows: NDArray[np.float64], path: Path) -> NDArray[np.int64]:
    """Offsets of the engines ``(engines + 1,)``; cycles must count 1, 2, 3, ... in each."""
    starts = np.flatnonzero(np.diff(rows[:, 0], prepend=np.nan) != 0)
    offsets = np.append(starts, len(rows)).astype(np.int64)
    expected = np.arange(len(rows)) - np.repeat(starts, np.diff(offsets)) + 1
    wrong = np.flatnonzero(rows[:, 1] != expected)
    if len(wrong):
        row = wrong[0]
        raise DataError(
            f"Row {row + 1} of '{path}' (engine {rows[row, 0]:g}) is cycle {rows[row, 1]:g}, expected "
            f"{expected[row]}: cycles of an engine must count 1, 2, 3, ... without gaps."
        )
    if len(np.unique(rows[starts, 0])) < len(starts):
        engines, counts = np.unique(rows[starts, 0], return_counts=True)
        raise DataError(f"Rows of engine {engines[counts > 1][0]:g} are not together in '{path}'; sort them.")
    return offsets


def _schema(subset: str) -> Schema:
    settings = [Column(name=name, kind="condition", unit=unit) for name, unit in SETTINGS]
    sensors = [Column(name=name, unit=unit) for name, unit in SENSORS]
    return Schema(
        name=f"cmapss-{subset}",
        task="regression",
        columns=tuple(settings + sensors),
        targets=("RUL",),
        target_unit="cycles",
        unit_column="unit",
        time_column="cycle",
    )
