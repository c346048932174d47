"""Words of YAML that are names of columns, files and classes; documents that would not end."""

import re
import shlex
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq import cli, config
from keras_seq.autoconfig.facts import Choice
from keras_seq.autoconfig.write import to_yaml, tree
from keras_seq.config import yaml_text
from keras_seq.data.sources import load_series
from keras_seq.errors import ConfigError, DataError
from keras_seq.torch_import.mapping import read_map
from serving.monitor.settings import load_settings
from serving.rollout.plan import load_plan as load_rollout
from tests.factories.offenders import check_each
from tuning.settings import load_plan

WORDS = [
    *("No", "no", "off", "on", "Yes", "y", "n", "true", "False", "null", "Null", "NULL", "~", "none", "None", "NA"),
    *("0", "007", "0o17", "0x1F", "2024", "1_000", "1e5", "1E-3", "0_", "0b", "١٢", ".5", "1.", "+1", "-0", ".inf"),
    *(".nan", "nan", "inf", "1:30", "12:30:45", "2024-01-01", "2024-13-45", "2001-1-1", "2024-01-01T00:00:00Z"),
    *("10/03/2004", "<<", "="),
]
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(WORDS)


def load(tmp_path, text, overrides=None):
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return config.load(path, overrides)


def test_an_unquoted_word_is_text_where_text_is_meant(tmp_path):
    check_each(lambda word: is_text(tmp_path, word), WORDS)


def is_text(tmp_path, word):
    key = "'<<'" if word == "<<" else word  # as a key it merges
    data = load(
        tmp_path,
        f"data:\n  targets: [{word}, b]\n  features:\n  - {word}\n  covariates: {{events: {{{key}: [{word}]}}}}",
    ).data
    assert data.targets == (word, "b") and data.features == (word,)
    assert data.covariates.events == {word: (word,)}
    data = load(tmp_path, f"data: {{path: {word}, unit: {word}, targets: {word}}}").data
    assert data.targets == (word,)
    assert (data.path, data.unit) == ((None, None) if word in ("null", "Null", "NULL", "~") else (word, word))


def test_a_word_of_the_command_line_is_text_where_text_is_meant():
    check_each(is_text_of_the_command_line, WORDS)


def is_text_of_the_command_line(word):
    def read(*words):
        return config.from_dict(config.override({}, cli.read_overrides(words))).data

    assert read("--data.targets", f"[{word}, b]").targets == (word, "b")
    assert read(f"--data.targets={word}").targets == read("--data.targets", f"['{word}']").targets == (word,)
    assert read(f"--data.unit='{word}'", f'--data.time="{word}"').unit == word
    assert read(f"--data.path={word}").path == (None if word in ("null", "Null", "NULL", "~") else word)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--data.cache=off", False),
        ("--data.cache=Yes", True),
        ("--training.epochs=1e1", 10),
        ("--training.epochs=0x10", 16),
        ("--training.learning_rate=1e-3", 0.001),
        ("--data.target_cap=~", None),
        ("--data.target_cap=125", 125.0),
        ("--data.conditions=3", 3),
        ("--model.hidden_dims=[8, 4]", (8, 4)),
        ("--training.strategy=none", "none"),
        ("--data.subset=null", None),
        ("--data.unit=", None),
        ("--data.split.bootstrap=null", None),
    ],
)
def test_other_fields_read_yaml(option, value):
    read = config.override({}, cli.read_overrides([option]))
    experiment = config.from_dict(read)
    for part in option[2:].partition("=")[0].split("."):
        experiment = getattr(experiment, part)
    assert experiment == value


