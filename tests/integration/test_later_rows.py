"""Trained models, both formats of files and a server: rows that come after an origin never change its answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.errors import DataError
from tests.factories.experiments import placed

pytestmark = pytest.mark.slow
FAMILIES = ("gru", "ridge", "hist_gradient_boosting")
LEVELS = np.array([0, 2, 4, 6, 20])  # by weekday
FRIDAY = pd.Timestamp("2023-12-22")
COVARIATES = {"calendar": ["week"], "lags": [10], "events": {"sale": ["2023-12-25"]}}


def shops(last: str = "2024-02-02") -> pd.DataFrame:
    """Two units on business days."""
    days = pd.bdate_range("2020-01-01", last)
    rng = np.random.default_rng(0)
    units = [
        pd.DataFrame({"shop": name, "day": days, "y": LEVELS[days.dayofweek] + rng.normal(0, 0.2, len(days))})
        for name in ("north", "south")
    ]
    return pd.concat(units, ignore_index=True)


def trained(family: str, folder) -> object:
    from keras_seq.bundle import load_bundle
    from keras_seq.pipeline.train import train

    shops().to_csv(folder / "shops.csv", index=False)
    tree = {
        "name": family,
        "data": {
            "source": "table",
            "path": str(folder / "shops.csv"),
            "unit": "shop",
            "time": "day",
            "targets": ["y"],
            "task": "forecast",
            "split": {"by": "time", "validation": 0.1, "test": 0.1},
            "windows": {"mode": "sliding", "length": 3, "horizon": 1},
            "covariates": COVARIATES,
        },
        "model": {"family": family, "units": 8, "layers": 1, "hidden_dims": [], "trees": {"iterations": 20}},
        "training": {"epochs": 12, "learning_rate": 0.02},
        "evaluation": {"baseline": False},
    }
    return load_bundle(train(placed(tree, folder), quiet=True).bundle)


@pytest.fixture(scope="module", params=FAMILIES)
def bundle(request, tmp_path_factory):
    return trained(request.param, tmp_path_factory.mktemp(request.param))


def at_origin(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers for the stamp after the Friday, by shop."""
    last = pd.to_datetime(answers["day"])
    return answers.assign(day=last)[last == FRIDAY].reset_index(drop=True)


def write(table: pd.DataFrame, path) -> None:
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_friday_is_followed_by_monday_with_and_without_later_rows(bundle, tmp_path, suffix):
    from keras_seq.pipeline.predict import predict_file

    table = shops()
    write(table, tmp_path / f"all{suffix}")
    write(table[table["day"] <= FRIDAY], tmp_path / f"until{suffix}")
    later = at_origin(predict_file(bundle, tmp_path / f"all{suffix}", every=1))
    ends = at_origin(predict_file(bundle, tmp_path / f"until{suffix}"))
    pd.testing.assert_frame_equal(ends, later, rtol=1e-6)
    assert ends["forecast_time"].tolist() == [pd.Timestamp("2023-12-25")] * 2


@pytest.mark.parametrize("rows", [13, 14, 200])
def test_a_short_file_gives_what_a_long_one_gives(bundle, tmp_path, rows):
    from keras_seq.pipeline.predict import predict_file

    table = shops()
    until = table[table["day"] <= FRIDAY]
    write(until, tmp_path / "long.csv")
    write(until.groupby("shop").tail(rows), tmp_path / "short.csv")
    write(until.groupby("shop").tail(12), tmp_path / "too_short.csv")
    long, short = (predict_file(bundle, tmp_path / f"{name}.csv") for name in ("long", "short"))
    pd.testing.assert_frame_equal(long, short, rtol=1e-5)
    with pytest.raises(DataError, match="needs 13"):
        predict_file(bundle, tmp_path / "too_short.csv")


def test_a_served_version_answers_as_the_bundle(tmp_path_factory, tmp_path):
    from keras_seq.export.canary import answers_of
    from keras_seq.export.samples import sample_windows
    from keras_seq.export.version import Wanted, export_version
    from keras_seq.pipeline.predict import predict_file
    from serving.client import Client
    from serving.client.calls import VersionTarget
    from serving.client.served import Columns
    from serving.client.tables import answer_table
    from tests.factories.serving_process import Server

    bundle = trained("gru", tmp_path)
    windows = sample_windows(bundle, part="test", count=8)
    wanted = Wanted(canaries={"this process": answers_of})
    export_version(bundle, tmp_path / "served" / "shops", ("saved_model", "onnx"), windows=windows, wanted=wanted)
    table = shops()
    write(table, tmp_path / "all.csv")
    write(table[table["day"] <= FRIDAY], tmp_path / "until.csv")
    write(table.groupby("shop").tail(12), tmp_path / "too_short.csv")
    flags = (f"--model_base_path={tmp_path / 'served' / 'shops'}", "--model_name=shops", "--extras_prefix=/keras_seq")
    with Server(*flags) as server, Client(f"http://127.0.0.1:{server.rest}") as client:
        ends = answer_table(client, VersionTarget("shops", None, None), tmp_path / "until.csv", Columns()).table
        later = answer_table(client, VersionTarget("shops", None, None), tmp_path / "all.csv", Columns(every=1)).table
        pd.testing.assert_frame_equal(at_origin(ends), at_origin(later), rtol=1e-5)
        own = predict_file(bundle, tmp_path / "until.csv")
        pd.testing.assert_frame_equal(ends, own, check_dtype=False, rtol=1e-4)
        with pytest.raises(DataError, match="has 12 rows and the model needs 13"):
            answer_table(client, VersionTarget("shops", None, None), tmp_path / "too_short.csv", Columns())
