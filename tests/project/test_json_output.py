"""Every command answers --json with one document on standard output, for a success and for a mistake."""

from __future__ import annotations

import datetime
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq import cli
from keras_seq.cli import output
from keras_seq.cli.registry import COMMANDS, GROUPS, find
from keras_seq.commands.completion import parser_of
from keras_seq.errors import DataError
from tests.factories.offenders import check_each
from tests.factories.study import make_study

ROOT = Path(__file__).parents[2]


def actions_of(command):
    return getattr(import_module(command.module).main, "actions", ())


EVERY = [(command.name, action) for command in COMMANDS.values() for action in ("", *actions_of(command))]


def document(text):
    """The one object of a text; what is not finite has no place in it."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    lines = text.splitlines()
    assert len(lines) == 1, text[:2000]
    found = json.loads(lines[0], parse_constant=refuse)
    assert isinstance(found, dict) and {"command", "status", "seconds"} <= set(found)
    assert (found["status"] == "failed") == ("error" in found)
    return found


@pytest.fixture
def ask(capfd):
    """Runs a command with --json in this process: exit code, document, standard error."""

    def run(name, *words):
        capfd.readouterr()
        code = cli.run(import_module(find(name).module).main, [*map(str, words), "--json"])
        said = capfd.readouterr()
        return code, document(said.out), said.err

    return run


def process(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)], capture_output=True, text=True, check=False, cwd=ROOT, **options
    )


# --- every command of the listing


def test_the_listing_holds_every_command_there_is():
    """A module with a command line that is not listed is found here."""
    inner = {"tuning.worker", "serving.server.worker", "keras_seq.export.isolated_child"}  # never started by people
    there = set()
    for package in ("keras_seq", "tuning", "serving"):
        for path in (ROOT / package).rglob("*.py"):
            if '\nif __name__ == "__main__"' in path.read_text(encoding="utf-8"):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                there.add(name.removesuffix(".__main__").replace("keras_seq.commands.", "keras_seq."))
    assert there - inner - {"keras_seq"} == set(COMMANDS)


def test_every_command_knows_json():
    check_each(knows_json, EVERY)


def knows_json(name, action):
    parser = parser_of(COMMANDS[name], action)
    assert parser is not None, "its words are not read by a parser of keras_seq.cli"
    assert output.FLAG in parser.format_help()
    assert callable(import_module(COMMANDS[name].module).main.title), "it is not made by cli.command"


def test_a_mistake_is_one_document_and_exit_code_2(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_each(lambda name, action: is_one_document(capfd, tmp_path, name, action), [("keras_seq", ""), *EVERY])


def is_one_document(capfd, tmp_path, name, action):
    capfd.readouterr()
    main = import_module(COMMANDS[name].module if name in COMMANDS else "keras_seq.__main__").main
    words = [*([action] if action else []), "--no-such-option", "3"]
    assert cli.run(main, [*words, "--json"]) == 2
    said = capfd.readouterr()
    found = document(said.out)
    assert found["command"] == f"{name} {action}".rstrip() and found["status"] == "failed"
    assert found["error"]["kind"] in ("ConfigError", "ModelError") and found["error"]["message"]
    assert "Traceback" not in said.err and f"error: {found['error']['message']}" in said.err
    assert not list(tmp_path.iterdir())
    assert cli.run(main, words) == 2  # as without, but for the document
    plain = capfd.readouterr()
    assert plain.out == "" and plain.err == said.err


@pytest.mark.parametrize(
    "words",
    [
        ["keras_seq", "trian", "--json"],
        ["keras_seq.train", "--json", "--model.family", "lstmm"],
        ["keras_seq", "evaluate", "nowhere", "--json"],
        ["tuning", "status", "nowhere", "--json"],
        ["serving", "--json", "--rest_api_prot=1"],
        ["serving.client", "status", "any", "--url", "nonsense", "--json"],
    ],
    ids=" ".join,
)
def test_mistakes_of_real_processes(words):
    done = process(*words)
    assert done.returncode == 2, done.stderr
    found = document(done.stdout)
    assert found["error"]["message"] in done.stderr and "Traceback" not in done.stderr


# --- successes


def test_the_listing_and_its_groups(ask):
    code, found, _ = ask("keras_seq.data", "--home", "/nowhere")
    assert code == 0 and {"found", "missing"} & {one["state"] for one in found["sources"]}
    done = process("keras_seq", "--json", "--all")
    found = document(done.stdout)
    assert [row["name"] for row in found["commands"]] == list(COMMANDS)
    assert list(dict.fromkeys(row["group"] for row in found["commands"])) == list(GROUPS)
    assert "lstm" in found["families"] and "co2" in [row["name"] for row in found["sources"]]


def test_what_the_process_and_its_children_print_goes_to_stderr():
    """Python, its descriptor, and a child: three ways to spoil a document."""
    code = (
        "import os, subprocess, sys\nfrom keras_seq import cli\n"
        "@cli.command('chatty')\n"
        "def main(argv):\n"
        "    print('python')\n    os.write(1, b'native\\n')\n    subprocess.run(['echo', 'child'])\n"
        "    sys.__stdout__.write('late\\n')\n"
        "    return cli.Result({'gone': float('nan'), 'rows': [{'a': float('inf')}]})\n"
        "sys.exit(cli.run(main, ['--json']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    found = document(done.stdout)
    assert (done.returncode, found["gone"], found["rows"]) == (0, None, [{"a": None}])
    assert set(done.stderr.split()) == {"python", "native", "child", "late"}


def test_a_bug_gives_a_document_and_keeps_its_traceback():
    code = (
        "import sys\nfrom keras_seq import cli\n"
        "@cli.command('broken')\ndef main(argv):\n    return cli.Result({'a': 1 / 0})\n"
        "sys.exit(cli.run(main, ['--json']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1 and "Traceback" in done.stderr
    assert document(done.stdout)["error"]["kind"] == "ZeroDivisionError"


def test_a_result_may_fail_with_what_it_found(capfd):
    @cli.command("half")
    def main(argv):
        return cli.Result({"rows": [1]}, "one row", DataError("the other row is bad"))

    assert cli.run(main, ["--json"]) == 2
    found = document(capfd.readouterr().out)
    assert found["rows"] == [1] and found["error"] == {"kind": "DataError", "message": "the other row is bad"}
    assert cli.run(main, []) == 2
    said = capfd.readouterr()
    assert (said.out, said.err) == ("one row\n", "error: the other row is bad\n")


def test_the_document_keeps_its_own_fields():
    with pytest.raises(ValueError, match="'status'"):
        cli.Result({"status": "best"})


def test_plain_values():
    table = pd.DataFrame({"at": pd.to_datetime(["2024-01-02", None]), "x": np.float32([1.5, np.nan])})
    given = {"table": table, "of": (np.int64(3), {4}), "none": None, Path("a"): Path("b"), "on": np.bool_(True)}
    given |= {"day": datetime.date(2024, 1, 2), "deep": np.array([[1.0, math.inf]])}
    assert json.loads(output.dumps(given)) == {
        "table": [{"at": "2024-01-02T00:00:00", "x": 1.5}, {"at": None, "x": None}],
        "of": [3, [4]],
        "none": None,
        "a": "b",
        "on": True,
        "day": "2024-01-02",
        "deep": [[1.0, None]],
    }
    with pytest.raises(TypeError, match="bytes"):
        output.dumps({"raw": b"1"})


def test_a_check_of_real_data(ask, tmp_path):
    code, found, _ = ask("keras_seq.data", "check", "--source", "co2")
    assert (code, found["command"]) == (0, "keras_seq.data check")
    assert found["statistics"]["rows"] == 2284 and found["quality"]["errors"] == 0
    bad = tmp_path / "bad.csv"
    bad.write_text("unit,at,x,y\na,1,1,0\na,1,inf,1\n")
    words = ["--path", bad, "--unit", "unit", "--time", "at", "--targets", "[y]"]
    code, found, err = ask("keras_seq.data", "check", *words)
    assert code == 2 and found["quality"]["errors"] and found["error"]["kind"] == "DataError" and "error:" in err


@pytest.fixture(scope="module")
def weekly(tmp_path_factory):
    """The real CO2 series as a CSV of one's own."""
    from statsmodels.datasets import co2

    path = tmp_path_factory.mktemp("weekly") / "weekly.csv"
    co2.load_pandas().data.ffill().rename_axis("week").to_csv(path)
    return path


