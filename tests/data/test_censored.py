"""Units that had not failed: lower bounds in the loss from below, never among the truths; Harrell's C counts them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import from_dict
from keras_seq.data.pipeline import make_dataset
from keras_seq.data.prepare import prepare
from keras_seq.errors import ConfigError, DataError
from keras_seq.evaluation.concordance import concordance
from keras_seq.training.losses import make_loss
from tests.factories.series import data_config

HOME = Path(os.environ.get("KERAS_SEQ_DATA", Path.home() / ".cache" / "keras_seq"))


def pumps(units=12, rows=20):
    """Pumps of 20 rows; every third still ran when its rows end."""
    number, step = np.repeat(np.arange(units), rows), np.tile(np.arange(rows), units)
    x = np.random.default_rng(0).normal(size=units * rows)
    frame = pd.DataFrame({"pump": [f"p{n}" for n in number], "t": step, "x": x, "life": rows - 1 - step})
    return frame.assign(ran=(number % 3 == 2).astype(int))


def section(path, **more):
    data = {"source": "table", "path": str(path), "unit": "pump", "time": "t", "targets": ["life"]}
    data |= {"censored": "ran", "windows": {"mode": "whole", "length": 30, "per_step": True}, "bucket": 10}
    return data | more


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "pumps.csv"
    pumps().to_csv(path, index=False)
    return path


@pytest.mark.parametrize("windows", [{"mode": "whole", "per_step": True}, {"mode": "sliding", "length": 5}])
def test_bounds_teach_with_their_sign_and_are_in_no_truth(windows, file):
    config = data_config(**section(file, windows={"length": 30} | windows))
    prepared = prepare(config)
    series, spec = prepared.series, prepared.spec
    censored = np.repeat(np.arange(12) % 3 == 2, 20)
    assert spec.features == ("x",) and spec.censored
    assert (np.isnan(series.targets[:, 0]) == censored).all()
    np.testing.assert_array_equal(np.isfinite(series.bounds[:, 0]), censored)
    signs = set()
    index = prepared.index["train"]
    batches = make_dataset(series, index, spec, config, batch_size=1, training=False).as_numpy_iterator()
    for (_, targets, weights), unit in zip(batches, index.unit, strict=True):
        assert set(np.sign(weights[weights != 0])) == {-1.0 if unit % 3 == 2 else 1.0}
        assert np.isfinite(targets).all()
        signs.add(unit % 3 == 2)
    assert signs == {True, False}
    for part in ("validation", "test"):
        assert (prepared.index[part].unit % 3 != 2).all()
    assert any("4 of 12 units had not failed" in str(finding) for finding in prepared.quality.warnings)
    assert sum(own["censored"] for own in prepared.statistics().values()) == 4


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "phm08"])
def test_an_answer_above_a_bound_costs_nothing(loss, file):
    data = section(file)
    experiment = from_dict({"data": data, "training": {"loss": loss}})
    measure = make_loss(experiment.training, experiment.model, prepare(data_config(**data)).spec)
    truth, weight = np.full((1, 2, 1), 10, np.float32), np.array([[-1, 1]], np.float32)

    def cost(censored, failed):
        return float(measure(truth, np.array([[[censored], [failed]]], np.float32), sample_weight=weight))

    assert cost(25, 10) == pytest.approx(0, abs=1e-6) and cost(10, 25) > 0.1
    assert cost(4, 10) == pytest.approx(cost(10, 4)) and cost(4, 10) > 0


def test_what_makes_no_sense_is_refused(file, tmp_path):
    with pytest.raises(ConfigError, match=r"split\.by=time cuts every unit"):
        prepare(data_config(**section(file, split={"by": "time"})))
    with pytest.raises(ConfigError, match=r"mixup=0\.2 blends or moves targets"):
        prepare(data_config(**section(file, augment={"mixup": 0.2})))
    with pytest.raises(DataError, match=r"Unit 'p0' is not censored in its first row and otherwise in data row 2"):
        pumps().assign(ran=lambda t: t["t"] % 2).to_csv(tmp_path / "a.csv", index=False)
        prepare(data_config(**section(tmp_path / "a.csv")))
    with pytest.raises(DataError, match="holds 'maybe'; it is 1 for a unit"):
        pumps().assign(ran="maybe").to_csv(tmp_path / "b.csv", index=False)
        prepare(data_config(**section(tmp_path / "b.csv")))
    with pytest.raises(DataError, match=r"All 12 units .* are censored"):
        pumps().assign(ran=1).to_csv(tmp_path / "c.csv", index=False)
        prepare(data_config(**section(tmp_path / "c.csv")))


def test_harrells_c_by_hand():
    """Five units: 6 pairs are comparable (A-B, A-C, A-D, A-E, C-D, C-E), one tied, one wrong: 4.5 of 6."""
    life, failed = [2, 3, 4, 4, 7], [True, False, True, False, False]
    prediction = [3, 3, 6, 5, 9]
    assert concordance(life, prediction, failed) == pytest.approx(4.5 / 6)
    assert np.isnan(concordance([3, 4], [1, 2], [False, False]))
    assert concordance(life, life, failed) == pytest.approx(5.5 / 6)  # C and D are told apart by no life
    rng = np.random.default_rng(0)
    life, prediction, failed = rng.integers(1, 9, 40), rng.integers(1, 9, 40), rng.random(40) < 0.6
    right = pairs = 0.0
    for i, j in itertools.permutations(range(40), 2):
        if failed[i] and (life[i] < life[j] or (life[i] == life[j] and not failed[j])):
            pairs += 1
            right += 1 if prediction[i] < prediction[j] else 0.5 * (prediction[i] == prediction[j])
    assert concordance(life, prediction, failed) == pytest.approx(right / pairs)
    inside = concordance(life, prediction, failed, unit=np.arange(40) // 20)
    assert 0 <= inside <= 1 and np.isnan(concordance(life, prediction, failed, unit=np.zeros(40)))


def turbofans(folder, *, failed=12, way="bounds"):
    """FD001: a few engines run to failure, the others are cut at 35 to 75 % of their life; its own test engines."""
    names = ["engine", "cycle", *(f"s{k}" for k in range(1, 25))]
    frames = []
    rng = np.random.default_rng(0)
    train = pd.read_csv(HOME / "cmapss" / "train_FD001.txt", sep=r"\s+", header=None, names=names)
    for number, rows in train.groupby("engine"):
        cut = number > failed and number <= 80
        kept = rows.iloc[: int(len(rows) * rng.uniform(0.35, 0.75))] if cut else rows
        if cut and way == "dropped":
            continue
        part = "train" if number <= 80 else "validation"
        frames.append(kept.assign(life=len(kept) - kept["cycle"], ran=int(cut), part=part))
    left = np.loadtxt(HOME / "cmapss" / "RUL_FD001.txt")
    test = pd.read_csv(HOME / "cmapss" / "test_FD001.txt", sep=r"\s+", header=None, names=names)
    for number, rows in test.groupby("engine"):
        life = len(rows) - rows["cycle"] + left[number - 1]
        frames.append(rows.assign(life=life, ran=0, part="test", engine=1000 + number))
    table = pd.concat(frames, ignore_index=True)
    path = folder / f"{way}.csv"
    (table.drop(columns="ran") if way != "bounds" else table).to_csv(path, index=False)
    return path


def remaining_life(folder, way, seed=0, epochs=20):
    from keras_seq.pipeline.train import train

    data = {"source": "table", "path": str(turbofans(folder, way=way)), "unit": "engine", "time": "cycle"}
    data |= {"targets": ["life"], "target_cap": 125, "part": "part", "split": {"by": "official"}, "bucket": 100}
    data |= {"windows": {"mode": "whole", "length": 400, "per_step": True}}
    data |= {"censored": "ran"} if way == "bounds" else {}
    model = {"family": "gru", "units": 16, "layers": 1, "hidden_dims": [], "dropout": 0.0}
    training = {"epochs": epochs, "batch_size": 4, "learning_rate": 0.01, "patience": epochs}
    tree = {"name": way.replace(" ", "-"), "seed": seed, "output": str(folder / "runs"), "data": data, "model": model}
    tree |= {"training": training, "evaluation": {"baseline": False}, "tracking": {"backend": "none"}}
    return train(from_dict(tree | {"export": {"saved_model": False}}), quiet=True).metrics["test"]


@pytest.mark.nightly
def test_engines_that_still_run_teach_more_than_none_and_than_wrong_ones(tmp_path):
    if not (HOME / "cmapss").is_dir():
        pytest.skip(f"the set 'cmapss' is not under {HOME}")
    found = {way: remaining_life(tmp_path, way) for way in ("bounds", "dropped", "as failed")}
    assert found["bounds"]["rmse"] < found["dropped"]["rmse"]
    assert found["bounds"]["rmse"] < found["as failed"]["rmse"]
    assert 0.5 < found["bounds"]["concordance"] < 1