@settings(max_examples=60, deadline=None)
@given(st.lists(names, min_size=1, max_size=4), names, st.dictionaries(names, st.lists(names, max_size=2), max_size=2))
def test_any_names_come_back_from_files_and_the_command_line(tmp_path_factory, columns, unit, events):
    changes = {"data.targets": columns, "data.unit": unit, "data.path": unit, "data.covariates.events": events}
    choices = [Choice(key, value, "a reason") for key, value in changes.items()]
    meant = config.from_dict(tree(choices))
    assert meant.data.targets == tuple(columns) and meant.data.unit == unit
    path = tmp_path_factory.mktemp("names") / "c.yaml"
    for text in (to_yaml(choices, [unit]), config.to_yaml(meant)):
        path.write_bytes(text.encode())
        assert config.load(path) == meant
    listed = f"[{', '.join(map(yaml_text.quote, columns))}]"
    line = " ".join(shlex.quote(word) for word in ("--data.targets", listed, f"--data.unit={yaml_text.quote(unit)}"))
    read = config.from_dict(config.override({}, cli.read_overrides(shlex.split(line)))).data
    assert (read.targets, read.unit) == (tuple(columns), unit)
    assert config.replace(meant, data__unit=unit, data__targets=columns).data == meant.data


@given(names.filter(lambda name: name not in ("", "~", "null", "Null", "NULL") and name[0] not in "'\""))
def test_the_command_line_takes_a_name_as_it_stands(name):
    (word,) = shlex.split(shlex.quote(f"--data.unit={name}"))
    assert config.from_dict(config.override({}, cli.read_overrides([word]))).data.unit == name


def test_a_schema_file_takes_words_as_names_and_classes(tmp_path):
    table = tmp_path / "0.csv"
    table.write_text("time,No,1e5,off\n" + "".join(f"{i},{i % 7},{i % 3},{i % 2}\n" for i in range(40)))
    schema = tmp_path / "schema.yaml"
    schema.write_text(
        "task: multiclass\ntargets: [off]\nclasses: [0, 1]\n"
        "columns: [No, {name: 1e5, unit: 1:30, minimum: 0, maximum: 1e2}]\n"
    )
    read = load_series(config.DataConfig(source="table", path=str(table), schema_file=str(schema), time="time")).schema
    assert (read.features, read.targets, read.classes) == (("No", "1e5"), ("off",), ("0", "1"))
    assert (read.columns[1].unit, read.columns[1].minimum, read.columns[1].maximum) == ("1:30", 0.0, 100.0)


