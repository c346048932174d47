"""JapaneseVowels (Kudo et al. 1999), of the UEA archive."""

from __future__ import annotations

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.data.formats.ts_cases import open_ts
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.data.sources.registry import GITHUB, Download, SourceInfo, register
from keras_seq.errors import DataError

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
    (header, train), (other, test) = ((head, list(cases)) for head, cases in map(open_ts, paths))
    if not header.classes or header.classes != other.classes or train[0].values.shape[1] != test[0].values.shape[1]:
        raise DataError(f"'{paths[0]}' and '{paths[1]}' do not belong together: classes or dimensions differ.")
    schema = Schema(
        name="jvowels",
        task="multiclass",
        columns=tuple(Column(name=f"lpc_{i + 1}") for i in range(train[0].values.shape[1])),
        targets=("speaker",),
        target_per="unit",
        classes=header.classes,
    )
    numbers = {label: number for number, label in enumerate(header.classes)}
    parts = [("train", train), ("test", test)]
    return build_series(
        schema,
        [case.values.astype(np.float32) for case in train + test],
        np.array([numbers.get(str(case.label), np.nan) for case in train + test], np.float32)[:, None],
        unit_ids=[f"{part}-{i + 1}" for part, cases in parts for i in range(len(cases))],
        official=[part for part, cases in parts for _ in cases],
        info=JVOWELS.origin,
    )
