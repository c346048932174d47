"""JapaneseVowels (Kudo et al. 1999) and a small reader of the ``.ts`` format of the UEA archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.data.series import Column, Float, Schema, Series, build_series
from keras_seq.data.sources.registry import GITHUB, Download, SourceInfo, register
from keras_seq.errors import DataError


@dataclass(frozen=True)
class TsFile:
    """Content of a ``.ts`` file.

    Attributes:
        name: ``@problemName``.
        classes: texts after ``@classLabel true``, in their order.
        units: float32 ``(time, dimensions)`` per case, NaN where the file has ``?``.
        labels: text per case.
    """

    name: str
    classes: tuple[str, ...]
    units: list[Float]
    labels: list[str]


_AEON = GITHUB + "aeon-toolkit/aeon/main/aeon/datasets/data/JapaneseVowels/"
JVOWELS = SourceInfo(
    "jvowels",
    "JapaneseVowels, 12 cepstrum channels: which of 9 speakers",
    "multiclass",
    "jvowels",
    ("JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts"),
    licence="Kudo et al. 1999, UCI (CC BY 4.0)",
    url="https://archive.ics.uci.edu/ml/datasets/Japanese+Vowels",
    downloads=tuple(
        Download(name, _AEON + name, sha256, size)
        for name, sha256, size in (
            ("JapaneseVowels_TRAIN.ts", "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd", 487971),
            ("JapaneseVowels_TEST.ts", "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462", 649132),
        )
    ),
    rank=5,
)


@register(JVOWELS)
def load_jvowels(config: DataConfig) -> Series:
    """270 training and 370 test utterances of 7-29 steps, 12 channels; target: which of 9 speakers.

    Raises:
        DataError: a file is missing or malformed.
    """
    paths = JVOWELS.paths(config)
    train, test = (read_ts(path) for path in paths)
    if train.classes != test.classes or train.units[0].shape[1] != test.units[0].shape[1]:
        raise DataError(f"'{paths[0]}' and '{paths[1]}' do not belong together: classes or dimensions differ.")
    schema = Schema(
        name="jvowels",
        task="multiclass",
        columns=tuple(Column(name=f"lpc_{i + 1}") for i in range(train.units[0].shape[1])),
        targets=("speaker",),
        target_per="unit",
        classes=train.classes,
    )
    labels = [train.classes.index(label) for label in train.labels + test.labels]
    parts = [("train", train), ("test", test)]
    return build_series(
        schema,
        train.units + test.units,
        np.array(labels, np.float32)[:, None],
        unit_ids=[f"{part}-{i + 1}" for part, file in parts for i in range(len(file.units))],
        official=[part for part, file in parts for _ in file.units],
        info=JVOWELS.origin,
    )


def read_ts(path: str | Path) -> TsFile:
    """Read a ``.ts`` file: ``@key value`` lines, ``@data``, then cases ``v,v,...:v,v,...:label``.

    Dimensions are separated by ``:``, steps by ``,``; a missing value is ``?``. Files with time
    stamps, without class labels or with dimensions of different length are refused.

    Raises:
        DataError: the file is missing, empty or malformed; names the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"File '{path}' does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"File '{path}' cannot be read as a text file: {error}.") from None
    header: dict[str, str] = {}
    units: list[Float] = []
    labels: list[str] = []
    classes: tuple[str, ...] = ()
    in_data = False
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        where = f"Line {number} of '{path}'"
        if not line or line.startswith("#"):
            continue
        if not in_data:
            in_data = _header_line(line, header, where)
            classes = _classes(header, where) if in_data else ()
            continue
        unit, label = _case(line, classes, where)
        if units and unit.shape[1] != units[0].shape[1]:
            raise DataError(f"{where} has {unit.shape[1]} dimensions, the cases before have {units[0].shape[1]}.")
        units.append(unit)
        labels.append(label)
    if not units:
        raise DataError(f"File '{path}' holds no cases{'' if in_data else ' and no @data line'}; expected .ts format.")
    return TsFile(header.get("problemname", path.stem), classes, units, labels)


def _header_line(line: str, header: dict[str, str], where: str) -> bool:
    """Note one header line; True for ``@data``."""
    if not line.startswith("@"):
        raise DataError(f"{where} must be an '@key value' line or '@data', got {line[:40]!r}: not a .ts file?")
    key, _, value = line[1:].partition(" ")
    header[key.lower()] = value.strip()
    return key.lower() == "data"


def _classes(header: dict[str, str], where: str) -> tuple[str, ...]:
    if header.get("timestamps", "false").lower() == "true":
        raise DataError(f"{where}: .ts files with @timeStamps true are not supported; convert to a table.")
    flag, *classes = header.get("classlabel", "false").split()
    if flag.lower() != "true" or not classes:
        raise DataError(f"{where}: the header before must hold '@classLabel true <classes>'.")
    return tuple(classes)


def _case(line: str, classes: tuple[str, ...], where: str) -> tuple[Float, str]:
    *dimensions, label = line.split(":")
    label = label.strip()
    if not dimensions:
        raise DataError(f"{where} must hold dimensions and a class separated by ':', got {line[:40]!r}.")
    if label not in classes:
        raise DataError(f"{where} ends with class {label[:40]!r}, the header names {', '.join(classes)}.")
    rows = [_numbers(text, where, i + 1) for i, text in enumerate(dimensions)]
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise DataError(f"{where} has dimensions of different length ({min(lengths)} and {max(lengths)} steps).")
    return np.ascontiguousarray(np.stack(rows, axis=1)), label


def _numbers(text: str, where: str, dimension: int) -> Float:
    words = [word.strip() for word in text.split(",")]
    try:
        return np.array([np.nan if word == "?" else float(word) for word in words], np.float32)
    except ValueError:
        step, word = next((i, word) for i, word in enumerate(words, start=1) if not _is_number(word))
        raise DataError(f"{where}, dimension {dimension}, step {step}: expected a number, got {word!r}.") from None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return word == "?"
    return True
