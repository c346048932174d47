"""The gate blesses what is proved and says why it does not; only what is blessed and whole is pushed."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from keras_seq import files
from keras_seq.errors import ConfigError, ExportError, OutputError
from keras_seq.export import canary, gate
from keras_seq.export.canary import answers_of
from keras_seq.export.champion import check_champion, find_champion
from keras_seq.export.metadata import source_of
from keras_seq.export.parity import FormatParity, ParityReport
from keras_seq.export.push import PUSHED, push
from keras_seq.export.record import METADATA, check_seal, read_metadata, seal
from keras_seq.export.samples import sample_windows
from tests.factories.versions import judged, version


@pytest.fixture
def exported(tmp_path):
    """A copy of a blessed version, to be spoilt."""
    assert version().verdict.blessed, version().verdict.reasons
    return shutil.copytree(version().folder, tmp_path / "exported" / "1")


def with_metrics(**test):
    bundle = judged()
    return dataclasses.replace(bundle, metrics={**bundle.metrics, "test": {**bundle.metrics["test"], **test}})


def test_a_version_holds_all_that_it_says(exported):
    about = read_metadata(exported)
    assert set(about["formats"]) == {"saved_model", "onnx", "step"} and not about["failed"]
    assert all((exported / path).exists() for path in about["formats"].values())
    assert about["signatures"]["classify"]["method"] == "tensorflow/serving/classify"
    assert about["step"]["state"]["state_steps"] == [1]
    assert about["metrics"] == judged().metrics and about["data"]["split"] == judged().data["split"]
    for name in ("saved_model.pb", "assets.extra/tf_serving_warmup_requests", "keras_seq/parity.json", "BLESSED"):
        assert (exported / name).is_file()
    check_seal(exported)


def test_the_schema_reads_as_tensorflow_metadata(exported):
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = text_format.Parse((exported / "keras_seq/schema.pbtxt").read_text(), schema_pb2.Schema())
    assert [feature.name for feature in schema.feature] == list(judged().spec.features)
    assert {feature.type for feature in schema.feature} == {schema_pb2.FLOAT}


def test_every_check_is_in_the_verdict():
    verdict = version().verdict.to_dict()
    names = [check["name"] for check in verdict["checks"]]
    assert names == ["format onnx", "format step", "canary (this process)", "baseline"]
    assert {key for key in verdict["numbers"] if key.startswith("canary_")} == {
        f"canary_{name}" for name in ("serving_default", "serving_examples", "classify", "step")
    }


def test_a_canary_that_differs_is_a_reason():
    bundle, folder = judged(), version().folder
    windows = sample_windows(bundle, part="test", count=4)

    def ask(change):
        def spoilt(folder, windows):
            return change(answers_of(folder, windows))

        return gate.check_canary(source_of(bundle), folder, windows, spoilt, "spoilt")[0].reasons

    def shift(found):
        found["serving_default"]["probability"] = found["serving_default"]["probability"] + np.float32(0.001)
        return found

    def turn(found):
        found["serving_examples"]["class"] = 1 - found["serving_examples"]["class"]
        return found

    assert not ask(lambda found: found)
    assert "serving_default differs from the Keras model by 0.001" in ask(shift)[0]
    assert "serving_examples calls 4 windows otherwise" in ask(turn)[0]
    assert "no answers of serving_default" in ask(lambda found: {})[0]

    def crash(folder, windows):
        raise ExportError("the process crashed with signal SIGSEGV")

    assert "SIGSEGV" in gate.check_canary(source_of(bundle), folder, windows, crash, "dead")[0].reasons[0]


def test_formats_that_fail_or_differ_are_reasons():
    report = ParityReport((FormatParity("onnx", 1e-5, 0.1, 0.1, reasons=("it differs",)), FormatParity("tflite", 1e-5)))
    checks = gate.check_formats(report, {"tflite-int8": "the converter crashed"})
    verdict = gate.GateVerdict(tuple(checks))
    assert not verdict.blessed
    assert verdict.reasons == ("format tflite-int8: the converter crashed", "format onnx: it differs")


@pytest.mark.parametrize(("text", "kept"), [
    ("auc_roc>=0.7", True), ("auc_roc > 0.7", False), ("brier<=1e-1", True), ("training_minutes<0.05", False),
])  # fmt: skip
def test_requirements_hold_metrics_to_bounds(text, kept):
    bundle = with_metrics(auc_roc=0.7, brier=0.1)
    (check,) = gate.check_requirements(bundle, gate.parse_requirements([text], bundle))
    assert (not check.reasons) == kept
    if text == "auc_roc > 0.7":
        assert check.reasons == ("auc_roc is 0.7, required is > 0.7",)


@pytest.mark.parametrize(("text", "message"), [
    ("auc_rok>=0.7", "no metric 'auc_rok'; did you mean 'auc_roc'"), ("auc_roc=0.7", "must look like 'rmse<=12'"),
    ("auc_roc>=", "must look like"), ("auc_roc>=1e", "must look like"), ("", "must look like"),
])  # fmt: skip
def test_requirements_that_make_no_sense(text, message):
    with pytest.raises(ConfigError, match=message):
        gate.parse_requirements([text], judged())


@pytest.mark.parametrize(("own", "passes"), [(0.7, False), (0.8, True), (0.9, True)])
def test_an_ensemble_must_not_be_worse_than_its_best_member(own, passes):
    bundle = with_metrics(auc_pr=own)
    assert gate.check_members(bundle) == []
    rows = [("a", 0.6, 0.95), ("b", 0.9, 0.8)]  # b is the best on validation
    groups = [
        {"name": n, "metrics": {"validation": {"auc_pr": held_out}, "test": {"auc_pr": test}}}
        for n, held_out, test in rows
    ]
    bundle = dataclasses.replace(bundle, data={**bundle.data, "ensemble": {"groups": groups}})
    (check,) = gate.check_members(bundle)
    assert bool(check.reasons) != passes
    if not passes:
        assert "auc_pr 0.7 against 0.8 of its own member 'b'" in gate.GateVerdict((check,)).reasons[0]
    odd = dataclasses.replace(bundle, data={"ensemble": {"groups": groups[:1]}})
    assert len(gate.check_members(odd)) == 1  # an ensemble of one


def test_the_baseline_must_be_beaten_by_the_margin():
    bundle = with_metrics(auc_pr=0.8)
    assert "nothing is compared" in gate.check_baseline(bundle, 0.1).found
    bundle.metrics["baseline"] = {"name": "ridge", "test": {"auc_pr": 0.75}}
    assert not gate.check_baseline(bundle, 0.0).reasons and not gate.check_baseline(bundle, 0.06).reasons
    assert "must be better by 0.07" in gate.check_baseline(bundle, 0.07).reasons[0]
    co2 = judged("co2")
    rmse = {"own": 10.0, "other": 10.5}
    assert not gate.compare(co2, **rmse, margin=0.04, check="c", rival="r").reasons
    assert gate.compare(co2, **rmse, margin=0.05, check="c", rival="r").reasons
    assert "has no rmse" in gate.compare(co2, None, 1.0, 0.0, check="c", rival="r").reasons[0]


def test_a_champion_of_the_same_split_is_compared_by_its_record(exported, tmp_path):
    assert find_champion(tmp_path / "served") is None
    champion = push(exported, tmp_path / "served")
    assert find_champion(tmp_path / "served") == champion
    own = judged().metrics["test"]["auc_pr"]
    for value, passed in ((own, True), (own - 0.01, False), (own + 0.01, True)):
        check = check_champion(with_metrics(auc_pr=value), exported, champion, 0.0)
        assert (not check.reasons) == passed
        assert "version 1 on the same split" in check.found


def test_only_what_is_blessed_is_pushed(exported, tmp_path):
    base = tmp_path / "served"
    verdict = dataclasses.replace(version().verdict, checks=(gate.Check("require", "", ("rmse is 13",)),))
    (exported / "BLESSED").unlink()
    verdict.write(exported)
    seal(exported)
    with pytest.raises(ExportError, match=r"is not blessed, so it is not pushed .*require: rmse is 13.*--force"):
        push(exported, base)
    assert find_champion(base) is None
    forced = push(exported, base, force=True)
    said = files.read_json(forced / PUSHED)
    assert said["forced"] and said["reasons"] == ["require: rmse is 13"]
    (exported / "BLESSED").write_text("{}")  # by hand
    with pytest.raises(ExportError, match=r"File 'BLESSED' .* was added"):
        push(exported, base)


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda f: (f / "saved_model.pb").write_bytes(b"x"), "'saved_model.pb' .* was changed"),
    (lambda f: (f / "variables/variables.index").unlink(), "'variables/variables.index' .* is missing"),
    (lambda f: (f / "keras_seq/manifest.json").unlink(), "no readable keras_seq/manifest.json"),
    (lambda f: (f / METADATA).write_text("{"), "'keras_seq/metadata.json' .* was changed"),
])  # fmt: skip
def test_what_was_changed_after_the_export_is_not_pushed(exported, tmp_path, spoil, message):
    spoil(exported)
    with pytest.raises(ExportError, match=message):
        push(exported, tmp_path / "served", force=True)


def test_pushes_at_one_time_get_numbers_of_their_own(exported, tmp_path):
    base = tmp_path / "served"
    with ThreadPoolExecutor(3) as pool:
        pushed = list(pool.map(lambda _: push(exported, base), range(3)))
    assert sorted(path.name for path in pushed) == ["1", "2", "3"]
    for path in pushed:
        check_seal(path)


PUSH = "import sys; from keras_seq.export.push import push; print(push(sys.argv[1], sys.argv[2]))"


def test_a_killed_push_leaves_nothing_that_could_be_served(exported, tmp_path):
    base = tmp_path / "served"
    (exported / "variables" / "ballast").write_bytes(os.urandom(2**20) * 300)  # the copy takes its time
    seal(exported)
    process = subprocess.Popen([sys.executable, "-c", PUSH, str(exported), str(base)])
    while process.poll() is None and not list(base.glob(".1.partial-*/*")):
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert list(base.glob(".1.partial-*"))  # it was under way
    assert find_champion(base) is None and not [p for p in base.iterdir() if p.name.isdigit()]
    (exported / "variables" / "ballast").unlink()
    seal(exported)
    assert push(exported, base).name == "1"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_base_path_that_cannot_be_written(exported, tmp_path):
    (tmp_path / "served").mkdir(mode=0o555)
    with pytest.raises(OutputError, match="cannot be written"):
        push(exported, tmp_path / "served")


def test_a_base_path_that_is_a_file(exported, tmp_path):
    (tmp_path / "served").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        push(exported, tmp_path / "served")


def stand_in(folder, monkeypatch, script):
    """An executable of the server's name on PATH: the real one comes by Docker or its own package archive only."""
    path = folder / "bin" / canary.BINARY
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n{script}")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent), prepend=os.pathsep)


