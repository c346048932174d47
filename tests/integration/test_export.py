"""python -m keras_seq.export: one version folder that is served, pushed, recorded; mistakes get one paragraph."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keras_seq import cli, files
from keras_seq.bundle import load_bundle
from keras_seq.commands.export import main
from keras_seq.errors import OutputError
from keras_seq.export.canary import answers_of
from keras_seq.export.push import push
from keras_seq.export.record import seal
from keras_seq.export.trained import offer
from tests.factories.versions import judged, make_judged, version

QUICK = ["--formats", "keras"]


@pytest.fixture
def bundle(tmp_path):
    """A judged bundle in a run folder of its own."""
    run = tmp_path / "run"
    shutil.copytree(judged().folder, run / "bundle")
    return run


def export(*words):
    return cli.run(main, [str(word) for word in words])


def test_a_version_without_a_graph_for_servers_is_not_blessed(bundle, capsys):
    assert export(bundle, *QUICK, "--json", "--tracking.backend", "none") == 0
    found = json.loads(capsys.readouterr().out)
    assert not found["blessed"] and "no saved_model" in found["reasons"][0]
    folder = Path(found["version"])
    assert folder == bundle / "export" / "1" and (folder / "NOT_BLESSED").is_file()
    assert files.sha256(folder / "keras_seq/model.keras") == files.sha256(bundle / "bundle/model.keras")
    assert export(bundle, *QUICK, "--version", 1) == 2
    assert "exists already; versions are never overwritten. Use --version 2" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "message"), [
    (["--formats", "onnyx"], "no export format 'onnyx'; did you mean 'onnx'"),
    (["--formats", ","], "names no format"),
    ([*QUICK, "--require", "auc_rok>=0.7"], "did you mean 'auc_roc'"),
    ([*QUICK, "--require", "good"], "must look like 'rmse<=12'"),
    ([*QUICK, "--margin", "5"], "share of a metric"),
    ([*QUICK, "--force"], "'--force' is for --push"),
    ([*QUICK, "--push", "somewhere"], "needs saved_model"),
    ([*QUICK, "--model.units", "3"], "cannot change a trained model"),
    ([*QUICK, "--output", "/proc/nowhere"], "'/proc/nowhere' cannot be written"),
    ([*QUICK, "--data.caster.seed", "8"], "differ from those bundle"),
])  # fmt: skip
def test_mistakes_are_named_before_anything_is_written(bundle, capsys, words, message):
    assert export(bundle, *words) == 2
    said = capsys.readouterr()
    assert message in said.err and len([line for line in said.err.splitlines() if line.startswith("error")]) == 1
    assert "Traceback" not in said.err
    assert not list(bundle.glob("export/[0-9]*"))


def test_a_tampered_bundle_is_refused(bundle, capsys):
    (bundle / "bundle" / "decision.json").write_text("{}")
    assert export(bundle, *QUICK) == 2
    assert "'decision.json'" in capsys.readouterr().err


def test_other_library_versions_are_told(bundle, capsys):
    versions, manifest = bundle / "bundle/versions.json", bundle / "bundle/manifest.json"
    files.write_json(versions, files.read_json(versions) | {"keras": "3.1.0"})
    sealed = files.read_json(manifest)
    sealed["files"]["versions.json"] = files.sha256(versions)
    files.write_json(manifest, sealed)
    assert export(bundle, *QUICK, "--json", "--tracking.backend", "none") == 0
    said = capsys.readouterr()
    assert "warning: the bundle was trained with keras 3.1.0, this is keras" in said.err
    assert json.loads(said.out)["warnings"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_export_push_and_serve(bundle, tmp_path, capsys):
    """The whole path: a canary of its own process and a server, a push, and a candidate that is no better."""
    import mlflow
    import tensorflow as tf

    base, store = tmp_path / "served", f"sqlite:///{tmp_path}/mlflow.db"
    words = [bundle, "--push", base, "--tracking.uri", store, "--json", "--require", "brier<=1"]
    names = "saved_model,keras,onnx"
    assert export(*words, "--formats", names) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["blessed"] and not found["failed"], found["reasons"]
    assert found["pushed"] == str(base / "1") and set(names.split(",")) <= set(found["formats"])
    loaded = tf.saved_model.load(found["pushed"])
    assert {"serving_default", "serving_examples", "classify", "step"} == set(loaded.signatures)
    mlflow.set_tracking_uri(store)
    record = mlflow.get_run(found["record"])
    assert record.data.params["event"] == "export" and record.data.metrics["blessed"] == 1
    assert record.data.metrics["canary_step"] < 1e-5
    registry = mlflow.MlflowClient()
    assert registry.get_model_version_by_alias("served", "champion").source == (base / "1").as_uri()

    assert export(*words, "--formats", "saved_model", "--margin", "0.5") == 2  # no better than itself
    said = capsys.readouterr()
    assert "is not pushed" in said.err and "must be better by 0.5" in said.err
    assert not json.loads(said.out)["pushed"] and not (base / "2").exists()
    assert registry.get_model_version_by_alias("served", "challenger").tags["blessed"] == "False"
    assert registry.get_model_version_by_alias("served", "champion").source == (base / "1").as_uri()


@pytest.mark.slow
def test_force_pushes_what_is_not_blessed_and_says_so(tmp_path):
    from argparse import Namespace

    from keras_seq.commands.export import _push
    from keras_seq.export.gate import Check, GateVerdict

    folder = shutil.copytree(version().folder, tmp_path / "exported" / "1")
    found = dataclasses.replace(version(), folder=folder, verdict=GateVerdict((Check("require", "", ("rmse is 13",)),)))
    (folder / "BLESSED").unlink()
    found.verdict.write(folder)
    seal(folder)
    outcome = {"pushed": None, "forced": False}
    assert "rmse is 13" in _push(found, Namespace(push=tmp_path / "served", force=False), outcome)
    assert outcome["pushed"] is None
    assert not _push(found, Namespace(push=tmp_path / "served", force=True), outcome)
    assert outcome["forced"] and files.read_json(Path(outcome["pushed"]) / "keras_seq/pushed.json")["forced"]


@pytest.mark.slow
def test_training_serves_what_the_gate_blesses_and_nothing_else(tmp_path):
    """The end of a training: exported beside the bundle, judged, pushed under the number asked for; a worse one not."""
    run = shutil.copytree(judged().folder, tmp_path / "run" / "bundle")
    base, here = tmp_path / "served", {"this process": answers_of}
    first = offer(load_bundle(run).holding(judged().prepared), base, number=7, canaries=here)
    assert first.verdict.blessed and first.pushed == base / "7" and first.version == tmp_path / "run" / "export" / "1"
    assert (first.pushed / "keras_seq" / "manifest.json").is_file()  # as every export
    worse = load_bundle(run).holding(judged().prepared)
    worse.metrics["test"]["auc_pr"] -= 0.1
    second = offer(worse, base, canaries=here)
    assert second.pushed is None and "version 7 on the same split" in " ".join(second.verdict.reasons)
    assert [path.name for path in base.iterdir() if path.name.isdigit()] == ["7"]
    assert (second.version / "NOT_BLESSED").is_file()
    with pytest.raises(OutputError, match="exists already"):
        push(first.version, base, number=7)


@pytest.mark.slow
def test_a_format_that_fails_leaves_the_others_and_is_named(tmp_path, capsys):
    """A GRU has no int8 form in TFLite: a real failure of one format."""
    from keras_seq import config

    gru = make_judged(
        config.replace(judged().experiment, **{"name": "gru", "output": str(tmp_path), "model.family": "gru"})
    )
    formats = "tflite-int8,onnx,keras"
    assert export(gru.folder, "--formats", formats, "--json", "--tracking.backend", "none") == 2
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert "Format tflite-int8 was not written" in said.err and set(found["failed"]) == {"tflite-int8"}
    assert set(found["formats"]) == {"onnx", "keras", "step"} and not found["blessed"]
    assert "format tflite-int8: " in found["reasons"][0]


@pytest.mark.slow
def test_the_command_streams_as_it_exports(bundle):
    """From a shell: rows by standard input, the step graph built on the fly."""
    from keras_seq.data.prepare import prepare

    one = judged()
    values = prepare(one.experiment.data).series.unit_values(0)[:5]
    unit = one.schema.unit_column
    header = ",".join([*([unit] if unit else []), *one.spec.features])
    rows = [",".join([*(["u1"] if unit else []), *map(repr, row.tolist())]) for row in values]
    command = [sys.executable, "-m", "keras_seq.predict", str(bundle), "--stream"]
    text = "\n".join([header, *rows]) + "\n"
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6 and "probability" in done.stdout.splitlines()[0]
    done = subprocess.run(command, input=text + "u1,x\n", capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: Line 7") and len(done.stdout.splitlines()) == 6


@pytest.mark.slow
def test_the_real_server_is_asked_where_there_is_one():
    if shutil.which("tensorflow_model_server") is None:
        pytest.skip("tensorflow_model_server is not on PATH")
    from keras_seq.export.canary import BINARY, canaries
    from keras_seq.export.gate import check_canary
    from keras_seq.export.metadata import source_of
    from keras_seq.export.samples import sample_windows

    windows = sample_windows(judged(), part="test", count=4)
    check, _ = check_canary(source_of(judged()), version().folder, windows, canaries()[BINARY], "server")
    assert not check.reasons


@pytest.mark.slow
def test_a_version_can_say_why(bundle, capsys):
    """The canary asks the signature ``explain`` of a fresh process; so does this."""
    from keras_seq.export.samples import sample_windows

    words = ["--formats", "saved_model", "--explain", 2, "--json", "--tracking.backend", "none"]
    assert export(bundle, *words) == 0
    found = json.loads(capsys.readouterr().out)
    canary = next(check for check in found["checks"] if check["name"] == "canary (a fresh process)")
    assert "explain" in canary["found"] and not canary["reasons"]
    windows = sample_windows(judged(), part="test", count=3)
    why = answers_of(found["version"], windows, only=["explain"])["explain"]
    assert why["attributions"].shape == windows["values"].shape
    total = why["base"][:, 0] + why["attributions"].sum((1, 2)) + why["error"][:, 0]
    assert abs(total - why["explained"][:, 0]).max() < 1e-5
    beyond = [row[steps:] for row, steps in zip(why["attributions"], windows["lengths"], strict=True)]
    assert not any(rest.any() for rest in beyond)