def test_rollout_and_monitor_files_take_words_as_names(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("models: {no: {weights: {1: 90, 2: 10}}, 2024: {weights: {3: 1e2}}}")
    assert load_rollout(path).models["no"].weights == {1: 90.0, 2: 10.0}
    assert load_rollout(path).models["2024"].weights == {3: 100.0}
    path.write_text("models: [off, 2024-01-01]\nlog: off")
    assert load_settings(path).models == ("off", "2024-01-01") and load_settings(path).log is False


def test_a_study_takes_words_of_its_own_section(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "data: {unit: No}\ntuning: {trials: 3, space: {model.units: [8, 16], training.learning_rate: [1e-4, 1e-2]}}"
    )
    plan = load_plan(path, {"tuning.objective": "mae", "tuning.max_minutes": "1e1", "data.time": "on"}, {})
    assert (plan.experiment.data.unit, plan.experiment.data.time) == ("No", "on")
    assert plan.tuning.space == {"model.units": [8, 16], "training.learning_rate": [1e-4, 1e-2]}
    assert (plan.tuning.trials, plan.tuning.objective, plan.tuning.max_minutes) == (3, "mae", 10.0)


NINE = "".join(
    f"  {name}: &{name} [{', '.join([f'*{other}'] * 9)}]\n" for name, other in zip("bcdefghi", "abcdefgh", strict=True)
)
HOSTILE = {
    "deep lists": "a: " + "[" * 20_000,
    "deep closed lists": "a: " + "[" * 900 + "]" * 900,
    "deep mappings": "a: " + "{b: " * 20_000,
    "deep blocks": "\n".join(" " * i + f"k{i}:" for i in range(1000)),
    "deep dashes": "a:\n  " + "- " * 5000 + "x",
    "aliases that multiply": "a:\n  a: &a [x, x, x, x, x, x, x, x, x]\n" + NINE,
    "merges that multiply": "a: &a {" + ", ".join(f"k{i}: 1" for i in range(1000)) + "}\nb:\n"
    + "".join(f"- {{<<: [{', '.join(['*a'] * 50)}]}}\n" for _ in range(50)),
    "an alias of itself": "a: &a [*a]",
    "a mapping of itself": "a: &a {b: *a}",
    "a number without end": "model: {units: " + "9" * 100_000 + "}",
    "sixties without end": "model: {units: 1" + ":59" * 50_000 + "}",
    "a bad tag": "a: !!python/object/apply:os.system [ls]",
    "an object": "a: !!set {x, y}",
    "bytes": "a: !!binary aGVsbG8=",
    "a bad number": "seed: !!int x",
    "no text": "a: \x01",
}  # fmt: skip


LONG = ("deep closed lists", "sixties without end")  # seconds each


@pytest.mark.parametrize(
    "text", [pytest.param(text, id=name, marks=[pytest.mark.slow] * (name in LONG)) for name, text in HOSTILE.items()]
)
def test_a_hostile_document_is_refused_soon_and_in_one_paragraph(tmp_path, text):
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    table = tmp_path / "t.csv"
    table.write_text("a,y\n1,2\n")
    schema = config.DataConfig(source="table", path=str(table), schema_file=str(path), targets=("y",))
    for read in (
        lambda: config.load(path),
        lambda: load_plan(path, {}, {}),
        lambda: load_settings(path),
        lambda: load_rollout(path),
        lambda: read_map(path),
        lambda: load_series(schema),
        lambda: config.from_dict(config.override({}, {"model.hidden_dims": text.partition(": ")[2] or text})),
    ):
        start = time.process_time()
        with pytest.raises((ConfigError, DataError)) as caught:
            read()
        assert time.process_time() - start < 30
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 1500


@pytest.mark.slow
def test_a_long_list_is_refused(tmp_path):
    start = time.process_time()
    with pytest.raises(ConfigError, match="more than 100000 values"):
        load(tmp_path, "model: {units: [" + "1, " * 500_000 + "1]}")
    assert time.process_time() - start < 30


def test_a_hostile_json_schema_is_refused_in_one_paragraph(tmp_path):
    path = tmp_path / "hostile.json"
    (tmp_path / "t.csv").write_text("a,y\n1,2\n")
    for text in ("[" * 100_000, '{"columns": ' * 5000, '{"columns": ' + "9" * 5000 + "}", "\xff"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(DataError, match=r"hostile\.json' is not valid JSON"):
            load_series(config.DataConfig(source="table", path=str(tmp_path / "t.csv"), schema_file=str(path)))


@pytest.mark.parametrize("package", ["keras_seq", "serving", "tuning"])
def test_nothing_else_reads_yaml(package):
    paths = (Path(__file__).parents[2] / package).rglob("*.py")
    read = [str(path) for path in paths if re.search(r"yaml\.(safe_|full_)?load", path.read_text(encoding="utf-8"))]
    assert not read


def test_a_file_without_end_is_refused():
    with pytest.raises(ConfigError, match="larger than 4 MiB"):
        config.load("/dev/zero")


def test_ordinary_anchors_and_merges_are_read(tmp_path):
    text = "data: {caster: &c {rows: 2}}\nmodel: &m {units: 8}\ntraining: {epochs: 3}\n"
    assert load(tmp_path, text).model.units == 8
    read = yaml_text.meaning(yaml_text.read("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]"))
    assert read == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": [{"x": 1, "y": 2}] * 2}


@pytest.mark.parametrize(("text", "told"), [
    ("name: a\ntraining: {epochs: 3}\nname: b\n", "key 'name' stands twice, in line 1 and in line 3"),
    ("training:\n  epochs: 3\n  seed: 1\n  epochs: 30\n", "key 'epochs' stands twice, in line 2 and in line 4"),
    ('training: {epochs: 3, "epochs": 30}\n', "key 'epochs' stands twice, in line 1"),
])  # fmt: skip
def test_a_doubled_key_is_refused_with_both_lines(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told):
        load(tmp_path, text)