def test_a_server_that_does_not_start_is_a_reason(tmp_path, monkeypatch):
    assert (canary.BINARY in canary.canaries()) == (shutil.which(canary.BINARY) is not None)
    stand_in(tmp_path, monkeypatch, "print('no such model'); raise SystemExit(1)")
    with pytest.raises(ExportError, match=r"tensorflow_model_server did not load the version .* no such model"):
        canary.canaries()[canary.BINARY](version().folder, {"values": np.zeros((1, 2, 3), np.float32)})


@pytest.mark.slow
def test_the_embedded_server_is_asked_as_the_real_one_would_be():
    bundle = judged()
    windows = sample_windows(bundle, part="test", count=4)
    ask = canary.canaries()["the embedded server"]
    check, apart = gate.check_canary(source_of(bundle), version().folder, windows, ask, "the embedded server")
    assert not check.reasons and set(apart) == {"serving_default"}


@pytest.mark.slow
def test_a_champion_of_another_split_is_measured_on_the_candidates_rows(exported, tmp_path):
    champion = push(exported, tmp_path / "served")
    about = files.read_json(champion / METADATA)
    files.write_json(champion / METADATA, about | {"data": {"split": "another"}})
    check = check_champion(judged(), exported, champion, 0.0)
    assert not check.reasons and "on the candidate's test part" in check.found
    own, other = (float(word) for word in (check.found.split()[1], check.found.split()[3]))
    assert own == other and abs(own - judged().metrics["test"]["auc_pr"]) < 1e-4
    (champion / METADATA).unlink()  # not written by an export
    check = check_champion(judged("co2"), version("co2").folder, champion, 0.0)
    assert "cannot be judged on the candidate's test part" in check.reasons[0]


def test_a_tree_may_take_another_branch_now_and_then():
    from keras_seq.export.parity import BRANCH, largest_difference

    apart = np.full(1000, 1e-7)
    apart[:5] = 0.03
    assert largest_difference(apart, 1e-5, trees=True) == (1e-7, 5)
    assert largest_difference(apart, 1e-5, trees=False) == (0.03, 0)
    apart[5] = 0.03  # more than the share that rounding explains
    assert largest_difference(apart, 1e-5, trees=True) == (0.03, 0)
    beyond = BRANCH * 1.01
    assert largest_difference(np.array([0.0, beyond]), 1e-5, trees=True) == (beyond, 0)  # no single branch
    assert largest_difference(np.array([0.0, 0.03]), 1e-5, trees=True) == (0.0, 1)
    assert largest_difference(np.array([0.0, np.inf]), 1e-5, trees=True)[0] == np.inf
