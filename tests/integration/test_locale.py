"""Commands where Python, by its locale, could name ASCII files only, or where a terminal shows few letters."""

import os
import random
import subprocess
import sys

import pytest

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


def run(folder, place, *words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONUTF8", "LC_"))}
    environment["PYTHONPATH"] = os.path.abspath(environment.get("PYTHONPATH", "."))
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env=environment | PLACES[place], capture_output=True, timeout=900
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-3000:]
    return done.stdout


@pytest.mark.parametrize("place", PLACES)
def test_a_first_look_names_columns_and_files(folder, place):
    said = run(folder, place, "keras_seq.init", "küche.csv", "--target", "y", "--out", "gerät.yaml")
    assert ("температура".encode() in said) == (place in ("C", "POSIX"))
    text = (folder / "gerät.yaml").read_text(encoding="utf-8")
    assert "температура" in text and "küche.csv" in text
    said = run(folder, place, "keras_seq.data", "check", "--config", "gerät.yaml", "--json")
    assert b"Traceback" not in said
    said = run(folder, place, "keras_seq", "init", "küche.csv", "--target", "y", "--unit", "none", "--overwrite")
    assert b"k_che.yaml" in said


@pytest.mark.slow
@pytest.mark.parametrize("place", ["C", "Latin-1 terminal"])
def test_a_table_is_trained_predicted_and_reported(folder, place):
    run(folder, place, "keras_seq.init", "küche.csv", "--target", "y", "--out", "gerät.yaml")
    words = ["--config", "gerät.yaml", "--name", "ofen", "--output", "läufe", "--model.family", "ridge"]
    words += ["--tracking.uri", "sqlite:///läufe/база.db", "--export.saved_models", "modèles"]
    run(folder, place, "keras_seq.train", *words)
    bundle = folder / "läufe/ofen/seed-0/bundle"
    run(folder, place, "keras_seq.predict", str(bundle), "küche.csv", "--out", "größen.csv")
    assert (folder / "größen.csv").stat().st_size > 10
    run(folder, place, "keras_seq.report", str(bundle.parent))
    assert (folder / "läufe/база.db").is_file()  # whether anything is served, the gate decides
    assert not [path for path in folder.rglob("*") if not str(path).isprintable()]
