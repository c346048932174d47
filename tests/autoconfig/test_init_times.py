"""``init`` joins columns that only together tell a time, and reads numbers that count seconds or days as dates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.commands.init import main
from keras_seq.config import load
from keras_seq.data.sources import load_series
from keras_seq.errors import DataError
from tests.factories.init import begin

HOURS = pd.date_range("2023-01-01", periods=600, freq="h")
Y = np.random.default_rng(0).normal(size=600).cumsum().round(2)
SECONDS = HOURS.astype("datetime64[s]").astype("int64")


@pytest.mark.parametrize(("columns", "time", "date_format"), [
    ({"dteday": HOURS.strftime("%Y-%m-%d"), "hr": HOURS.hour}, ("dteday", "hr"), None),
    ({"Date": HOURS.strftime("%d.%m.%Y"), "Time": HOURS.strftime("%H.%M.%S")}, ("Date", "Time"), None),
    ({"year": HOURS.year, "month": HOURS.month, "day": HOURS.day, "hour": HOURS.hour},
     ("year", "month", "day", "hour"), None),
    ({"timestamp": SECONDS}, "timestamp", "epoch_s"),
    ({"ts": SECONDS * 1000}, "ts", "epoch_ms"),
    ({"date": SECONDS / 86400 + 25569}, "date", "excel"),
    ({"cycle": SECONDS}, "cycle", None),
])  # fmt: skip
def test_a_time_is_proposed(here, columns, time, date_format):
    pd.DataFrame({**columns, "y": Y}).to_csv("table.csv", index=False)
    assert main(["table.csv", "--target", "y", "--horizon", "1"]) == 0
    data = load("table.yaml").data
    assert data.time == time and data.date_format == date_format
    assert data.features == ("y",)


def test_a_time_of_several_columns_is_asked_for(here):
    pd.DataFrame({"d": HOURS.strftime("%Y-%m-%d"), "x": HOURS.hour, "y": Y}).to_csv("table.csv", index=False)
    assert main(["table.csv", "--target", "y", "--horizon", "1", "--time", "d,x"]) == 0
    assert load("table.yaml").data.time == ("d", "x")


def test_doubled_rows_are_dropped_where_they_are_copies_and_merged_where_asked_for(here, capsys):
    table = pd.DataFrame({"time": HOURS, "y": Y})
    pd.concat([table[:9], table[8:]]).to_csv("copies.csv", index=False)
    assert main(["copies.csv", "--target", "y", "--horizon", "1"]) == 0
    assert "copy of a row" in capsys.readouterr().out and load("copies.yaml").data.duplicates == "error"
    pd.concat([table[:9], table[8:9].assign(y=99.0), table[9:]]).to_csv("table.csv", index=False)
    assert main(["table.csv", "--target", "y", "--horizon", "1", "--data.duplicates", "mean"]) == 0
    assert load("table.yaml").data.duplicates == "mean"


def test_rows_in_any_order_are_sorted(here):
    days = pd.date_range("2024-01-01", periods=60)
    order = np.random.default_rng(1).permutation(60)
    frame = pd.DataFrame({"day": days[order].strftime("%Y-%m-%d"), "x": Y[:60], "sales": order * 2.0})
    made = begin(frame, "--target", "sales", "--horizon", "1")
    assert made.data.time == "day" and made.data.sort
    newest_first = frame.sort_values("day", ascending=False)
    made = begin(newest_first, "--target", "sales", "--horizon", "1", "--overwrite")
    assert made.data.time == "day" and not made.data.sort  # turned round in any case


def test_a_few_doubled_stamps_are_merged(here):
    days = list(pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d"))
    days[30] = days[29]
    frame = pd.DataFrame({"day": days, "x": Y[:60], "sales": np.arange(60) * 2.0})
    made = begin(frame, "--target", "sales", "--horizon", "1")
    assert made.data.time == "day" and made.data.duplicates == "last" and not made.data.sort


@pytest.mark.parametrize(
    ("text", "row", "footer"), [("Total", 60, True), ("2024-02-30", 31, False), ("0000-00-00", 5, False)]
)
def test_a_row_that_is_no_date_among_dates_is_named(here, text, row, footer):
    days = list(pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d"))
    days[row - 1] = text
    frame = pd.DataFrame({"day": days, "x": Y[:60], "sales": np.arange(60) * 2.0})
    frame.to_csv("table.csv", index=False)
    with pytest.raises(DataError, match=f"'day' .* holds '{text}' in data row {row}") as told:
        main(["table.csv", "--target", "sales", "--horizon", "1"])
    assert ("skip_footer" in str(told.value)) == footer
    assert main(["table.csv", "--target", "sales", "--horizon", "1", "--time", "none"]) == 0


def test_a_row_of_totals_is_named_where_the_time_is_no_date(here, capsys):
    table = pd.DataFrame({"month": [f"M{i}" for i in range(60)], "x": Y[:60], "sales": np.arange(60) * 2.0 + 1})
    total = pd.DataFrame({"month": ["Total"], "x": [Y[:60].sum()], "sales": [3600.0]})
    begin(pd.concat([table, total]), "--target", "sales", "--horizon", "1")
    assert "column 'month' of the last row is 'Total'" in capsys.readouterr().out
    cycles = pd.concat([table.assign(month=np.arange(60)), total]).rename(columns={"month": "cycle"})
    cycles.to_csv("cycles.csv", index=False)
    assert main(["cycles.csv", "--target", "sales", "--horizon", "1"]) == 0
    assert "column 'cycle' of the last row is 'Total'" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["Zeit", "Datum", "fecha", "日期", "采集时间", "time", "measure_time"])
def test_numbers_called_a_time_that_do_not_rise_are_noted(here, capsys, name):
    table = pd.DataFrame({name: np.random.default_rng(0).permutation(60) * 7, "x": Y[:60], "sales": Y[60:120]})
    begin(table, "--target", "sales", "--horizon", "1")
    assert f"column '{name}' may tell the time, but its numbers do not rise" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["Zeit", "Datum", "fecha", "日期"])
def test_numbers_called_a_time_in_another_language_are_one(here, name):
    made = begin(pd.DataFrame({name: SECONDS, "x": Y, "sales": Y}), "--target", "sales", "--horizon", "1")
    assert made.data.time == name and made.data.date_format == "epoch_s"
    steps = np.cumsum([1, 2, 4] * 20)  # not even: without its name it could be a sensor that rises
    made = begin(pd.DataFrame({name: steps, "x": Y[:60], "sales": Y[60:120]}), "--target", "sales", "--overwrite")
    assert made.data.time == name


def test_rows_are_brought_to_a_regular_step_where_asked_for(here):
    minutes = pd.date_range("2023-01-01", periods=1200, freq="10min")
    frame = pd.DataFrame({"time": minutes, "sales": np.sin(np.arange(1200) / 20)})
    made = begin(frame, "--target", "sales", "--horizon", "1", "--data.resample.every", "1h")
    assert made.data.resample.every == "1h" and made.data.windows.length < 200 * 0.7
    assert load_series(made.data).lengths.tolist() == [200]
