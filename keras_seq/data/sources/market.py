"""A daily stock index: the next day's log return or its direction, from what is known at the close.

Nothing of the next day is among the features of a day. Oil and implied volatility are published
after the close, so their columns hold the last value of an *earlier* day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.data.sources.frames import read_dated
from keras_seq.data.sources.registry import GITHUB, Download, SourceInfo, register

if TYPE_CHECKING:
    import pandas as pd

DATES = "%m/%d/%Y"
COLUMNS = (
    Column(name="return", unit="log ratio"),
    Column(name="range", unit="log ratio", minimum=0.0),
    Column(name="volume_change", unit="log ratio", missing=True),  # missing around days without a volume
)
OPTIONAL = (
    Column(name="vix", unit="%", minimum=0.0, missing=True),
    Column(name="wti_return", unit="log ratio", missing=True),
)


_FIRST, _LATER = "8ec3620a7e322dcbb3bdbfe5f5ebeda30965c818", "f78f7cef0a6ea5f62ac9f6bd0dc187dc5a3ba676"
MARKET = SourceInfo(
    "market",
    "daily stock index 1999-2018: next day's return or direction",
    "forecast",
    "market",
    ("{subset}.csv",),
    ("sp500", "nasdaq"),
    "Yahoo Finance and FRED, redistributed by the arch package; research use",
    "https://github.com/bashtage/arch",
    tuple(
        Download(f"{stem}.csv", f"{GITHUB}bashtage/arch/{commit}/arch/data/{stem}/{stem}.csv.gz", sha256, size)
        for stem, commit, sha256, size in (
            ("sp500", _FIRST, "1c4d0aeed8db9284de8ad71e4063c97f645ad6dd13507f8e305338e96c396ba7", 400462),
            ("nasdaq", _LATER, "799ab0bf4a29129f23c27743098215c4033c139ff76dc935a1cd53d1aea9997e", 403487),
            ("vix", _LATER, "6426bbfd29e017bf33d95e25e69cded4c9686b736466100b0fa4703814f78731", 21756),
            ("wti", _LATER, "7da09a03f7bb5bff9d029c1b642eca14f195940379ad8a83305277175b88c3d6", 144215),
        )
    ),
    rank=8,
)


@register(MARKET)
def load_market(config: DataConfig) -> Series:
    """Returns, daily ranges and volume changes of an index, 1999-2018.

    Task "forecast" (default): column ``return`` is its own target, use ``windows.horizon 1``. Task
    "regression": target ``next_return`` at each day. Task "binary": target ``up``, 1 where the next
    day's return is positive; the last day, whose next day is unknown, is left out of both.
    Features ``vix`` and ``wti_return`` are added where ``data.features`` names them.

    Raises:
        DataError: a file is missing or malformed.
    """
    subset = MARKET.subset(config)
    (path,) = MARKET.paths(config)
    prices = read_dated(path, "Date", ("Open", "High", "Low", "Close", "Volume"), DATES)
    features = _features(prices)
    columns = COLUMNS + tuple(column for column in OPTIONAL if column.name in config.features)
    for column in columns[len(COLUMNS) :]:
        features[column.name] = _before(config, column.name, features.index.to_numpy())
    values = features[[column.name for column in columns]].to_numpy(np.float32)
    following = np.append(features["return"].to_numpy()[1:], np.nan).astype(np.float32)
    keep = slice(None)
    schema = Schema(
        name=subset, task="forecast", columns=columns, targets=("return",), target_unit="log ratio", time_column="Date"
    )
    targets = values[:, :1].copy()
    if config.task in ("binary", "regression"):
        keep = slice(0, -1)
        up = config.task == "binary"
        targets = (following > 0).astype(np.float32)[:, None] if up else following[:, None]
        update = {
            "task": config.task,
            "targets": ("up",) if up else ("next_return",),
            "target_unit": "" if up else "log ratio",
            "classes": ("down", "up") if up else (),
        }
        schema = schema.model_copy(update=update)
    return build_series(
        schema,
        [values[keep]],
        [targets[keep]],
        unit_ids=[subset],
        times=[features.index.to_numpy()[keep]],
        info=MARKET.origin | {"up_share": float((following[:-1] > 0).mean())},
    )


def _features(prices: pd.DataFrame) -> pd.DataFrame:
    """One row per day from the second on: each uses that day and the one before, nothing later."""
    import pandas as pd

    volume = np.log(prices["Volume"].where(prices["Volume"] > 0))
    table = pd.DataFrame(
        {
            "return": np.log(prices["Close"]).diff(),
            "range": np.log(prices["High"] / prices["Low"]),
            "volume_change": volume.diff(),
        }
    )
    return table.iloc[1:]


def _before(config: DataConfig, name: str, days: np.ndarray) -> np.ndarray:
    """The last value known strictly before each day, NaN where there is none."""
    file, column = {"vix": ("vix.csv", "vix"), "wti_return": ("wti.csv", "DCOILWTICO")}[name]
    (path,) = MARKET.paths(config, (file,))
    series = read_dated(path, "Date", (column,), DATES, missing=(".", ""))[column].dropna()
    known = series.to_numpy() if name == "vix" else np.log(series).diff().to_numpy()
    position = np.searchsorted(series.index.to_numpy(), days, side="left") - 1
    return np.where(position >= 0, known[np.maximum(position, 0)], np.nan)
