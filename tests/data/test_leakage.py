"""Planted tell-tales: nothing fitted or fed in training may know a test unit or a test period."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.pipeline import make_dataset, steps_per_epoch
from keras_seq.data.prepare import prepare, prepare_series
from keras_seq.data.scaling import fit_spec
from keras_seq.data.splits import split
from tests.factories.series import data_config, make_series

PLANT = 1e6


def plant(series, parts, config):
    """The series with enormous values and targets in every row whose target is not train's."""
    outside = np.ones(len(series.values), bool)
    for first, last in zip(parts.train.first, parts.train.last, strict=True):
        outside[first:last] = False
    values, targets = series.values.copy(), series.targets.copy()
    values[outside] = PLANT
    if series.schema.target_per == "step":
        targets[outside] = PLANT
    else:
        targets[np.setdiff1d(np.arange(series.n_units), parts.train.units)] = PLANT
    return dataclasses.replace(series, values=values, targets=targets), outside


CASES = {
    "units": ([30] * 20, {}, {"split": {"by": "unit"}, "windows": {"mode": "sliding", "length": 8}}),
    "groups": (
        [30] * 20,
        {"groups": [f"g{u // 2}" for u in range(20)]},
        {"split": {"by": "group"}, "windows": {"mode": "whole", "length": 25, "per_step": True}},
    ),
    "official": (
        [30] * 20,
        {"official": ["train"] * 14 + ["test"] * 6},
        {"split": {"by": "official"}, "windows": {"mode": "last", "length": 10}},
    ),
    "targets per unit": ([30] * 20, {"per": "unit"}, {"split": {"by": "unit"}}),
    "time": (
        [200, 150],
        {"task": "forecast"},
        {"split": {"by": "time"}, "windows": {"mode": "sliding", "length": 12, "horizon": 5}},
    ),
    "time, per step": (
        [200, 150],
        {},
        {"split": {"by": "time"}, "windows": {"mode": "sliding", "length": 12, "per_step": True}},
    ),
    "time folds": (
        [200],
        {},
        {"split": {"by": "time", "folds": 3, "fold": 1}, "windows": {"mode": "sliding", "length": 12}},
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scale", ["zscore", "minmax", "robust"])
def test_fitted_numbers_do_not_know_what_was_planted_outside_train(case, scale):
    lengths, kwargs, sections = CASES[case]
    series, config = make_series(lengths, **kwargs), data_config(scale=scale, **sections)
    parts = split(series, config)
    planted, outside = plant(series, parts, config)
    assert outside.any()
    assert fit_spec(planted, parts, config) == fit_spec(series, parts, config)


@pytest.mark.parametrize("case", CASES)
def test_training_batches_never_hold_what_was_planted_outside_train(case):
    lengths, kwargs, sections = CASES[case]
    series, config = make_series(lengths, **kwargs), data_config(**sections)
    planted, _ = plant(series, split(series, config), config)
    prepared = prepare_series(planted, config)
    index = prepared.index["train"]
    dataset = make_dataset(planted, index, prepared.spec, config, batch_size=8, training=True)
    for inputs, targets, _ in dataset.take(2 * steps_per_epoch(index, 8)).as_numpy_iterator():
        assert inputs["values"].max() < PLANT and targets.max() < PLANT


@pytest.mark.parametrize("case", CASES)
def test_no_target_row_is_shared_between_parts(case):
    lengths, kwargs, sections = CASES[case]
    series, config = make_series(lengths, **kwargs), data_config(**sections)
    prepared = prepare_series(series, config)
    owned = []
    for index in prepared.index.values():
        if config.windows.per_step:
            pairs = zip(index.first, index.start + index.length, strict=True)
        else:
            pairs = zip(index.target, index.target + max(1, config.windows.horizon), strict=True)
        owned.append({row for first, last in pairs for row in range(first, last)})
    assert all(owned)
    assert not (owned[0] & owned[1] or owned[0] & owned[2] or owned[1] & owned[2])
    if config.split.by != "time":
        units = [set(index.unit.tolist()) for index in prepared.index.values()]
        groups = [{series.groups[u] for u in part} for part in units]
        for found in (units, groups):
            assert not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])
    else:
        rows = [index.start + index.length - 1 for index in prepared.index.values()]
        for unit in range(series.n_units):
            mine = [row[index.unit == unit] for row, index in zip(rows, prepared.index.values(), strict=True)]
            assert mine[0].max() < mine[1].min() <= mine[1].max() < mine[2].min()


def test_a_column_that_tells_the_label_in_test_only_teaches_nothing():
    """A tell-tale that is noise in train: a linear probe on train cannot use it, one on test would be perfect."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    series = make_series([10] * 300, task="binary", per="unit", labels=labels, features=3)
    config = data_config(split={"by": "stratified"})
    parts = split(series, config)
    values = rng.normal(size=series.values.shape).astype(np.float32)
    for unit in parts.test.units:
        values[series.offsets[unit] : series.offsets[unit + 1], 2] = labels[unit]
    prepared = prepare_series(dataclasses.replace(series, values=values), config)

    def correlation(name):
        dataset = make_dataset(
            prepared.series, prepared.index[name], prepared.spec, config, batch_size=400, training=False
        )
        inputs, targets, _ = next(dataset.as_numpy_iterator())
        return np.corrcoef(inputs["values"][:, :, 2].mean(axis=1), targets[:, 0])[0, 1]

    assert correlation("test") > 0.999
    assert abs(correlation("train")) < 0.25 and abs(correlation("validation")) < 0.5


def test_fd001_scaler_equals_numpy_on_the_train_engines(data_home):
    config = DataConfig.model_validate(
        {
            "source": "cmapss",
            "subset": "FD001",
            "home": str(data_home),
            "split": {"by": "official"},
            "windows": {"mode": "sliding", "length": 30},
            "target_cap": 125,
        }
    )
    prepared = prepare(config)
    series, train = prepared.series, prepared.splits.train
    rows = np.concatenate([series.unit_values(u) for u in train.units]).astype(np.float64)
    constant = rows.min(axis=0) == rows.max(axis=0)
    np.testing.assert_allclose(prepared.spec.scaling.center[0], rows.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(prepared.spec.scaling.scale[0], np.where(constant, 1.0, rows.std(axis=0)), rtol=1e-6)
    assert len(train) == 85 and len(prepared.splits.test) == 100
    targets = np.concatenate([series.targets[a:b] for a, b in zip(train.first, train.last, strict=True)])
    assert prepared.spec.target_mean[0] == pytest.approx(np.minimum(targets.astype(np.float64), 125).mean())
    assert set(prepared.statistics()["train"]) >= {"units", "rows", "windows", "length", "missing_share", "target"}
