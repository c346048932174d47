"""Two weekly series with a 52-week season: US gasoline supplied, and CO2 at Mauna Loa (embedded)."""

from __future__ import annotations

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.data.sources.frames import read_dated
from keras_seq.data.sources.registry import GITHUB, Download, SourceInfo, register
from keras_seq.errors import DataError

WEEKS = 628
LAST = np.datetime64("2019-12-31")  # 2020 holds the collapse of demand


CO2 = SourceInfo(
    "co2",
    "weekly CO2 at Mauna Loa 1958-2001, with missing weeks",
    "forecast",
    licence="Keeling & Whorf, Scripps; ships with statsmodels (public domain)",
    embedded=True,
    rank=2,
)
GASOLINE = SourceInfo(
    "gasoline",
    "weekly US gasoline supplied, last 628 weeks up to 2019-12",
    "forecast",
    "us_gasoline",
    ("us_gasoline.csv",),
    licence="US Energy Information Administration; public domain",
    url="https://www.eia.gov/dnav/pet/pet_cons_wpsup_k_w.htm",
    downloads=(
        Download(
            "us_gasoline.csv",
            GITHUB + "unit8co/darts/a481a0e2a4dff0ac506a30c15e545bd7a19c1657/datasets/us_gasoline.csv",
            "88247f57ae77f26c56db50ee9c212860f70a2394ac1f75758a8cad56691b9be9",
            26373,
        ),
    ),
    rank=6,
)


@register(GASOLINE)
def load_gasoline(config: DataConfig) -> Series:
    """The last 628 weeks up to 2019-12, thousand barrels per day; the file is newest first.

    Raises:
        DataError: the file is missing, malformed or too short.
    """
    (path,) = GASOLINE.paths(config)
    frame = read_dated(path, "Week", ("Gasoline",), "%m/%d/%Y")
    frame = frame[frame.index <= LAST].iloc[-WEEKS:]
    if len(frame) < WEEKS:
        raise DataError(
            f"File '{path}' has {len(frame)} weeks up to 2019-12, expected at least {WEEKS}; copy it again."
        )
    column = Column(name="gasoline", unit="thousand barrels/day")
    return _one_series(GASOLINE, column, frame["Gasoline"].to_numpy(), frame.index.to_numpy())


@register(CO2)
def load_co2(config: DataConfig) -> Series:
    """Weekly CO2 in ppm, 1958-03 to 2001-12 (2,284 weeks), 59 of them missing (NaN)."""
    from statsmodels.datasets import co2

    table = co2.load_pandas().data
    column = Column(name="co2", unit="ppm", minimum=200.0, maximum=1000.0, missing=True)
    return _one_series(CO2, column, table["co2"].to_numpy(), table.index.to_numpy())


def _one_series(source: SourceInfo, column: Column, values: np.ndarray, time: np.ndarray) -> Series:
    schema = Schema(
        name=source.name,
        task="forecast",
        columns=(column,),
        targets=(column.name,),
        target_unit=column.unit,
        time_column="week",
    )
    rows = np.asarray(values, np.float32)[:, None]
    return build_series(
        schema,
        [rows],
        [rows.copy()],
        unit_ids=[source.name],
        times=[time.astype("datetime64[s]")],
        info=source.origin | {"season": 52},
    )
