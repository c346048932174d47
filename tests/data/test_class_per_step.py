"""A class at every step: what batches hold, what each class weighs, and the naive figure beside it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from keras_seq import config
from keras_seq.config import TrainingConfig, from_dict
from keras_seq.data.pipeline import make_dataset
from keras_seq.data.prepare import prepare
from keras_seq.errors import ConfigError
from keras_seq.evaluation.naive_reference import naive_reference
from keras_seq.training.class_weights import chosen_weights, class_shares
from keras_seq.training.losses import make_loss
from tests.factories.series import data_config

STATES = ("idle", "run", "stop")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Twelve machines of 30 to 41 rows: idle, run and stop by turns; of some rows nobody wrote it down."""
    rng, frames = np.random.default_rng(0), []
    for number in range(12):
        step = np.arange(30 + number)
        state = np.asarray(STATES)[step // 4 % 3]
        frame = pd.DataFrame({"machine": f"m{number}", "t": step, "x": rng.normal(size=len(step)), "state": state})
        frame["hot"] = (step // 6 % 2 == 1).astype(float)
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True)
    table.loc[rng.random(len(table)) < 0.2, ["state", "hot"]] = None
    path = tmp_path_factory.mktemp("steps") / "machines.csv"
    table.to_csv(path, index=False)
    return path


def section(file, target, task, **sections):
    data = {"source": "table", "path": str(file), "unit": "machine", "time": "t", "targets": [target], "task": task}
    data |= {"features": ["x"], "windows": {"mode": "whole", "length": 60, "per_step": True}, "bucket": 10}
    return data | sections


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize(("target", "task", "shape"), [("hot", "binary", (1,)), ("state", "multiclass", ())])
def test_unknown_classes_weigh_nothing(cache, target, task, shape, file, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path))
    data = data_config(**section(file, target, task, cache=cache))
    prepared = prepare(data)
    series, index, spec = prepared.series, prepared.index["train"], prepared.spec
    batches = list(make_dataset(series, index, spec, data, batch_size=4, training=False).as_numpy_iterator())
    at = 0
    for inputs, targets, weights in batches:
        assert targets.shape == weights.shape + shape and weights.shape == inputs["values"].shape[:2]
        for row in range(len(weights)):
            start, length = int(index.start[at]), int(index.length[at])
            truth = np.asarray(series.targets[start : start + length])[:, 0]
            np.testing.assert_array_equal(weights[row, :length], np.isfinite(truth))
            assert (weights[row, length:] == 0).all()
            given = targets[row].reshape(-1)[:length]
            np.testing.assert_array_equal(given[np.isfinite(truth)], truth[np.isfinite(truth)])
            at += 1
    assert at == len(index)


def test_what_weighs_nothing_changes_no_loss(file):
    data = section(file, "state", "multiclass")
    prepared = prepare(data_config(**data))
    experiment = from_dict({"data": data})
    loss = make_loss(experiment.training, experiment.model, prepared.spec)
    rng = np.random.default_rng(1)
    truth, answer = rng.integers(0, 3, (4, 7)).astype(np.int32), rng.dirichlet(np.ones(3), (4, 7)).astype(np.float32)
    weight = (rng.random((4, 7)) < 0.6).astype(np.float32)
    by_hand = -np.log(np.take_along_axis(answer, truth[..., None], -1)[..., 0])[weight > 0].mean()
    assert float(loss(truth, answer, sample_weight=weight)) == pytest.approx(by_hand, rel=1e-5)
    other = np.where(weight > 0, truth, 2 - truth).astype(np.int32)
    assert float(loss(other, answer, sample_weight=weight)) == pytest.approx(by_hand, rel=1e-5)