def test_init(ask, weekly, tmp_path):
    asked = ("--target", "co2", "--horizon", "2", "--budget", "0", "--out", tmp_path / "w.yaml")
    code, found, _ = ask("keras_seq.init", weekly, *asked)
    assert code == 0 and found["config"] == str(tmp_path / "w.yaml") and Path(found["config"]).is_file()
    assert [column["name"] for column in found["columns"]] == ["week", "co2"]


def test_studies(ask, tmp_path):
    study = make_study(tmp_path / "study", trials=16)
    code, found, _ = ask("tuning", "status", study.folder)
    assert (code, found["command"], found["objective"]) == (0, "tuning status", "rmse")
    assert sum(found["counts"].values()) == len(found["trials"]) == 16
    assert found["best"]["score"] == min(one["score"] for one in found["trials"] if one["status"] == "completed")
    code, found, _ = ask("tuning", "best", study.folder)
    assert code == 0 and found["comparison"] is None and Path(found["best_config"]).is_file()


@pytest.mark.slow
def test_report_and_front_of_a_study(ask, tmp_path):
    study = make_study(tmp_path / "study", trials=16)
    code, found, _ = ask("tuning", "report", study.folder)
    assert code == 0 and Path(found["report"]).is_file()
    code, found, _ = ask("tuning", "pareto", study.folder, "--against", "parameters")
    assert code == 0 and found["fronts"]["parameters"]


