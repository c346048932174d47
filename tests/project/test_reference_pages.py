"""The reference is what the code says: nothing left out, nothing out of date, readable."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import reference_code
import reference_pages

ROOT, FOLDER = reference_pages.ROOT, reference_pages.FOLDER


@pytest.fixture(scope="module")
def loaded():
    return reference_code.load()


@pytest.fixture(scope="module")
def code(loaded):
    return reference_code.pages(loaded)


def test_packages_are_up_to_date(code):
    there = {path.stem: path.read_text() for path in FOLDER.glob("*.md")}
    for name in ("README", "commands", "configuration"):
        there.pop(name)
    assert set(there) == set(code), "run scripts/reference"
    stale = [name for name, text in code.items() if there[name] != text + reference_pages.NOTE]
    assert not stale, f"{stale}: run scripts/reference"


def test_every_public_name_is_there(code):
    """Against Python's own parser."""
    shown = "\n".join(code.values())
    for path in sorted((ROOT / "keras_seq").rglob("*.py")):
        if any(part.startswith("_") for part in path.relative_to(ROOT).with_suffix("").parts):
            continue
        for node in ast.parse(path.read_text()).body:
            if (
                isinstance(node, ast.FunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
                and node.name != "main"
            ):
                assert f"\n### {node.name}\n" in shown, f"{path.name}: {node.name}"


def test_everything_public_says_what_it_is(loaded):
    silent = []
    for package in loaded.values():
        for module in reference_code.walk(package):
            members = reference_code.public(module)
            silent += [member.path for member in (module, *members) if not member.docstring]
    assert not silent


@pytest.mark.parametrize("name", ["keras_seq.data", "keras_seq.evaluate", "serving.retrain"])
def test_commands_are_up_to_date(name):
    from keras_seq.cli.registry import COMMANDS

    text = (FOLDER / "commands.md").read_text()
    for shown in reference_pages.helps(COMMANDS[name]):
        assert f"```\n{shown}\n```" in text, "run scripts/reference"


def test_every_command_is_there():
    from keras_seq.cli.registry import COMMANDS

    text = (FOLDER / "commands.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("### ")] == [
        f"### python -m {name}" for name in COMMANDS
    ]


@pytest.mark.slow
def test_all_commands_are_up_to_date():
    assert (FOLDER / "commands.md").read_text() == reference_pages.commands_page(), "run scripts/reference"


def test_settings_are_up_to_date():
    assert (FOLDER / "configuration.md").read_text() == reference_pages.configuration_page(), "run scripts/reference"


def test_settings_are_told_as_they_are():
    text = reference_pages.configuration_page()
    for row in (
        "| `model.units` | whole number | `64` | at least 1, at most 4096 | width of the sequence layers",
        "| `model.trees.columns` | number | none | above 0, at most 1 | share of features tried at a split |",
        "| `data.windows.mode` | choice | `whole` | `whole`, `sliding`, `last` |",
        "| `tuning.trials` | whole number | `60` | at least 1 |",
        "| `data.caster.p_low` | number | `0.02` | at least 0, below 1 |",
    ):
        assert row in text, row


def test_every_setting_of_the_experiment_says_what_it_is():
    from keras_seq import config

    assert not [name for name, info in config.fields().items() if not info.description]


def test_the_index_lists_every_page():
    text = (FOLDER / "README.md").read_text()
    for path in FOLDER.glob("*.md"):
        assert path.name == "README.md" or f"({path.name})" in text, "run scripts/reference"
