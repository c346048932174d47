"""What a study leaves on disk, and what several views read from it."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from keras_seq.errors import ConfigError
from tests.factories.study import START, make_study
from tuning.history import absent, best_so_far, default_of, fields, full, ranked, sane_limit, text_of
from tuning.records import Record, begin_study, open_study
from tuning.scales import scale_of, table
from tuning.status import status_table


def ended(number, score, *, budget=1.0, status="completed", at=None, **values):
    at = START + number if at is None else at
    return Record(str(number), values, status=status, score=score, budget=budget, started=START, ended=at)


def test_records_come_back_as_they_were_saved(tmp_path):
    study = make_study(tmp_path / "wear", 12)
    found = open_study(study.folder).records()
    assert [record.number for record in found] == list(range(12))  # by number, not by name
    assert found[3] == study.record("3")
    assert math.isnan(found[3].metrics["auc_roc"])
    assert study.record("12") is None


def test_a_study_goes_on_only_with_the_same_configuration(tmp_path):
    study = make_study(tmp_path / "wear", 1)
    again = begin_study(study.folder, study.about | {"trials": 99})
    assert again.about["id"] == study.about["id"]
    with pytest.raises(ConfigError, match=r"these differ: .*objective"):
        begin_study(study.folder, study.about | {"objective": "mae"})
    with pytest.raises(ConfigError, match="holds no study"):
        open_study(tmp_path)


def test_the_best_has_the_full_budget(tmp_path):
    study = make_study(tmp_path / "wear", 0)
    for record in (ended(0, 5.0), ended(1, 1.0, budget=0.3), ended(2, 4.0), ended(3, 2.0, status="pruned")):
        study.save(record)
    assert study.best().number == 2
    assert [record.number for record in ranked(study.records(), higher=False)] == [2, 0]
    assert [record.number for record in full(study.records())] == [0, 2]


def test_best_so_far_follows_the_order_of_ending():
    records = [
        ended(0, 3.0, budget=0.5, at=10),
        ended(1, 2.0, budget=0.5, at=40),
        ended(2, 9.0, at=20),
        ended(3, 7.0, at=30),
        ended(4, None, status="failed", at=5),
    ]
    assert best_so_far(records, higher=False) == {"0": 3.0, "2": 9.0, "3": 7.0, "1": 7.0}
    assert best_so_far(records[2:4], higher=True) == {"2": 9.0, "3": 9.0}


def test_a_diverged_score_does_not_set_the_limit():
    assert sane_limit([1.0, 1.2, 1.1, 1.3, 1e9], higher=False) == pytest.approx(1.3, rel=0.05)
    assert sane_limit([0.9, 0.8, 0.85, 0.87, -1e9], higher=True) == pytest.approx(0.8, rel=0.05)
    assert sane_limit([2.0], higher=False) == 2.0
    assert sane_limit([2.0, 3.0], higher=False) == 3.0


def test_values_of_any_kind_have_a_place(tmp_path):
    study = make_study(tmp_path / "wear", 40)
    records = study.records()
    names = fields(records)
    assert set(names) == set(study.about["space"])
    scales = {name: scale_of(study, name, records) for name in names}
    assert scales["training.learning_rate"].log
    assert not scales["model.units"].log
    assert scales["model.history.ewm"].words == ("[0.8, 0.97]", "[0.9]", "[]")
    assert scales["model.bidirectional"].words == ("false", "true")
    heads = scales["model.heads"]
    assert [heads.place(value) for value in (2, 8, absent)] == pytest.approx([0.0, 0.88, 1.0])
    places = table(list(scales.values()), records)
    assert all(0.0 <= place <= 1.0 for row in places for place in row)
    middle = scales["training.learning_rate"]
    low, high = middle.numbers
    assert middle.place(math.sqrt(low * high)) == pytest.approx(0.5)


def test_values_for_people():
    given = [None, True, 0.00123456, [32, 16], (), absent, "lstm", {"a": 1.0}]
    assert [text_of(value) for value in given] == ["none", "true", "0.001235", "[32, 16]", "[]", "-", "lstm", "{a: 1}"]


def test_status_tells_progress(tmp_path):
    study = make_study(tmp_path / "wear", 20)
    study.about["trials"] = 40
    study.save(study.record("19").replace(trial="20", status="running", ended=None, score=None))
    text = status_table(study)
    best, default = study.best(), default_of(study.records())
    assert "20 of 40: 15 completed, 4 pruned, 1 failed, 1 running" in text
    assert f"{best.score:.5g} (trial {best.number}), the configuration itself {default.score:.5g}" in text
    assert "3 trials a minute, about 6:" in text  # 20 trials, 20 s apart
    assert "20     worker-1  6      " in text
    assert "trial 7: ResourceExhaustedError" in text


def test_status_of_a_study_that_has_not_begun_and_of_one_that_failed(tmp_path):
    assert "none begun" in status_table(make_study(tmp_path / "empty", 0))
    assert "no trial has completed" in status_table(make_study(tmp_path / "bad", 3, failing=lambda number: True))


def test_reading_a_study_needs_neither_tensorflow_nor_keras_tuner():
    code = "import sys, tuning.status, tuning.report, tuning.pareto, tuning.best, tuning.tracking, tuning.importance\n"
    code += "print([m for m in ('tensorflow', 'keras', 'keras_tuner', 'mlflow', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_study_goes_on_with_more_trials_and_another_store_but_not_with_another_model(tmp_path):
    about = {
        "name": "x",
        "experiment": {"model": {"family": "lstm"}, "tracking": {"uri": "sqlite:///a.db"}},
        "trials": 5,
        "tuning": {"seed": 0, "max_minutes": 0.0},
    }
    first = begin_study(tmp_path / "x", about)
    more = about | {"trials": 9, "tuning": {"seed": 0, "max_minutes": 2.0}}
    more["experiment"] = about["experiment"] | {"tracking": {"uri": "sqlite:///b.db"}}
    again = begin_study(tmp_path / "x", more)
    assert again.about["id"] == first.about["id"] and open_study(tmp_path / "x").about["trials"] == 9
    with pytest.raises(ConfigError, match=r"these differ: experiment\.model\.family"):
        begin_study(tmp_path / "x", more | {"experiment": {"model": {"family": "gru"}}})
    with pytest.raises(ConfigError, match=r"tuning\.seed"):
        begin_study(tmp_path / "x", more | {"tuning": {"seed": 1, "max_minutes": 2.0}})
