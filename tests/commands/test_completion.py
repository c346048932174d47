"""TAB completes commands, options, fields, their values and files: asked of the shells themselves."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keras_seq import cli, config
from keras_seq.cli.registry import COMMANDS
from keras_seq.commands.completion import collect, main, tables
from keras_seq.models.registry import names

ROOT = Path(__file__).parents[2]
ASK = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
function="$(complete -p "${{COMP_WORDS[0]}}" | sed -n 's/.*-F \\([^ ]*\\) .*/\\1/p')"
"$function" "${{COMP_WORDS[0]}}" "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """What ``python -m keras_seq completion bash`` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "keras_seq", "completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    path = tmp_path_factory.mktemp("completion") / "keras_seq.bash"
    path.write_text(done.stdout)
    return path


@pytest.fixture
def tab(script, tmp_path):
    """What bash offers for words, the last of them unfinished."""

    def press(*words, before=""):
        code = before + ASK.format(script=shlex.quote(str(script)), words=" ".join(map(shlex.quote, words)))
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stderr == ""
        return [line for line in done.stdout.splitlines() if line]

    return press


def test_commands(tab):
    assert tab("python", "-m", "keras_seq.tr") == ["keras_seq.train"]
    assert tab("python3", "-m", "serving.t") == ["serving.tf_serving"]
    assert set(tab("python", "-m", "")) == {"keras_seq", *COMMANDS}
    assert tab("python", "-m", "keras_seq", "trai") == ["train"]
    assert tab("keras-seq", "evalu") == ["evaluate"]
    assert set(tab("python", "-m", "tuning", "")) == {"status", "best", "pareto", "report"}
    assert tab("python", "-m", "keras_seq", "serving.client", "pre") == ["predict"]


@pytest.mark.parametrize("start", [("-m", "keras_seq.train"), ("-W", "error", "-m", "keras_seq", "train")])
def test_options_and_fields(tab, start):
    stems = tab("python", *start, "--")
    assert {"--config", "--json", "--seed", "--data.", "--training."} <= set(stems)
    assert not [one for one in stems if one.startswith("--training.") and one != "--training."]
    wanted = {f"--{name}" for name in config.fields() if name.startswith("training.")}
    assert set(tab("python", *start, "--training.")) == wanted
    assert tab("python", *start, "--data.windows.horiz") == ["--data.windows.horizon"]


def test_fields_that_a_command_does_not_take_are_not_offered(tab):
    assert tab("python", "-m", "keras_seq.evaluate", "--training.") == []
    assert set(tab("python", "-m", "keras_seq.evaluate", "--evaluation.")) == {
        "--evaluation.at",
        "--evaluation.min_steps",
    }
    assert "--tuning.pruning" in tab("python", "-m", "tuning", "--tuning.")
    assert tab("python", "-m", "keras_seq.data", "check", "--sourc") == ["--source"]


def test_values(tab):
    assert set(tab("python", "-m", "keras_seq.train", "--training.optimizer", "")) == {"adam", "adamw"}
    assert set(tab("python", "-m", "keras_seq.train", "--model.family", "")) == set(names())
    assert tab("python", "-m", "keras_seq.train", "--data.source", "cmap") == ["cmapss"]
    assert tab("python", "-m", "keras_seq.train", "--training.jit", "=", "tr") == ["true"]  # as bash cuts --jit=tr
    assert tab("python", "-m", "keras_seq.train", "--training.jit", "=") == ["true", "false"]
    assert tab("python", "-m", "keras_seq.train", "--seed", "") == []
    assert set(tab("python", "-m", "keras_seq.evaluate", "x", "--part", "")) == {"train", "validation", "test"}
    assert "stacking" in tab("python", "-m", "keras_seq.ensemble", "--method", "")
    assert "docker" in tab("python", "-m", "serving", "--backend", "=")


def test_files(tab, tmp_path):
    (tmp_path / "pumps.yaml").touch()
    (tmp_path / "runs").mkdir()
    assert tab("python", "-m", "keras_seq.train", "--config", "pu") == ["pumps.yaml"]
    assert tab("python", "-m", "keras_seq.evaluate", "ru") == ["runs"]
    assert tab("python", "-m", "keras_seq.train", "--data.path", "=", "pu") == ["pumps.yaml"]
    assert tab("python", "pu") == ["pumps.yaml"]  # python without -m


def test_other_modules_go_where_they_went(tab):
    before = "_old() { COMPREPLY=(as-before); }; complete -F _old python\n"
    assert tab("python", "-m", "pip", "ins", before=before) == ["as-before"]
    assert tab("python", "-m", "keras_seq.tr", before=before) == ["keras_seq.train"]


def test_every_command_and_action_has_its_words():
    found = collect()
    assert set(COMMANDS) <= set(found)
    for path, words in found.items():
        assert {"--json", "--help"} <= set(words.options), path
    assert found["keras_seq.data"].actions[:3] == ("list", "formats", "check")


def test_every_field_has_an_entry():
    assert {f"--{name}" for name in config.fields()} <= set(tables().values)


def test_methods_of_selection():
    from keras_seq.commands.select import NAMES
    from keras_seq.selection.select import METHODS

    assert set(NAMES) == set(METHODS)


def test_nothing_heavy_is_imported():
    code = (
        "import sys\nfrom keras_seq.completion import main\nmain(['bash'])\n"
        "print([name for name in ('tensorflow', 'keras', 'mlflow', 'sklearn', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_read_their_script(shell, tmp_path, capsys):
    assert main([shell]) == 0
    path = tmp_path / f"keras_seq.{shell}"
    path.write_text(capsys.readouterr().out)
    assert "--training.optimizer" in path.read_text()
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed here")
    done = subprocess.run([program, "-n", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if shell == "fish":
        ask = f"source {path}; complete -C 'python -m keras_seq.train --training.optim'"
        done = subprocess.run([program, "-c", ask], capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["--training.optimizer"]


def test_an_unknown_shell(capsys):
    assert cli.run(main, ["bsh"]) == 2
    assert "did you mean 'bash'" in capsys.readouterr().err
