"""A table that every format's test writes with another library, and a cache of its own for what is converted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.sources import load_series


@pytest.fixture(autouse=True)
def stores(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path / "stores"))
    return tmp_path / "stores" / "tables"


@pytest.fixture(scope="session")
def frame():
    """Two pumps of twenty hours; the files in ``files/`` hold it as pandas wrote it with odfpy and xlwt."""
    count = np.arange(40)
    table = {"when": pd.date_range("2024-01-01", periods=40, freq="h"), "pump": ["a"] * 20 + ["b"] * 20}
    frame = pd.DataFrame(table | {"load": count * 0.5, "on": count % 3 == 0, "count": count})
    frame.loc[5, "load"] = np.nan
    return frame


@pytest.fixture
def load():
    """A function that loads a file with the roles of ``frame``, or with others."""

    def read(path, **options):
        return load_series(DataConfig(source="table", path=str(path), **options), checked=False)

    return read


@pytest.fixture
def same(load, frame, tmp_path):
    """A function that holds a file against ``frame`` as Parquet, bit by bit."""
    roles = {"unit": "pump", "time": "when", "targets": ("count",), "features": ("load", "on")}

    def compare(path, **options):
        frame.to_parquet(tmp_path / "frame.parquet")
        wanted, series = load(tmp_path / "frame.parquet", **roles), load(path, **roles, **options)
        for name in ("values", "targets", "offsets", "unit_ids", "time"):
            np.testing.assert_array_equal(getattr(series, name), getattr(wanted, name), err_msg=name)

    return compare
