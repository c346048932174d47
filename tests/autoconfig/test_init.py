"""``python -m keras_seq.init``: guesses on real tables, what it refuses, and that what it writes can be trained."""

from __future__ import annotations

import ast
import csv
import gzip
import importlib.util
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_seq import config
from keras_seq.autoconfig import look
from keras_seq.commands import init
from keras_seq.data.prepare import prepare
from keras_seq.data.sources import load_series
from keras_seq.data.splits import split
from keras_seq.errors import ConfigError, DataError, KerasSeqError
from tests.factories.init import begin


def refused(text, *words, name="table.csv", error=KerasSeqError):
    """The message for a table given as text or bytes."""
    with open(name, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(error) as caught:
        init.main([name, "--out", "made.yaml", *words])
    message = str(caught.value)
    assert "\n" not in message
    return message


def usable(experiment):
    """Load and divide as training would; the series."""
    series = load_series(experiment.data)
    split(series, experiment.data)
    return series


def series_of(home, source, units=None, **options):
    """A real set as a table: unit, time, features, targets."""
    series = load_series(config.DataConfig(source=source, home=str(home), **options))
    chosen = range(series.n_units if units is None else min(units, series.n_units))
    parts = []
    for unit in chosen:
        frame = pd.DataFrame(series.unit_values(unit), columns=list(series.schema.features))
        frame.insert(0, "cycle", np.arange(1, len(frame) + 1))
        frame.insert(0, "engine", unit + 1)
        rows = slice(series.offsets[unit], series.offsets[unit + 1])
        per_unit = series.schema.target_per == "unit"
        frame[series.schema.targets[0]] = series.targets[unit, 0] if per_unit else series.targets[rows, 0]
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def waves(units=6, rows=40):
    """A small regular table: the shape of a file, not data to learn from."""
    steps = np.tile(np.arange(rows), units)
    unit = np.repeat(np.arange(units), rows)
    return pd.DataFrame(
        {
            "pump": [f"p{u}" for u in unit],
            "hour": steps,
            "flow": np.sin(steps) + unit,
            "wear": np.cos(steps * 0.7) - unit,
        }
    )


# Real tables


def test_engines_to_failure(here, data_home, capsys):
    table = series_of(data_home, "cmapss", units=12, subset="FD001")
    target = table.columns[-1]
    experiment = begin(table, "--target", target)
    data = experiment.data
    assert (data.unit, data.time, data.task) == ("engine", "cycle", "regression")
    assert data.windows.mode == "whole" and data.windows.per_step and data.split.by == "unit"
    assert data.windows.length == table.groupby("engine").size().max()
    assert data.conditions == 0 and data.impute == "none" and data.schema_file is None
    constant = {name for name in table.columns if table[name].nunique() == 1}
    assert constant and not constant & set(data.features)
    assert experiment.model.history.baseline == 20  # it counts down
    usable(experiment)
    out = capsys.readouterr().out
    assert "python -m keras_seq.train --config made.yaml" in out and "is always" in out


def test_engines_without_telling_names(here, data_home):
    table = series_of(data_home, "cmapss", units=12, subset="FD001")
    table.columns = [f"c{i}" for i in range(table.shape[1])]
    data = begin(table, "--target", table.columns[-1]).data
    assert (data.unit, data.time) == ("c0", "c1")


def test_operating_conditions(here, data_home):
    table = series_of(data_home, "cmapss", units=25, subset="FD002")
    experiment = begin(table, "--target", table.columns[-1])
    assert experiment.data.conditions == 6 and experiment.data.schema_file == "made_schema.yaml"
    series = usable(experiment)
    assert 1 <= len(series.schema.condition_indices) <= 3


def test_engines_ask_for_a_target(here, data_home):
    table = series_of(data_home, "cmapss", units=4, subset="FD001").iloc[:, :-1]
    table.to_csv("table.csv", index=False)
    with pytest.raises(ConfigError, match=r"Which column .* is to be predicted.*Remaining life"):
        init.main(["table.csv"])
    assert not (here / "table.yaml").exists()


def test_wafers_one_label_each(here, data_home, capsys):
    table = series_of(data_home, "wafer", units=60).drop(columns="cycle").rename(columns={"engine": "wafer"})
    experiment = begin(table)  # the label stands out
    data = experiment.data
    assert (data.unit, data.targets, data.task) == ("wafer", ("abnormal",), "binary")
    assert data.split.by == "stratified" and data.windows.mode == "whole"
    assert experiment.model.family == "extra_trees"  # 60 sequences
    assert usable(experiment).schema.target_per == "unit"
    assert "target 'abnormal' is a guess" in capsys.readouterr().out


def test_speakers(here, data_home):
    table = series_of(data_home, "jvowels", units=640)
    experiment = begin(table, "--target", table.columns[-1])
    assert experiment.data.task == "multiclass" and experiment.data.split.by == "stratified"
    assert experiment.training.class_weight == "none" and experiment.data.windows.length == 29
    assert len(usable(experiment).schema.classes) == 9


def test_rare_class_is_weighed(here, data_home):
    table = series_of(data_home, "wafer", units=180)
    table = table[(table["abnormal"] == 0) | (table["engine"] % 3 == 0)]  # real wafers, most abnormal ones left away
    share = table.groupby("engine")["abnormal"].first().mean()
    experiment = begin(table, "--target", "abnormal")
    assert share < 0.2 and experiment.training.class_weight == "balanced"
    assert f"{share:.1%}" in (here / "made.yaml").read_text()


def test_weekly_series_as_it_is_published(here, data_home):
    """Newest rows first: turned round, as if the file had been sorted."""
    source = data_home / "us_gasoline" / "us_gasoline.csv"
    ordered = begin(pd.read_csv(source).sort_values("Week", key=pd.to_datetime), "--horizon", "4")
    wanted = prepare(ordered.data).series.targets
    experiment = begin(source.read_text(), "--horizon", "4", "--overwrite")
    np.testing.assert_array_equal(prepare(experiment.data).series.targets, wanted)
    data = experiment.data
    assert (data.unit, data.time, data.targets, data.task) == (None, "Week", ("Gasoline",), "forecast")
    assert data.windows.length == 104 and data.windows.horizon == 4 and data.split.by == "time"
    assert experiment.model.arima.period == 52 and experiment.evaluation.conformal == "adaptive"
    usable(experiment)


def test_trading_days(here, data_home):
    table = pd.read_csv(data_home / "market" / "sp500.csv")
    experiment = begin(table, "--target", "Close")
    assert experiment.data.task == "forecast" and experiment.data.time == "Date"
    assert experiment.model.arima.period == 5 and "Close" in experiment.data.features
    assert "cannot be guessed" in (here / "made.yaml").read_text()  # the horizon


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["weekly", "engines", "wafers"])
def test_what_is_written_trains_unchanged(here, data_home, kind):
    from keras_seq.commands import train

    if kind == "weekly":
        table = pd.read_csv(data_home / "us_gasoline" / "us_gasoline.csv").iloc[::-1]
        words = ("--target", "Gasoline")
    elif kind == "engines":
        table, words = series_of(data_home, "cmapss", units=15, subset="FD002"), ("--target", "RUL")
    else:
        table, words = series_of(data_home, "wafer", units=60), ("--target", "abnormal")
    begin(table, *words)
    less = ["--training.epochs", "1", "--evaluation.baseline", "false", "--tracking.backend", "none"]
    assert not train.main(["--config", "made.yaml", *less, "--export.saved_model", "false"])
    assert (here / "runs" / "table" / "seed-0" / "bundle" / "metrics.json").is_file()


