"""Tables whose test rows, and maybe validation rows, lie in files of their own."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.remote import local_path
from keras_seq.data.series import Series
from keras_seq.data.sources.registry import SourceInfo, register
from keras_seq.data.sources.table import load_table
from keras_seq.errors import ConfigError

TEST_FILES = "test_files"  # of ``Series.info``: units [first, last) by file


@dataclass(frozen=True)
class _File:
    """One file: its part, its name in messages and reports, its rows."""

    part: str
    name: str
    series: Series


@register(SourceInfo("table", "your own CSV or Parquet file (--data.path)", is_table=True, rank=98))
def load_files(config: DataConfig) -> Series:
    """The user's table: one file, or the files of its parts joined.

    ``data.path`` is read as any table; the others are read by the schema that it gave, so nothing is guessed anew.
    Units of different files are different units even where they have one id, and are called ``7 (test 1)``: no window
    crosses from file to file.
    ``Series.official`` says the part of each unit, ``Series.info["test_files"]`` the units of each test file.

    Raises:
        ConfigError, DataError: as ``load_table``; a file that deviates from the first, or is named twice.
    """
    main = load_table(config)
    if not config.test_path:
        return main
    paths = [str(config.path), *config.validation_path, *config.test_path]
    doubled = [path for path, count in Counter(str(local_path(path).resolve()) for path in paths).items() if count > 1]
    if doubled:
        raise ConfigError(
            f"File '{doubled[0]}' is named twice among data.path, data.validation_path and data.test_path; rows that "
            "are judged must not be trained on."
        )
    parts = ["train"] + ["validation"] * len(config.validation_path) + ["test"] * len(config.test_path)
    names = _names(paths)
    others = [_read(path, main) for path in paths[1:]]
    return _join([_File(part, name, series) for part, name, series in zip(parts, names, [main, *others], strict=True)])


def _read(path: str, main: Series) -> Series:
    from keras_seq.data.table_rows import read_rows

    return read_rows(path, main.schema, CovariatesConfig(), with_targets=True).series


def _names(paths: list[str]) -> list[str]:
    """A name for each file: its stem, or the path where two have one stem."""
    stems = [Path(path).stem for path in paths]
    return [stem if stems.count(stem) == 1 else path for stem, path in zip(stems, paths, strict=True)]


def _join(files: list[_File]) -> Series:
    """One series; ids and groups of other files than the first get the file's part and number behind them."""
    ids: list[str] = []
    groups: list[str] = []
    official: list[str] = []
    tests: dict[str, list[int]] = {}
    numbers = Counter[str]()
    for file in files:
        numbers[file.part] += 1
        own = file.series.unit_ids.tolist()
        ending = f" ({file.part} {numbers[file.part]})" if file is not files[0] else ""
        if file.part == "test":
            tests[file.name] = [len(ids), len(ids) + len(own)]
        ids += [f"{unit}{ending}" for unit in own]
        groups += [f"{group}{ending}" for group in file.series.groups.tolist()]
        official += [file.part] * len(own)
    main = files[0].series
    series = [file.series for file in files]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in series]))]).astype(np.int64)
    return dataclasses.replace(
        main,
        values=np.concatenate([part.values for part in series]),
        targets=np.concatenate([part.targets for part in series]),
        offsets=offsets,
        unit_ids=np.array(ids),
        groups=np.array(groups),
        time=np.concatenate([part.time for part in series]),
        official=np.array(official),
        info=main.info | {TEST_FILES: tests},
    )
