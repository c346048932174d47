"""Feature selection finds what tells, drops what does not, and never reads beyond the training units."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from keras_seq import config, files
from keras_seq.data.prepare import prepare_series
from keras_seq.data.series import Column, Schema, build_series
from keras_seq.errors import ConfigError
from keras_seq.selection.candidate_features import train_table
from keras_seq.selection.select import METHODS, select
from tests.factories.series import data_config
from tests.factories.tiers import tiers

FEATURES = ("wear", "noise", "heat", "hum")
SECTIONS = {
    "step": {"split": {"by": "unit"}, "windows": {"mode": "whole", "length": 60, "per_step": True}},
    "unit": {"split": {"by": "unit"}, "windows": {"mode": "whole", "length": 60}},
    "forecast": {"split": {"by": "time"}, "windows": {"mode": "sliding", "length": 12, "horizon": 3}},
}


def made(kind, seed=0):
    """Wear and heat tell the target; noise and hum tell nothing."""
    rng = np.random.default_rng(seed)
    units, targets = [], []
    for _ in range(4 if kind == "forecast" else 150 if kind == "unit" else 24):
        rows = rng.normal(0, 1, (200 if kind == "forecast" else 50, 4)).astype(np.float32)
        if kind == "step":
            rows[:, 0] = np.arange(50) * rng.uniform(0.5, 1.5) + rng.normal(0, 2, 50)
            targets.append((rows[:, 0] + 6 * rows[:, 2])[:, None])
        elif kind == "unit":
            label = rng.integers(0, 2)
            rows[:, 0] += 0.3 * label  # neither is enough alone
            rows[:, 2] *= 1 + 0.25 * label
            targets.append(label)
        else:
            for t in range(1, 200):
                rows[t, 0] = 0.9 * rows[t - 1, 0] + 1.0 * rows[t - 1, 2] + 0.1 * rows[t, 0]
            targets.append(rows[:, :1])
        units.append(rows)
    task = {"step": "regression", "unit": "binary", "forecast": "forecast"}[kind]
    schema = Schema(
        name="made",
        task=task,
        columns=tuple(Column(name=name) for name in FEATURES),
        targets=("wear",) if kind == "forecast" else ("y",),
        target_per="unit" if kind == "unit" else "step",
    )
    return build_series(schema, units, np.array(targets, np.float32)[:, None] if kind == "unit" else targets)


def table_of(series, kind):
    return train_table(prepare_series(series, data_config(**SECTIONS[kind])))


@pytest.mark.parametrize("kind", SECTIONS)
@pytest.mark.parametrize(
    "method",
    ["permutation", "importance", "mutual_information", "recursive", pytest.param("shap", marks=pytest.mark.slow)],
)
def test_what_tells_outranks_what_does_not(kind, method):
    found = select(table_of(made(kind), kind), FEATURES, method=method, keep=2, always=())
    assert found["features"] == ["wear", "heat"]
    assert found["history"] and set(found["scores"]) == set(FEATURES)


@pytest.mark.parametrize("method", ["permutation", "recursive"])
def test_without_a_number_chance_decides(method):
    found = select(table_of(made("step"), "step"), FEATURES, method=method)
    assert {"wear", "heat"} <= set(found["features"])
    assert len(found["features"]) < 4


def test_what_must_stay_stays_and_none_keeps_all():
    table = table_of(made("step"), "step")
    assert select(table, FEATURES, method="none")["features"] == list(FEATURES)
    assert select(table, FEATURES, method="importance", keep=1, always=["hum"])["features"] == ["wear", "hum"]
    kept = select(table, FEATURES, method="recursive", keep=2, always=["hum"])["features"]
    assert "hum" in kept and len(kept) == 2


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_tell_tale_outside_the_training_part_is_not_seen(kind):
    """The hum is made the target itself, and everything else enormous, in every row that is not train's."""
    series = made(kind)
    prepared = prepare_series(series, data_config(**SECTIONS[kind]))
    outside = np.ones(len(series.values), bool)
    for first, last in zip(prepared.splits.train.first, prepared.splits.train.last, strict=True):
        outside[first:last] = False
    values, targets = series.values.copy(), series.targets.copy()
    per_row = series.targets[:, 0] if kind != "unit" else np.repeat(series.targets[:, 0], series.lengths)
    values[outside, 3] = per_row[outside]
    values[outside, 0] = 1e6
    if kind == "unit":
        targets[np.setdiff1d(np.arange(series.n_units), prepared.splits.train.units)] = 1
        targets[prepared.splits.test.units[0]] = targets[prepared.splits.validation.units[0]] = 0
    else:
        targets[outside] = 1e6
    planted = dataclasses.replace(series, values=values, targets=targets)
    before, after = table_of(series, kind), table_of(planted, kind)
    np.testing.assert_array_equal(before.columns, after.columns)
    np.testing.assert_array_equal(before.target, after.target)
    assert outside.any() and (values != series.values).any()