# Small tables


def test_every_value_has_a_reason_and_reads_back(here):
    begin(waves(), "--target", "wear")
    text = (here / "made.yaml").read_text()
    assert yaml.safe_load(text)["data"]["unit"] == "pump"
    lines = text.splitlines()
    for key in ("unit", "time", "task", "impute", "by", "mode", "family"):
        place = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
        assert lines[place - 1].strip().startswith("#"), key


def test_units_that_take_turns(here):
    table = waves().sort_values("hour", kind="stable")
    assert begin(table, "--target", "wear").data.unit == "pump"


def test_groups_stay_together(here):
    table = waves(units=12)
    table["site"] = "s" + table["pump"].str[1:].astype(int).floordiv(3).astype(str)
    data = begin(table, "--target", "wear").data
    assert data.group == "site" and data.split.by == "group" and "site" not in data.features


def test_what_is_left_out_and_why(here, capsys):
    table = waves()
    table["note"] = "fine"
    table["row"] = np.arange(len(table))
    table["fixed"] = 3.5
    table["empty"] = math.nan
    table["copy"] = table["flow"]
    table["told"] = table["wear"]
    table["noisy"] = np.where(np.arange(len(table)) % 50 == 7, "err", "1.5")
    table["hot"] = np.where(np.arange(len(table)) == 9, np.inf, np.arange(len(table)) % 7)
    data = begin(table, "--target", "wear", "--unit", "pump", "--json").data
    assert data.features == ("flow",)
    told = {column["name"]: column["left_out"] for column in json.loads(capsys.readouterr().out)["columns"]}
    for name, why in {
        "note": "always 'fine'",
        "row": "counts the rows",
        "fixed": "always 3.5",
        "empty": "no value",
        "copy": "same values as 'flow'",
        "told": "values of the target",
        "noisy": "'err' in data row 8",
        "hot": "infinite",
    }.items():
        assert why in told[name], name


