"""Missing targets weigh nothing, and a unit too short for a window is left out by name: every task, file and store."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from keras_seq.data.pipeline import make_dataset
from keras_seq.data.prepare import prepare, prepare_series
from keras_seq.errors import DataError
from keras_seq.training.class_weights import class_shares
from tests.factories.series import data_config, make_series
from tests.factories.tiers import tiers

SLIDING = {"windows": {"mode": "sliding", "length": 5}}
KINDS = {
    "regression": ({"task": "regression"}, SLIDING),
    "two targets": ({"task": "regression", "targets": ["y", "z"]}, SLIDING),
    "last window": ({"task": "regression"}, {"windows": {"mode": "last", "length": 5}}),
    "whole": ({"task": "regression"}, {"windows": {"mode": "whole", "length": 60}}),
    "per step": ({"task": "regression"}, {"windows": {"mode": "whole", "length": 60, "per_step": True}}),
    "binary": ({"targets": ["worn"], "task": "binary"}, SLIDING),
    "words": ({"targets": ["state"], "task": "multiclass"}, SLIDING),
    "binary by unit": (
        {"targets": ["flag"], "task": "binary"},
        {"split": {"by": "stratified", "validation": 0.25, "test": 0.25}},
    ),
    "words by unit": (
        {"targets": ["make"], "task": "multiclass"},
        {"split": {"by": "stratified", "validation": 0.25, "test": 0.25}},
    ),
    "by time": ({"task": "regression"}, SLIDING | {"split": {"by": "time"}}),
}


def table(units=24, rows=30):
    """Units of 30 rows; a fifth of every target is missing, and units 3 and 17 have none at all."""
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(units), rows)
    frame = pd.DataFrame({"unit": [f"u{n}" for n in number], "t": np.tile(np.arange(rows), units)})
    frame["x"] = rng.normal(size=len(frame))
    frame["y"] = 1000 + frame["x"]
    frame["z"] = np.arange(len(frame))
    frame["worn"] = (frame["t"] > 20).astype(float)
    frame["state"] = np.where(frame["t"] > 20, "worn", np.where(frame["t"] > 10, "used", "new"))
    frame["flag"] = (number % 2).astype(float)
    frame["make"] = np.array(["a", "b", "c"])[number % 3]
    for j, name in enumerate(("y", "z", "worn", "state", "flag", "make")):
        gone = (rng.random(len(frame)) < 0.2) | np.isin(number, [3, 17])
        gone |= (frame["t"] == 0) & (number % 5 == j % 5)  # some units begin without one
        frame[name] = frame[name].astype(object).where(~gone, None)
    return frame


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("missing") / "table.csv"
    table().to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("cache", [True, False])
def test_windows_without_a_known_target_are_in_no_part(name, cache, file, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path))
    monkeypatch.setattr("keras_seq.data.store.writer.CHUNK_BYTES", 97)
    fields, sections = KINDS[name]
    base = {"source": "table", "path": str(file), "unit": "unit", "time": "t", "targets": ["y"], "features": ["x"]}
    config = data_config(**(base | fields | {"cache": cache} | sections))
    prepared = prepare(config)
    series, spec = prepared.series, prepared.spec
    assert (series.schema.target_per == "unit") == ("by unit" in name)
    if spec.task in ("binary", "multiclass"):
        assert class_shares(prepared, config).sum() == pytest.approx(1) and (class_shares(prepared, config) > 0).all()
    elif "target" not in name:
        assert spec.target_mean[0] == pytest.approx(1000, abs=0.2)
    for part, index in prepared.index.items():
        truth = series.targets[index.unit if series.schema.target_per == "unit" else index.target]
        if not spec.per_step:
            assert np.isfinite(truth).all()
        batches = make_dataset(series, index, spec, config, batch_size=16, training=False).as_numpy_iterator()
        weights = np.concatenate([w.reshape(len(w), -1).max(axis=1) for _, _, w in batches])
        assert len(weights) == len(index) and (weights == 1).all(), part
    told = [str(finding) for finding in prepared.quality.warnings]
    assert any("'u3'" in text and "left out" in text for text in told)
    assert any("missing in" in text for text in told)


def test_the_same_parts_with_a_store_as_in_memory(file, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path))
    for name, (fields, sections) in KINDS.items():
        base = {"source": "table", "path": str(file), "unit": "unit", "time": "t", "targets": ["y"], "features": ["x"]}
        kept, disk = (prepare(data_config(**(base | fields | {"cache": c} | sections))) for c in (True, False))
        assert kept.splits.fingerprint == disk.splits.fingerprint, name
        assert kept.series.schema == disk.series.schema
        np.testing.assert_array_equal(kept.series.targets, np.asarray(disk.series.targets))
        for part in kept.index:
            np.testing.assert_array_equal(kept.index[part].start, disk.index[part].start)


def spoilt(series, rows):
    targets = series.targets.copy()
    targets[rows] = np.nan
    return dataclasses.replace(series, targets=targets)


def test_a_part_without_any_known_target_is_refused_by_name():
    config = data_config(**SLIDING, split={"by": "time", "validation": 10, "test": 10})
    with pytest.raises(DataError, match="No window of the validation part has a known target: 'y' is missing in all"):
        prepare_series(spoilt(make_series([60]), slice(40, 50)), config)
    with pytest.raises(DataError, match=r"\[target\] column 'y': holds no value at all"):
        prepare_series(spoilt(make_series([60]), slice(None)), config)


def test_targets_whose_gaps_leave_no_common_row_are_refused():
    series = make_series([60])
    targets = np.repeat(series.targets, 2, axis=1)
    targets[::2, 0] = np.nan
    targets[1::2, 1] = np.nan
    series = dataclasses.replace(
        series, targets=targets, schema=series.schema.model_copy(update={"targets": ("y", "z")})
    )
    with pytest.raises(DataError, match="no known target"):
        prepare_series(series, data_config(**SLIDING, split={"by": "time"}))


@pytest.fixture
def gappy():
    """A forecast of three steps whose rows 10 and 30 nobody measured, and its configuration."""
    series = spoilt(make_series([80], task="forecast"), [10, 30])
    columns = tuple(column.model_copy(update={"missing": True}) for column in series.schema.columns)
    series = dataclasses.replace(series, schema=series.schema.model_copy(update={"columns": columns}))
    return series, data_config(windows={"mode": "sliding", "length": 5, "horizon": 3}, split={"by": "time"})


def test_a_horizon_known_in_part_teaches_its_known_steps_and_is_not_judged(gappy):
    series, config = gappy
    prepared = prepare_series(series, config)
    ahead = prepared.index["train"].target[:, None] + np.arange(3)
    known = np.isfinite(series.targets[ahead]).all(axis=-1)
    assert len(ahead) == 49 and known.any(axis=1).all() and (~known).sum() == 6
    batches = make_dataset(series, prepared.index["train"], prepared.spec, config, batch_size=16, training=False)
    np.testing.assert_array_equal(np.concatenate([weights for _, _, weights in batches]), known)
    later = spoilt(series, [70])
    judged = prepare_series(later, config).index["test"]
    assert np.isfinite(later.targets[judged.target[:, None] + np.arange(3)]).all()


def test_steps_of_a_horizon_that_are_not_known_change_no_loss(gappy):
    from keras_seq.config import from_dict
    from keras_seq.training.losses import make_loss

    series, config = gappy
    experiment = from_dict({"data": config.model_dump(mode="json"), "training": {"loss": "mae"}})
    spec = prepare_series(series, config).spec
    loss = make_loss(experiment.training, experiment.model, spec)
    rng = np.random.default_rng(0)
    truth, answer = rng.normal(size=(2, 4, 3, 1)).astype(np.float32)
    weight = (rng.random((4, 3)) < 0.6).astype(np.float32)
    by_hand = (np.abs(truth - answer)[..., 0] / spec.target_std[0])[weight > 0].mean()
    assert float(loss(truth, answer, sample_weight=weight)) == pytest.approx(by_hand, rel=1e-5)
    truth[weight == 0] = 1e6
    assert float(loss(truth, answer, sample_weight=weight)) == pytest.approx(by_hand, rel=1e-5)


LENGTHS = (40, 3, 40, 1, 40, 40)  # units 1 and 3 are too short


@pytest.mark.parametrize(
    "sections",
    [
        {
            "split": {"by": "unit", "validation": 1, "test": 1},
            "windows": {"mode": "sliding", "length": 8, "horizon": 4},
        },
        {"split": {"by": "time"}, "windows": {"mode": "sliding", "length": 8, "horizon": 2}},
        {"split": {"by": "time", "test": 6, "validation": 6}, "windows": {"mode": "last", "length": 8}},
        {"split": {"by": "unit", "folds": 3}, "windows": {"mode": "whole", "length": 8, "horizon": 3}},
    ],
)
def test_short_units_are_left_out_by_name_and_the_others_are_used(sections):
    task = "forecast" if sections["windows"].get("horizon") else "regression"
    for seed in range(5):
        config = data_config(**(sections | {"split": sections["split"] | {"seed": seed}}))
        prepared = prepare_series(make_series(LENGTHS, task=task), config)
        used = set(np.concatenate([index.unit for index in prepared.index.values()]).tolist())
        assert used <= {0, 2, 4, 5} and len(used) >= 3
        told = " ".join(str(finding) for finding in prepared.quality.warnings)
        assert "'1'" in told and "'3'" in told and "left out" in told


def test_only_short_units_are_an_error():
    windows = {"mode": "sliding", "length": 8, "horizon": 4}
    with pytest.raises(DataError, match=r"has 3 rows, too few for data.windows.horizon=4.*lower the horizon"):
        prepare_series(make_series([3, 2, 4], task="forecast"), data_config(windows=windows))


@pytest.mark.parametrize(("family", "per_step"), tiers([("ridge", False), ("gru", True)], slow=[("gru", True)]))
def test_missing_targets_are_trained_judged_and_kept(family, per_step, file, tmp_path):
    from keras_seq.config import from_dict
    from keras_seq.pipeline.train import train

    data = {"source": "table", "path": str(file), "unit": "unit", "time": "t", "targets": ["y"], "features": ["x"]}
    data |= {"windows": {"mode": "whole" if per_step else "sliding", "length": 30 if per_step else 5}}
    data["windows"]["per_step"] = per_step
    experiment = from_dict(
        {
            "data": data,
            "model": {"family": family},
            "training": {"epochs": 1},
            "output": str(tmp_path),
            "tracking": {"backend": "none"},
            "export": {"saved_models": str(tmp_path / "served")},
        }
    )
    result = train(experiment)
    assert np.isfinite(result.metrics["test"]["rmse"])
