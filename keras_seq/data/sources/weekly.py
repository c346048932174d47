"""Two weekly series with a 52-week season: US gasoline supplied, and CO2 at Mauna Loa (embedded)."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.data.home import require
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.data.sources.frames import read_dated
from keras_seq.data.sources.registry import source_info
from keras_seq.errors import DataError

WEEKS = 628
LAST = np.datetime64("2019-12-31")  # 2020 holds the collapse of demand


def load_gasoline(config: DataConfig) -> Series:
    """The last 628 weeks up to 2019-12, thousand barrels per day; the file is newest first.

    Raises:
        DataError: the file is missing, malformed or too short.
    """
    info = source_info("gasoline")
    (path,) = require("gasoline", "us_gasoline", info.files, config.home)
    frame = read_dated(path, "Week", ("Gasoline",), "%m/%d/%Y")
    frame = frame[frame.index <= LAST].iloc[-WEEKS:]
    if len(frame) < WEEKS:
        raise DataError(
            f"File '{path}' has {len(frame)} weeks up to 2019-12, expected at least {WEEKS}; copy it again."
        )
    column = Column(name="gasoline", unit="thousand barrels/day")
    facts: dict[str, Any] = {"origin": info.licence, "url": info.url, "season": 52}
    return _one_series("gasoline", column, frame["Gasoline"].to_numpy(), frame.index.to_numpy(), facts)


def load_co2(config: DataConfig) -> Series:
    """Weekly CO2 in ppm, 1958-03 to 2001-12 (2,284 weeks), 59 of them missing (NaN)."""
    from statsmodels.datasets import co2

    table = co2.load_pandas().data
    column = Column(name="co2", unit="ppm", minimum=200.0, maximum=1000.0, missing=True)
    facts = {"origin": source_info("co2").licence, "season": 52}
    return _one_series("co2", column, table["co2"].to_numpy(), table.index.to_numpy(), facts)


def _one_series(name: str, column: Column, values: np.ndarray, time: np.ndarray, info: dict[str, Any]) -> Series:
    schema = Schema(
        name=name,
        task="forecast",
        columns=(column,),
        targets=(column.name,),
        target_unit=column.unit,
        time_column="week",
    )
    rows = np.asarray(values, np.float32)[:, None]
    return build_series(schema, [rows], [rows.copy()], unit_ids=[name], times=[time.astype("datetime64[s]")], info=info)
