"""The reference, made anew in a folder of the test, is what the code says: nothing left out, readable."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import reference_code
import reference_pages

ROOT = reference_pages.ROOT


@pytest.fixture(scope="module")
def loaded():
    return reference_code.load()


@pytest.fixture(scope="module")
def code(loaded):
    return reference_code.pages(loaded)


def test_pages_are_written_and_those_of_gone_modules_removed(code, tmp_path):
    folder = tmp_path / "deep" / "reference"
    folder.mkdir(parents=True)
    (folder / "keras_seq.gone.md").write_text("old")
    reference_pages.write(folder, {f"{name}.md": text for name, text in code.items()})
    assert {path.stem: path.read_text() for path in folder.iterdir()} == code
    assert {"keras_seq.data", "keras_seq.models", "serving.client", "tuning"} <= set(code)


def test_pages_are_not_in_git():
    assert "/docs/reference/" in (ROOT / ".gitignore").read_text().splitlines()
    assert reference_pages.FOLDER == ROOT / "docs/reference"


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
def test_a_command_is_shown_with_its_actions(name):
    from keras_seq.cli.registry import COMMANDS

    text = reference_pages.commands_page(only=(name,))
    helps = list(reference_pages.helps(COMMANDS[name]))
    assert helps[0].startswith(f"usage: python -m {name}")
    for shown in helps:
        assert f"```\n{shown}\n```" in text


def test_every_command_is_there(monkeypatch):
    from keras_seq.cli.registry import COMMANDS

    monkeypatch.setattr(reference_pages, "helps", lambda command: iter(()))
    text = reference_pages.commands_page()
    assert [line for line in text.splitlines() if line.startswith("### ")] == [
        f"### python -m {name}" for name in COMMANDS
    ]


@pytest.mark.slow
def test_the_whole_reference(tmp_path, capsys):
    """The command: every page, every link of a page leads somewhere, every block of code is closed."""
    from keras_seq.cli.registry import COMMANDS

    reference_pages.main(["--output", str(tmp_path)])
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert f"{len(texts)} pages" in capsys.readouterr().out
    assert set(texts) == set(reference_pages.every_page())
    for name in COMMANDS:
        assert f"### python -m {name}\n\n```\nusage: " in texts["commands.md"], name
    for name, text in texts.items():
        assert text.count("\n```") % 2 == 0, name
        assert reference_pages.NOTE.strip() in text, name
        for link in re.findall(r"\]\(([^)#\s]+)\)", text):
            there = (tmp_path / link).exists() or (reference_pages.FOLDER / link).resolve().exists()
            assert there or "://" in link or name not in ("README.md", "commands.md", "configuration.md"), link


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


def test_the_index_lists_every_page(code):
    text = reference_pages._index(code)
    for name in ("commands", "configuration", *code):
        assert f"({name}.md)" in text
