"""A study goes on with the data, the configuration and the space that it was begun with, and with nothing else."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from keras_seq import config
from keras_seq.errors import ConfigError, DataError
from tuning.records import FORMAT, begin_study, open_study
from tuning.search import describe
from tuning.settings import StudyPlan, settings
from tuning.status import status_table


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"unit": f"u{unit}", "t": range(20), "a": rng.normal(size=20), "y": rng.normal(size=20)})
        for unit in range(8)
    ]
    return pd.concat(parts, ignore_index=True)


def plan_of(path, space=None, tuning=None, **changes):
    base = {
        "name": "wear",
        "data.source": "table",
        "data.path": str(path),
        "data.unit": "unit",
        "data.time": "t",
        "data.targets": "[y]",
        "data.windows.mode": "sliding",
        "data.windows.length": 4,
        "data.impute": "forward",
        "model.family": "ridge",
    }
    tree = {"space": space or {"model.penalty": [1.0, 10.0]}} | (tuning or {})
    return StudyPlan(config.from_dict(config.override({}, base | changes)), settings(tree))


CHANGES = {
    "the target times ten": lambda f: f.assign(y=f.y * 10),
    "one value in the last digit": lambda f: f.assign(a=np.where(f.index == 77, f.a + 1e-6, f.a)),
    "a row appended": lambda f: pd.concat([f, f.tail(1).assign(t=20)]),
    "a unit renamed": lambda f: f.assign(unit=f.unit.replace("u3", "u9")),
    "a unit taken out": lambda f: f[f.unit != "u5"],
    "the stamps moved": lambda f: f.assign(t=f.t + 1),
    "a value lost": lambda f: f.assign(a=f.a.where(f.index != 5)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_study_is_refused_after_its_file_changed(tmp_path, frame, change):
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    begin_study(tmp_path / "study", describe(plan_of(path)))
    before = (tmp_path / "study" / "study.json").read_text()
    CHANGES[change](frame).to_csv(path, index=False)
    with pytest.raises(ConfigError, match=r"was begun on other data.*--name, or --overwrite.*bring the data"):
        begin_study(tmp_path / "study", describe(plan_of(path)))
    assert (tmp_path / "study" / "study.json").read_text() == before


@pytest.mark.parametrize("change", ["written again", "sorted by time within the units"])
def test_a_study_goes_on_where_the_same_rows_were_written_again(tmp_path, frame, change):
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    first = begin_study(tmp_path / "study", describe(plan_of(path)))
    (frame if change == "written again" else frame.sort_values(["t", "unit"])).to_csv(path, index=False)
    again = begin_study(tmp_path / "study", describe(plan_of(path, tuning={"trials": 99})))
    assert again.about["id"] == first.about["id"]


@pytest.mark.parametrize(
    ("changes", "space", "named"),
    [
        ({"data.split.seed": 1}, None, "its parts (train, validation, test) have changed"),
        ({"training.loss": "mae"}, None, "experiment.training.loss"),
        ({}, {"model.penalty": [1.0, 10.0, 100.0]}, "space.model.penalty"),
        ({"data.windows.length": 5}, None, "experiment.data.windows.length"),
    ],
)
def test_a_study_is_refused_with_another_configuration_or_space(tmp_path, frame, changes, space, named):
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    begin_study(tmp_path / "study", describe(plan_of(path)))
    with pytest.raises(ConfigError) as refused:
        begin_study(tmp_path / "study", describe(plan_of(path, space, **changes)))
    assert named in str(refused.value) and "--name" in str(refused.value)


def test_a_worker_on_a_machine_with_other_data_runs_no_trial(tmp_path, frame):
    from tuning.trial import TrialRunner

    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    plan = plan_of(path, {"data.windows.length": [3, 6]}, {"folds": 2})
    study = begin_study(tmp_path / "study", describe(plan))
    TrialRunner(study, plan.tuning).check_data()
    frame.assign(y=frame.y * 10).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"not those that study .* was begun on"):
        TrialRunner(study, plan.tuning).check_data()


def test_a_study_of_an_earlier_version_is_read_but_not_gone_on_with(tmp_path, frame):
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    study = begin_study(tmp_path / "study", describe(plan_of(path)))
    old = {name: value for name, value in study.about.items() if name not in ("data", "outside", "notes")}
    (study.folder / "study.json").write_text(json.dumps(old | {"format": FORMAT - 1}))
    assert "none begun" in status_table(open_study(study.folder))
    with pytest.raises(ConfigError, match=r"begun by an earlier version.*--name, or --overwrite"):
        begin_study(study.folder, describe(plan_of(path)))


def test_what_a_study_says_of_its_space_and_its_rows(tmp_path, frame):
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    about = describe(plan_of(path, {"data.windows.length": [4, 10], "model.penalty": [10.0, 20.0]}))
    assert about["outside"] == ["model.penalty"]
    outside, rows = about["notes"]
    assert "the configuration itself (model.penalty none) lies outside the space" in outside
    assert "judged on the 11 of 17 validation rows" in rows
    study = begin_study(tmp_path / "study", about)
    assert study.wanted == about["trials"] + 1
    inside = plan_of(path, {"model.penalty": [None, 10.0]})
    assert describe(inside)["notes"] == describe(inside)["outside"] == []


def test_every_origin_is_checked_before_the_first_trial(tmp_path, frame):
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    cut = {"data.split.by": "time", "data.split.validation": 0.1, "data.split.test": 2}
    with pytest.raises(DataError, match=r"too few to be cut in time.*periods=4"):
        describe(plan_of(path, tuning={"origins": 4}, **cut))
