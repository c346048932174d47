"""Data flow one way: a room imports only rooms before it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = [
    {"errors", "files", "figures", "machine", "drawing", "config", "tasks", "runtime", "__init__"},
    {"data"},
    {"models"},
    {"training"},
    {"baselines", "ensembles", "evaluation", "explain", "compress", "export", "bridge", "tracking", "tracking_reach"},
    {"reports"},
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
LINES = len(ORDER)  # command lines: everything else at the top of the package
ONE_IMPORTER = {
    "mlflow": "tracking",
    "tf2onnx": "onnx",
    "shap": "shap_values",
    "tensorflow_model_optimization": "tfmot",
    "tensorflow_serving": "warmup",
    "tensorflow_metadata": "record",
}


def modules():
    return sorted((ROOT / "keras_seq").rglob("*.py"))


def room(path):
    parts = path.relative_to(ROOT / "keras_seq").with_suffix("").parts
    return parts[0]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_data(path):
    mine = LINES if path.name == "__main__.py" else LEVEL.get(room(path), LINES)  # a command line, wherever it is
    for name in imported(path):
        assert not name.startswith(("tuning", "serving")), f"{path.name} imports {name}"
        if name.startswith("keras_seq."):
            theirs = LEVEL.get(
                name.split(".")[1], LINES if (ROOT / "keras_seq" / f"{name.split('.')[1]}.py").exists() else 0
            )
            assert theirs <= mine, f"{path.relative_to(ROOT)} (level {mine}) imports {name} (level {theirs})"


@pytest.mark.parametrize(("library", "importer"), ONE_IMPORTER.items())
def test_one_importer_each(library, importer):
    for path in modules():
        if any(name.split(".")[0] == library for name in imported(path)):
            assert path.stem == importer, f"{library} is imported by {path}"


def test_no_pickle_for_what_users_load():
    for path in modules():
        assert not {"pickle", "joblib", "dill"} & {name.split(".")[0] for name in imported(path)}, path
