from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq import config, files
from keras_seq.data.prepare import prepare_series
from keras_seq.data.splits import split
from keras_seq.errors import ConfigError, DataError
from keras_seq.pipeline.backtest import backtest
from keras_seq.pipeline.compare import compare
from tests.factories.bundles import CO2, experiment
from tests.factories.series import data_config, make_series


def origin_split(series, origins, origin, window="expanding", validation=10, test=0.3):
    settings = {"by": "time", "validation": validation, "test": test, "origins": origins, "origin": origin}
    return split(series, data_config(split=settings | {"train_window": window}))


@given(
    lengths=st.lists(st.integers(80, 130), min_size=1, max_size=3),
    origins=st.integers(2, 5),
    window=st.sampled_from(["expanding", "sliding"]),
    test=st.sampled_from([0.2, 0.3, 21]),
)
def test_origins_roll_forward_and_never_train_on_what_comes(lengths, origins, window, test):
    series = make_series(lengths)
    single = split(series, data_config(split={"by": "time", "validation": 10, "test": test}))
    found = [origin_split(series, origins, k, window, test=test) for k in range(origins)]
    for splits in found:
        assert (splits.train.last == splits.validation.first).all()
        assert (splits.validation.last == splits.test.first).all()
        assert (splits.train.first < splits.train.last).all()
        assert (splits.validation.last - splits.validation.first == 10).all()
    for before, after in itertools.pairwise(found):
        assert (before.test.last == after.test.first).all()
        assert (before.test.last > before.test.first).all()
    np.testing.assert_array_equal(found[0].test.first, single.test.first)  # together they are the single run's
    np.testing.assert_array_equal(found[-1].test.last, single.test.last)
    np.testing.assert_array_equal(found[0].train.last, single.train.last)
    rows = np.array([splits.train.last - splits.train.first for splits in found])
    assert (np.diff(rows, axis=0) == 0).all() if window == "sliding" else (np.diff(rows, axis=0) > 0).all()
    assert len({splits.fingerprint for splits in found}) == origins


@pytest.mark.parametrize("window", ["expanding", "sliding"])
def test_windows_of_an_origin_keep_to_its_period(window):
    settings = {"by": "time", "validation": 10, "test": 30, "origins": 3, "origin": 1, "train_window": window}
    prepared = prepare_series(
        make_series([200], task="forecast"),
        data_config(split=settings, windows={"mode": "sliding", "length": 12, "horizon": 2}),
    )
    train, validation, test = (prepared.index[name] for name in ("train", "validation", "test"))
    assert train.target.max() + 1 < validation.target.min()  # a horizon of 2: its last target is one row further
    assert validation.target.max() + 1 < test.target.min() == 180
    assert test.target.max() + 1 == 189
    if window == "sliding":
        assert train.target.min() >= 10
    row_mean = np.mean(np.arange(10 if window == "sliding" else 0, 170)) + 1  # feature 0 is the row's number
    assert prepared.spec.scaling.center[0][0] == pytest.approx(row_mean)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "unit", "origins": 2}, r"origins need by=time"),
        ({"by": "time", "folds": 2, "origins": 2}, r"origins need by=time and folds=0"),
        ({"by": "time", "origins": 2, "origin": 2}, r"origin must be below origins=2, got 2"),
    ],
)
def test_contradictions_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        config.from_dict({"data": {"split": settings}})


def test_more_origins_than_test_rows_are_refused():
    with pytest.raises(DataError, match=r"test=3, folds=0, origins=5"):
        origin_split(make_series([100]), 5, 0, test=3)


def test_one_origin_is_no_backtest(tmp_path):
    with pytest.raises(ConfigError, match="at least 2, got 1"):
        backtest(experiment(CO2, tmp_path), origins=1)


@pytest.mark.nightly
def test_a_backtest_trains_every_origin_and_is_a_contender(tmp_path):
    small = experiment(CO2, tmp_path, **{"training.epochs": 1, "data.windows.horizon": 1})
    outcome = backtest(small, origins=2)
    assert [run["origin"] for run in outcome["runs"]] == [0, 1]
    folder = tmp_path / "co2-expanding-2"
    assert {"backtest.json", "backtest.md", "backtest.png"} <= {path.name for path in folder.iterdir()}
    by_origin = [row["test"]["rmse"] for row in outcome["by_origin"]]
    pooled = np.sqrt(np.mean(np.square(by_origin)))  # two periods of 52 weeks each
    assert outcome["pooled"][0]["rmse"] == pytest.approx(pooled, rel=1e-4)
    assert files.read_json(folder / "backtest.json")["pooled"]["0"]["rmse"] == outcome["pooled"][0]["rmse"]

    small = config.replace(small, name="other", **{"model.units": 6})
    backtest(small, origins=2)
    comparison = compare(
        [str(folder), str(tmp_path / "other-expanding-2")], output=tmp_path / "out", resamples=200, costs=False
    )
    assert comparison.facts["points"] == 104
    # One epoch: both are wrong for a year on end, and two such years tell nothing.
    assert comparison.comparison.pairs[0].test == "none: too few independent blocks of time"


@pytest.mark.slow
def test_calls_of_all_origins_are_held_against_the_commoner_class(tmp_path, data_home):
    changes = {
        "name": "direction", "data.source": "market", "data.subset": "sp500", "data.home": str(data_home),
        "data.task": "binary", "data.windows.horizon": 0, "data.split.test": 0.05, "model.family": "ridge",
        "evaluation.threshold": "half", "evaluation.baseline": False,
    }  # fmt: skip
    outcome = backtest(experiment(CO2, tmp_path, **changes), origins=2)
    calls = outcome["calls"][0]
    accuracy = [row["test"]["accuracy"] for row in outcome["by_origin"]]
    assert calls["accuracy"] == pytest.approx(np.mean(accuracy), abs=0.01)  # halves of equal length
    assert calls["low"] < calls["accuracy"] < calls["high"]
    assert (
        "always giving the commoner class of training" in (tmp_path / "direction-expanding-2/backtest.md").read_text()
    )
