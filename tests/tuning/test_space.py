from __future__ import annotations

from pathlib import Path

import keras_tuner as kt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq import config
from keras_seq.errors import ConfigError
from keras_seq.models.registry import get_family, names
from tuning import space as spaces
from tuning.defaults import default_space
from tuning.settings import load_plan

FD001 = Path(__file__).parents[2] / "configs" / "cmapss_fd001.yaml"
SPACE = {
    "model.heads": {"choices": [2, 4], "when": {"model.family": ["transformer"]}},
    "model.family": ["lstm", "transformer"],
    "model.units": {"low": 32, "high": 128, "step": 32},
    "model.history.ewm": [[], [0.9], [0.8, 0.97]],
    "model.bidirectional": [True, False],
    "training.learning_rate": {"low": 1e-3, "high": 1e-2, "log": True},
}


@pytest.fixture(scope="module")
def experiment():
    return config.load(FD001)


def hyperparameters(parameters, experiment):
    hp = kt.HyperParameters()
    spaces.register(hp, parameters, experiment)
    return hp


def test_parents_come_first_and_types_follow_the_fields(experiment):
    parameters = spaces.parse(SPACE, experiment)
    names = [parameter.field for parameter in parameters]
    assert names.index("model.family") < names.index("model.heads")
    kinds = {parameter.field: parameter.kind for parameter in parameters}
    assert kinds["model.units"] == "int" and kinds["training.learning_rate"] == "float"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(1, 10_000))
def test_every_sample_is_a_configuration_and_conditions_hold(seed):
    experiment = config.load(FD001)
    parameters = spaces.parse(SPACE, experiment)
    hp = hyperparameters(parameters, experiment)
    oracle = kt.oracles.RandomSearchOracle(
        objective=kt.Objective("rmse", "min"), max_trials=5, hyperparameters=hp, seed=seed
    )
    values = spaces.decode(parameters, oracle._random_values())
    made = config.replace(experiment, **values)
    assert ("model.heads" in values) == (made.model.family == "transformer")
    assert made.model.units in (32, 64, 96, 128)
    assert made.model.history.ewm in ((), (0.9,), (0.8, 0.97))
    assert 1e-3 <= made.training.learning_rate <= 1e-2


def test_ranges_end_where_they_say(experiment):
    """KerasTuner gives 9 for the upper end of a logarithmic range from 2 to 8."""
    parameters = spaces.parse({"model.units": {"low": 2, "high": 8, "log": True}}, experiment)
    hp = hyperparameters(parameters, experiment).space[0]
    tried = {spaces.decode(parameters, {"model.units": hp.prob_to_value(p / 1000)})["model.units"] for p in range(1001)}
    assert min(tried) == 2 and max(tried) == 8


def test_values_survive_the_protocol_between_chief_and_workers(experiment):
    parameters = spaces.parse(SPACE, experiment)
    hp = hyperparameters(parameters, experiment)
    there = kt.HyperParameters.from_proto(hp.to_proto())
    assert spaces.decode(parameters, there.values) == spaces.decode(parameters, hp.values)


def test_own_values_are_those_of_the_configuration(experiment):
    parameters = spaces.parse(SPACE, experiment)
    own = spaces.own_values(parameters, experiment)
    assert config.replace(experiment, **spaces.decode(parameters, own)) == experiment
    assert "model.heads" not in own  # an LSTM has none


@pytest.mark.parametrize("family", [name for name in names() if get_family(name).space])
def test_every_default_space_is_valid(experiment, family):
    chosen = config.replace(experiment, **{"model.family": family})
    parameters = spaces.parse(default_space(chosen), chosen)
    hp = hyperparameters(parameters, chosen)
    config.replace(chosen, **spaces.decode(parameters, hp.values))


def test_a_family_without_default_space_is_named(experiment):
    with pytest.raises(ConfigError, match=r"'naive' has no default search space"):
        default_space(config.replace(experiment, **{"model.family": "naive"}))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"model.unitz": [1]}, r"no field 'model.unitz'; did you mean 'model.units'"),
        ({"model.units": [0]}, r"tuning.space.model.units.*greater than or equal to 1.*Got 0"),
        ({"model.units": ["many"]}, r"Got 'many'"),
        ({"model.units": []}, r"choices must be a list with a value"),
        ({"model.units": 64}, r"must be a list of values or a mapping"),
        ({"model.units": {"low": 1}}, r"'high' must be a number, got None"),
        ({"model.units": {"low": 8, "high": 4}}, r"low must be below high"),
        ({"model.dropout": {"low": 0.1, "high": 1.5}}, r"less than 1"),
        ({"model.dropout": {"low": 0.0, "high": 0.5, "log": True}}, r"log needs low above 0"),
        ({"model.units": {"low": 8, "high": 64, "step": -1}}, r"step must be above 0"),
        ({"model.units": {"low": 8, "hihg": 64}}, r"'tuning.space.model.units.hihg' is unknown; did you mean 'high'"),
        ({"model.units": {"choices": [8], "step": 2}}, r"'step' has no meaning"),
        ({"model.history.ewm": {"low": 0, "high": 1}}, r"tuning.space.model.history.ewm"),
        ({"model.family": ["lstmm"]}, r"no family 'lstmm'; did you mean 'lstm'"),
        ({"data.split.seed": [1, 2]}, r"decides what is judged"),
        ({"data.target_cap": [100, 125]}, r"decides what is judged"),
        ({"evaluation.at": ["all"]}, r"decides what is judged"),
        ({"model.heads": {"choices": [2], "when": {"model.fam": ["a"]}}}, r"no field 'model.fam'"),
        (
            {"model.heads": {"choices": [2], "when": {"model.family": ["gru"]}}, "model.family": ["lstm"]},
            r"'model.family' is never 'gru'",
        ),
        (
            {"model.heads": {"choices": [2], "when": {"model.units": 3}}, "model.units": {"low": 2, "high": 4}},
            r"is a range; conditions need choices",
        ),
        ({}, r"empty"),
    ],
)
def test_wrong_spaces_are_refused_by_name(experiment, space, message):
    with pytest.raises(ConfigError, match=message):
        spaces.parse(space, experiment)


def test_a_condition_on_a_fixed_field_decides_at_once(experiment):
    space = {
        "model.heads": {"choices": [2], "when": {"model.family": ["transformer"]}},
        "model.units": [32, 64],
    }
    assert [parameter.field for parameter in spaces.parse(space, experiment)] == ["model.units"]


def test_the_section_stands_beside_the_experiment_and_training_passes_over_it(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("name: x\nmodel: {family: gru}\ntuning: {trials: 7, space: {model.units: [8, 16]}}\n")
    assert config.load(path).model.family == "gru"
    plan = load_plan(path, {"tuning.tuner": "random", "model.units": "16"}, {})
    assert (plan.tuning.trials, plan.tuning.tuner, plan.experiment.model.units) == (7, "random", 16)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("trails", 5, r"'tuning.trails'; did you mean 'trials'"),
        ("trials", 0, r"'tuning.trials'.*Got 0"),
        ("tuner", "bayes", r"'tuning.tuner'.*Got 'bayes'"),
        ("folds", 1, r"folds must be 0"),
    ],
)
def test_wrong_settings_are_refused_by_name(key, value, message):
    with pytest.raises(ConfigError, match=message):
        load_plan(None, {f"tuning.{key}": value}, {})
