"""Folders and wide tables from training to answers of new files: the same units, read the same way."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.bundle import load_bundle
from keras_seq.config import from_dict
from keras_seq.pipeline.predict import predict_file
from keras_seq.pipeline.train import train

pytestmark = pytest.mark.slow
SLIDING = {"mode": "sliding", "length": 4}


@pytest.fixture(autouse=True)
def stores(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path_factory.mktemp("stores")))


def trained(tmp_path, data):
    tree = {"name": "t", "output": str(tmp_path / "out"), "tracking": {"backend": "none"}, "model": {"family": "ridge"}}
    tree |= {"data": {"source": "table"} | data, "export": {"saved_model": False}}
    return load_bundle(train(from_dict(tree), quiet=True).folder)


def test_a_folder_of_runs(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    rng = np.random.default_rng(0)
    for unit in range(8):
        x = rng.normal(size=30)
        lines = "".join(f"{i};{str(v).replace('.', ',')};{str(2 * v).replace('.', ',')}\n" for i, v in enumerate(x))
        (runs / f"run{unit}.csv").write_text("t;x;y\n" + lines)
    data = {"path": str(runs), "targets": ["y"], "time": "t", "windows": SLIDING, "split": {"validation": 2, "test": 2}}
    bundle = trained(tmp_path, data)
    answers = predict_file(bundle, runs)
    assert answers["file"].tolist() == [f"run{unit}" for unit in range(8)]
    alone = predict_file(bundle, runs / "run3.csv")
    np.testing.assert_allclose(alone["y"], answers["y"][3:4], rtol=1e-5)


def test_a_wide_table(tmp_path):
    steps = np.arange(80)
    columns = {"A": np.sin(steps / 3), "B": np.cos(steps / 3)}
    lines = [f"{t},{','.join(repr(float(column[t])) for column in columns.values())}" for t in steps]
    (tmp_path / "a.csv").write_text("step,A,B\n" + "\n".join(lines) + "\n")
    windows = SLIDING | {"horizon": 1}
    bundle = trained(
        tmp_path, {"path": str(tmp_path / "a.csv"), "wide": True, "windows": windows, "split": {"by": "time"}}
    )
    (tmp_path / "new.csv").write_text("step,C\n" + "\n".join(f"{t},{float(np.sin(t / 3))!r}" for t in range(20)) + "\n")
    answers = predict_file(bundle, tmp_path / "new.csv")
    assert answers["series"].unique().tolist() == ["C"]
    np.testing.assert_allclose(answers["value"].iloc[-1], np.sin(20 / 3), atol=0.05)
