"""The table of targets holds what the configuration sets and what was measured, and nothing else."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from keras_seq import config
from keras_seq.config import TargetsConfig
from keras_seq.config.main_job import MAIN_JOB
from keras_seq.evaluation.profile import targets_met
from keras_seq.pipeline.ensemble import training_minutes

MEASURED = {"auc_roc": 0.95, "auc_pr": 0.5, "rmse": 3.0, "training_minutes": 2.0, "peak_memory_gb": 5.0}


def test_without_targets_there_is_no_table():
    assert targets_met(MEASURED, config.from_dict({}).evaluation.targets) == []


def test_only_targets_that_are_set_are_shown():
    rows = targets_met(MEASURED, TargetsConfig(auc_pr=0.75, memory_gb=6.0, size_mb=50.0))
    assert [(row["name"], row["met"]) for row in rows] == [("auc_pr", False), ("peak_memory_gb", True)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_nobody_knows_meets_nothing(value):
    assert targets_met({"training_minutes": value}, TargetsConfig(training_minutes=30.0)) == []


def test_a_target_of_zero_is_a_target():
    assert targets_met({"auc_roc": 0.5}, TargetsConfig(auc_roc=0.0))[0]["met"]


def test_the_main_job_keeps_its_targets():
    targets = config.from_dict(MAIN_JOB).evaluation.targets
    assert (targets.auc_roc, targets.auc_pr, targets.training_minutes) == (0.88, 0.75, 30.0)


def members(*minutes):
    known = [{} if one is None else {"performance": {"training_minutes": one}} for one in minutes]
    return [SimpleNamespace(bundle=SimpleNamespace(metrics=metrics)) for metrics in known]


def test_an_ensemble_took_what_its_members_took():
    assert training_minutes(members(1.5, 2.0)) == 3.5
    assert math.isnan(training_minutes(members(1.5, None)))
