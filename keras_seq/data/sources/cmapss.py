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
from keras_seq.data.series import Column, Schema, Series
from keras_seq.data.sources.registry import GITHUB, Download, SourceInfo, register
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


_DATA = GITHUB + "oluies/tedsds/4c21824bc6b90efb30678a31ce2eab3f77964eda/data/"
CMAPSS = SourceInfo(
    "cmapss",
    "NASA turbofan run-to-failure: remaining useful life",
    "regression",
    "cmapss",
    ("train_{subset}.txt", "test_{subset}.txt", "RUL_{subset}.txt"),
    ("FD001", "FD002", "FD003", "FD004"),
    "Saxena et al. 2008, NASA Ames; released for public use, confirm before redistributing",
    "https://data.nasa.gov/dataset/cmapss-jet-engine-simulated-data",
    tuple(
        Download(name, f"{_DATA}{name}.gz", sha256, size)
        for name, sha256, size in (
            ("train_FD001.txt", "963b5e22825b34d8b21c69e1aeb4af3e647050eb672ee8834ba4b5d91d2de0f8", 3515356),
            ("test_FD001.txt", "3cda7109ce17bafb5443f2ac926cfcf88154b941b8c4cf95eb55d1ddd6f52851", 2228855),
            ("RUL_FD001.txt", "a19c8ec94931949d0485bdc35118206e9c81c4547b422efb9cf86f4ceddbceca", 429),
            ("train_FD002.txt", "dac6c4dbc4e7c1bdeb5747da3d313d05c395bb99801b44a002b26a2ba13d788f", 9082480),
            ("test_FD002.txt", "de7b5bf7e998a985c378488480528b7c02cff1406a46740def362dda8d9b4e02", 5734587),
            ("RUL_FD002.txt", "c851dd96a6ea6998d3c4a8f834d3c8013aa90e93a6ed950dc826ad0655b2906b", 1110),
            ("train_FD003.txt", "2abbe9968cc5e8eb091980f51b20f62bb4127336d3482cb52071d53bf23329e2", 4213862),
            ("test_FD003.txt", "299babd63c8d987cef079c4a425429f33b3a34797d803bbe2ad48c29dbd0d790", 2826651),
            ("RUL_FD003.txt", "df1e0566306b174a2de41c67a3e7a51877889598b78643fc3e5685259091b7cb", 428),
            ("train_FD004.txt", "27ef6160b6a1dcb2613a88de9c239f763b223f02cdc41dc5cdedc5dc189b6218", 10350705),
            ("test_FD004.txt", "1dc675fff0624bac10786927c6715b37d1297657137400d2b1a3138d777a3ba5", 6957759),
            ("RUL_FD004.txt", "196b836b85a95ac7fdbbf29c5fdf1657382eafa445644d114ffaaf50dc2975e1", 1084),
        )
    ),
    rank=3,
)


@register(CMAPSS)
def load_cmapss(config: DataConfig) -> Series:
    """All engines of one subset, those of the training file first; target RUL in cycles at every row.

    Raises:
        DataError: a file is missing or malformed, or the test files do not belong together.
    """
    subset = CMAPSS.subset(config)
    train_path, test_path, left_path = CMAPSS.paths(config)
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
        info=CMAPSS.origin | {"subset": subset},
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