def test_gaps_are_imputed(here):
    table = waves()
    table.loc[5:30, "flow"] = math.nan
    experiment = begin(table, "--target", "wear")
    assert experiment.data.impute == "forward" and np.isnan(usable(experiment).values).any()


def test_several_targets_and_a_task_asked_for(here):
    table = waves().assign(more=np.arange(240) % 11)
    assert begin(table, "--target", "wear,more").data.targets == ("wear", "more")
    experiment = begin(table, "--target", "wear", "--horizon", "2", "--overwrite")
    assert experiment.data.task == "forecast" and "wear" in experiment.data.features
    experiment = begin(
        table, "--target", "wear", "--unit", "none", "--time", "none", "--task", "regression", "--overwrite"
    )
    assert experiment.data.unit is None and experiment.data.split.by == "time"


def test_classes_from_row_to_row(here):
    table = waves(units=10).assign(state=np.where(np.arange(400) % 9 < 3, "idle", "run"))
    experiment = begin(table, "--target", "state")
    assert experiment.data.task == "binary" and experiment.data.windows.mode == "sliding"
    assert usable(experiment).schema.target_per == "step"
    assert experiment.data.positive == "idle"  # the rarer one
    assert "'idle' is the positive class" in (here / "made.yaml").read_text()


@pytest.mark.parametrize("how", ["parquet", "semicolon", "bom", "gzip"])
def test_same_table_in_other_clothes(here, how, capsys):
    table = waves()
    name = {"parquet": "t.parquet", "gzip": "t.csv.gz"}.get(how, "t.csv")
    text = table.to_csv(index=False).encode()
    if how == "parquet":
        table.to_parquet(name)
    elif how == "gzip":
        (here / name).write_bytes(gzip.compress(text))
    else:
        (here / name).write_bytes(text.replace(b",", b";") if how == "semicolon" else b"\xef\xbb\xbf" + text)
    data = begin(name, "--target", "wear").data
    assert (data.unit, data.time, data.features) == ("pump", "hour", ("flow",))
    assert {"semicolon": "semicolons", "bom": "byte order mark"}.get(how, "") in capsys.readouterr().out


def test_a_large_file_is_read_in_blocks(here, monkeypatch):
    monkeypatch.setattr("keras_seq.autoconfig.table.HEAD_ROWS", 50)
    monkeypatch.setattr("keras_seq.data.reading.batches.BLOCK", 2000)
    monkeypatch.setattr(look, "CHECKED_MB", 0)
    data = begin(waves(units=20), "--target", "wear").data
    assert data.unit == "pump" and data.windows.length == 40


def test_a_person_is_asked(here, monkeypatch, capsys):
    table = waves().rename(columns={"wear": "gap"})
    table.to_csv("table.csv", index=False)
    monkeypatch.setattr("builtins.input", lambda prompt: "gap")
    found = look.look(Path("table.csv"), Path("made.yaml"), ask=init.ask_for_target)
    assert found.facts.question.targets == ("gap",) and "'flow' (a column of numbers)" in capsys.readouterr().err
    monkeypatch.setattr("builtins.input", lambda prompt: "gapp")
    with pytest.raises(ConfigError, match="did you mean 'gap'"):
        look.look(Path("table.csv"), Path("made.yaml"), ask=init.ask_for_target)


