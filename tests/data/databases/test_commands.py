"""Command lines on a database: train, predict, write back, predict again, retrain."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pandas as pd
import pytest

from keras_seq import config
from keras_seq.commands.predict import main as predict
from keras_seq.config.database import VARIABLE
from keras_seq.data.databases.extract import forget_extracts
from keras_seq.errors import ConfigError
from tests.data.databases.test_postgres import TABLE, csv_text
from tests.factories.postgres import PASSWORD


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("x --to sql", "needs --to-table"),
        ("x --to-table answers", "'--to-table' says where .* needs --to sql"),
        ("x --key a", "'--key' says where"),
        ("x --to sql --to-table a --out b.csv", "leave out --to sql or --out 'b.csv'"),
        ("x --data.source sql", "Give either a file, --data.source sql with its options, or --stream"),
        ("--stream --to sql --to-table a", "takes no other option"),
        ("x --model.units 3", "cannot change a trained model"),
    ],
)
def test_half_a_command_is_refused(words, match):
    with pytest.raises(ConfigError, match=match):
        predict(["bundle", *words.split()])


def tree(folder, **data) -> dict:
    """Ridge regression on windows of eight rows; a second to fit."""
    return {
        "name": "pumps",
        "output": str(folder / "runs"),
        "data": {
            **{"unit": "pump", "time": "at", "targets": ["wear"], "features": ["load", "price", "hot", "flow"]},
            **{"impute": "forward", "split": {"by": "time", "validation": 0.2, "test": 0.2}},
            **{"windows": {"mode": "sliding", "length": 8, "stride": 1}},
            **data,
        },
        "model": {"family": "ridge"},
        "evaluation": {"baseline": False},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db", "log_model": False},
        "export": {"saved_model": False},
    }


def document(capsys, words) -> dict:
    forget_extracts()
    code = predict([str(word) for word in words] + ["--json"])
    told = capsys.readouterr()
    assert code == 0, told.err
    return json.loads(told.out)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_training_to_answers_in_a_table(server, tmp_path, capsys):
    """Rows of PostgreSQL train a model that answers as that of the same CSV; its answers go back by key."""
    from keras_seq.pipeline.train import train

    server.run(TABLE)
    server.copy("readings", csv_text())
    (tmp_path / "readings.csv").write_text(csv_text())
    of_csv = train(
        config.from_dict(tree(tmp_path / "a", source="table", path=str(tmp_path / "readings.csv"))), quiet=True
    )
    of_rows = train(
        config.from_dict(tree(tmp_path / "b", source="sql", url=server.url(), table="readings")), quiet=True
    )
    assert of_rows.metrics["test"] == of_csv.metrics["test"]
    for path in (tmp_path / "b").rglob("*"):
        assert path.is_dir() or PASSWORD.encode() not in path.read_bytes()

    out = tmp_path / "answers.csv"
    document(capsys, [of_csv.folder, tmp_path / "readings.csv", "--every", 5, "--out", out])
    query = "SELECT * FROM (SELECT * FROM readings ORDER BY random()) AS r WHERE level > -100"
    words = [of_rows.folder, "--every", 5, "--data.source", "sql", "--data.query", query]
    words += ["--to", "sql", "--to-table", "answers", "--key", "unit,time"]
    first = document(capsys, words)
    wanted = pd.read_csv(out, parse_dates=["at"])
    assert first["rows"] == first["new"] == len(wanted) and first["key"] == ["pump", "at"]
    columns = ", ".join(f'"{name}"' for name in wanted)
    there = pd.DataFrame(server.run(f"SELECT {columns} FROM answers ORDER BY pump, at"), columns=list(wanted))
    pd.testing.assert_frame_equal(there, wanted, check_dtype=False, rtol=1e-6)
    assert document(capsys, words)["new"] == 0
    csv_into_table = [of_csv.folder, tmp_path / "readings.csv", "--every", 5, "--to", "sql", "--to-table", "answers"]
    assert document(capsys, [*csv_into_table, "--to-url", server.url()])["new"] == 0
    table = document(
        capsys, [of_csv.folder, "--data.source", "sql", "--data.url", server.url(), "--data.table", "readings"]
    )
    assert len(table["answers"]) == 3
    _retrain(server, tmp_path, of_rows.folder)


def _retrain(server, tmp_path, bundle):
    """New rows by another query, from the database of the champion."""
    from serving.retrain.job import RetrainRequest, run

    server.run(
        "INSERT INTO readings SELECT pump, at + interval '10 hours', load, price, hot, level, flow, wear FROM readings"
    )
    forget_extracts()
    request = RetrainRequest(
        model="pumps",
        base=tmp_path / "served",
        work=tmp_path / "jobs",
        bundle=bundle,
        formats=("saved_model",),
        overrides={"data.query": "SELECT * FROM readings WHERE at > '2026-03-28 23:00'"},
    )
    state = run(request)
    assert state.step == "done"
    found = config.load(next((tmp_path / "jobs").rglob("bundle/config.yaml")))
    assert found.data.table is None and found.data.query == request.overrides["data.query"]
    assert VARIABLE not in config.to_yaml(found) and PASSWORD not in config.to_yaml(found)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_an_sqlite_file_from_end_to_end(plant, tmp_path, capsys):
    """Whole numbers for units, seconds for times; shards, the quality check, and answers beside the rows."""
    from keras_seq.commands.data import main as data
    from keras_seq.pipeline.train import train

    rows = [(u, t, t * 0.5 + u, (t % 9) * 0.1) for u in (1, 2, 3) for t in range(60)]
    path = plant(
        "CREATE TABLE r (pump INTEGER, t INTEGER, load REAL, wear REAL)", ("INSERT INTO r VALUES (?,?,?,?)", rows)
    )
    own = {"source": "sql", "path": str(path), "table": "r", "time": "t", "features": ["load"]}
    run = train(config.from_dict(tree(tmp_path, **own)), quiet=True)
    words = [run.folder, "--data.source", "sql", "--data.query", "SELECT * FROM r WHERE t > 20"]
    told = document(capsys, [*words, "--to", "sql", "--to-table", "answers"])
    assert told["new"] == 3 and told["key"] == ["pump", "t"]
    assert document(capsys, [*words, "--to", "sql", "--to-table", "answers"])["new"] == 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT pump, t FROM answers").fetchall() == [(1, 59), (2, 59), (3, 59)]
    with pytest.raises(ConfigError, match=r"rows have no time.*--key pump"):
        document(capsys, [*words[:-1], "SELECT pump, load FROM r", "--to", "sql", "--to-table", "a"])
    options = [
        "--source",
        "sql",
        "--path",
        str(path),
        "--table",
        "r",
        "--unit",
        "pump",
        "--time",
        "t",
        "--targets",
        "wear",
    ]
    assert data(["check", *options]) == 0
    assert data(["shard", *options, "--output", str(tmp_path / "shards"), "--workers", "1"]) == 0