@pytest.mark.slow
def test_store(ask, tmp_path):
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow.MlflowClient(uri).create_experiment("pumps")
    code, found, _ = ask("keras_seq.status", "--uri", uri)
    assert (code, found["experiments"], found["models"]) == (0, [], [])


def test_rollout(ask, tmp_path):
    file = tmp_path / "rollout.yaml"
    code, found, _ = ask("serving.rollout", "set", "caster", "--weights", "3=90,4=10", "--file", file)
    assert (code, found["command"]) == (0, "serving.rollout set")
    assert found["models"]["caster"]["weights"] == {"3": 90.0, "4": 10.0}
    ask("serving.rollout", "set", "caster", "--weights", "4=100", "--file", file)
    code, found, _ = ask("serving.rollout", "rollback", "caster", "--file", file)
    assert code == 0 and found["models"]["caster"]["weights"] == {"3": 90.0, "4": 10.0}
    assert ask("serving.rollout", "status", "--file", file)[1]["models"] == found["models"]


def test_monitor(ask, tmp_path):
    (tmp_path / "status").mkdir()
    (tmp_path / "status" / "1.json").write_text('{"time": 1.0, "dropped": 0, "failures": 0, "versions": []}')
    assert ask("serving.monitor", "status", "--folder", tmp_path)[1]["processes"][0]["time"] == 1.0
    assert ask("serving.monitor", "events", "--folder", tmp_path)[1]["events"] == []


def test_deployment_files(ask, tmp_path):
    (tmp_path / "models" / "pumps" / "1").mkdir(parents=True)
    (tmp_path / "models" / "pumps" / "1" / "saved_model.pb").touch()
    code, found, _ = ask("serving.tf_serving", "write", tmp_path / "deploy", "--models", tmp_path / "models")
    assert code == 0 and all(Path(path).is_file() for path in found["written"])


@pytest.mark.parametrize("name", ["serving", "serving.client", "serving.tf_serving", "keras_seq.train"])
def test_help_is_a_text_in_the_document(ask, name):
    code, found, _ = ask(name, *(["--help"] if name in ("serving", "keras_seq.train") else []))
    assert code == 0 and "usage:" in found["text"]


