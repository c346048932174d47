"""Trees, an LSTM and their ensemble as versions of one model, asked by both clients and the command line."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from keras_seq import files
from keras_seq.errors import DataError, ServingError
from serving.client import Client, GrpcClient, Retry
from serving.client.errors import CallRefused
from serving.contract.status import Code
from tests.factories.experiments import caster_tree, placed

pytestmark = pytest.mark.slow
FAMILIES = ("lstm", "hist_gradient_boosting", "ensemble")
VERSIONS = dict(enumerate(FAMILIES, 1))
QUICK = {"evaluation.baseline": False, "evaluation.conformal": "none", "export.saved_model": False}
CASTS = caster_tree(sequences=80, longest=110) | {"name": "casts"}
SMALL = {"units": 4, "layers": 1, "hidden_dims": [], "trees": {"iterations": 5, "min_leaf": 5}}


def free_ports(count):
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def bundles(folder):
    """Untrained network, boosted trees of five rounds, and the mean of the two."""
    from keras_seq.bundle import load_bundle
    from keras_seq.pipeline.ensemble import ensemble
    from keras_seq.pipeline.train import train
    from tests.factories.versions import make_judged

    network, trees = (
        placed(CASTS | {"name": family, "model": SMALL | {"family": family}}, folder, **QUICK)
        for family in FAMILIES[:2]
    )
    made = {"lstm": make_judged(network), "hist_gradient_boosting": load_bundle(train(trees, quiet=True).bundle)}
    members = [bundle.folder.parent for bundle in made.values()]
    places = {"tracking.backend": "none", **QUICK}
    run = ensemble(members, method="mean", output=folder / "runs" / "both", overrides=places, quiet=True)
    return made | {"ensemble": load_bundle(run.bundle)}


class Served:
    """Versions exported side by side, and a server of them."""

    def __init__(self, folder):
        from keras_seq.export.canary import answers_of
        from keras_seq.export.samples import sample_windows
        from keras_seq.export.version import Wanted, export_version

        self.folder, self.base = folder, folder / "saved_models" / "casts"
        self.bundles = bundles(folder)
        self.windows = sample_windows(self.bundles["lstm"], part="test", count=8)
        wanted = Wanted(canaries={"this process": answers_of})
        self.exported = {
            family: export_version(
                self.bundles[family], self.base, ("saved_model", "onnx"), windows=self.windows, wanted=wanted
            )
            for family in FAMILIES
        }
        self.rest, self.grpc = free_ports(2)
        self.config = folder / "models.config"
        self.config.write_text(
            f"model_config_list {{ config {{ name: 'casts' base_path: '{self.base}' model_platform: 'tensorflow' "
            "model_version_policy { all {} } version_labels { key: 'stable' value: 2 } } }"
        )
        flags = [f"--model_config_file={self.config}", f"--rest_api_port={self.rest}", f"--port={self.grpc}"]
        flags += ["--backend=embedded", "--extras_prefix=/keras_seq", "--allow_version_labels_for_unavailable_models"]
        self.log = (folder / "log").open("wb")
        self.server = subprocess.Popen(
            [sys.executable, "-m", "serving", *flags], stdout=self.log, stderr=self.log, env=os.environ
        )
        self.wait()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.rest}"

    def wait(self):
        end = time.monotonic() + 240
        while time.monotonic() < end and self.server.poll() is None:
            try:
                with Client(self.url, retry=Retry(attempts=1), timeout=5) as client:
                    if {row.state for row in client.status("casts")} == {"AVAILABLE"}:
                        return
            except ServingError:
                pass
            time.sleep(0.3)
        pytest.fail(f"the server did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def close(self):
        self.server.terminate()
        self.server.wait(30)
        self.log.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("served"))
    yield made
    made.close()


@pytest.fixture(params=["rest", "grpc"])
def client(request, served):
    made = Client(served.url) if request.param == "rest" else GrpcClient(f"127.0.0.1:{served.grpc}")
    with made as opened:
        yield opened


def expected(bundle, windows):
    from keras_seq.export.serving_graph import served as graph_of

    graph = graph_of(bundle.model, bundle.spec, decision=bundle.decision)
    return {name: value.numpy() for name, value in graph.function(**windows).items()}


def test_every_family_was_exported_in_both_forms(served):
    """Ensembles and trees are graphs like networks: none is left out."""
    for family, exported in served.exported.items():
        assert set(exported.formats) >= {"saved_model", "onnx"}, (family, exported.failed)
        assert not exported.failed


def test_families_change_behind_one_name_and_one_call(served, client):
    """The client's call is the same for all three; answers are those of each bundle."""
    answers = {}
    for number, family in VERSIONS.items():
        found = client.predict("casts", served.windows["values"], served.windows["lengths"], version=number)
        told = expected(served.bundles[family], served.windows)
        assert set(found) == set(told) == {"probability", "class"}
        np.testing.assert_allclose(found["probability"], told["probability"], atol=2e-5)
        np.testing.assert_array_equal(found["class"], told["class"])
        assert {name: value.dtype for name, value in found.items()} == {n: v.dtype for n, v in told.items()}
        answers[family] = found["probability"]
    assert np.abs(answers["lstm"] - answers["hist_gradient_boosting"]).max() > 1e-3
    mean = (answers["lstm"] + answers["hist_gradient_boosting"]) / 2
    newest = client.predict("casts", served.windows["values"], served.windows["lengths"])
    np.testing.assert_allclose(newest["probability"], answers["ensemble"], atol=1e-6)
    assert mean.shape == answers["ensemble"].shape
    stable = client.predict("casts", served.windows["values"], served.windows["lengths"], label="stable")
    np.testing.assert_allclose(stable["probability"], answers["hist_gradient_boosting"], atol=1e-6)


