"""The command line of a study, and the cluster manifest that uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from keras_seq import cli
from keras_seq.errors import ConfigError
from tuning import __main__ as command
from tuning.records import open_study
from tuning.worker import VARIABLES, work

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "docs" / "kubernetes" / "tuning.yaml"


def test_help_answers_without_tensorflow():
    code = (
        "import sys\nfrom tuning.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('tensorflow', 'keras', 'keras_tuner', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "--tuner" in done.stdout and "prune_after" in done.stdout
    assert done.stdout.strip().endswith("[]")


def test_the_manifest_gives_commands_and_variables_that_exist():
    jobs = [part for part in yaml.safe_load_all(MANIFEST.read_text()) if part["kind"] == "Job"]
    chief, worker = (job["spec"]["template"]["spec"]["containers"][0] for job in jobs)
    words = chief["command"][chief["command"].index("tuning") + 1 :]
    options, rest = command.make_parser().parse_known_args(words)
    assert not rest and (options.role, options.workers) == ("chief", 0)
    assert (ROOT / options.config).exists()
    shell = worker["command"][2]
    assert "--role worker" in shell and VARIABLES[0] in shell
    named = {entry["name"] for entry in worker["env"]}
    assert set(VARIABLES[1:]) <= named
    assert str(options.port) == next(e["value"] for e in worker["env"] if e["name"] == "KERASTUNER_ORACLE_PORT")


def test_a_worker_without_a_chief_says_what_is_missing(tmp_path, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "study.json").write_text('{"name": "x", "format": 1}')
    with pytest.raises(ConfigError, match=r"KERASTUNER_TUNER_ID is not set.*--role chief"):
        work(open_study(tmp_path))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "0"], "--workers must be at least 1"),
        (["--tuner", "annealing"], "annealing"),
        (["--tuning.trails", "3"], "did you mean 'trials'"),
        (["--model.unitz", "3"], "did you mean 'units'"),
        (["status", "nowhere"], "holds no study"),
        (["best", "nowhere", "--retrain", "-1"], "must not be negative"),
    ],
)
def test_wrong_words_are_one_paragraph(words, message, capsys):
    assert cli.run(command.main, words) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
