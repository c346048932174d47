"""The names that others import: none vanishes unnoticed, each can be imported, none costs TensorFlow before its use."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("keras_seq", "tuning", "serving")
FACES = {
    "keras_seq": "Experiment KerasSeqError __version__ build_model load_bundle load_config load_series prepare "
    "register",
    "keras_seq.models": "build_model families freeze get_attention_weights last_step layer_outputs parameter_count "
    "plain_twin register resolve warm_start",
    "keras_seq.explain": "Attribution Explainer ExplanationPlan Explanations expected_gradients explain "
    "gradient_times_input integrated_gradients open_bundle read",
    "keras_seq.runtime": "Predictor Stepper load",
    "keras_seq.data.sources": "SourceInfo known_sources load_series",
    "serving.client": "Client GrpcClient Retry",
    "serving.monitor": "DriftMonitor MonitorSettings load_settings",
    "serving.rollout": "PlanRouter Shadow",
}


def faces() -> list[str]:
    """Every package that says in ``__all__`` what it exports."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("__init__.py"))]
    paths = [path for path in paths if "__all__" in path.read_text(encoding="utf-8")]
    return [".".join(path.parent.relative_to(ROOT).parts) for path in paths]


def test_the_public_names():
    assert {name: " ".join(sorted(importlib.import_module(name).__all__)) for name in FACES} == FACES


def test_every_exported_name_can_be_imported():
    missing = []
    for face in faces():
        module = importlib.import_module(face)
        assert len(set(module.__all__)) == len(module.__all__), face
        missing += [f"{face}.{name}" for name in module.__all__ if getattr(module, name, None) is None]
    assert len(faces()) > len(FACES) and missing == []


def test_no_face_imports_tensorflow():
    code = "import sys\n" + "".join(f"import {name}\n" for name in (*PACKAGES, *faces()))
    code += "print(sorted({'tensorflow', 'keras', 'keras_tuner', 'mlflow', 'shap'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_stub_has_the_public_names():
    """``keras_seq/__init__.pyi`` tells type checkers what ``__init__.py`` loads late, from the same modules."""
    import keras_seq

    stub = ast.parse((ROOT / "keras_seq/__init__.pyi").read_text(encoding="utf-8"))
    homes = {
        alias.asname: (node.module, alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {*homes, "__version__"} == set(keras_seq.__all__)
    for name, (module, inner) in homes.items():
        assert getattr(importlib.import_module(module), inner) is getattr(keras_seq, name), name


def test_types_are_shipped():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").is_file() and "py.typed" in data[package]
    assert "*.pyi" in data["keras_seq"]
