"""Forecasts longer than trained: own forecasts fed back, marked, and with the coverage that is printed."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq.bundle import load_bundle
from keras_seq.commands.predict import main
from keras_seq.config import from_dict
from keras_seq.errors import ConfigError
from keras_seq.pipeline.predict import answer_file
from keras_seq.pipeline.train import train

pytestmark = pytest.mark.slow
HOME = Path(os.environ.get("KERAS_SEQ_DATA", Path.home() / ".cache" / "keras_seq"))


def bundle_of(table, folder, name, **data):
    table.to_csv(folder / f"{name}.csv", index=False)
    tree = {"source": "table", "path": str(folder / f"{name}.csv"), "task": "forecast", "split": {"by": "time"}}
    tree |= {"windows": {"mode": "sliding", "length": 12, "horizon": 3}} | data
    sections = {"evaluation": {"baseline": False}, "tracking": {"backend": "none"}, "export": {"saved_model": False}}
    experiment = {"name": name, "output": str(folder), "data": tree, "model": {"family": "ridge"}}
    return load_bundle(train(from_dict(experiment | sections), quiet=True).bundle), folder / f"{name}.csv"


@pytest.fixture(scope="module")
def rates(tmp_path_factory):
    """Two daily exchange rates, 1500 days: five days ahead from thirty."""
    file = HOME / "exchange_rate" / "exchange_rate.txt.gz"
    if not file.is_file():
        pytest.skip(f"the set 'exchange_rate' is not under {HOME}")
    with gzip.open(file) as lines:
        table = pd.read_csv(lines, header=None)[[0, 1]].iloc[:1500].set_axis(["aud", "gbp"], axis=1)
    return bundle_of(table, tmp_path_factory.mktemp("rates"), "rates")


def test_the_recursion_is_the_model_asked_again_and_again(rates, tmp_path):
    bundle, path = rates
    table = answer_file(bundle, path, steps=8).table
    assert table["steps_ahead"].tolist() == list(range(1, 9))
    assert table["recursive"].tolist() == [False] * 3 + [True] * 5
    rows = pd.read_csv(path)
    plain = answer_file(bundle, path).table
    pd.testing.assert_frame_equal(table[:3].drop(columns="recursive"), plain, rtol=1e-6)
    for low in (0, 3, 6):
        rows.to_csv(tmp_path / "longer.csv", index=False)
        again = answer_file(bundle, tmp_path / "longer.csv").table
        here = table[low : low + 3]
        np.testing.assert_allclose(here[["aud", "gbp"]], again[["aud", "gbp"]][: len(here)], rtol=1e-5)
        rows = pd.concat([rows, again[["aud", "gbp"]]], ignore_index=True)


def test_the_coverage_that_is_printed_is_the_one_delivered(rates):
    bundle, path = rates
    answers = answer_file(bundle, path, steps=8, every=1)
    (note,) = answers.notes
    printed = re.search(r"on (\d+) origins of the test part they held ([\d.]+)%", note)
    truth, part = pd.read_csv(path), bundle.prepared.splits.test
    table = answers.table[answers.table["recursive"]].copy()
    origin = table.groupby("steps_ahead").cumcount() + 11  # last row seen, from 0
    row = origin + table["steps_ahead"]
    ends = origin + 8
    judged = (origin + 1 >= part.first[0]) & (ends < part.last[0])
    inside = []
    for name in ("aud", "gbp"):
        value = truth[name].reindex(row[judged]).to_numpy()
        own = table[judged.to_numpy()]
        inside.append((own[f"{name}_lower"].to_numpy() <= value) & (value <= own[f"{name}_upper"].to_numpy()))
    assert int(printed[1]) * 5 == len(inside[0])
    assert float(printed[2]) == pytest.approx(100 * np.mean(inside), abs=0.1)
    assert np.mean(inside) > 0.7
    width = answers.table["aud_upper"] - answers.table["aud_lower"]
    assert width[7] > width[0]


def test_inputs_that_nobody_knows_later_are_refused_by_name(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"y": rng.normal(size=150).cumsum(), "wind": rng.normal(size=150)})
    bundle, path = bundle_of(table, tmp_path, "wind", targets=["y"])
    with pytest.raises(ConfigError, match=r"nobody knows 'wind' at the steps behind its horizon of 3"):
        answer_file(bundle, path, steps=6)
    with pytest.raises(ConfigError, match="is no more than the model's horizon of 3"):
        answer_file(bundle, path, steps=3)
    with pytest.raises(ConfigError, match="--steps must be 0"):
        main.__wrapped__([str(bundle.folder), str(path), "--steps", "-1"])


def test_too_short_a_validation_part_leaves_intervals_out_and_says_so(tmp_path):
    table = pd.DataFrame({"y": np.random.default_rng(0).normal(size=160).cumsum()})
    bundle, path = bundle_of(table, tmp_path, "short")
    answers = answer_file(bundle, path, steps=9)
    assert "no intervals there: evaluation.coverage=0.9 needs" in answers.notes[0]
    own = [name for name in answers.table if name.endswith(("_lower", "_upper"))]
    assert answers.table.loc[answers.table["recursive"], own].isna().all(axis=None)
