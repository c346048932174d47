"""Oracles that are killed between any two writes lose nothing and repeat nothing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from keras_tuner.src.engine.trial import Trial

from keras_seq import config
from keras_seq.errors import ConfigError
from tuning import space as spaces
from tuning.oracle import check_enough, combinations, every_value, make_oracle
from tuning.settings import settings

SPACE = {"model.units": [4, 8, 16, 32], "training.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}


def oracle(folder: Path, tuner: str = "random", trials: int = 6, space=SPACE):
    experiment = config.from_dict({"model": {"family": "lstm", "units": 16}})
    return make_oracle(
        settings({"tuner": tuner, "trials": trials, "levels": 9, "initial": 3}),
        spaces.parse(space, experiment),
        experiment,
        objective="rmse",
        direction="min",
        folder=folder,
    )


def answer(one, trial: Trial, score: float = 1.0) -> None:
    one.update_trial(trial.trial_id, {"rmse": score})
    trial.status = "COMPLETED"
    one.end_trial(trial)


@pytest.mark.parametrize("tuner", ["random", "bayesian", "grid", "hyperband"])
def test_the_first_trial_is_the_configuration_itself_and_all_differ(tmp_path, tuner):
    one = oracle(tmp_path / "o", tuner)
    seen = []
    for number in range(6):
        trial = one.create_trial("a")
        assert trial.status == "RUNNING"
        seen.append(dict(trial.hyperparameters.values))
        answer(one, trial, 1.0 + number)
    assert seen[0]["model.units"] == 16
    assert len({json.dumps(values, sort_keys=True) for values in seen}) == 6
    assert one.create_trial("a").status == "STOPPED"


@pytest.mark.parametrize("tuner", ["random", "bayesian", "grid", "hyperband"])
def test_a_reloaded_oracle_runs_what_was_running_and_nothing_else(tmp_path, tuner):
    one = oracle(tmp_path / "o", tuner)
    first = one.create_trial("a")
    answer(one, first)
    running = [one.create_trial("a"), one.create_trial("b")]
    again = oracle(tmp_path / "o", tuner)
    taken = [again.create_trial("a"), again.create_trial("b")]
    assert [t.trial_id for t in taken] == [t.trial_id for t in running]
    assert [t.hyperparameters.values for t in taken] == [t.hyperparameters.values for t in running]
    assert again.create_trial("c").trial_id not in {first.trial_id, *(t.trial_id for t in running)}


def test_killed_after_a_trial_was_written_and_before_the_list_of_running_ones(tmp_path):
    one = oracle(tmp_path / "o")
    answer(one, one.create_trial("a"))
    before = (tmp_path / "o" / "oracle.json").read_text()
    running = one.create_trial("a")
    (tmp_path / "o" / "oracle.json").write_text(before)  # the kill came between the two files
    assert oracle(tmp_path / "o").create_trial("a").trial_id == running.trial_id


def test_killed_after_a_result_was_written_and_before_it_left_the_list_of_running_ones(tmp_path):
    one = oracle(tmp_path / "o")
    trial = one.create_trial("a")
    before = (tmp_path / "o" / "oracle.json").read_text()
    answer(one, trial)
    (tmp_path / "o" / "oracle.json").write_text(before)
    again = oracle(tmp_path / "o")
    assert again.create_trial("a").trial_id != trial.trial_id
    assert again.get_best_trials()[0].trial_id == trial.trial_id


def test_a_stopping_oracle_gives_no_new_trials_but_keeps_running_ones(tmp_path):
    one = oracle(tmp_path / "o")
    running = one.create_trial("a")
    one.stopping = True
    assert one.create_trial("b").status == "STOPPED"
    assert one.create_trial("a").trial_id == running.trial_id


def test_the_grid_is_complete_and_ends(tmp_path):
    space = {"model.units": [4, 8, 16], "model.layers": [1, 2]}
    one = oracle(tmp_path / "o", "grid", trials=100, space=space)
    seen = set()
    while (trial := one.create_trial("a")).status == "RUNNING":
        seen.add((trial.hyperparameters.values["model.units"], trial.hyperparameters.values["model.layers"]))
        answer(one, trial)
    assert len(seen) == len(one.trials) == 6


@pytest.mark.slow
def test_bayesian_search_finds_a_planted_optimum_better_than_its_random_start(tmp_path):
    one = oracle(tmp_path / "o", "bayesian", trials=14)
    scores = []
    for _ in range(14):
        trial = one.create_trial("a")
        values = trial.hyperparameters.values
        score = abs(values["training.learning_rate"] - 0.02) * 50 + (values["model.units"] != 8)
        answer(one, trial, score)
        scores.append(score)
    assert min(scores[3:]) < min(scores[:3])


OUTSIDE = [
    ({"model.units": [4, 8, 32]}, {"model.units": 16}),
    ({"model.units": {"low": 32, "high": 64, "step": 8}}, {"model.units": 16}),
    ({"model.units": {"low": 4, "high": 64, "step": 5}}, {"model.units": 16}),  # between two steps
    ({"model.units": {"low": 1, "high": 64, "step": 3, "log": True}}, {"model.units": 16}),
    ({"model.family": ["gru", "tcn"], "model.units": [4, 16]}, {"model.family": "lstm"}),
    ({"model.history.ewm": [[0.5], [0.9, 0.99]]}, {"model.history.ewm": []}),
    ({"model.trees.depth": [1, 10, 100, 1000, 3]}, {"model.trees.depth": None}),
    (
        {
            "model.family": ["lstm", "transformer"],
            "model.heads": {"choices": [1, 2], "when": {"model.family": ["lstm"]}},
        },
        {"model.heads": 4},
    ),
]


def outsider(folder: Path, tuner: str, space, own, trials: int = 60, **settings_):
    experiment = config.from_dict(config.override({"model": {"family": "lstm", "units": 16}}, own))
    parameters = spaces.parse(space, experiment)
    tuning = settings({"tuner": tuner, "trials": trials, "initial": 3, "levels": 3, "pruning": "none"} | settings_)
    made = make_oracle(tuning, parameters, experiment, objective="rmse", direction="min", folder=folder)
    return made, parameters, experiment


def values_of(trials, parameters):
    return [json.dumps(spaces.decode(parameters, trial.hyperparameters.values), sort_keys=True) for trial in trials]


def run_all(one, score=lambda number: 1.0 + number, limit: int = 200):
    trials = []
    while (trial := one.create_trial("a")).status == "RUNNING" and len(trials) < limit:
        trials.append(trial)
        answer(one, trial, score(len(trials)))
    return trials


@pytest.mark.parametrize(("space", "own"), OUTSIDE)
def test_the_grid_tries_all_its_values_though_the_configuration_itself_is_outside(tmp_path, space, own):
    one, parameters, experiment = outsider(tmp_path / "o", "grid", space, own)
    assert spaces.own_values(parameters, experiment) is None and spaces.outside(parameters, experiment) == list(own)
    trials = run_all(one)
    assert trials[0].hyperparameters.values == {}
    tried = values_of(trials[1:], parameters)
    assert len(set(tried)) == len(tried) and one.exhausted
    everything = {
        json.dumps(spaces.decode(parameters, values), sort_keys=True)
        for values in combinations(one.get_space().space, every_value)
    }
    assert set(tried) == everything


@pytest.mark.parametrize("tuner", ["random", "bayesian", "grid"])
@pytest.mark.parametrize(("space", "own"), OUTSIDE)
def test_no_oracle_learns_from_a_configuration_outside_the_space(tmp_path, tuner, space, own):
    one, *_ = outsider(tmp_path / "o", tuner, space, own)
    first = one.create_trial("a")
    answer(one, first, -1000.0)  # far the best
    assert not one._tried_so_far
    for number in range(1, 4):
        if (trial := one.create_trial("a")).status == "RUNNING":
            answer(one, trial, float(number))
    with one._without_outsider():
        assert first.trial_id not in one.trials
        if tuner == "bayesian":
            assert -1000.0 not in one._vectorize_trials()[1]
    assert first.trial_id in one.trials  # on record all the same


def test_a_configuration_outside_the_space_has_the_whole_budget_and_no_place_in_hyperbands_brackets(tmp_path):
    space = {"training.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
    one, *_ = outsider(tmp_path / "o", "hyperband", space, {"training.learning_rate": 0.5}, trials=12)
    trials = run_all(one, score=lambda number: float(number))
    assert len(trials) == 13
    assert trials[0].hyperparameters.values == {}
    assert all("training.learning_rate" in trial.hyperparameters.values for trial in trials[1:])
    assert all(trial.hyperparameters.values.get("tuner/trial_id") != trials[0].trial_id for trial in trials[1:])


@pytest.mark.parametrize("tuner", ["random", "bayesian", "grid", "hyperband"])
def test_a_reloaded_oracle_still_leaves_the_outsider_out(tmp_path, tuner):
    space, own = {"training.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}, {"training.learning_rate": 0.5}
    one = outsider(tmp_path / "o", tuner, space, own)[0]
    answer(one, one.create_trial("a"), -1000.0)
    running = one.create_trial("a")
    again = outsider(tmp_path / "o", tuner, space, own)[0]
    assert again.create_trial("a").trial_id == running.trial_id
    with again._without_outsider():
        assert list(again.trials) == [running.trial_id]


@pytest.mark.parametrize("tuner", ["random", "bayesian", "grid"])
@pytest.mark.parametrize(
    ("space", "count"),
    [
        ({"model.units": [16]}, 1),
        ({"model.units": [4, 16, 64]}, 3),
        ({"model.units": {"low": 16, "high": 18}}, 3),
        ({"model.units": {"low": 8, "high": 64, "step": 2, "log": True}, "model.layers": [1, 2]}, 8),
        ({"model.dropout": {"low": 0.0, "high": 1.0 - 0.1, "step": 0.1}}, 10),
    ],
)
def test_a_small_space_is_tried_to_its_end_and_never_twice(tmp_path, tuner, space, count):
    one, parameters, _ = outsider(tmp_path / "o", tuner, space, {})
    trials = run_all(one)
    assert len(set(values_of(trials, parameters))) == len(trials) == count
    assert one.exhausted and one.create_trial("a").status == "STOPPED"


def test_a_step_is_learnt_at_its_own_place(tmp_path):
    """KerasTuner books 1.0 of a range in steps of 0.1 under 0.9: 1.0 // 0.1 is 9."""
    one, parameters, _ = outsider(
        tmp_path / "o", "bayesian", {"training.weight_decay": {"low": 0.0, "high": 2.0, "step": 0.1}}, {}
    )
    hp = one.get_space().space[0]
    places = [hp.value_to_prob(value) for value in every_value(hp)]
    assert len(places) == 21 and all(
        b - a == pytest.approx(places[1] - places[0]) for a, b in itertools.pairwise(places)
    )
    decoded = [spaces.decode(parameters, {hp.name: value})[hp.name] for value in every_value(hp)]
    assert decoded == pytest.approx([number / 10 for number in range(21)])


def test_the_upper_end_of_a_logarithmic_range_is_booked_as_what_is_trained(tmp_path):
    one, *_ = outsider(
        tmp_path / "o", "bayesian", {"model.units": {"low": 2, "high": 8, "log": True}}, {"model.units": 4}
    )
    assert one._within("model.units", 9) == 8


def test_hyperband_is_refused_where_the_space_cannot_fill_its_first_round():
    experiment = config.from_dict({"model": {"family": "lstm", "units": 16}})
    few = spaces.parse({"model.units": [4, 8, 16]}, experiment)
    with pytest.raises(ConfigError, match=r"takes 27 different configurations, but the space holds 3"):
        check_enough(settings({"tuner": "hyperband"}), few, experiment)
    check_enough(settings({"tuner": "hyperband", "levels": 3}), few, experiment)
    check_enough(settings({"tuner": "random"}), few, experiment)
    endless = spaces.parse({"model.dropout": {"low": 0.0, "high": 0.5}}, experiment)
    check_enough(settings({"tuner": "hyperband"}), endless, experiment)