def test_signatures_are_the_same(served, client):
    of_version = [client.metadata("casts", version=number) for number in VERSIONS]
    for name in ("serving_default", "serving_examples", "classify"):
        shapes = [
            {
                side: {a: (i.dtype, i.shape) for a, i in getattr(found[name], side).items()}
                for side in ("inputs", "outputs")
            }
            for found in of_version
        ]
        assert shapes[0]["inputs"] == shapes[1]["inputs"] == shapes[2]["inputs"], name
        assert {a: kind for a, (kind, _) in shapes[0]["outputs"].items()} == {
            a: kind for a, (kind, _) in shapes[1]["outputs"].items()
        }


def test_status_of_versions(client):
    rows = client.status("casts")
    assert [(row.version, row.state, row.error_code) for row in rows] == [(n, "AVAILABLE", "OK") for n in (3, 2, 1)]
    assert [row.version for row in client.status("casts", version=2)] == [2]


def test_lists_and_many_small_requests(served, client):
    rows = [values[:steps] for values, steps in zip(served.windows["values"], served.windows["lengths"], strict=True)]
    whole = client.predict("casts", rows)["probability"]
    client.rows_per_request, client.connections = 3, 2
    np.testing.assert_allclose(client.predict("casts", rows)["probability"], whole, atol=1e-6)


def test_missing_values_travel(served, client):
    """NaN is refused by the schema of this set only in the checking predict; the contract carries it."""
    values = served.windows["values"].copy()
    values[0, 3, 0] = np.nan
    with_gap = client.predict("casts", values, served.windows["lengths"], version=1)["probability"]
    told = expected(served.bundles["lstm"], {"values": values, "lengths": served.windows["lengths"]})["probability"]
    np.testing.assert_allclose(with_gap, told, atol=2e-5, equal_nan=True)


def test_classify(served, client):
    features = served.bundles["lstm"].spec.features
    values, lengths = served.windows["values"], served.windows["lengths"]
    examples = [
        {name: row[:steps, place].astype(float).tolist() for place, name in enumerate(features)}
        for row, steps in zip(values, lengths, strict=True)
    ]
    found = client.classify("casts", examples, version=1)
    told = client.predict("casts", values, lengths, version=1)["probability"][:, 0]
    np.testing.assert_allclose([dict(row)[row[1][0]] for row in found], told, atol=1e-5)
    with pytest.raises(DataError, match="0 signatures of the method tensorflow/serving/regress"):
        client.regress("casts", examples)


def test_the_servers_own_words(client):
    with pytest.raises(CallRefused, match=r"Servable not found for request: (Latest|Specific)\(casts, 9\)") as caught:
        client.predict("casts", {"values": np.zeros((1, 2, 3))}, version=9)
    assert caught.value.code is Code.NOT_FOUND
    with pytest.raises(CallRefused, match="Could not find any versions of model nobody"):
        client.status("nobody")


