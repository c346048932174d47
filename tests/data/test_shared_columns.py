"""What a unit has once for all keeps its size beside windows that are scaled by themselves."""

from __future__ import annotations

import numpy as np

from keras_seq.data.scaling import fit_spec
from keras_seq.data.series import Column, Schema, Series, build_series
from keras_seq.data.splits import split
from tests.factories.series import data_config

FORECAST = data_config(
    source="table",
    windows={"mode": "sliding", "length": 8, "horizon": 2},
    split={"by": "time", "validation": 10, "test": 10},
)


def shops(units: int = 3) -> Series:
    """Sales, the size of the shop (missing at times), the day (known ahead) and the price."""
    rng = np.random.default_rng(0)
    rows = []
    for unit in range(units):
        size = np.full(60, 100.0 * (unit + 1))
        size[5] = np.nan
        rows.append(np.stack([rng.normal(size=60), size, np.sin(np.arange(60.0)), rng.normal(size=60)], axis=1))
    columns = (
        Column(name="sales"),
        Column(name="size", missing=True),
        Column(name="day", known_ahead=True),
        Column(name="price"),
    )
    schema = Schema(name="shops", task="forecast", columns=columns, targets=("sales",))
    return build_series(schema, rows, [part[:, :1].astype(np.float32) for part in rows])


def test_columns_of_units_and_of_plans_are_shared() -> None:
    series = shops()
    assert fit_spec(series, split(series, FORECAST), FORECAST).scaling.shared == (1, 2)


def test_of_one_unit_only_what_is_known_ahead() -> None:
    series = shops(units=1)
    assert fit_spec(series, split(series, FORECAST), FORECAST).scaling.shared == (2,)
