"""Columns that give the answer away are named; honest measurements are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.data.quality.companions import check_companions, companions

RNG = np.random.default_rng(0)
UNITS, ROWS = 25, 60
OFFSETS = np.arange(UNITS + 1) * ROWS
UNIT = np.repeat(np.arange(UNITS), ROWS)
TIME = np.tile(np.arange(ROWS), UNITS).astype(float)
CAPACITY = RNG.uniform(1.5, 2.5, UNITS)[UNIT] * (1 - 0.004 * TIME) + RNG.normal(0, 0.01, UNITS * ROWS)
FIRST = CAPACITY[OFFSETS[:-1]][UNIT]
NOISE = RNG.normal(size=UNITS * ROWS)


def shifted(values, by):
    """Values of ``by`` rows later in the same unit, NaN where there is none."""
    return np.concatenate([pd.Series(values[u == UNIT]).shift(-by).to_numpy() for u in range(UNITS)])


def told(column, target=CAPACITY, classes=(), **options):
    found = companions({"other": NOISE, "it": column}, target, OFFSETS, name="y", classes=classes, **options)
    assert all(one.name == "it" for one in found), found
    return found[0].why if found else ""


VALUES = {
    "rescaled": (3 + 0.01 * CAPACITY, "moves exactly with the target"),
    "turned round": (-CAPACITY, "moves exactly with the target"),
    "share of its first value": (100 * CAPACITY / FIRST, "rescaled in each unit"),
    "standardised by unit": ((CAPACITY - FIRST) / FIRST**2, "rescaled in each unit"),
    "inverse by rank": (1 / (CAPACITY - 0.9) ** 8, "rank correlation"),
    "running maximum": (np.maximum.accumulate(NOISE.reshape(UNITS, ROWS), axis=1).ravel(), "running max"),
    "running sum": (np.cumsum(NOISE.reshape(UNITS, ROWS), axis=1).ravel(), "running sum"),
    "the next row": (5 * shifted(NOISE, 1), "of 1 row later"),
    "a week later": (shifted(NOISE, 7), "of 7 rows later"),
    "the row before": (shifted(NOISE, -1), "of 1 row before"),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_column_made_of_the_target_is_named(name):
    column, why = VALUES[name]
    target = NOISE if "running" in name or "row" in why else CAPACITY
    found = companions({"other": RNG.normal(size=len(NOISE)), "it": column}, target, OFFSETS, name="y")
    assert [one.name for one in found] == ["it"] and why in found[0].why
    assert str(found[0]).endswith("take it out of data.features") and "\n" not in str(found[0])


def test_columns_that_add_up_to_the_target_are_named():
    casual, registered = RNG.poisson(20, len(UNIT)), RNG.poisson(90, len(UNIT))
    found = companions({"a": NOISE, "casual": casual, "registered": registered}, casual + registered, OFFSETS, name="y")
    assert len(found) == 1 and "'registered'" in str(found[0]) and "'casual'" in str(found[0])
    assert "add up to the target" in found[0].why


WORN = (CAPACITY < 0.88 * FIRST).astype(float)
GRADE = np.digitize(NOISE, [-0.5, 0.5]).astype(float)
CLASSES = {
    "its code": (WORN, WORN, ("good", "worn"), "each of its values"),
    "a code of three": (np.choose(GRADE.astype(int), [7.0, 3.0, 9.0]), GRADE, ("a", "b", "c"), "each of its values"),
    "three ranges": (NOISE, GRADE, ("a", "b", "c"), "one range for each class"),
    "a number only where it happened": (
        np.where(WORN > 0, UNIT, np.nan),
        WORN,
        ("good", "worn"),
        "has a value just where",
    ),
    "event numbers": (
        np.where(WORN > 0, UNIT + 0.01 * TIME + 1, 0),
        WORN,
        ("good", "worn"),
        "one range for each class",
    ),
    "many event numbers": (np.where(GRADE == 1, UNIT - 9.5, 0), GRADE, ("a", "b", "c"), "other than 0 just where"),
    "one class of three": ((GRADE == 2) * 5.0, GRADE, ("a", "b", "c"), "is other than 0 just where the class is 'c'"),
    "the code of tomorrow": (shifted(GRADE, 1), GRADE, ("a", "b", "c"), "of 1 row later"),
    "the code in days": (shifted(10.0 * GRADE, 7), GRADE, ("a", "b", "c"), "of 7 rows later"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_column_that_tells_the_class_is_named(name):
    column, target, classes, why = CLASSES[name]
    other = RNG.normal(size=len(UNIT))
    (found,) = companions({"other": other, "it": column}, target, OFFSETS, name="y", classes=classes)
    assert found.name == "it" and why in found.why


def test_words_one_to_one_with_the_target():
    words = np.choose(GRADE.astype(int), [1.0, 2.0, 0.0])
    columns = {"other": RNG.normal(size=len(UNIT)), "it": words}
    for target, classes, why in (
        (GRADE, ("a", "b", "c"), "each of its values"),
        (100 * GRADE, (), "one word for each"),
    ):
        (found,) = companions(columns, target, OFFSETS, name="y", classes=classes, words=frozenset({"it"}))
        assert found.name == "it" and why in found.why


HONEST = {
    "a clock": (TIME, CAPACITY),
    "a clock beside remaining life": (TIME, ROWS + 7 * (UNIT % 5) - TIME),
    "hours beside remaining life": (10 * TIME + UNIT, ROWS + 7 * (UNIT % 5) - TIME),
    "a sensor": (CAPACITY + RNG.normal(0, 0.02, len(UNIT)), CAPACITY),
    "a unit's rating": (UNIT * 1.5, CAPACITY),
    "a smooth neighbour": (np.sin(TIME / 9 + UNIT), np.sin(TIME / 9 + UNIT + 0.3)),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_columns_are_not_named(name):
    column, target = HONEST[name]
    assert told(column, target) == ""


def test_honest_columns_of_classes_are_not_named():
    by_unit = (UNIT % 2).astype(float)
    assert told(UNIT.astype(float), by_unit, ("a", "b")) == ""  # the unit's own number
    assert told(NOISE + 3 * WORN, WORN, ("good", "worn")) == ""
    assert told(np.round(NOISE + WORN), WORN, ("good", "worn")) == ""
    few = (np.repeat(np.arange(4), 50) % 2).astype(float)  # four units: chance
    found = companions({"level": few + RNG.normal(0, 0.1, 200)}, few, np.arange(5) * 50, name="y", classes=("a", "b"))
    assert found == []


def test_a_forecast_is_told_of_copies_and_of_the_future_only():
    y = np.cumsum(NOISE)
    one = np.array([0, len(y)])
    found = companions(
        {"y_next": np.append(y[1:], np.nan), "y_scaled": 0.1 * y, "before": np.append(np.nan, y[:-1]), "x": NOISE},
        y,
        one,
        name="y",
        forecast=True,
    )
    assert {one.name: one.why.split(":")[0] for one in found} == {
        "y_next": "holds the target 'y' of 1 row later",
        "y_scaled": "is the target 'y' rescaled, which adds nothing",
    }


def test_names_of_notes():
    found = companions({"annotation_code": NOISE, "x": NOISE[::-1]}, CAPACITY, OFFSETS, name="y")
    assert [one.name for one in found] == ["annotation_code"]


def test_no_column_of_the_known_sets_is_named(known_set):
    assert check_companions(known_set) == []
