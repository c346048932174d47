"""``python -m keras_seq.init`` on tables whose time, units or header are not quite there: it tells, not guesses."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from keras_seq.data.sources import load_series
from keras_seq.errors import KerasSeqError
from tests.factories import init


def begin(table, *words):
    return init.begin(table, "--target", "y", "--overwrite", *words)


def waves(rows):
    """Two columns of numbers that neither rise nor repeat as a whole."""
    steps = np.arange(rows)
    return pd.DataFrame({"x": np.sin(steps), "y": np.cos(steps * 0.7)})


@pytest.mark.parametrize(
    ("stamp", "message"),
    [
        (
            lambda i: f"{1 + i // 24:02d}.01.2024 {i % 24 or 25:02d}:00",
            r"holds no dates in one format .*'01.01.2024 25:00'",
        ),
        (lambda i: "" if i == 7 else f"2024-01-01 00:00:{i:02d}", "is empty in 1 rows"),
        (lambda i: "Total" if i == 39 else i, r"holds 'Total' in data row 40 \(1 in all\)"),
    ],
)
def test_a_time_that_cannot_be_read_is_told(here, capsys, stamp, message):
    table = pd.DataFrame({"time": [stamp(i) for i in range(40)], **waves(40)})
    experiment = begin(table)
    told = capsys.readouterr().out
    assert experiment.data.time is None
    assert re.search(f"'time' seems to tell the time, but {message}", told)
    begin(table, "--time", "none")
    assert "seems to tell" not in capsys.readouterr().out


def test_units_named_only_where_they_begin_are_told(here, capsys):
    table = waves(80)
    table["unit"] = [f"u{i // 20}" if i % 20 == 0 else None for i in range(80)]
    begin(table)
    assert "'unit' seems to name the units, but is empty in 76 rows" in capsys.readouterr().out


def test_a_clock_put_back_names_the_zone(here):
    stamps = pd.date_range("2024-10-26", periods=120, freq="30min", tz="Europe/Berlin").strftime("%Y-%m-%d %H:%M:%S")
    text = "time,x,y\n" + "".join(f"{stamp},{i % 7 + 0.5},{i % 5 + 0.25}\n" for i, stamp in enumerate(stamps))
    with pytest.raises(KerasSeqError, match=r"--data\.zone Europe/Berlin"):
        begin(text)
    experiment = begin(text, "--data.zone", "Europe/Berlin")
    assert (np.diff(load_series(experiment.data).time) == np.timedelta64(30, "m")).all()


def test_lines_before_the_header(here):
    rows = "".join(f"{i};{i % 7 + 0.5};{i % 5 + 0.25}\n" for i in range(40))
    assert load_series(begin("sep=;\nt;x;y\n" + rows).data).schema.features == ("x", "y")
    assert load_series(begin("Logger: 7\nSerial: 9\nt;x;y\n" + rows).data).schema.features == ("x", "y")
    with pytest.raises(KerasSeqError, match=r"begins with 'Logger: 7', which is no header: .* is '0;0\.5;0\.25'"):
        begin("Logger: 7\nSerial: 9\n" + rows)


def test_numbers_in_two_fashions_are_no_id(here, capsys):
    values = [f"{i}.5%" if i % 2 == 0 else f"{i}.5" for i in range(40)]
    begin(pd.DataFrame({"t": range(40), "x": values, "y": waves(40)["y"]}))
    assert "x holds words among numbers, first '0.5%' (20 of 40 values)" in capsys.readouterr().out


def test_lists_in_parquet_are_left_out(here):
    waves(40).assign(parts=[[1, 2]] * 40).to_parquet("table.parquet")
    assert "parts" not in load_series(begin("table.parquet").data).schema.features


def test_a_code_that_several_columns_share_is_taken_out(here):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(50, 5, (200, 4)).round(1), columns=["a", "b", "c", "y"])
    frame.iloc[20:40, :] = -200.0
    made = begin(frame, "--task", "regression")
    assert made.data.missing_codes == (-200.0,) and made.data.impute == "forward"
    assert "stands for a missing value" in (here / "made.yaml").read_text()
    frame[["b", "c", "y"]] = rng.normal(50, 5, (200, 3)).round(1)  # one column alone: named by the check, not taken out
    assert begin(frame, "--task", "regression").data.missing_codes == ()
