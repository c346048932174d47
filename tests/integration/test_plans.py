"""A forecast with a plan: one answer from the file, a second file, a served version and its ONNX file."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from keras_seq import config
from keras_seq.bundle import load_bundle
from keras_seq.commands import predict as predict_command
from keras_seq.data.plans.marks import planned
from keras_seq.data.table_rows import read_rows
from keras_seq.errors import DataError
from keras_seq.pipeline.predict import answer_file, predict_file
from serving.client import Client
from tests.factories.serving_process import Server

pytestmark = pytest.mark.slow
HORIZON, WINDOW = 4, 14


def shops() -> pd.DataFrame:
    """Daily sales of two shops; a promotion lifts a day by 30."""
    rng = np.random.default_rng(1)
    tables = []
    for shop, level in (("north", 100.0), ("south", 160.0)):
        promo, days = (rng.random(220) < 0.25).astype(int), pd.date_range("2024-01-01", periods=220)
        sales = level + 30 * promo + rng.normal(0, 1, 220)
        tables.append(pd.DataFrame({"shop": shop, "day": days.strftime("%Y-%m-%d"), "sales": sales, "promo": promo}))
    return pd.concat(tables, ignore_index=True)


class Shops:
    """A trained and exported ridge, the rows that are known, and the plan of what follows."""

    def __init__(self, folder):
        from keras_seq.pipeline.train import train

        table, self.folder = shops(), folder
        late = table.groupby("shop").cumcount(ascending=False) < HORIZON
        self.observed = table[~late].reset_index(drop=True)
        self.plan = table.loc[late, ["shop", "day", "promo"]].reset_index(drop=True)
        self.truth = table.loc[late, "sales"].to_numpy()
        both = pd.concat([self.observed, self.plan]).sort_values(["shop", "day"], kind="stable")
        for name, part in (("rows", self.observed), ("plan", self.plan), ("both", both)):
            part.to_csv(self.path(name), index=False)
        run = train(config.from_dict(self.tree()), quiet=True)
        self.bundle = load_bundle(run.bundle)

    def path(self, name):
        return self.folder / f"{name}.csv"

    def tree(self, **changes):
        data = {
            "source": "table",
            "path": str(self.path("both")),  # its plan rows are no rows to learn from
            "unit": "shop",
            "time": "day",
            "targets": ["sales"],
            "task": "forecast",
            "known_ahead": ["promo"],
            "split": {"by": "time"},
            "windows": {"mode": "sliding", "length": WINDOW, "horizon": HORIZON},
        }
        return {
            "name": "shops",
            "output": str(self.folder / "runs"),
            "data": data | changes,
            "model": {"family": "ridge"},
            "evaluation": {"baseline": False},
            "export": {"saved_models": str(self.folder / "saved_models")},
            "tracking": {"backend": "none"},
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Shops(tmp_path_factory.mktemp("shops"))


def test_the_plan_is_used(made):
    """A promotion moves its own day; without a plan nobody could know it."""
    assert planned(made.bundle.schema) == {"promo": (1, 2, 3, 4)}
    answers = predict_file(made.bundle, made.path("rows"), plan=made.path("plan"))
    assert np.abs(answers["sales"] - made.truth).max() < 12
    other = made.folder / "other.csv"
    made.plan.assign(promo=1 - made.plan["promo"]).to_csv(other, index=False)
    moved = predict_file(made.bundle, made.path("rows"), plan=other)["sales"] - answers["sales"]
    np.testing.assert_allclose(moved, 30 * (1 - 2 * made.plan["promo"]), atol=6)


def test_one_answer_everywhere(made):
    """In the file, beside it, from a server by file and by DataFrame, and by its ONNX file, to 1e-6."""
    from keras_seq.export.formats import write_formats
    from keras_seq.runtime import load

    answers = predict_file(made.bundle, made.path("both"))
    beside = predict_file(made.bundle, made.path("rows"), plan=made.path("plan"))
    pd.testing.assert_frame_equal(answers, beside)
    rows = read_rows(made.path("both"), made.bundle.schema, made.bundle.experiment.data.covariates, window=WINDOW)
    ends = rows.series.offsets[1:]
    windows = np.stack([rows.series.values[end - WINDOW : end] for end in ends])
    written, _ = write_formats(made.bundle, made.folder, ["onnx"], samples={"values": windows})
    told = load(written["onnx"]).predict(windows)["prediction"].reshape(-1)
    np.testing.assert_allclose(told, answers["sales"], rtol=1e-6)
    flags = [f"--model_base_path={made.folder / 'saved_models' / 'shops'}", "--model_name=shops"]
    with Server(*flags, "--extras_prefix=/keras_seq") as server, Client(f"http://127.0.0.1:{server.rest}") as client:
        for served in (
            client.predict("shops", made.observed, plan=made.plan),
            client.predict("shops", pd.read_csv(made.path("both"))),
        ):
            assert served["forecast_time"].tolist() == answers["forecast_time"].tolist()
            np.testing.assert_allclose(served["sales"], answers["sales"], rtol=1e-6)
        with pytest.raises(DataError, match="'north' has 216 rows and its plan lacks 'promo' at 4 steps ahead"):
            client.predict("shops", made.observed)
        from serving.client.__main__ import main

        words = ["predict", "shops", made.path("rows"), "--plan", made.path("plan"), "--out", made.folder / "out.csv"]
        assert main([*map(str, words), "--url", f"http://127.0.0.1:{server.rest}"]) == 0
        np.testing.assert_allclose(pd.read_csv(made.folder / "out.csv")["sales"], answers["sales"], rtol=1e-6)


def test_later_origins_are_told_by_the_file(made):
    """``every``: an origin inside the file reads the plan off the rows after it."""
    table = answer_file(made.bundle, made.path("both"), every=50).table
    whole = shops()
    whole.to_csv(made.path("whole"), index=False)
    last = table["day"].unique()[0]
    early = whole[whole["day"] <= last]
    early.to_csv(made.path("early"), index=False)
    whole[["shop", "day", "promo"]].to_csv(made.path("plans"), index=False)
    alone = predict_file(made.bundle, made.path("early"), plan=made.path("plans"))
    np.testing.assert_allclose(table.loc[table["day"] == last, "sales"], alone["sales"], rtol=1e-6)


def test_commands_of_a_model_with_a_plan(made, capsys):
    """Predict, evaluate, backtest and explain; a missing plan is one paragraph and exit code 2."""
    from keras_seq.commands import backtest, evaluate, explain

    bundle = str(made.bundle.folder)
    assert predict_command.main([bundle, str(made.path("rows")), "--plan", str(made.path("plan")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 2 * HORIZON
    assert evaluate.main([bundle, "--json"]) == 0
    whole = made.path("labelled")
    shops().to_csv(whole, index=False)
    assert evaluate.main([bundle, str(whole), "--json"]) == 0
    capsys.readouterr()
    tree = made.tree()
    path = made.folder / "shops.yaml"
    path.write_text(json.dumps(tree))
    assert backtest.main(["--config", str(path), "--origins", "2", "--json"]) == 0
    capsys.readouterr()
    assert explain.main([bundle, "--json"]) == 0
    assert "promo+1" in capsys.readouterr().out


def test_channels_are_named_in_the_version(made):
    (folder,) = made.folder.glob("saved_models/shops/*/keras_seq/metadata.json")
    names = [feature["name"] for feature in json.loads(folder.read_text())["features"]]
    assert names == ["sales", "promo", "promo+1", "promo+2", "promo+3", "promo+4"]
    assert dataclasses.replace(made.bundle).schema.columns[2].known_ahead
