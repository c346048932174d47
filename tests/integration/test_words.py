"""Words from a file to an answer: every form of a model takes them for the same, an unseen one for none."""

from __future__ import annotations

import json
import urllib.request

import numpy as np
import pandas as pd
import pytest

from keras_seq import config
from keras_seq.bundle import load_bundle
from tests.factories.bundles import make_bundle
from tests.factories.serving_process import Server

pytestmark = pytest.mark.slow
WEATHER = ["rain", "clear", "mist"]
TIME = 6


def table(rows=120, words=WEATHER):
    """Four units of rows with a word, a whole number that is a word, and a number."""
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(4), rows // 4)
    weather = rng.choice(words, rows)
    return pd.DataFrame(
        {
            "unit": unit,
            "t": np.tile(np.arange(rows // 4), 4),
            "weather": weather,
            "mode": rng.choice([10, 20], rows),
            "temp": rng.normal(size=rows),
            "y": rng.normal(size=rows) + (weather == "rain"),
        }
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """An LSTM with random weights, exported; its bundle, version folder and parity."""
    from keras_seq.export.canary import answers_of
    from keras_seq.export.samples import sample_windows
    from keras_seq.export.version import Wanted, export_version

    folder = tmp_path_factory.mktemp("words")
    path = folder / "weather.csv"
    table().to_csv(path, index=False)
    tree = {
        "name": "weather",
        "output": str(folder / "runs"),
        "data.source": "table",
        "data.path": str(path),
        "data.unit": "unit",
        "data.time": "t",
        "data.targets": ["y"],
        "data.categories": ["mode"],
        "data.windows": {"mode": "sliding", "length": TIME, "pad_short": False},
        "data.split": {"by": "time"},
        "model": {"family": "lstm", "units": 6, "layers": 1, "hidden_dims": []},
        "evaluation": {"conformal": "none", "baseline": False},
        "tracking.backend": "none",
    }
    bundle = load_bundle(make_bundle(config.from_dict(config.override({}, tree))))
    windows = sample_windows(bundle, part="test", count=12)
    wanted = Wanted(canaries={"this process": answers_of})
    version = export_version(
        bundle, folder / "models" / "weather", ("saved_model", "onnx"), windows=windows, wanted=wanted
    )
    return bundle, version, windows


def test_every_form_gives_the_models_answers(served):
    from keras_seq.export.canary import answers_of
    from keras_seq.export.metadata import source_of
    from keras_seq.runtime import load

    bundle, version, windows = served
    wanted = source_of(bundle).answers(windows)["prediction"]
    answers = answers_of(version.folder, windows)
    for signature in ("serving_default", "serving_words", "serving_examples", "step"):
        np.testing.assert_allclose(answers[signature]["prediction"], wanted, atol=1e-6, err_msg=signature)
    onnx = load(version.folder / "keras_seq" / "model.onnx").predict(windows["values"])
    np.testing.assert_allclose(onnx["prediction"], wanted, atol=1e-6)


def test_file_frame_server_and_texts_give_one_answer(served, tmp_path):
    from keras_seq.pipeline.predict import predict_file
    from serving.client import Client

    bundle, version, _ = served
    new = table(words=[*WEATHER, "snow", " mist "]).drop(columns="y")
    path = tmp_path / "new.csv"
    new.to_csv(path, index=False)
    with pytest.warns(UserWarning, match=r"column 'weather' holds words that the model does not know: 'snow'"):
        wanted = predict_file(bundle, path)["y"].to_numpy()
    other = new.assign(weather=new["weather"].where(new["weather"] != "snow", "hail"))
    other.to_csv(tmp_path / "other.csv", index=False)
    with pytest.warns(UserWarning, match="'hail'"):
        np.testing.assert_array_equal(predict_file(bundle, tmp_path / "other.csv")["y"], wanted)
    flags = ("--model_name=weather", f"--model_base_path={version.folder.parent}", "--extras_prefix=/keras_seq")
    with Server(*flags, grpc=False) as server, Client(f"http://127.0.0.1:{server.rest}") as client:
        with pytest.warns(UserWarning, match="'snow'"):
            np.testing.assert_allclose(client.predict("weather", new)["y"], wanted, atol=1e-6)
        windows = [part.tail(TIME) for _, part in new.groupby("unit")]
        values = [
            part.assign(weather=0.0, mode=0.0)[list(bundle.spec.features)].to_numpy().tolist() for part in windows
        ]
        words = [part[["weather", "mode"]].astype(str).to_numpy().tolist() for part in windows]
        body = {"signature_name": "serving_words", "inputs": {"values": values, "words": words}}
        url = f"http://127.0.0.1:{server.rest}/v1/models/weather:predict"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode())) as reply:
            outputs = json.load(reply)["outputs"]
    texts = np.asarray(outputs["prediction"] if isinstance(outputs, dict) else outputs)[:, 0]
    np.testing.assert_allclose(texts, wanted, atol=1e-6)


def test_traffic_of_texts_is_watched_by_its_codes(served):
    from keras_seq.export.reference import read_reference
    from keras_seq.export.word_codes import codes_of, texts_of

    _, version, windows = served
    reference = read_reference(version.folder)
    vocabularies = {int(place): words for place, words in reference.facts["words"].items()}
    texts = texts_of(windows["values"], vocabularies)
    for place, codes in codes_of(texts, vocabularies).items():
        np.testing.assert_array_equal(codes, windows["values"][..., place])
