"""What only the parts of a split show, and columns that stand still in train: told, and 0 in the graph."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.data.prepare import prepare_series
from keras_seq.data.series import Column, Schema, build_series
from keras_seq.errors import DataError
from tests.factories.series import data_config

TRAIN, VALIDATION, TEST = slice(0, 140), slice(140, 170), slice(170, 200)
BY_TIME = {"split": {"by": "time", "validation": 30, "test": 30}, "windows": {"mode": "sliding", "length": 5}}


def series_of(task="regression", targets=None, **columns):
    """One unit of 200 rows; ``columns`` are changes of a column of noise: {rows: value}."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, len(columns)))
    for j, changes in enumerate(columns.values()):
        for rows, value in changes:
            values[rows, j] = value
    names = tuple(Column(name=name, missing=True) for name in columns)
    classes = ("no", "yes") if task == "binary" else ()
    schema = Schema(name="made", task=task, columns=names, targets=("y",), classes=classes)
    target = rng.normal(size=(200, 1)) if targets is None else np.asarray(targets, float)[:, None]
    return build_series(schema, [values], [target], unit_ids=["a"])


def warnings_of(series, **sections):
    found = prepare_series(series, data_config(**(BY_TIME | sections))).quality.warnings
    return {rule: "; ".join(str(one) for one in found if one.rule == rule) for rule in {one.rule for one in found}}


def test_sound_parts_are_not_told_of():
    assert warnings_of(series_of(a=[], b=[])) == {}


@pytest.mark.parametrize(
    ("changes", "rule", "text"),
    [
        (
            [(TRAIN, 0), (VALIDATION, 0), (TEST, 500)],
            "constant in train",
            "always 0 in the train part but 500 to 500 in",
        ),
        ([(TRAIN, np.nan)], "constant in train", "has no value in the train part but"),
        (
            [(TRAIN, 3), (VALIDATION, 7), (TEST, 3)],
            "constant in train",
            "is always 3 in the train part but 7 to 7 in val",
        ),
        ([(VALIDATION, 2)], "constant in validation", "is always 2 in the validation part, which 0% of the train rows"),
        ([(TEST, 0.5)], "constant in test", "is always 0.5 in the test part"),
        ([(TEST, np.nan)], "missing by part", "misses 0% of its values in train, 100% in test"),
        ([(slice(0, 100), np.nan)], "missing by part", "misses 71% of its values in train, 0% in validation"),
        ([(slice(172, 176), 90)], "far outside train", "4 of 30 values in the test part lie far outside what train"),
        ([(slice(150, 151), -1e6)], "far outside train", "1 of 30 values in the validation part lie far outside"),
    ],
)
def test_a_column_that_changes_its_kind_from_part_to_part_is_told(changes, rule, text):
    found = warnings_of(series_of(a=changes, b=[]))
    assert text in found[rule] and "column 'a'" in found[rule]


def test_a_flag_that_a_short_part_does_not_show_is_no_finding():
    flag = [(slice(0, 200), 0.0), (slice(0, 140, 25), 1.0)]  # rare in train, absent later
    assert warnings_of(series_of(promotion=flag, b=[])) == {}


def test_a_target_that_stands_still_in_train_is_told():
    targets = np.where(np.arange(200) < 140, 5.0, np.arange(200))
    assert "is always 5 in the train part" in warnings_of(series_of(targets=targets, a=[]))["target"]


def test_few_windows_and_few_examples_of_a_class_are_told():
    split = {"split": {"by": "time", "validation": 12, "test": 30}}
    assert "the validation part holds 12 windows only" in warnings_of(series_of(a=[]), **split)["few windows"]
    labels = (np.arange(200) % 2).astype(float)
    labels[170:] = 0
    labels[[171, 190, 195]] = 1
    found = warnings_of(series_of("binary", labels, a=[]))["few of a class"]
    assert "the test part holds few windows of a class ('yes' 3)" in found
    labels[170:] = 0
    with pytest.raises(DataError, match="The test part of the split has no example of class 'yes'"):
        warnings_of(series_of("binary", labels, a=[]))


@pytest.mark.parametrize("scale", ["zscore", "minmax", "robust"])
def test_what_never_changed_in_train_scales_to_nothing(scale):
    from keras_seq.models.preprocess import Preprocess

    series = series_of(a=[], still=[(TRAIN, 3), (TEST, 500)], empty=[(TRAIN, np.nan)], tiny=[(slice(0, 200), 1e-42)])
    spec = prepare_series(series, data_config(**BY_TIME, scale=scale, missing_indicator=True)).spec
    assert spec.scaling.constant == ((False, True, True, True),)
    layer = Preprocess.from_spec(spec)
    again = Preprocess.from_config(layer.get_config())
    rows = series.values[None, 100:200]
    for one in (layer, again):
        channels = np.asarray(one(rows))
        assert channels[0, :, 0].std() > 0 and not channels[0, :, 1:4].any()
    step, _ = layer.step(series.values[199:200], {k: np.asarray(v) for k, v in layer.initial_state(1).items()})
    np.testing.assert_allclose(np.asarray(step)[0], channels[0, -1], rtol=1e-6)
    extreme = np.full((1, 4, 4), 3e38, np.float32)
    assert not np.asarray(layer(extreme))[0, :, 1:4].any()


def test_what_stands_still_in_one_condition_scales_to_nothing_there():
    from keras_seq.models.preprocess import Preprocess

    rng = np.random.default_rng(1)
    regime = (np.arange(200) // 10 % 2).astype(float) * 100 + rng.normal(0, 0.1, 200)
    sensor = np.where(regime > 50, rng.normal(5, 1, 200), 7.0)
    columns = (Column(name="regime", kind="condition"), Column(name="sensor"))
    schema = Schema(name="made", task="regression", columns=columns, targets=("y",))
    series = build_series(schema, [np.stack([regime, sensor], 1)], [rng.normal(size=(200, 1))])
    spec = prepare_series(series, data_config(**BY_TIME, conditions=2)).spec
    assert spec.scaling.constant == ((False, True), (False, False))
    rows = np.array([[[0.0, 7.0], [0.0, 900.0], [100.0, 5.0], [100.0, 6.0]]], np.float32)
    channels = np.asarray(Preprocess.from_spec(spec)(rows))[0, :, 1]
    assert channels[0] == channels[1] == 0 and channels[2] != channels[3]


def test_without_scaling_values_stay_as_they_are():
    series = series_of(a=[], still=[(TRAIN, 3), (TEST, 500)])
    assert prepare_series(series, data_config(**BY_TIME, scale="none")).spec.scaling.constant == ()
