from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq import config
from keras_seq.config.main_job import MAIN_JOB
from keras_seq.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_load_and_tell_their_command(path):
    experiment = config.load(path)
    assert experiment.name == path.stem
    assert f"python -m keras_seq.train --config configs/{path.name}" in path.read_text().split("name:")[0]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.unitz", 3, r"'model\.unitz'; did you mean 'units'\?"),
        ("modle.units", 3, r"'modle'; did you mean 'model'\?"),
        ("training.units", 3, r"'training\.units'; did you mean 'model\.units'\?"),
        ("model.units", 0, r"'model\.units': .*greater than or equal to 1.* Got 0"),
        ("model.units", "many", r"'model\.units'.*Got 'many'"),
        ("model.dropout", 1.5, r"'model\.dropout'.*Got 1\.5"),
        ("model.quantiles", "[0.9, 0.1]", r"quantiles must rise"),
        ("data.split.fold", 3, None),
        ("data.windows.mode", "window", r"'whole', 'sliding' or 'last'.*Got 'window'"),
        ("training.learning_rate", -1, r"greater than 0"),
        ("name", "../etc", r"'name'"),
    ],
)
def test_bad_values_are_named(key, value, message):
    if message is None:
        key, value, message = "data.split.folds", 1, r"folds must be 0 .* got 1"
    with pytest.raises(ConfigError, match=message):
        config.from_dict(config.override({}, {key: value}))


def test_fold_must_exist():
    with pytest.raises(ConfigError, match="fold must be below folds=5, got 5"):
        config.from_dict(config.override({}, {"data.split.folds": "5", "data.split.fold": "5"}))


def test_yaml_round_trip(tmp_path):
    experiment = config.replace(config.Experiment(), model__hidden_dims=(64, 32), model__history__ewm=(0.9,))
    path = tmp_path / "e.yaml"
    path.write_text(config.to_yaml(experiment))
    assert config.load(path) == experiment


def test_override_reads_text_as_yaml():
    tree = config.override({}, {"model.hidden_dims": "[8, 4]", "training.learning_rate": "1e-3", "data.subset": "null"})
    experiment = config.from_dict(tree)
    assert experiment.model.hidden_dims == (8, 4)
    assert experiment.training.learning_rate == 1e-3
    assert experiment.data.subset is None


def test_override_leaves_its_input_alone():
    tree = {"model": {"units": 8}}
    config.override(tree, {"model.units": 16})
    assert tree == {"model": {"units": 8}}


def test_experiment_is_frozen():
    with pytest.raises(Exception, match="frozen"):
        config.Experiment().model.units = 3


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00"])
def test_bad_yaml(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        config.load(path)


def test_missing_file():
    with pytest.raises(ConfigError, match="does not exist"):
        config.load("nowhere.yaml")


LEAVES = list(config.fields())


@given(st.sampled_from(LEAVES), st.integers(0, 30), st.sampled_from("abcxyz_"))
def test_every_typo_gets_a_config_error_that_names_it(leaf, position, letter):
    section, _, name = leaf.rpartition(".")
    wrong = name[: position % (len(name) + 1)] + letter + name[position % (len(name) + 1) :]
    key = f"{section}.{wrong}" if section else wrong
    if key in LEAVES:
        return
    with pytest.raises(ConfigError) as caught:
        config.from_dict(config.override({}, {key: 1}))
    assert wrong in str(caught.value)


def test_every_field_can_be_set_from_the_command_line():
    experiment = config.Experiment()
    flat = {}
    for name in config.fields():
        value = experiment
        for part in name.split("."):
            value = getattr(value, part)
        flat[name] = "null" if value is None else str(list(value)) if isinstance(value, tuple) else str(value)
    assert config.from_dict(config.override({}, flat)) == experiment


def test_the_main_job_is_the_caster_study():
    assert config.from_dict(MAIN_JOB) == config.load(CONFIGS[0].parent / "caster.yaml")
