"""A class at every step from real tables to every place that answers: occupied minutes, open eyes."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import from_dict
from keras_seq.pipeline.train import train
from tests.factories.serving_process import Server

pytestmark = pytest.mark.nightly
HOME = Path(os.environ.get("KERAS_SEQ_DATA", Path.home() / ".cache" / "keras_seq"))
SLIDING = {"mode": "sliding", "length": 30, "stride": 15, "per_step": True}


def experiment(folder, data, **sections):
    tree = {"name": "steps", "output": str(folder / "runs"), "tracking": {"backend": "none"}, "data": data}
    tree |= {"export": {"saved_model": False, "saved_models": str(folder / "served")}}
    return from_dict(tree | sections)


@pytest.fixture(scope="module")
def occupied(tmp_path_factory):
    """A small GRU of rooms; the official test files are two units of their own."""
    home = HOME / "occupancy"
    if not home.is_dir():
        pytest.skip(f"the set 'occupancy' is not under {HOME}")
    data = {"source": "table", "path": str(home / "datatraining.txt"), "targets": ["Occupancy"], "time": "date"}
    data |= {"split": {"by": "official"}, "test_path": [str(home / "datatest.txt"), str(home / "datatest2.txt")]}
    data |= {"windows": SLIDING}
    model = {"family": "gru", "units": 8, "layers": 1, "hidden_dims": []}
    training = {"epochs": 6, "class_weight": "balanced", "learning_rate": 0.01}
    run = train(experiment(tmp_path_factory.mktemp("rooms"), data, model=model, training=training), quiet=True)
    return run, home


def test_an_occupied_room_is_told_at_every_minute(occupied):
    run, _ = occupied
    assert run.metrics["test"]["auc_roc"] > 0.95 and set(run.metrics["test_files"]) == {"datatest", "datatest2"}
    assert run.metrics["baseline"]["test"]["auc_roc"] > 0.95 and run.metrics["naive"]["test"]["f1"] == 0
    assert "always 0" in run.metrics["naive"]["name"]


@pytest.fixture(scope="module")
def answered(occupied, tmp_path_factory):
    """Two hundred minutes of a test file and their answers, a row a step."""
    from keras_seq.bundle import load_bundle
    from keras_seq.pipeline.predict import predict_file

    run, home = occupied
    path = tmp_path_factory.mktemp("minutes") / "minutes.csv"
    lines = (home / "datatest.txt").read_text().splitlines()
    path.write_text("\n".join([lines[0], *lines[1141:1341]]) + "\n", encoding="utf-8")
    bundle = load_bundle(run.bundle)
    return bundle, path, predict_file(bundle, path, every=1)


def test_predict_gives_a_row_a_step(answered):
    _, path, table = answered
    assert len(table) == 200 and list(table)[-2:] == ["probability", "class"]
    truth = pd.read_csv(path, skiprows=1, header=None)[7]
    assert (table["class"].astype(int).to_numpy() == truth.to_numpy()).mean() > 0.8


def test_a_stream_answers_the_same(answered):
    from keras_seq.pipeline.stream import answer

    bundle, path, table = answered
    streamed = pd.DataFrame(answer(bundle, io.StringIO(path.read_text())))
    steps = bundle.spec.time  # from then on the stream knows more than a window
    np.testing.assert_allclose(streamed["probability"][:steps], table["probability"][:steps], atol=2e-5)
    assert streamed["class"][:steps].astype(str).tolist() == table["class"][:steps].astype(str).tolist()


def test_every_format_and_the_server_answer_the_same(answered, tmp_path, capsys):
    from keras_seq.commands.export import main as export
    from serving.client import Client

    bundle, path, table = answered
    export([str(bundle.folder), "--formats", "saved_model,onnx,tflite", "--output", str(tmp_path / "rooms"), "--json"])
    version = next((tmp_path / "rooms").glob("[0-9]*"))
    parity = json.loads((version / "keras_seq" / "metadata.json").read_text())
    assert "onnx" in json.dumps(parity) and "tflite" in json.dumps(parity)
    header = [word.strip('"') for word in path.read_text().splitlines()[0].split(",")]
    frame = pd.read_csv(path, skiprows=1, header=None, names=["number", *header])
    flags = (f"--model_base_path={tmp_path / 'rooms'}", "--model_name=rooms", "--extras_prefix=/keras_seq")
    with Server(*flags) as server, Client(f"http://127.0.0.1:{server.rest}") as client:
        served = client.predict("rooms", frame, every=1)
    np.testing.assert_allclose(served["probability"], table["probability"], atol=2e-5)
    assert served["class"].astype(str).tolist() == table["class"].astype(str).tolist()


def test_eyes_by_blocks_of_time_are_beaten_by_the_last_class(tmp_path):
    """Random folds of this recording give 97 %; later blocks are hard, and the class before tells nearly all."""
    path = next(iter(sorted((HOME / "eeg_eye_state").glob("*.arff"))), None)
    if path is None:
        pytest.skip(f"the set 'eeg_eye_state' is not under {HOME}")
    text = path.read_text()
    names = re.findall(r"@attribute\s+(\S+)", text, re.IGNORECASE)
    rows = pd.read_csv(io.StringIO(text[text.lower().index("@data") + 5 :]), names=names)
    rows["eyes"] = np.where(rows.pop(names[-1]) == 1, "closed", "open")
    rows.iloc[::4].to_csv(tmp_path / "eyes.csv", index=False)
    data = {"source": "table", "path": str(tmp_path / "eyes.csv"), "targets": ["eyes"], "positive": "closed"}
    data |= {"windows": SLIDING, "split": {"by": "time", "validation": 0.2, "test": 0.3}, "scale": "robust"}
    model = {"family": "tcn", "filters": 8}
    training = {"epochs": 2, "class_weights": [1, 1.5]}
    run = train(experiment(tmp_path, data, model=model, training=training), quiet=True)
    assert run.metrics["naive"]["name"].startswith("the last class")
    assert run.metrics["naive"]["test"]["accuracy"] > 0.99 > run.metrics["test"]["accuracy"]
    assert 0.3 < run.metrics["test"]["auc_roc"] < 0.9
