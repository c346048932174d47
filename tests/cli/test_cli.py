from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

import pytest

from keras_seq import cli
from keras_seq.cli import registry
from keras_seq.errors import ConfigError, DataError, OutputError

COMMANDS = ["keras_seq", *registry.COMMANDS]


def parse(*words):
    return cli.parse_experiment(cli.experiment_parser("keras_seq.train", "text"), words)[1]


def test_options_in_every_spelling():
    assert parse("--model.units", "128").model.units == 128
    assert parse("--model.units=96").model.units == 96
    assert parse("--training.deterministic").training.deterministic is True
    assert parse("--training.jit", "false").training.jit is False
    assert parse("--model.quantiles", "[0.1, 0.9]").model.quantiles == (0.1, 0.9)
    assert parse("--data.split.seed", "-3").data.split.seed == -3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.unitz", "3"], "did you mean 'units'"),
        (["--model.units"], "'--model.units' needs a value"),
        (["stray"], "Unexpected argument 'stray'"),
        (["--config", "none.yaml"], "'none.yaml' does not exist"),
        (["--config"], "expected one argument"),
        (["--help-me"], "help_me"),
    ],
)
def test_wrong_options(words, message):
    with pytest.raises(ConfigError, match=message):
        parse(*words)


@pytest.mark.parametrize(
    ("error", "code"),
    [(DataError("broken"), 2), (KeyboardInterrupt(), 130), (OSError(28, "No space left on device", "/x"), 2)],
)
def test_user_errors_are_one_paragraph(error, code, capsys):
    def main(argv):
        raise error

    assert cli.run(main) == code
    captured = capsys.readouterr().err
    assert "Traceback" not in captured
    assert len(captured.strip().splitlines()) == 1


def test_bugs_keep_their_traceback():
    def main(argv):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.run(main)


def test_output_error_is_an_os_error_with_a_message():
    assert "disk" in str(OutputError("the disk is full"))


def python(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


HELP_OF_ALL = """
import contextlib, io, json, runpy, sys
heavy, found = {"tensorflow", "keras", "pandas", "sklearn", "mlflow", "matplotlib", "scipy"}, {}
for command in sys.argv[1:]:
    sys.argv, said, before = ["x", "--help"], io.StringIO(), heavy & set(sys.modules)
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        runpy.run_module(command, run_name="__main__")
    found[command] = {"heavy": sorted(heavy & set(sys.modules) - before), "usage": "usage:" in said.getvalue()}
print(json.dumps(found))
"""


def test_help_needs_no_heavy_import():
    done = python("-c", HELP_OF_ALL, *COMMANDS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {command: {"heavy": [], "usage": True} for command in COMMANDS}


@pytest.mark.parametrize("package", ["keras_seq", "tuning", "serving"])
def test_import_is_light(package):
    done = python("-c", f"import {package}, sys; print('tensorflow' in sys.modules, 'keras' in sys.modules)")
    assert done.stdout.split() == ["False", "False"], done.stderr


@pytest.mark.benchmark
@pytest.mark.slow
@pytest.mark.parametrize("words", [("-c", "import keras_seq"), *(("-m", c, "--help") for c in COMMANDS)], ids=" ".join)
def test_answers_within_half_a_second(words):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert python(*words).returncode == 0
        times.append(time.perf_counter() - start)
    assert statistics.median(times) < 0.5


def test_no_traceback_from_the_command_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "keras_seq.train", "--model.family", "lstmm", "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 2
    assert "did you mean 'lstm'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
