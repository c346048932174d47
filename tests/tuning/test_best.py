"""The winner of a study, and its comparison with the configuration that the study began with."""

from __future__ import annotations

import json

import pytest

from keras_seq import config
from keras_seq.errors import ConfigError
from tests.factories.experiments import co2_tree, placed
from tests.factories.study import START, make_study
from tuning.best import best
from tuning.records import Record
from tuning.report import write_report


def save(study, number, score, **options):
    values = options.pop("values", {"model.units": 4 + number})
    times = {"started": START, "ended": START + number}
    study.save(Record(str(number), values, status="completed", score=score, **times, **options))


def test_the_best_configuration_is_one_that_train_takes(tmp_path):
    study = make_study(tmp_path / "wear", 20, experiment={"model": {"family": "lstm"}})
    said = best(study, retrain=0)
    found, winner = config.load(study.folder / "best.yaml"), study.best()
    assert found.model.units == winner.values["model.units"]
    assert found.training.learning_rate == winner.values["training.learning_rate"]
    assert found == config.from_dict(config.to_dict(study.tuned(winner)))
    assert f"trial {winner.number}, rmse {winner.score:.5g}" in said


def test_nothing_is_compared_where_nothing_was_better(tmp_path):
    study = make_study(tmp_path / "wear", 0)
    save(study, 0, 1.0, default=True)
    save(study, 1, 2.0)
    assert "it is the configuration itself" in best(study, retrain=3)
    assert not (study.folder / "runs").exists()


def test_a_study_without_a_winner_says_why(tmp_path):
    study = make_study(tmp_path / "wear", 3, failing=lambda number: True)
    with pytest.raises(ConfigError, match=r"no completed trial.*3 failed, the last one: ResourceExhaustedError"):
        best(study)


@pytest.mark.parametrize("wrong", [{"retrain": -1}, {"workers": 0}, {"folds": -2}], ids=str)
def test_numbers_that_cannot_be_are_refused(tmp_path, wrong):
    study = make_study(tmp_path / "wear", 1)
    with pytest.raises(ConfigError, match="got"):
        best(study, **wrong)


@pytest.mark.slow
def test_winner_and_configuration_are_trained_anew_and_compared(tmp_path):
    experiment = placed(co2_tree(), tmp_path, **{"name": "air", "training.epochs": 2})
    given = experiment.model_dump(mode="json", exclude_unset=True)
    about = {"experiment": given, "space": {"model.units": [4, 8]}, "task": "forecast"}
    study = make_study(tmp_path / "air", 0, **about)
    save(study, 0, 2.0, default=True, values={"model.units": 4})
    save(study, 1, 1.0, values={"model.units": 8})
    said = best(study, retrain=1)
    runs = study.folder / "runs"
    units = {
        name: config.load(runs / f"air_{name}" / "seed-0" / "bundle" / "config.yaml").model.units
        for name in ("tuned", "default")
    }
    assert units == {"tuned": 8, "default": 4}
    compared = json.loads((study.folder / "report" / "comparison.json").read_text())
    assert {row["contender"] for row in compared["contenders"]} == {"tuned", "default"}
    assert compared["facts"]["part"] == "test"
    assert compared["facts"]["deciding metric"] == "rmse"
    (pair,) = compared["pairs"]
    assert pair["low"] is None or pair["low"] <= pair["difference"] <= pair["high"]  # None: cannot be told
    assert compared["verdict"]["words"] in said
    assert "Trained anew" in write_report(study).read_text()
