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
    modules = [quoted(row[-1])[0] for row in rows() if len(row) == 2]
    assert len(modules) > 30
    assert [name for name in modules if not file_of(name).is_file()] == []


def test_new_classes_and_functions_are_there_and_old_ones_are_not():
    wrong = []
    for module, old, new in (row for row in rows() if len(row) == 3):
        text = file_of(*quoted(module)).read_text(encoding="utf-8")
        defined = set(re.findall(r"^(?:class|def) (\w+)", text, re.MULTILINE))
        wrong += [f"{module}: {name} is not there" for name in set(quoted(new)) - defined]
        wrong += [f"{module}: {name} is still there" for name in set(quoted(old)) & defined]
        assert len(quoted(old)) == len(quoted(new)), module
    assert wrong == []
