"""Bundles of every release since the first: they load, give the answers of their day, and say so if they cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_seq import files
from keras_seq.bundle import FORMAT, OLDEST, load_bundle, write_manifest
from keras_seq.errors import ModelError
from tests.golden.answers import answers

HERE = Path(__file__).parents[1] / "golden" / "bundles"
BUNDLES = sorted(path.parent for path in HERE.glob("*/*/case.json"))
CLOSE = 1e-5  # of the target's deviation: another processor rounds otherwise
every_bundle = pytest.mark.parametrize("folder", BUNDLES, ids=lambda path: f"{path.parent.name}-{path.name}")


def case(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and the answers of the day they were written."""
    stored = files.read_json(folder / "case.json")
    kinds = {"values": np.float32, "lengths": np.int32}
    inputs = {name: np.array(value, kinds[name]) for name, value in stored["inputs"].items()}
    return inputs, {name: np.array(value) for name, value in stored["answers"].items()}


def assert_alike(found: dict[str, Any], known: dict[str, np.ndarray], spec: Any) -> None:
    from keras_seq.export.parity import scale_of

    assert set(found) == set(known)
    for name, value in known.items():
        assert np.asarray(found[name]).shape == value.shape, name
        assert np.abs(np.asarray(found[name]) - value).max() <= CLOSE * np.max(scale_of(name, spec)), name


def test_the_kinds_that_must_be_read_are_there() -> None:
    assert {path.name for path in BUNDLES} == {"lstm", "trees", "quantiles", "ensemble"}
    for folder in BUNDLES:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert size < 100_000, f"{folder} takes {size} bytes of the repository"


@every_bundle
def test_a_bundle_of_a_release_gives_the_answers_of_its_day(folder: Path) -> None:
    from keras_seq.export.metadata import source_of

    bundle = load_bundle(folder / "bundle")
    inputs, known = case(folder)
    assert ("lengths" in inputs) == bundle.spec.variable_length
    assert_alike(answers(source_of(bundle), inputs), known, bundle.spec)


@every_bundle
@pytest.mark.slow
def test_it_leaves_as_onnx_with_the_same_answers(folder: Path, tmp_path: Path) -> None:
    from keras_seq.export.formats import write_formats
    from keras_seq.runtime import load

    bundle = load_bundle(folder / "bundle")
    written, failed = write_formats(bundle, tmp_path, ["onnx"])
    assert not failed
    inputs, known = case(folder)
    assert_alike(load(written["onnx"]).predict(**inputs), known, bundle.spec)


@pytest.mark.slow
def test_all_of_them_are_served(tmp_path: Path) -> None:
    from keras_seq.export.saved_model import write_saved_model
    from tests.factories.serving_process import Server

    for folder in BUNDLES:
        bundle = load_bundle(folder / "bundle")
        write_saved_model(
            bundle.model,
            bundle.spec,
            tmp_path / folder.name,
            decision=bundle.decision,
            quantiles=bundle.experiment.model.quantiles,
        )
    with Server(f"--models={tmp_path}", grpc=False) as server:
        for folder in BUNDLES:
            inputs, known = case(folder)
            reply = server.predict(folder.name, {"inputs": {name: value.tolist() for name, value in inputs.items()}})
            assert reply.status == 200, reply
            found = reply.json["outputs"]
            found = found if isinstance(found, dict) else {next(iter(known)): found}
            assert set(found) == set(known)
            for name, value in known.items():  # the contract writes six digits
                np.testing.assert_allclose(np.array(found[name], float), value, rtol=2e-5, atol=1e-5, err_msg=name)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return shutil.copytree(HERE / "0.1.0" / "lstm" / "bundle", tmp_path / "bundle")


def told(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(files.read_json(path) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("known", "advice"),
    [
        (FORMAT + 1, r"install the version that wrote it \(9\.9\.0\) or a newer one"),
        (OLDEST - 1, r"install the version that wrote it \(9\.9\.0\), or train again"),
    ],
)
def test_a_format_that_cannot_be_read_is_named_with_the_version_that_can(copied: Path, known: int, advice: str) -> None:
    told(copied, format=known, keras_seq="9.9.0")
    with pytest.raises(
        ModelError, match=rf"has format {known}, this keras_seq .* reads {OLDEST} to {FORMAT}; {advice}"
    ):
        load_bundle(copied)


@pytest.mark.parametrize("changes", [{"format": "1"}, {"format": None}, {"files": ["model.keras"]}])
def test_a_manifest_of_something_else_is_refused(copied: Path, changes: dict[str, Any]) -> None:
    told(copied, **changes)
    with pytest.raises(ModelError, match=r"is not a bundle: its manifest\.json names no format and files"):
        load_bundle(copied)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("config.yaml", "\nfuture: {speed: 3}\n", "future"),
        ("spec.json", {"future_field": 1}, "future_field"),
        ("schema.json", {"columns": None}, "columns"),
    ],
)
def test_what_a_later_release_added_is_named_with_both_versions(
    copied: Path, name: str, change: Any, reason: str
) -> None:
    path = copied / name
    if isinstance(change, str):
        path.write_text(path.read_text(encoding="utf-8") + change, encoding="utf-8")
    else:
        files.write_json(path, files.read_json(path) | change)
    write_manifest(copied)
    told(copied, keras_seq="9.9.0")
    with pytest.raises(ModelError, match=rf"written by keras_seq 9\.9\.0; this is .*{reason}.* Install the version"):
        load_bundle(copied)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
@pytest.mark.parametrize("name", ["model.keras", "spec.json", "config.yaml"])
def test_a_damaged_file_is_named(copied: Path, name: str, damage: str) -> None:
    path = copied / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    with pytest.raises(ModelError, match=rf"File '{name}' of bundle .* is missing or was changed after training"):
        load_bundle(copied)