def test_a_tell_tale_inside_the_training_part_is_found():
    series = made("step")
    values = series.values.copy()
    values[:, 3] = series.targets[:, 0]
    found = select(table_of(dataclasses.replace(series, values=values), "step"), FEATURES, method="permutation", keep=1)
    assert found["features"] == ["hum"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "permutations"}, "no selection 'permutations'; did you mean 'permutation'"),
        ({"method": "importance", "keep": 5}, "between 0 and the 4 features there are, got 5"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        select(table_of(made("step"), "step"), FEATURES, **options)
    assert options["method"] in METHODS or options["method"].endswith("s")


# ---------------------------------------------------------------- against noise


MANY = ("wear", "heat", *(f"n{i}" for i in range(22)))


def noisy(kind, noise="white", seed=0, units=40):
    """Two channels that tell and 22 that do not; ``noise`` says how these depend on themselves and each other."""
    rng = np.random.default_rng(seed)
    rows, targets = [], []
    for _ in range(1 if kind == "series" else units):
        steps = 1200 if kind == "series" else 60
        table = rng.normal(size=(steps, 24))
        if noise == "walks":
            table[:, 2:] = np.cumsum(table[:, 2:], axis=0)
        elif noise == "alike":
            table[:, 2:] = table[:, 2:3] + 0.1 * table[:, 2:]
        elif noise == "constant":
            table[:, 5:15] = 3.0
        elif noise == "static":
            table[:, 2:] = table[:1, 2:]
        if kind == "label":
            label = rng.integers(0, 2)
            table[:, 0] += 0.4 * label
            table[:, 1] *= 1 + 0.4 * label
            targets.append(label)
        else:
            targets.append((np.cumsum(table[:, 0]) / 5 + table[:, 1])[:, None])
        rows.append(table.astype(np.float32))
    schema = Schema(
        name="made",
        task="binary" if kind == "label" else "regression",
        columns=tuple(Column(name=name) for name in MANY),
        targets=("y",),
        target_per="unit" if kind == "label" else "step",
    )
    answers = np.array(targets, np.float32)[:, None] if kind == "label" else targets
    series = build_series(schema, rows, answers)
    by = {"split": {"by": "time" if kind == "series" else "unit"}}
    windows = {"windows": {"mode": "whole", "length": 60 if kind != "series" else 1200, "per_step": kind != "label"}}
    return train_table(prepare_series(series, data_config(**by, **windows)))


NOISES = [("step", "white"), ("label", "white"), ("series", "white")]
NOISES += [("step", noise) for noise in ("walks", "alike", "constant", "static")]
NOISY = [(*noise, method) for noise in NOISES for method in METHODS if method not in ("none", "shap")]
QUICK = ("step", "white", "mutual_information")
SLOW = [case for case in NOISY if case[:2] == NOISES[0] or case[2] == "importance"]  # every method, every noise


@pytest.mark.parametrize(
    ("kind", "noise", "method"),
    tiers(
        NOISY, quick=[("step", "white", "mutual_information")], slow=[c for c in SLOW if c[2] != "mutual_information"]
    ),
)
def test_noise_is_not_kept(kind, noise, method):
    units = 120 if kind == "label" else 40
    found = select(noisy(kind, noise, units=units), MANY, method=method)
    kept = set(found["features"])
    assert kept & {"wear", "heat"}
    assert len(kept) <= 4
    assert found["noise"]["expected_false"] < 1
    assert len(found["noise"]["scores"]) == found["noise"]["draws"] * found["noise"]["probes"]


def test_the_noise_keeps_to_training_rows_and_to_its_own_seed():
    prepared = prepare_series(made("step"), data_config(**SECTIONS["step"]))
    table = train_table(prepared)
    one, again, other = (table.shadowed(seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.columns, again.columns)
    assert (one.columns != other.columns).any()
    half = table.columns.shape[1]
    np.testing.assert_array_equal(one.columns[:, :half], table.columns)
    values = prepared.series.values.copy()
    outside = np.ones(len(values), bool)
    for first, last in zip(prepared.splits.train.first, prepared.splits.train.last, strict=True):
        outside[first:last] = False
    values[outside] = 1e6
    series = dataclasses.replace(prepared.series, values=values)
    planted = train_table(dataclasses.replace(prepared, series=series)).shadowed(1)
    np.testing.assert_array_equal(planted.columns, one.columns)


@pytest.mark.slow
def test_the_command_writes_a_choice_for_every_fold(tmp_path, data_home):
    from keras_seq.commands.select import main

    words = [
        "--data.source",
        "cmapss",
        "--data.subset",
        "FD001",
        "--data.split.by",
        "official",
        "--data.target_cap",
        "125",
    ]
    words += ["--data.windows.per_step", "true", "--data.windows.length", "400", "--data.home", str(data_home)]
    words += ["--name", "fd1", "--output", str(tmp_path)]
    assert main([*words, "--method", "importance", "--keep", "6", "--folds", "2"]) == 0
    folder = tmp_path / "fd1_selection"
    outcome = files.read_json(folder / "selection.json")
    assert [row["fold"] for row in outcome["folds"]] == [0, 1]
    assert all(len(row["features"]) == 6 for row in outcome["folds"])
    chosen = config.load(folder / "selected.yaml", {"data.source": "cmapss"})
    assert list(chosen.data.features) == outcome["features"]
    assert (folder / "selection.png").stat().st_size > 5000

    from keras_seq.commands.crossval import _features
    from keras_seq.pipeline.crossval import _experiments

    features = _features(str(folder / "selection.json"), 2)
    folds = list(_experiments(chosen, 2, [0], features))
    assert [list(fold.data.features) for fold in folds] == [row["features"] for row in outcome["folds"]]
    with pytest.raises(ConfigError, match="features of 2 folds, but --folds is 5"):
        _features(str(folder / "selection.json"), 5)
