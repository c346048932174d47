"""Units that are too short are named, the others answered."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from keras_seq.data.reading.reading import Reading
from keras_seq.data.rows import Rows
from keras_seq.errors import DataError
from keras_seq.evaluation.answered import AnswerTable, cut
from tests.factories.series import make_series

SPEC = SimpleNamespace(time=5, variable_length=False)


def rows(lengths, history=0):
    """Units a, b, ... of so many rows."""
    series = make_series(lengths)
    names = np.array(list("abcdefg"[: len(lengths)]))
    count = int(sum(lengths))
    series = dataclasses.replace(series, unit_ids=names)
    return Rows(series, np.arange(count) + 1, None, np.arange(count) + 1, history=history)


UNITS = rows([3, 7, 2, 5])


def test_short_units_are_named_and_the_others_answered():
    windows = cut(UNITS, SPEC)
    assert windows.unit.tolist() == [1, 3] and windows.start.tolist() == [5, 12] and windows.length.tolist() == [5, 5]
    assert [(one.unit, one.rows) for one in windows.refused] == [("a", 3), ("c", 2)]


def test_a_model_of_sequences_answers_every_unit():
    windows = cut(UNITS, SimpleNamespace(time=5, variable_length=True))
    assert windows.length.tolist() == [3, 5, 2, 5] and not windows.refused


def test_every_step_leaves_out_what_comes_before_a_whole_window():
    windows = cut(UNITS, SPEC, every=2)
    assert (windows.start + windows.length).tolist() == [8, 10, 17] and len(windows.refused) == 2


def test_nothing_to_answer_is_an_error():
    with pytest.raises(
        DataError, match=r"No unit .*: 4 units were not answered: 'a' has 3 rows and .*needs 8.*'b' \(7 rows\)"
    ):
        cut(UNITS, SimpleNamespace(time=8, variable_length=False))
    with pytest.raises(DataError, match="1 unit was not answered"):
        cut(rows([3]), SPEC)


def test_windows_without_the_history_of_their_covariates_are_left_out():
    windows = cut(rows([9, 12], history=4), SPEC, every=3)
    assert (windows.start.tolist(), windows.unit.tolist()) == ([4, 13, 16], [0, 1, 1])


def test_units_that_are_left_out_leave_the_others_as_they_are():
    kept = UNITS.keep(np.array([False, True, False, True]), "too short")
    assert kept.series.offsets.tolist() == [0, 7, 12] and kept.series.unit_ids.tolist() == ["b", "d"]
    assert kept.file_row.tolist() == [4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16, 17]
    np.testing.assert_array_equal(kept.series.values[:, 0], kept.file_row)
    assert [one.to_dict() for one in kept.refused] == [
        {"unit": "a", "rows": 3, "reason": "too short"}, {"unit": "c", "rows": 2, "reason": "too short"}
    ]  # fmt: skip


@pytest.mark.parametrize(("reading", "last", "ahead", "written"), [
    (Reading(date_format="%d.%m.%Y %H:%M"), "13.02.2018 00:00", "2018-02-14T12:30", "14.02.2018 12:30"),
    (Reading(date_format="ISO8601", stamp_format="%Y-%m-%d"), "2018-02-13", "2018-02-14", "2018-02-14"),
    (Reading(date_format="ISO8601", zone="Europe/Berlin", offsets=True), "2018-02-13T00:00:00+01:00",
     "2018-02-13T23:00", "2018-02-14T00:00:00+01:00"),
    (Reading(date_format="quarter", stamp_format="%YQ%q"), "2018Q1", "2018-04-01", "2018Q2"),
])  # fmt: skip
def test_computed_stamps_are_written_as_the_table_writes_its_own(reading, last, ahead, written):
    stamps = pd.DatetimeIndex([ahead])
    stamps = stamps.tz_localize("UTC").tz_convert(reading.zone) if reading.zone else stamps
    table = pd.DataFrame({"unit": ["a"], "day": [last], "steps_ahead": [1], "forecast_time": stamps, "y": [1.0]})
    text = AnswerTable(table, reading=reading).as_text()
    assert text["forecast_time"].tolist() == [written] and text["day"].tolist() == [last]
    assert AnswerTable(table).as_text() is table


def test_stamps_of_typed_tables_stay_stamps():
    days = pd.to_datetime(["2018-02-13"])
    table = pd.DataFrame({"unit": ["a"], "day": days, "steps_ahead": [1], "forecast_time": days, "y": [1.0]})
    assert AnswerTable(table, reading=Reading(date_format="ISO8601")).as_text() is table
