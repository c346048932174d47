"""Rows of totals below a table are named wherever the table is read: by their word, or by their sums."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.quality import check
from keras_seq.data.reading.totals import is_total
from keras_seq.data.sources import load_series

N = 40
RNG = np.random.default_rng(3)
X, Y = RNG.uniform(1, 9, N).round(2), RNG.uniform(10, 90, N).round(2)


def warnings(path: Path, **options) -> list[str]:
    config = DataConfig(source="table", path=str(path), **{"targets": ("y",), "features": ("x",)} | options)
    return [str(finding) for finding in check(load_series(config, checked=False)).warnings]


def frame(word: str | None, *, place: str = "month") -> pd.DataFrame:
    months = [f"M{i}" for i in range(N)] if place == "month" else [None] * N
    table = pd.DataFrame({place: months, "x": X, "y": Y})
    return pd.concat([table, pd.DataFrame({place: [word], "x": [X.sum().round(2)], "y": [Y.sum().round(2)]})])


@pytest.mark.parametrize(
    "word", ["Total", "Summe:", "GESAMT", "Grand total", "Итого", "合计", "Mittelwert", "Sum (kWh)"]
)
def test_a_word_for_totals_in_the_last_row_is_a_warning(tmp_path, word):
    frame(word).to_csv(tmp_path / "t.csv", index=False)
    told = next(one for one in warnings(tmp_path / "t.csv") if "totals or means" in one)
    assert f"the last row is {word!r}" in told and "data.skip_footer 1 leaves it out" in told
    assert not warnings(tmp_path / "t.csv", skip_footer=1)


@pytest.mark.parametrize("word", ["Totem", "sum_7", "Meanwhile", "Mean Street 7", "", None, "total.csv"])
def test_other_words_are_no_totals(word):
    assert not is_total(word)


def test_a_word_that_other_rows_have_is_a_value(tmp_path):
    pd.DataFrame({"kind": ["total", "part"] * 20, "x": X, "y": Y}).to_csv(tmp_path / "t.csv", index=False)
    assert not warnings(tmp_path / "t.csv", features=("x",))


@pytest.mark.parametrize("ending", ["csv.gz", "parquet", "xlsx", "utf16.csv"])
def test_totals_are_named_in_every_format(tmp_path, ending):
    path, table = tmp_path / f"t.{ending}", frame("Total")
    if ending == "csv.gz":
        path.write_bytes(gzip.compress(table.to_csv(index=False).encode()))
    elif ending == "utf16.csv":
        path.write_bytes(table.to_csv(index=False).encode("utf-16"))
    elif ending == "parquet":
        table.to_parquet(path)
    else:
        table.to_excel(path, index=False)
    assert any("totals or means" in one for one in warnings(path))


def test_sums_without_a_word_are_a_warning(tmp_path):
    frame(None).drop(columns="month").to_csv(tmp_path / "t.csv", index=False)
    assert any("row 41: the last row holds the sums of the others" in one for one in warnings(tmp_path / "t.csv"))
    turned = frame(None).drop(columns="month").iloc[::-1]
    turned.to_csv(tmp_path / "first.csv", index=False)
    assert any("row 1: the first row holds the sums" in one for one in warnings(tmp_path / "first.csv"))


def test_the_total_of_each_unit_and_the_unit_of_totals_are_warnings(tmp_path):
    shops = [frame(None).drop(columns="month").assign(shop=f"s{i}") for i in range(3)]
    pd.concat(shops).to_csv(tmp_path / "units.csv", index=False)
    told = [one for one in warnings(tmp_path / "units.csv", unit="shop") if "sums of the others" in one]
    assert len(told) == 1 and "(3 in all)" in told[0]
    rows = pd.concat([shop.iloc[:N] for shop in shops])
    last = pd.DataFrame({"shop": ["alle"], "x": [rows["x"].sum()], "y": [rows["y"].sum()]})
    pd.concat([rows, last]).to_csv(tmp_path / "last.csv", index=False)
    assert any(
        "unit 'alle', row 1: its one row holds the sums" in one for one in warnings(tmp_path / "last.csv", unit="shop")
    )


@pytest.mark.parametrize("values", [np.arange(N) * 1.0, np.cumsum(X), np.ones(N), np.zeros(N), RNG.normal(size=N),
                                    np.eye(1, N, N - 1)[0], 1.1 ** np.arange(N), np.sin(np.arange(N))])  # fmt: skip
def test_usual_rows_are_no_totals(tmp_path, values):
    pd.DataFrame({"x": values, "y": Y}).to_csv(tmp_path / "t.csv", index=False)
    assert not [one for one in warnings(tmp_path / "t.csv") if "sums" in one]
