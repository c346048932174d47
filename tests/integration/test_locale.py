"""Commands where Python, by its locale, could name ASCII files only, or where a terminal shows few letters."""

import os
import random

import pytest

from tests.factories.commands import run_commands

PLACES = {
    "C": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONUTF8": "0"},
    "ASCII terminal": {"PYTHONIOENCODING": "ascii"},
    "Latin-1 terminal": {"PYTHONIOENCODING": "latin-1:strict"},
}


@pytest.fixture
def folder(tmp_path):
    """A folder with a table, both of them and its columns with letters beyond ASCII."""
    folder = tmp_path / "Öfen ñ"
    folder.mkdir()
    draw = random.Random(0)
    rows = [(i, draw.gauss(0, 1), draw.gauss(0, 1)) for i in range(120)]
    lines = ["Zeit,Größe,температура,y", *(f"{i},{a:.3f},{b:.3f},{a + b:.3f}" for i, a, b in rows)]
    (folder / "küche.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def run(folder, place, *commands):
    """What each command says, all of them in one process started in the place."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONUTF8", "LC_"))}
    environment["PYTHONPATH"] = os.path.abspath(environment.get("PYTHONPATH", "."))
    outcomes, said = run_commands(commands, cwd=folder, env=environment | PLACES[place])
    assert not any(code for code, _ in outcomes), said.decode("utf-8", "replace")[-3000:]
    return [out for _, out in outcomes]


@pytest.mark.parametrize("place", PLACES)
def test_a_first_look_names_columns_and_files(folder, place):
    first, check, again = run(
        folder, place,
        "keras_seq.init küche.csv --target y --out gerät.yaml --budget 0",
        "keras_seq.data check --config gerät.yaml --json",
        "keras_seq init küche.csv --target y --unit none --overwrite --budget 0",
    )  # fmt: skip
    assert ("температура".encode() in first) == (place in ("C", "POSIX"))
    text = (folder / "gerät.yaml").read_text(encoding="utf-8")
    assert "температура" in text and "küche.csv" in text
    assert b"Traceback" not in check
    assert b"k_che.yaml" in again


@pytest.mark.nightly
@pytest.mark.parametrize("place", ["C", "Latin-1 terminal"])
def test_a_table_is_trained_predicted_and_reported(folder, place):
    run(
        folder, place,
        "keras_seq.init küche.csv --target y --out gerät.yaml --budget 0",
        "keras_seq.train --config gerät.yaml --name ofen --output läufe --model.family ridge"
        " --tracking.uri sqlite:///läufe/база.db --export.saved_models modèles",
        "keras_seq.predict läufe/ofen/seed-0/bundle küche.csv --out größen.csv",
        "keras_seq.report läufe/ofen/seed-0",
    )  # fmt: skip
    assert (folder / "größen.csv").stat().st_size > 10
    assert (folder / "läufe/база.db").is_file()  # whether anything is served, the gate decides
    assert not [path for path in folder.rglob("*") if not str(path).isprintable()]