# --- trained models


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A bundle of the real CO2 series in a run folder of its own; untrained."""
    from tests.factories.exports import co2_bundle

    return shutil.copytree(co2_bundle().folder, tmp_path_factory.mktemp("run") / "bundle")


QUIET = ("--tracking.backend", "none")


@pytest.mark.slow
def test_evaluate_and_predict(ask, run, weekly, tmp_path, capfd, monkeypatch):
    code, found, _ = ask("keras_seq.evaluate", run)
    assert code == 0 and math.isfinite(found["metrics"]["rmse"])
    code, found, _ = ask("keras_seq.predict", run, weekly, "--every", "1000")
    assert code == 0 and found["rows"] == len(found["answers"]) > 1
    assert {"co2", "steps_ahead"} <= set(found["answers"][0])
    code, found, _ = ask("keras_seq.predict", run, weekly, "--out", tmp_path / "answers.csv")
    assert found["written"] == str(tmp_path / "answers.csv") and "answers" not in found
    text = "".join(weekly.read_text().splitlines(keepends=True)[:4])
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert cli.run(import_module("keras_seq.predict").main, [str(run), "--stream", "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(rows) == 3 and all(isinstance(row["co2_ahead1"], float) for row in rows)


@pytest.mark.slow
def test_export_report_and_benchmark(ask, run, tmp_path):
    code, found, _ = ask("keras_seq.export", run, "--formats", "keras", "--output", tmp_path / "export", *QUIET)
    assert code == 0 and found["blessed"] is False and Path(found["version"]).is_dir()
    code, found, _ = ask("keras_seq.report", run, "--out", tmp_path / "report.html")
    assert code == 0 and Path(found["report"]).stat().st_size == found["bytes"]
    words = ["--formats", "keras,onnx", "--threads", "1", "--windows", "16", "--output", tmp_path / "bench"]
    code, found, _ = ask("keras_seq.benchmark", run, *words)
    assert code == 0 and {row["format"] for row in found["rows"]} == {"keras", "onnx"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_compress(ask, tmp_path):
    from tests.factories.bundles import CO2, experiment, make_bundle

    wide = make_bundle(experiment(CO2, tmp_path, **{"model.units": 16}))  # with kernels that are worth it
    code, found, _ = ask("keras_seq.compress", wide, "--method", "ptq", "--output", tmp_path / "small")
    assert code == 0, found
    assert Path(found["bundle"]).is_dir() and found["method"] == "ptq"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_explain(ask, run, tmp_path):
    words = ["--samples", "2", "--methods", "occlusion", "--backgrounds", "2", "--local", "0", *QUIET]
    code, found, _ = ask("keras_seq.explain", run, *words, "--output", tmp_path / "why")
    assert code == 0, found
    assert Path(found["folder"]).is_dir() and found["findings"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_train_and_what_is_made_of_runs(ask, tmp_path, monkeypatch):
    """From two trained runs to their comparison and ensemble; crossval finds the first one finished."""
    from keras_seq import config
    from tests.factories.experiments import co2_tree, placed

    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(config.to_yaml(placed(co2_tree(), tmp_path, runs="runs", **{"training.epochs": 1})))
    name = config.load(path).name
    runs = []
    for seed in (0, 1):
        code, found, err = ask("keras_seq.train", "--config", path, "--seed", seed, "--export.saved_model", "false")
        assert code == 0 and math.isfinite(found["metrics"]["test"]["rmse"]) and "trained on" in err
        runs.append(found["folder"])
    code, found, _ = ask("keras_seq.crossval", "--config", path, "--seeds", "0")
    assert code == 0 and len(found["runs"]) == 1 and Path(found["folder"]) == tmp_path / "runs" / name
    code, found, _ = ask("keras_seq.compare", *runs, "--output", tmp_path / "compared", "--no-costs", *QUIET)
    assert code == 0 and found["winner"] and len(found["contenders"]) == 2
    words = ["--output", tmp_path / "both", "--export.saved_model", "false"]
    code, found, _ = ask("keras_seq.ensemble", *runs, *words)
    assert code == 0 and Path(found["bundle"]).is_dir()
    code, found, _ = ask("keras_seq.select", "--config", path, "--method", "none")
    assert code == 0 and found["features"]


@pytest.mark.slow
def test_temporal(ask, tmp_path):
    from tests.factories.versions import judged

    code, found, _ = ask("keras_seq.temporal", judged().folder, "--answers", "2", "--output", tmp_path)
    assert code == 0 and found["bands"] and found["detection"]["positives"] > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_server_says_in_one_line_that_it_is_ready(tmp_path):
    from tests.factories.versions import version

    ports = free_ports(2)
    words = ["--model_name=caster", f"--model_base_path={version().folder.parent}", "--backend=embedded"]
    words += [f"--rest_api_port={ports[0]}", f"--port={ports[1]}"]
    command = [sys.executable, "-m", "serving", *words, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            found = json.loads(server.stdout.readline())
            assert (found["command"], found["status"], found["event"]) == ("serving", "ok", "ready")
            assert (found["rest_api_port"], found["port"]) == tuple(ports)
            (model,) = found["models"]
            assert model["name"] == "caster" and model["versions"][0]["state"] == "AVAILABLE"
            words = ["status", "caster", "--url", f"http://127.0.0.1:{ports[0]}", "--json"]
            assert document(process("serving.client", *words).stdout)["versions"][0]["state"] == "AVAILABLE"
            words[0] = "metadata"
            assert "serving_default" in document(process("serving.client", *words).stdout)["signatures"]
        finally:
            server.terminate()
            rest, _ = server.communicate(timeout=60)
    assert rest == "" and server.returncode == 0


@pytest.mark.slow
def test_a_server_that_cannot_start_says_so(tmp_path):
    done = process("serving", f"--models={tmp_path / 'none'}", "--json", "--backend=embedded", env=dict(os.environ))
    found = document(done.stdout)
    assert done.returncode == 2 and found["status"] == "failed"


def free_ports(count):
    import socket

    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in made]
    for one in made:
        one.close()
    return ports


# --- the examples of docs/automation.md


def blocks(language):
    text = (ROOT / "docs" / "automation.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("sh"))))
def test_examples_of_the_shell(number, tmp_path):
    """Blocks marked sh run as they are; bash ones need a trained model or change your home."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed here")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", blocks("sh")[number]],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0 and done.stdout, done.stderr
    assert ("serving\tserving.client" in done.stdout) == (number == 0)
    assert ("did you mean 'lstm'" in done.stdout) == (number == 1)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_examples_of_python(number, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", blocks("python")[number], "a", "b", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    if number == 1:
        found = document(done.stdout)
        assert (found["command"], found["words"]) == ("mine.count", 2)
    else:
        assert done.stdout.startswith("ok ")


def test_the_page_names_every_command():
    text = (ROOT / "docs" / "automation.md").read_text(encoding="utf-8")
    assert not [command.name for command in COMMANDS.values() if command.short.split(".")[-1] not in text]
