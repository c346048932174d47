"""Electricity transformer temperature (Zhou et al., AAAI 2021): multi-horizon forecasting."""

from __future__ import annotations

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.data.sources.frames import read_dated
from keras_seq.data.sources.registry import GITHUB, Download, SourceInfo, register
from keras_seq.errors import DataError

COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")  # load high/middle/low useful/useless, oil degC
HOURS = 20 * 30 * 24  # the published protocol uses 12 + 4 + 4 months of 30 days and no more


ETT = SourceInfo(
    "ett",
    "electricity transformer temperature, 7 columns, 12/4/4 months",
    "forecast",
    "ett",
    ("{subset}.csv",),
    ("ETTh1", "ETTh2", "ETTm1", "ETTm2"),
    "Zhou et al. 2021 (Informer); CC BY-ND 4.0",
    "https://github.com/zhouhaoyi/ETDataset",
    (
        Download(
            "ETTh1.csv",
            GITHUB + "zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
            "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            2589657,
        ),
    ),
    rank=7,
)


@register(ETT)
def load_ett(config: DataConfig) -> Series:
    """The first 14,400 hours (quarter-hourly subsets: 57,600 rows), 7 columns, all of them targets.

    Split by time with ``validation`` and ``test`` 0.2 each this is the published 8640/2880/2880.

    Raises:
        DataError: the file is missing, malformed or too short.
    """
    subset = ETT.subset(config)
    (path,) = ETT.paths(config)
    rows = HOURS * (4 if subset.startswith("ETTm") else 1)
    frame = read_dated(path, "date", COLUMNS, "%Y-%m-%d %H:%M:%S").iloc[:rows]
    if len(frame) < rows:
        raise DataError(f"File '{path}' has {len(frame)} rows, the protocol needs {rows}; copy it again.")
    values = frame.to_numpy(np.float32)
    schema = Schema(
        name=subset,
        task="forecast",
        columns=tuple(Column(name=name, unit="degC" if name == "OT" else "") for name in COLUMNS),
        targets=COLUMNS,
        time_column="date",
    )
    facts = ETT.origin | {"season": rows // (20 * 30)}
    return build_series(
        schema, [values], [values.copy()], unit_ids=[subset], times=[frame.index.to_numpy()], info=facts
    )
