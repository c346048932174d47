"""Dates whose separator changes from row to row, as spreadsheets leave them where they took only some for dates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.home import data_home
from keras_seq.data.reading.dates import parse_dates, settle_dates
from keras_seq.data.sources import load_series
from keras_seq.errors import DataError

FILE = Path("table.csv")
DAYS = pd.date_range("2004-03-10", "2004-06-20")


def settled(texts):
    return settle_dates(pd.Series(texts), "day", FILE, date_format=None, zone=None)


@pytest.mark.parametrize(("few", "many"), [("%m-%d-%Y", "%m/%d/%Y"), ("%d.%m.%Y", "%d/%m/%Y")])
def test_two_separators_are_one_format(few, many):
    texts = [day.strftime(few if day.day < 13 else many) for day in DAYS]
    rule = settled(texts)
    assert rule.format.endswith(many) and rule.written == many and "separators" in rule.remarks[0]
    stamps = parse_dates(pa.array(texts), rule, "day", FILE)
    np.testing.assert_array_equal(stamps, DAYS.to_numpy("datetime64[ns]"))


def test_day_first_and_month_first_mixed_are_refused():
    texts = [day.strftime("%d-%m-%Y" if day.day % 2 else "%m/%d/%Y") for day in DAYS]
    with pytest.raises(DataError, match="one format"):
        settled(texts)


def test_the_mangled_italian_file_tells_the_same_hours():
    folder = data_home() / "air_quality_italy"
    if not folder.is_dir():
        pytest.skip("air_quality_italy is not in the data home")
    options = {"source": "table", "time": ("Date", "Time"), "targets": ("C6H6(GT)",), "task": "regression"}
    mangled = load_series(DataConfig(path=str(folder / "AirQualityUCI_bom_mixed_date_order.csv"), **options))
    original = load_series(DataConfig(path=str(folder / "AirQualityUCI_semicolon_decimal_comma.csv"), **options))
    np.testing.assert_array_equal(mangled.time, original.time)