def test_balanced_weights_are_of_steps_and_given_ones_are_taken(file):
    data = data_config(**section(file, "state", "multiclass"))
    prepared = prepare(data)
    index, targets = prepared.index["train"], prepared.series.targets[:, 0]
    rows = np.concatenate([np.arange(a, a + n) for a, n in zip(index.start, index.length, strict=True)])
    labels = targets[rows][np.isfinite(targets[rows])]
    shares = class_shares(prepared, data)
    np.testing.assert_allclose(shares, [(labels == k).mean() for k in range(3)])
    balanced = chosen_weights(TrainingConfig(class_weight="balanced"), shares, prepared.spec)
    np.testing.assert_allclose(np.asarray(balanced) * shares, 1 / 3)
    assert chosen_weights(TrainingConfig(class_weights=(1, 2, 5)), shares, prepared.spec) == [1, 2, 5]
    with pytest.raises(
        ConfigError, match=r"has 2 weights, but the task 'multiclass' has 3 classes \(idle, run, stop\)"
    ):
        chosen_weights(TrainingConfig(class_weights=(1, 2)), shares, prepared.spec)
    with pytest.raises(ConfigError, match="so class_weight must be none, got balanced"):
        from_dict({"training": {"class_weight": "balanced", "class_weights": [1, 2]}})


def test_shares_are_of_the_parts_own_steps(file):
    """Windows of a split by time look back into rows of an earlier part, which teach nothing there."""
    data = data_config(**section(file, "state", "multiclass", split={"by": "time", "validation": 8, "test": 8}))
    prepared = prepare(data)
    later = dataclasses.replace(prepared, index=prepared.index | {"train": prepared.index["test"]})
    rows = np.concatenate([np.arange(n - 8, n) for n in prepared.series.offsets[1:]])
    labels = prepared.series.targets[rows, 0]
    np.testing.assert_allclose(class_shares(later, data), [(labels[np.isfinite(labels)] == k).mean() for k in range(3)])


@pytest.mark.parametrize(("target", "task"), [("hot", "binary"), ("state", "multiclass")])
def test_the_last_class_is_the_naive_figure_where_truths_come_in_time(target, task, file):
    data = section(file, target, task, split={"by": "time", "validation": 8, "test": 8})
    prepared = prepare(data_config(**data))
    naive = naive_reference(from_dict({"data": data}), prepared)
    assert naive.name == "the last class, if the target is known by then" and len(naive.tried) == 2
    hits = []
    for low, high in zip(prepared.series.offsets[:-1], prepared.series.offsets[1:], strict=True):
        labels = prepared.series.targets[low:high, 0]
        for row in range(high - low - 8, high - low):
            before = labels[:row][np.isfinite(labels[:row])]
            if np.isfinite(labels[row]):
                hits.append(before[-1] == labels[row])
    assert naive.metrics["test"]["accuracy"] == pytest.approx(np.mean(hits))
    units = section(file, target, task)
    assert "always" in naive_reference(from_dict({"data": units}), prepare(data_config(**units))).name


def test_what_asks_for_one_class_a_window_is_refused(file):
    with pytest.raises(ConfigError, match="every step of a window has one of its own"):
        prepare(data_config(**section(file, "hot", "binary", balance="oversample")))
    data = data_config(**section(file, "hot", "binary", augment={"jitter": 0.1, "minority_only": True}))
    prepared = prepare(data)
    with pytest.raises(ConfigError, match="every step of a window has a class of its own"):
        make_dataset(prepared.series, prepared.index["train"], prepared.spec, data, batch_size=4, training=True)


@pytest.mark.parametrize(("target", "task"), [("hot", "binary"), ("state", "multiclass")])
def test_a_warped_step_keeps_a_class(target, task, file):
    augment = {"time_warp": 0.5, "window_slice": 0.3}
    data = data_config(**section(file, target, task, augment=augment))
    prepared = prepare(data)
    batches = make_dataset(prepared.series, prepared.index["train"], prepared.spec, data, batch_size=4, training=True)
    seen = set()
    for _, targets, weights in batches.take(3).as_numpy_iterator():
        seen |= set(targets.reshape(weights.shape)[weights > 0].tolist())
    assert seen == set(range(2 if task == "binary" else 3))
    mixed = data.model_copy(update={"augment": config.DataConfig.model_validate({"augment": {"mixup": 0.4}}).augment})
    batches = make_dataset(prepared.series, prepared.index["train"], prepared.spec, mixed, batch_size=4, training=True)
    _, targets, weights = next(batches.as_numpy_iterator())
    assert targets.shape == weights.shape + ((1,) if task == "binary" else (3,))
