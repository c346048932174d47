"""Figures that training prints are of the answers that predict gives, recomputed here by pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq import config
from keras_seq.bundle import load_bundle
from keras_seq.pipeline.evaluate import evaluate
from keras_seq.pipeline.predict import predict_file
from keras_seq.pipeline.train import train
from tests.factories.experiments import placed


def tree(path, targets, **more):
    plain = {
        "name": "made",
        "data": {
            "source": "table", "path": str(path), "task": "forecast",
            "targets": list(targets), "features": list(targets),
            "split": {"by": "time", "validation": 0.15, "test": 0.15},
            "windows": {"mode": "sliding", "length": 24, "horizon": 1},
        },
        "model": {"family": "ridge"},
        "evaluation": {"conformal": "adaptive", "baseline": False},
    }  # fmt: skip
    return config.override(plain, more)


def delivered(run, path, targets, horizon=1):
    """Truths beside the answers that predict gives for every origin of the test part: target -> frame."""
    bundle = load_bundle(run.bundle)
    answers = predict_file(bundle, path, every=1)
    table = pd.read_csv(path)
    from keras_seq.data.prepare import prepare

    prepared = prepare(bundle.experiment.data)
    index = prepared.index["test"]
    last = index.start + index.length - 1
    answers["row"] -= 1  # of the last row seen, counted from 1
    found = {}
    for name in targets:
        part = answers[answers["row"].isin(last)].copy()
        part["truth"] = table[name].to_numpy()[part["row"] + part["steps_ahead"]]
        part["inside"] = part["truth"].between(part[f"{name}_lower"], part[f"{name}_upper"])
        found[name] = part
    return found


def noisier(tmp_path):
    """A series whose steps grow threefold where the test part begins."""
    rng = np.random.default_rng(0)
    s = np.where(np.arange(3000) > 2550, 3, 1)
    y = 50 + np.cumsum(rng.normal(0, s)) * 0.2 + rng.normal(0, 0.3 * s)
    pd.DataFrame({"y": y}).to_csv(tmp_path / "y.csv", index=False)
    return tmp_path / "y.csv"


@pytest.mark.slow
@pytest.mark.parametrize("conformal", ["adaptive", "normalised"])
def test_printed_coverage_is_that_of_the_answers(tmp_path, capsys, conformal):
    path = noisier(tmp_path)
    run = train(placed(tree(path, ["y"], **{"evaluation.conformal": conformal}), tmp_path))
    got = delivered(run, path, ["y"])["y"]
    share, width = got["inside"].mean(), (got["y_upper"] - got["y_lower"]).mean()
    assert share < 0.7  # fixed intervals are too narrow for what comes
    test = run.metrics["test"]
    assert test["coverage"] == pytest.approx(share, abs=2e-3)
    assert test["interval_width"] == pytest.approx(width, rel=1e-3)
    assert evaluate(run.bundle)["coverage"] == test["coverage"]
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if " coverage " in line)
    assert f"{test['coverage']:.4g}" in line
    if conformal == "adaptive":
        assert test["coverage_followed"] > share + 0.15
        assert "if every truth is fed back" in printed


@pytest.mark.slow
def test_coverage_and_width_of_several_targets_are_each_ones_own(tmp_path):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"big": 1e6 * rng.normal(size=1500), "small": 1e-3 * rng.normal(size=1500)})
    table.iloc[1300:, 1] *= 4
    table.to_csv(tmp_path / "two.csv", index=False)
    run = train(
        placed(tree(tmp_path / "two.csv", ["big", "small"], **{"evaluation.conformal": "split"}), tmp_path), quiet=True
    )
    test = run.metrics["test"]
    for name, part in delivered(run, tmp_path / "two.csv", ["big", "small"]).items():
        assert test[f"coverage/{name}"] == pytest.approx(part["inside"].mean(), abs=6e-3)
        assert test[f"rmse/{name}"] == pytest.approx(np.sqrt(((part[name] - part["truth"]) ** 2).mean()), rel=1e-3)
        width = (part[f"{name}_upper"] - part[f"{name}_lower"]).mean()
        assert test[f"interval_width/{name}"] == pytest.approx(width, rel=1e-3)
    assert test["coverage/small"] < 0.6 < test["coverage/big"]


@pytest.mark.slow
def test_coverage_of_quantiles_is_that_of_the_answers(tmp_path):
    path = noisier(tmp_path)
    quantiles = {"model": {"family": "gru", "units": 4, "layers": 1, "hidden_dims": [], "quantiles": [0.05, 0.5, 0.95]},
                 "training": {"epochs": 1, "batch_size": 128}}  # fmt: skip
    run = train(placed(tree(path, ["y"], **quantiles), tmp_path), quiet=True)
    bundle = load_bundle(run.bundle)
    assert "adaptive" not in bundle.decision
    got = delivered(run, path, ["y"])["y"]
    assert {"coverage", "coverage_raw", "interval_width"} <= set(run.metrics["test"])
    assert run.metrics["test"]["coverage"] == pytest.approx(got["inside"].mean(), abs=3e-3)
