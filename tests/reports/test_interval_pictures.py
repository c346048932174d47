"""Pictures of intervals under a cap: truth, value and interval are drawn on one scale, the one that was taught."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq import config
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.evaluation.postprocessed import postprocess
from keras_seq.reports import answers as measured
from keras_seq.reports import interval_plots
from keras_seq.training.predictions import Points
from tests.factories.series import make_series

CAP = 20.0


def answers(task: str, horizon: int):
    """Remaining life of three units, answered up to 8 above the cap, with intervals that end at the cap."""
    rng, rows = np.random.default_rng(0), 40
    unit, steps = np.repeat(np.arange(3), rows), np.tile(np.arange(1, rows + 1), 3)
    truth = (rows - steps)[:, None].astype(np.float32)
    value = (np.minimum(truth, CAP) + rng.uniform(-4, 8, truth.shape)).astype(np.float32)
    if horizon:
        truth, value = (np.repeat(part[:, None], horizon, axis=1) for part in (truth, value))
    spec = DataSpec(
        task=task,
        features=("a",),
        targets=("life",),
        time=4,
        variable_length=False,
        horizon=horizon,
        target_mean=(10.0,),
        target_std=(5.0,),
        scaling=Scaling(center=((0.0,),), scale=((1.0,),), fill=(0.0,)),
    )
    tree = {"data": {"target_cap": CAP, "windows": {"horizon": horizon}, "task": task}}
    experiment = config.from_dict(tree)
    interval = {"method": "split", "width": [4.0], "bounds": [None, CAP]}
    found = Points(truth, value, unit, np.arange(len(unit)), steps)
    decided = postprocess(found, spec, experiment, {"interval": interval, "coverage": 0.9}, part="test")
    return decided, spec, experiment, make_series([rows] * 3)


@pytest.mark.parametrize(("task", "horizon"), [("regression", 0), ("forecast", 1), ("forecast", 5)])
def test_no_value_is_drawn_beyond_its_own_interval(task, horizon, tmp_path, monkeypatch):
    decided, spec, experiment, series = answers(task, horizon)
    assert (decided.value > decided.upper).any()  # what the model says, above the cap it was taught
    drawn = []
    band = interval_plots._band
    monkeypatch.setattr(interval_plots, "_band", lambda axis, *parts: (drawn.append(parts), band(axis, *parts)))
    path = interval_plots.intervals(decided, spec, series, experiment, tmp_path / f"{task}-{horizon}.png")
    assert path.stat().st_size > 5000 and drawn
    for _, low, high, value, truth in drawn:
        assert (value <= high + 1e-5).all() and (value >= low - 1e-5).all() and truth.max() <= CAP


def test_the_report_draws_them_alike_and_counts_errors_as_the_metrics_do():
    decided, _, _, series = answers("regression", 0)
    for track in measured.tracks_of(decided.as_taught(CAP), series):
        assert max(track["value"]) <= max(track["upper"]) <= CAP and max(track["truth"]) <= CAP
    decided, *_ = answers("forecast", 5)
    left = measured.forecast(decided, CAP)
    error = decided.value - np.minimum(decided.points.truth, CAP)
    assert left["by_step"]["rmse"] == pytest.approx(np.sqrt((error[..., 0] ** 2).mean(0)).tolist())
    held = np.minimum(decided.points.truth, CAP) <= decided.upper  # a truth above the cap is inside where the cap is
    assert left["by_step"]["inside"] == pytest.approx((held & (decided.points.truth >= decided.lower)).mean((0, 2)))
    assert decided.as_taught(None) is decided
