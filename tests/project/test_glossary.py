"""The table of old and new names leads to what is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows() -> list[list[str]]:
    """Cells of the tables below "Old names, new names"."""
    page = (ROOT / "docs/glossary.md").read_text(encoding="utf-8").partition("## Old names, new names")[2]
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(cell: str) -> list[str]:
    """Names in a cell."""
    return re.findall(r"`([\w.]+)`", cell)


def file_of(module: str) -> Path:
    """The file of a module, or the folder's ``__init__.py``."""
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_new_modules_are_there():
    modules = [quoted(now)[0] for _, now in rows() if "→" not in now]
    assert len(modules) > 30
    assert [name for name in modules if not file_of(name).is_file()] == []


def definitions(package: str) -> set[str]:
    """Classes and functions at the top of a package's modules."""
    path = file_of(package)
    paths = path.parent.rglob("*.py") if path.name == "__init__.py" else [path]
    texts = (path.read_text(encoding="utf-8") for path in paths)
    return {name for text in texts for name in re.findall(r"^(?:class|def) (\w+)", text, re.MULTILINE)}


def test_new_classes_and_functions_are_there():
    pairs = {package: re.findall(r"`(\w+)` → `(\w+)`", names) for package, names in rows() if "→" in names}
    assert sum(map(len, pairs.values())) > 80
    wrong = [
        (package, new)
        for package, names in pairs.items()
        for _, new in names
        if new not in definitions(*quoted(package))
    ]
    assert wrong == []