# Refusals


ROWS = "".join(f"{i},{i * i % 7},{i * 3 % 5}\n" for i in range(20))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("t,x,y\n", "no rows"),
        ("t,x,y\n1,2,3\n", "has 1 row;"),
        ("t,x,x\n" + ROWS, "'x' twice"),
        ("a,b\n" + "red,blue\n" * 12, "no column of numbers"),
        ("t,x,y\n" + ROWS + "9,9\n", "Line 22 .* has 2 columns"),
        ("t y\n" + "1 2\n" * 40 + "1\n", "Line 42 .* has 1 columns"),
        (b"PK\x03\x04 and so on", "zip"),
        (b"t,x\n1,\x002\n", "no text"),
    ],
)
def test_files_that_cannot_be_used(here, text, message):
    assert re.search(message, refused(text, "--target", "y", error=DataError))
    assert not (here / "made.yaml").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "weer"], "did you mean 'wear'"),
        (["--target", "wear", "--unit", "pumpe"], "did you mean 'pump'"),
        (["--target", "pump", "--unit", "pump"], "a target and tells the unit"),
        (["--target", "pump", "--unit", "none", "--task", "regression"], "holds words"),
        (["--target", "wear", "--task", "binary"], "two classes"),
        (["--target", "wear", "--time", "flow"], "goes back in time"),
        (["--target", "wear", "--horizon", "30"], "needs at least 201 rows"),
        (["--target", "wear", "--horizon", "-1"], "from 0 on"),
        (["--taget", "wear"], "taget"),
    ],
)
def test_wrong_options(here, words, message):
    assert message in refused(waves().to_csv(index=False), *words)


def test_a_target_with_words_or_gaps(here, capsys):
    table = waves().astype({"wear": object})
    table.loc[3, "wear"] = "n.a."
    assert "'n.a.' in data row 4" in refused(table.to_csv(index=False), "--target", "wear")
    table.loc[3, "wear"] = math.nan
    assert begin(table, "--target", "wear").data.targets == ("wear",)
    assert (
        "column 'wear', unit 'p0', row 4: is missing in 0.4% of the rows; they weigh nothing" in capsys.readouterr().out
    )


def test_a_date_twice(here):
    table = pd.DataFrame({"day": [f"2024-01-{1 + i // 2:02d}" for i in range(20)], "y": np.arange(20) % 7})
    message = refused(table.to_csv(index=False), "--target", "y")
    assert "'2024-01-01' twice" in message and "--unit" in message


def test_missing_file_and_existing_output(here):
    with pytest.raises(DataError, match=r"'none.csv' does not exist"):
        init.main(["none.csv"])
    begin(waves(), "--target", "wear")
    (here / "made.yaml").write_text("# mine\n")
    with pytest.raises(ConfigError, match="exists already"):
        init.main(["table.csv", "--target", "wear", "--out", "made.yaml"])
    assert (here / "made.yaml").read_text() == "# mine\n"


# The pages for newcomers


ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / "docs").glob("tutorial_*.md")),
    *sorted((ROOT / "docs").glob("howto_*.md")),
    *(
        ROOT / "docs" / name
        for name in ("quick_start.md", "migrate_random_forest.md", "troubleshooting.md", "README.md")
    ),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_commands_and_fields_of_a_page_exist(page):
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    for module in set(re.findall(r"python -m ([a-z_.]+)", text)) - {"pytest"}:
        assert importlib.util.find_spec(module.rstrip(".")), module
    known = set(config.fields())
    for field in re.findall(r"--((?:data|model|training|evaluation|tracking|export)\.[a-z_.]+)", text):
        assert field in known, field
    for name in re.findall(r"(configs/[a-z0-9_]+\.yaml)", text):
        assert (ROOT / name).is_file(), name


def test_the_index_names_every_page():
    text = (ROOT / "docs" / "README.md").read_text()
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in text]
    assert missing in ([], ["README.md"])