def test_a_table_of_units(served):
    features = served.bundles["lstm"].spec.features
    rows = zip(served.windows["values"], served.windows["lengths"], strict=True)
    table = pd.concat(
        pd.DataFrame(row[:steps], columns=features).assign(cast=f"cast {number}")
        for number, (row, steps) in enumerate(rows)
    )
    with Client(served.url) as client, pytest.warns(UserWarning, match="no time column"):
        found = client.predict("casts", table[["cast", *reversed(features)]], unit="cast", version=2)
    told = expected(served.bundles["hist_gradient_boosting"], served.windows)
    assert found["cast"].tolist() == [f"cast {number}" for number in range(8)]
    np.testing.assert_allclose(found["probability"], told["probability"][:, 0], atol=2e-5)


@pytest.fixture
def csv(served, tmp_path):
    bundle, path = served.bundles["lstm"], tmp_path / "casts.csv"
    rows = zip(served.windows["values"], served.windows["lengths"], strict=True)
    unit = bundle.schema.unit_column or "unit"
    table = pd.concat(
        pd.DataFrame(row[:steps], columns=bundle.spec.features).assign(**{unit: f"c{number}"})
        for number, (row, steps) in enumerate(rows)
    )
    table.to_csv(path, index=False)
    return path


def command(served, *words):
    done = subprocess.run(
        [sys.executable, "-m", "serving.client", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_command_answers_as_keras_seq_predict_does(served, csv, tmp_path):
    from keras_seq.pipeline.predict import predict_file

    out = tmp_path / "answers.csv"
    command(served, "predict", "casts", csv, "--url", served.url, "--version", 1, "--every", 40, "--out", out)
    with pytest.warns(UserWarning, match="no time column"):
        told = predict_file(served.bundles["lstm"], csv, every=40)
    found = pd.read_csv(out)
    assert found.columns.tolist() == told.columns.tolist()
    pd.testing.assert_frame_equal(found, told, check_dtype=False, atol=2e-5)


def test_the_command_without_the_extras(served, csv, tmp_path):
    """gRPC tells no features: the version's metadata.json, or the columns, say them."""
    grpc, out = f"127.0.0.1:{served.grpc}", tmp_path / "answers.json"
    metadata = served.exported["ensemble"].folder / "keras_seq" / "metadata.json"
    command(served, "predict", "casts", csv, "--grpc", grpc, "--metadata", metadata, "--out", out)
    described = pd.DataFrame(files.read_json(out))
    unit = served.bundles["lstm"].schema.unit_column or "unit"
    features = ",".join(served.bundles["lstm"].spec.features)
    words = ["--grpc", grpc, "--features", features, "--unit", unit]
    done = command(served, "predict", "casts", csv, *words)
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 9
    header = lines[0].split(",")
    plain = [float(line.split(",")[header.index("probability")]) for line in lines[1:]]
    np.testing.assert_allclose(plain, described["probability"], atol=1e-5)


def test_status_and_metadata_commands(served):
    said = command(served, "status", "casts", "--url", served.url).stdout
    assert re.findall(r"(\d+)  AVAILABLE", said) == ["3", "2", "1"]
    said = command(served, "metadata", "casts", "--grpc", f"127.0.0.1:{served.grpc}").stdout
    assert "serving_default  (tensorflow/serving/predict)" in said and "lengths" in said


def test_a_version_swapped_in_is_answered_without_a_failed_call(served):
    """The newest family changes under a client that keeps calling."""
    with Client(served.url) as client:
        values, lengths = served.windows["values"], served.windows["lengths"]
        before = client.predict("casts", values, lengths)["probability"]
        copied = served.base / ".new"
        shutil.copytree(served.base / "1", copied)
        copied.rename(served.base / "4")
        end, found = time.monotonic() + 60, before
        while time.monotonic() < end and np.allclose(found, before):
            found = client.predict("casts", values, lengths)["probability"]
        np.testing.assert_allclose(found, client.predict("casts", values, lengths, version=1)["probability"], atol=1e-6)
        shutil.rmtree(served.base / "4")
