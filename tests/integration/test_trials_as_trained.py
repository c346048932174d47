"""A trial's numbers are those that training prints for the validation part, whatever the task and the objective."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq import config
from keras_seq.pipeline.train import train
from tests.factories.tiers import tiers
from tuning.records import Record, begin_study
from tuning.search import describe
from tuning.settings import StudyPlan, settings
from tuning.trial import TrialRunner

pytestmark = pytest.mark.slow


def table(folder, name: str, *, classes: int = 2, rate: float = 0.07, units: int = 60, rows: int = 30, seed: int = 0):
    """A file of units whose signal rises before a positive row; numbers as target where ``classes`` is 0."""
    rng = np.random.default_rng(seed)
    frames = []
    for unit in range(units):
        level = rng.random(rows)
        signal = np.column_stack([level + 0.3 * rng.normal(size=rows), rng.normal(size=rows)])
        if classes == 0:
            target = np.column_stack([100 * level, 5 - level])
        else:
            cuts = np.quantile(level, 1 - rate) if classes == 2 else np.array([0.3, 0.8])
            target = np.digitize(level, np.atleast_1d(cuts))[:, None]
        columns = {"unit": unit, "a": signal[:, 0], "b": signal[:, 1]}
        columns |= {f"y{number}": target[:, number] for number in range(target.shape[1])}
        frames.append(pd.DataFrame(columns))
    path = folder / f"{name}.csv"
    pd.concat(frames).to_csv(path, index=False)
    return path


def experiment_of(folder, path, task: str, targets: str = "[y0]", **changes):
    base = {
        "name": "same",
        "output": str(folder / "runs"),
        "data.source": "table",
        "data.path": str(path),
        "data.unit": "unit",
        "data.task": task,
        "data.targets": targets,
        "data.windows.mode": "sliding",
        "data.windows.length": 4,
        "data.split.validation": 0.3,
        "data.split.test": 0.2,
        "model.family": "gru",
        "model.units": 4,
        "training.epochs": 2,
        "training.learning_rate": 0.01,
        "training.batch_size": 64,
        "evaluation.baseline": False,
        "tracking.backend": "none",
        "export.saved_model": False,
    }
    return config.from_dict(config.override({}, base | changes))


CASES = {
    "rare": ("binary", {}, {}),
    "rare, trees": ("binary", {}, {"model.family": "hist_gradient_boosting", "model.trees.iterations": 20}),
    "by cost, late rows": (
        "binary",
        {},
        {
            "evaluation.threshold": "cost",
            "evaluation.cost.false_negative": 20.0,
            "evaluation.min_steps": 12,
            "evaluation.calibration": "isotonic",
        },
    ),
    "at one half, each unit's last row": ("binary", {}, {"evaluation.threshold": "half", "evaluation.at": "last"}),
    "three classes": ("multiclass", {"classes": 3}, {"evaluation.calibration": "temperature"}),
    "capped values of two targets": (
        "regression",
        {"classes": 0},
        {"data.targets": "[y0, y1]", "data.target_cap": 60.0, "evaluation.min_steps": 9},
    ),
    "quantiles": ("regression", {"classes": 0}, {"model.quantiles": [0.1, 0.5, 0.9]}),
    "by time, a forecast": (
        "forecast",
        {"classes": 0},
        {"data.targets": "[a]", "data.windows.horizon": 2, "data.split.by": "time"},
    ),
    "half precision": ("binary", {}, {"training.mixed_precision": "bfloat16"}),
}


SLOW = ["rare", "by time, a forecast"]


@pytest.mark.parametrize("name", tiers(CASES, slow=SLOW))
def test_a_trial_is_judged_as_training_judges(tmp_path, name):
    task, made, changes = CASES[name]
    experiment = experiment_of(tmp_path, table(tmp_path, "rows", **made), task, **changes)
    objective = {"binary": "f1", "multiclass": "mcc"}.get(task, "mae")
    space = {"training.batch_size": [64, 128]}
    plan = StudyPlan(experiment, settings({"objective": objective, "space": space, "tuner": "grid"}))
    study = begin_study(tmp_path / "study", describe(plan))
    trial = TrialRunner(study, plan.tuning).run(Record("0", {}, default=True))
    assert trial.status == "completed", trial.reason
    printed = train(experiment, quiet=True).metrics["validation"]
    assert set(trial.metrics) == set(printed)
    for metric, value in printed.items():
        assert trial.metrics[metric] == pytest.approx(value, rel=1e-6, nan_ok=True), metric
    assert trial.score == trial.metrics[objective]
    if task == "binary" and "evaluation.threshold" not in changes:
        assert trial.score > 0.2  # at one half nothing is called


def test_a_pruned_trial_has_a_score_of_the_same_kind(tmp_path):
    """Epochs tell F1 at one half, where nothing is called; a score of 0 would teach the search that all are equal."""
    experiment = experiment_of(tmp_path, table(tmp_path, "rows"), "binary", **{"training.epochs": 6})
    tuning = settings({"objective": "f1", "space": {"model.units": [2, 4]}, "prune_after": 3, "tuner": "grid"})
    study = begin_study(tmp_path / "study", describe(StudyPlan(experiment, tuning)))
    for number in range(3):  # far better from the first epoch on
        rows = tuple({"fold": 0, "epoch": epoch, "val_auc_pr": 1.0, "val_f1": 0.0} for epoch in range(1, 7))
        study.save(Record(str(number), {}, status="completed", score=0.9, scores=(0.9,), epochs=rows))
    trial = TrialRunner(study, tuning).run(Record("3", {"model.units": 2}))
    assert trial.status == "pruned" and "val_auc_pr" in trial.reason
    assert len(trial.epochs) < 6
    assert trial.score == trial.metrics["f1"] > 0.05