def test_troubleshooting_quotes_messages_that_exist():
    said = []
    for package in ("keras_seq", "tuning", "serving"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    said.append(node.value)
    known = "\n".join(said)
    rows = re.findall(r"^\| (`.*?) \| ", (ROOT / "docs" / "troubleshooting.md").read_text(), re.M)
    assert len(rows) > 50
    pieces = [p.strip() for row in rows for quoted in re.findall(r"`([^`]+)`", row) for p in quoted.split("...")]
    assert [piece for piece in pieces if piece not in known] == []


# Any table


names = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=6)
cells = st.one_of(
    st.integers(-5, 5).map(str),
    st.floats(allow_nan=True, allow_infinity=True, width=32).map(str),
    st.sampled_from(["", "NA", "a", "b", "true", "2024-01-01", "1,5", '"', "é"]),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_table_is_described_or_refused_in_a_paragraph(here, data):
    header = data.draw(st.lists(names, min_size=1, max_size=4))
    rows = data.draw(st.lists(st.lists(cells, min_size=len(header), max_size=len(header)), min_size=8, max_size=25))
    with open("any.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    try:
        init.main(["any.csv", "--target", data.draw(st.sampled_from(header)), "--out", "any.yaml", "--overwrite"])
    except KerasSeqError as error:
        assert str(error).strip()
    else:
        usable(config.load("any.yaml"))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(units=st.integers(3, 9), rows=st.integers(8, 30), seed=st.integers(0, 99), horizon=st.integers(0, 1))
def test_regular_tables_are_understood(here, units, rows, seed, horizon):
    table = waves(units, rows)
    table["flow"] += np.random.default_rng(seed).normal(size=len(table))
    experiment = begin(table, "--target", "wear", "--horizon", str(horizon), "--overwrite")
    assert (experiment.data.unit, experiment.data.time) == ("pump", "hour")
    usable(experiment)


def test_columns_that_give_the_answer_away_are_named(here, data_home, capsys):
    files = sorted((data_home / "nasa_battery").glob("*.csv"))
    cells = pd.concat([pd.read_csv(file).assign(battery=file.stem) for file in files])
    begin(cells, "--target", "soh", "--unit", "battery")
    assert (
        "'capacity' is the target rescaled in each unit: is it known when an answer is wanted"
        in capsys.readouterr().out
    )
    table = waves()
    table["state"] = np.where(table["wear"] > table["wear"].median(), "worn", "good")
    table["state_code"] = (table["state"] == "worn") + 0.0
    table["colour"] = np.where(table["state"] == "worn", "red", "blue")
    begin(table.drop(columns="wear"), "--target", "state", "--overwrite")
    printed = capsys.readouterr().out
    assert "'state_code' tells the class: each of its values has one class" in printed
    assert "colour holds words, and tells the class" in printed


def test_codes_for_missing_values_are_named_with_their_option(here, capsys):
    table = waves()
    table.loc[::9, "flow"] = -200.0
    begin(table, "--target", "wear")
    assert "take it out with data.missing_codes: [-200]" in capsys.readouterr().out


def test_few_words_are_proposed_as_categories_and_ids_are_not(here, capsys):
    table = waves()
    table["mode"] = np.resize(["idle", "run", "run", "purge"], len(table))
    table["note"] = [f"note {i}" for i in range(len(table))]
    table["shift"] = np.resize([f"shift {i}" for i in range(70)], len(table))
    begin(table, "--target", "wear")
    text = (here / "made.yaml").read_text()
    data = config.load(here / "made.yaml").data
    assert data.categories == ("mode",)
    assert "mode" in data.features and "note" not in data.features and "shift" not in data.features
    told = " ".join(text.replace("#", " ").split())
    assert "'mode' holds 3 words (run 50.0%, idle 25.0%, purge 25.0%): each word of train becomes a channel" in told
    assert "note: an id or free text" in told
    assert "shift: holds 70 words, each in" in told


@pytest.mark.parametrize("words", [("0", "1"), ("sound", "broken"), ("a", "b", "c")])
def test_labels_that_miss_in_some_rows(here, words):
    rows = [
        f"{i // 20},{i % 7},{'' if i == 3 else words[(i % 20 > 14) + (i % 20 > 17) * (len(words) - 2)]}"
        for i in range(200)
    ]
    made = begin("u,x,fail\n" + "\n".join(rows) + "\n", "--target", "fail")
    assert made.data.task == ("binary" if len(words) == 2 else "multiclass")
    assert "nan" not in (here / "made.yaml").read_text()
