"""Pictures, the page, importance and Pareto fronts, of studies in every state."""

from __future__ import annotations

import dataclasses
import random
import re

import numpy as np
import pytest
from PIL import Image

from keras_seq.errors import ConfigError
from tests.factories.study import START, make_study
from tuning import pareto
from tuning.importance import importance
from tuning.records import Record
from tuning.report import page, write_report

ALL = {"history", "importance", "parallel", "slices", "curves", "costs", "pareto"}


def pictures(study):
    return {path.stem for path in (study.folder / "report").glob("*.png")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trials", "options", "expected"),
    [
        (60, {}, ALL),
        (1, {}, ALL - {"importance"}),
        (16, {"higher": True}, ALL),
        (6, {"failing": lambda number: True}, {"history", "curves", "costs"}),
        (5, {"epochs": 0}, ALL - {"importance", "curves"}),
        (0, {}, {"history"}),
    ],
    ids=["sixty", "one", "higher", "all-failed", "no-epochs", "none"],
)
def test_every_study_has_its_page(tmp_path, trials, options, expected):
    study = make_study(tmp_path / "wear", trials, **options)
    text = write_report(study).read_text()
    assert pictures(study) == expected
    assert text.count("<figure") == text.count("data:image/png;base64,") == len(expected)
    table = text.split('<section id="trials"')[1]
    assert len(re.findall(r'<th scope="row"', table)) == trials
    for path in (study.folder / "report").glob("*.png"):
        with Image.open(path) as image:
            colours = image.convert("L").getextrema()
        assert colours[0] < 100 < colours[1], f"{path.name} is blank"


def test_the_page_stands_alone_and_is_safe(tmp_path):
    study = make_study(tmp_path / "wear", 8)
    text = page(study, {})
    assert not re.search(r'(?:src|href)="[^"#]', text)
    assert not re.search(r"url\(|@import|<script|https?:", text)
    assert "&lt;out&gt; of memory" in text  # a reason that looks like a tag
    assert 'name="viewport"' in text
    assert "@media print" in text


def test_the_page_shows_best_values_against_the_configuration(tmp_path):
    study = make_study(tmp_path / "wear", 20, experiment={"model": {"family": "lstm", "units": 40}})
    text, best = page(study, {}), study.best()
    row = f'<th scope="row">model.units</th><td>{best.values["model.units"]}</td><td>40</td><td>changed</td>'
    assert row in text
    assert f"{best.score:.5g} (trial {best.number})" in text


def test_a_configuration_that_halving_ended_early_is_shown_with_its_share_of_the_budget(tmp_path):
    study = make_study(tmp_path / "wear", 6, failing=lambda number: False)
    first = study.records()[0]
    study.save(dataclasses.replace(first, default=True, budget=1 / 3))
    assert f"<dd>{first.score:.4g} (at 33% of the budget)</dd>" in page(study, {})
    study.save(dataclasses.replace(first, default=True, trial="0009", budget=1.0))
    assert f"<dd>{first.score:.4g}</dd>" in page(study, {})


def test_importance_finds_what_decides(tmp_path):
    study = make_study(tmp_path / "wear", 60)
    found = importance(study)
    assert found.fields[:2] == ("training.learning_rate", "model.units")
    assert found.main[0] > 0.5
    assert max(found.total[2:]) < 0.1
    assert found.explained > 0.4
    assert not found.weak


def test_importance_of_a_conditional_field_is_its_own(tmp_path):
    """Heads decide for transformers; the family itself only through them."""
    study, draw = make_study(tmp_path / "wear", 0), random.Random(1)
    for number in range(80):
        values = {"model.family": draw.choice(["lstm", "transformer"]), "model.units": draw.randrange(32, 129, 16)}
        heads = draw.choice([2, 4, 8]) if values["model.family"] == "transformer" else None
        score = {None: 5.0, 2: 1.0, 4: 5.0, 8: 9.0}[heads] + draw.gauss(0, 0.1)
        values |= {} if heads is None else {"model.heads": heads}
        study.save(Record(str(number), values, status="completed", score=score, started=START, ended=START + number))
    found = importance(study)
    assert found.fields[0] == "model.heads"
    assert found.total[0] > 0.8


def test_importance_admits_that_nothing_decides(tmp_path):
    study, draw = make_study(tmp_path / "wear", 0), random.Random(2)
    for number in range(40):
        values = {"model.units": draw.randrange(32, 129), "model.dropout": draw.random()}
        score = draw.gauss(5, 1)
        study.save(Record(str(number), values, status="completed", score=score, started=START, ended=START + number))
    assert importance(study).weak


@pytest.mark.parametrize("same", [True, False], ids=["equal-scores", "few"])
def test_importance_needs_something_to_explain(tmp_path, same):
    study = make_study(tmp_path / "wear", 30 if same else 8)
    for record in study.records():
        study.save(record.replace(score=1.0) if same else record)
    assert importance(study) is None


def test_the_front_holds_what_nothing_beats_in_both(tmp_path):
    study = make_study(tmp_path / "wear", 40)
    found = pareto.front(study, "parameters")
    rest = [r for r in study.records() if r.status == "completed" and r not in found]
    for record in rest:
        assert any(f.costs["parameters"] <= record.costs["parameters"] and f.score <= record.score for f in found)
    for one in found:
        for other in found:
            assert one is other or (one.costs["parameters"] < other.costs["parameters"]) == (one.score > other.score)
    assert study.best() in found


def test_pareto_writes_tables_for_what_was_measured(tmp_path):
    study = make_study(tmp_path / "wear", 20)
    text = pareto.write_pareto(study)
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## rmse against parameters",
        "## rmse against model size [bytes]",
        "## rmse against latency at batch 1 [ms]",
        "## rmse against fitting [s]",
        "## rmse against duration of the trial [s]",
    ]
    assert {path.name for path in (study.folder / "report").iterdir()} == {"pareto.md", "pareto.json", "pareto.png"}


def test_pareto_names_what_is_missing(tmp_path):
    study = make_study(tmp_path / "wear", 3)
    with pytest.raises(ConfigError, match="did you mean 'latency_ms'"):
        pareto.write_pareto(study, "latency")
    for record in study.records():
        costs = {name: value for name, value in record.costs.items() if name != "latency_ms"}
        study.save(record.replace(costs=costs))
    with pytest.raises(ConfigError, match=r"--tuning\.latency true"):
        pareto.write_pareto(study, "latency_ms")


def test_importance_of_trials_with_different_budgets_compares_like_with_like(tmp_path):
    """The budget shifts scores by far more than the field that decides; ranks within budgets still find it."""
    study = make_study(tmp_path, 0)
    chance = np.random.default_rng(0)
    records = []
    for number in range(45):
        budget = (1 / 9, 1 / 3, 1.0)[number % 3]
        values = {"model.units": int(chance.integers(8, 64)), "model.dropout": float(chance.uniform(0, 0.5))}
        score = 20 - 10 * budget + 2 * values["model.dropout"]
        records.append(Record(str(number), values, status="completed", score=score, budget=budget, ended=1.0))
    found = importance(study, records)
    assert found.budgets == 3 and found.trials == 45
    assert found.fields[0] == "model.dropout" and found.main[0] > 0.7 and not found.weak
