"""What is there already is taken only for the data it was made of."""

from __future__ import annotations

import logging
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from keras_seq import config, files
from keras_seq.bundle import load_bundle
from keras_seq.errors import DataError
from keras_seq.pipeline.backtest import backtest
from keras_seq.pipeline.crossval import crossval, refuse_other_data
from keras_seq.pipeline.evaluate import evaluate
from keras_seq.pipeline.reuse import DataNow, refuse_mixed
from keras_seq.pipeline.train import train


def rows(seed: int = 0, count: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    y = np.sin(np.arange(count) / 7) + 0.1 * rng.normal(size=count)
    return pd.DataFrame({"day": pd.date_range("2024-01-01", periods=count), "y": y, "x": rng.normal(size=count)})


def write(path, table: pd.DataFrame, *, same_time: bool = False) -> None:
    before = path.stat() if path.exists() else None
    table.to_csv(path, index=False)
    if before and same_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def experiment(tmp_path) -> config.Experiment:
    write(tmp_path / "y.csv", rows())
    return config.from_dict(
        {
            "name": "y",
            "output": str(tmp_path),
            "data": {
                "source": "table",
                "path": str(tmp_path / "y.csv"),
                "time": "day",
                "targets": ["y"],
                "features": ["y", "x"],
                "split": {"by": "time", "validation": 40, "test": 60},
                "windows": {"mode": "sliding", "length": 8, "horizon": 1},
            },
            "model": {"family": "ridge"},
            "evaluation": {"baseline": False},
            "export": {"saved_model": False},
            "tracking": {"backend": "none"},
        }
    )


def figures(outcome) -> list[float]:
    return [run["metrics"]["test"]["rmse"] for run in outcome["runs"]]


def trained_at(outcome) -> list[int]:
    return [os.stat(f"{run['folder']}/bundle/manifest.json").st_mtime_ns for run in outcome["runs"]]


@pytest.mark.slow
def test_a_changed_file_is_trained_on_anew(experiment, tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger("keras_seq"), "propagate", True)
    caplog.set_level(logging.INFO, "keras_seq")
    path = tmp_path / "y.csv"
    first = crossval(experiment, folds=0, seeds=[0, 1])
    again = crossval(experiment, folds=0, seeds=[0, 1])
    assert trained_at(first) == trained_at(again)
    write(path, rows().assign(y=lambda table: 10 * table["y"]))
    changed = crossval(experiment, folds=0, seeds=[0, 1])
    np.testing.assert_allclose(figures(changed), 10 * np.array(figures(first)), rtol=1e-3)
    assert "trained again, the data have changed since" in caplog.text


@pytest.mark.nightly
def test_a_backtest_never_mixes_old_and_new(experiment, tmp_path) -> None:
    first = backtest(experiment, origins=3)
    shutil.rmtree(first["runs"][1]["folder"])  # a half-done set
    write(tmp_path / "y.csv", rows().assign(y=lambda table: 10 * table["y"]), same_time=True)
    changed = backtest(experiment, origins=3)
    np.testing.assert_allclose(figures(changed), 10 * np.array(figures(first)), rtol=1e-3)


def test_what_makes_a_run_outdated_and_what_does_not(experiment, tmp_path) -> None:
    path = tmp_path / "y.csv"
    run = train(experiment, quiet=True)
    bundle = load_bundle(run.folder)
    resolved = bundle.experiment

    def state(now: DataNow | None = None) -> str:
        return (now or DataNow()).finished(run.folder, resolved)[1]

    assert DataNow().finished(run.folder, resolved)[0] == bundle.metrics
    table = rows()
    write(path, table.assign(unused=1.0))  # no feature, no target
    assert state() == ""
    write(path, table)  # only written again
    assert state() == ""
    write(path, table.assign(x=table["x"].where(table.index != 5, 99.0)), same_time=True)
    assert state() == "the data have changed since"
    write(path, table.assign(day=pd.date_range("2023-06-01", periods=len(table))))
    assert state() == "the data have changed since"
    write(path, table.iloc[:-1])
    assert state() == "the data have changed since"
    write(path, table)
    other = config.replace(resolved, seed=7)
    assert DataNow().finished(run.folder, other) == (None, "its configuration was another")
    assert DataNow().finished(tmp_path / "nowhere", resolved) == (None, "")


def test_a_bundle_is_not_judged_on_other_content(experiment, tmp_path) -> None:
    run = train(experiment, quiet=True)
    assert evaluate(run.folder)["rmse"] == pytest.approx(run.metrics["test"]["rmse"], rel=1e-5)
    write(tmp_path / "y.csv", rows().assign(y=lambda table: 10 * table["y"]), same_time=True)
    with pytest.raises(DataError, match="data have changed since bundle"):
        evaluate(run.folder)
    with pytest.raises(DataError, match="data have changed since bundle"):
        _ = load_bundle(run.folder).prepared


def test_runs_of_different_data_are_not_put_together(experiment, tmp_path) -> None:
    one = train(experiment, quiet=True)
    write(tmp_path / "y.csv", rows(1))
    other = train(config.replace(experiment, seed=1), quiet=True)
    refuse_mixed([one.folder, one.folder], "keras_seq.crossval")
    with pytest.raises(DataError, match=r"The data changed while 'keras_seq.crossval' ran"):
        refuse_mixed([one.folder, other.folder], "keras_seq.crossval")


def test_features_chosen_on_other_data_are_refused(experiment, tmp_path) -> None:
    content = DataNow().series(experiment.data).content()
    path = files.write_json(tmp_path / "selection.json", {"data": {"content": content, "features": ["y", "x"]}})
    refuse_other_data(str(path), experiment)
    write(tmp_path / "y.csv", rows(1))
    with pytest.raises(DataError, match="the data have changed since the features"):
        refuse_other_data(str(path), experiment)
    refuse_other_data(str(files.write_json(tmp_path / "old.json", {"folds": []})), experiment)
