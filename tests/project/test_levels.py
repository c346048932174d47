"""Every package has one level and imports only what is below it; no circle of files; one importer a library."""

from __future__ import annotations

import ast
import itertools
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("keras_seq", "tuning", "serving")
ONE_IMPORTER = {
    "mlflow": "keras_seq/tracking/mlflow_store.py",
    "tf2onnx": "keras_seq/export/onnx.py",
    "shap": "keras_seq/explain/methods/shap_values.py",
    "tensorflow_model_optimization": "keras_seq/compress/tfmot.py",
    "tensorflow_serving": "keras_seq/export/warmup.py",
    "tensorflow_metadata": "keras_seq/export/record.py",
}


@cache
def levels() -> dict[str, int]:
    """Level by package, from the table that docs/architecture.md shows."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = re.search(r"```levels\n(.*?)```", page, re.DOTALL)
    assert table is not None
    lines = [line.split("#")[0].split() for line in table[1].splitlines()]
    return {name: level for level, names in enumerate(lines) for name in names}


@cache
def modules() -> dict[str, Path]:
    """File by module name."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)
    return dict(zip((name.removesuffix(".__init__") for name in names), paths, strict=True))


@cache
def imported(path: Path) -> frozenset[str]:
    """What a file imports: at the top, inside functions and for types only."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def module_of(name: str) -> str:
    """The module that an imported name is or lies in; "" if it is not ours."""
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name


@cache
def imports() -> dict[str, set[str]]:
    """Our modules by the module that imports them."""
    graph = {name: {module_of(one) for one in imported(path)} - {name, ""} for name, path in modules().items()}
    return graph


def package_of(module: str) -> str:
    """The package as the table names it; doors (``__main__``) are command lines."""
    head, *rest = module.split(".")
    if rest and rest[-1] == "__main__":
        return "commands" if head == "keras_seq" else module
    if head == "keras_seq":
        return rest[0] if rest else "__init__"
    return f"{head}.{rest[0]}" if head == "serving" and rest else head


def violations(graph: dict[str, set[str]]) -> list[str]:
    """Imports that do not lead to a lower level."""
    return [
        f"{module} (level {levels()[package_of(module)]}) imports {other} (level {levels()[package_of(other)]})"
        for module, others in graph.items()
        for other in others
        if package_of(module) != package_of(other) and levels()[package_of(other)] >= levels()[package_of(module)]
    ]


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Modules that import each other, directly or over others."""
    reached: dict[str, set[str]] = {name: set(others) for name, others in graph.items()}
    while True:
        grown = {name: others.union(*(reached[one] for one in others)) for name, others in reached.items()}
        if grown == reached:
            return [
                {one for one in others if name in reached[one]} for name, others in reached.items() if name in others
            ]
        reached = grown


def test_every_package_has_a_level_and_every_level_a_package():
    assert {package_of(name) for name in modules()} == set(levels())


def test_packages_import_only_lower_levels():
    assert violations(imports()) == []


def test_a_planted_violation_of_each_pair_is_seen():
    for one, other in itertools.permutations(levels(), 2):
        if levels()[other] >= levels()[one]:
            names = [name if name.startswith(("serving", "tuning")) else f"keras_seq.{name}" for name in (one, other)]
            planted = {f"{names[0]}": {names[1]}}
            assert len(violations(planted)) == 1, (one, other)


def test_no_circle_of_files():
    assert circles(imports()) == []


def test_a_planted_circle_is_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})


@pytest.mark.parametrize(("library", "importer"), ONE_IMPORTER.items())
def test_one_importer_each(library, importer):
    importers = [
        str(path.relative_to(ROOT))
        for path in modules().values()
        if any(name.split(".")[0] == library for name in imported(path))
    ]
    assert [path for path in importers if path.startswith("keras_seq/")] == [importer]


def test_no_pickle_for_what_users_load():
    for path in modules().values():
        assert not {"pickle", "joblib", "dill"} & {name.split(".")[0] for name in imported(path)}, path
