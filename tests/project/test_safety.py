"""Nothing that a user loads can run code, and nothing is loaded that was changed after it was written."""

from __future__ import annotations

import ast
import json
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from keras_seq import cli, files
from keras_seq.errors import ModelError, OutputError
from tests.factories.exports import co2_bundle, exported

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for package in ("keras_seq", "tuning", "serving") for path in (ROOT / package).rglob("*.py"))

PICKLES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "jsonpickle", "shelve", "marshal"}
RUNS_TEXT = {"eval", "exec", "compile"}
RUNS_SHELL = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"}
READS_PICKLE = {"read_pickle", "to_pickle", "torch.load", "enable_unsafe_deserialization", "tempfile.mktemp"}
UNSAFE_YAML = {"yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all", "yaml.full_load_all"}
UNVERIFIED = {"ssl._create_unverified_context"}

# What stays, and why.
JUSTIFIED = {
    ("serving/contract/protos.py", "exec"): "generated protobuf code out of two installed packages, found by their "
    "own names; importing them the usual way would import all of TensorFlow",
}


def offences(source):
    """``(line, what)`` of everything that could run foreign code, in a module's source."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names if name.name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {node.module.split(".")[0], *(alias.name for alias in node.names)}
            found += [(node.lineno, name) for name in names & (PICKLES | {"pickle_compat"})]
        elif isinstance(node, ast.Call):
            found += [(node.lineno, what) for what in _calls(node)]
    return found


def _calls(node):
    name = ast.unparse(node.func)
    last = name.rpartition(".")[2]
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in RUNS_TEXT or name in ("builtins.eval", "builtins.exec"):
        yield name
    if {name, last} & (RUNS_SHELL | READS_PICKLE | UNSAFE_YAML | UNVERIFIED):
        yield name
    if name in ("yaml.load", "yaml.load_all") and "Safe" not in ast.unparse(node):
        yield name
    for word, safe in (("shell", False), ("allow_pickle", False), ("safe_mode", True), ("verify", True)):
        if word in given and getattr(given[word], "value", None) is not safe and not _is_name(given[word], word):
            yield f"{word}={ast.unparse(given[word])}"
    if last == "load_model" and name != "load_model" and "safe_mode" not in given:
        yield f"{name} without safe_mode=True"


def _is_name(value, word):
    return isinstance(value, ast.Name) and value.id == word and word == "verify"


def test_nothing_runs_foreign_code():
    assert len(MODULES) > 300
    offenders = []
    for path in MODULES:
        where = str(path.relative_to(ROOT))
        calls = offences(path.read_text(encoding="utf-8"))
        offenders += [f"{where}:{line}: {what}" for line, what in calls if (where, what) not in JUSTIFIED]
    assert not offenders, "\n".join(offenders)


def test_what_is_justified_is_still_there():
    for where, what in JUSTIFIED:
        assert what in [found for _, found in offences((ROOT / where).read_text(encoding="utf-8"))], where


def test_the_scan_finds_what_runs_code_and_lets_pass_the_rest():
    unsafe = [
        "import pickle",
        "import joblib.hashing",
        "from sklearn.externals import joblib",
        "from dill import loads",
        "eval('1')",
        "builtins.exec(x)",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=flag)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "keras.models.load_model(path)",
        "keras.saving.load_model(path, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "pd.read_pickle(path)",
        "requests.get(url, verify=False)",
    ]
    assert not [source for source in unsafe if not offences(source)]
    safe = [
        "yaml.safe_load(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "np.load(path, allow_pickle=False)",
        "keras.models.load_model(path, safe_mode=True)",
        "model.compile(jit=True)",
        "re.compile('x')",
    ]
    assert not [source for source in safe if offences(source)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A real bundle of its own."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    shutil.copytree(co2_bundle().folder, folder)
    return folder


@pytest.fixture
def changed(bundle):
    """The bundle with one byte of its model changed; whole again afterwards."""
    path = bundle / "model.keras"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    yield bundle
    path.write_bytes(whole)


def test_any_file_of_a_bundle(bundle):
    from keras_seq.bundle import load_bundle

    load_bundle(bundle)
    for name in files.read_json(bundle / "manifest.json")["files"]:
        path = bundle / name
        whole = path.read_bytes()
        path.write_bytes(whole + b" ")
        with pytest.raises(ModelError, match="sha256 differs"):
            load_bundle(bundle)
        path.write_bytes(whole)
    load_bundle(bundle)


def test_a_file_added_to_a_bundle_is_not_read(bundle, tmp_path):
    from keras_seq.bundle import load_bundle

    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    manifest = files.read_json(copy / "manifest.json")
    del manifest["files"]["decision.json"]
    files.write_json(copy / "manifest.json", manifest)
    files.write_json(copy / "decision.json", {"threshold": 0.0})
    assert load_bundle(copy).decision == {}


COMMANDS = {
    "keras_seq.evaluate": ["BUNDLE"],
    "keras_seq.predict": ["BUNDLE", "rows.csv"],
    "keras_seq.export": ["BUNDLE", "--output", "OUT"],
    "keras_seq.benchmark": ["BUNDLE"],
    "keras_seq.compare": ["BUNDLE", "BUNDLE", "--output", "OUT"],
    "keras_seq.temporal": ["BUNDLE"],
    "keras_seq.report": ["BUNDLE", "--out", "OUT.html"],
    "keras_seq.ensemble": ["BUNDLE", "BUNDLE", "--output", "OUT"],
    "keras_seq.compress": ["BUNDLE", "--output", "OUT"],
    "keras_seq.explain": ["BUNDLE", "--output", "OUT"],
    "serving.retrain": ["--model", "m", "--base", "OUT", "--bundle", "BUNDLE", "--work", "WORK"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_changed_model(command, changed, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("co2\n1\n")
    places = {"BUNDLE": str(changed), "OUT": str(tmp_path / "out"), "WORK": str(tmp_path / "work")}
    words = [places.get(word, word) for word in COMMANDS[command]]
    try:
        main = import_module(f"{command}.__main__").main
    except ModuleNotFoundError:
        main = import_module(command).main
    assert cli.run(main, words) == 2
    said = capsys.readouterr().err
    assert "'model.keras'" in said and "sha256 differs" in said
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_warm_start_refuses_a_changed_model(bundle, changed):
    from keras_seq.training.warm_start import load_source

    for given in (changed, changed / "model.keras"):
        with pytest.raises(ModelError, match="sha256 differs"):
            load_source(given)


def test_warm_start_takes_a_whole_model_and_one_that_stands_alone(bundle, tmp_path):
    from keras_seq.training.warm_start import load_source

    shutil.copy(bundle / "model.keras", tmp_path)
    assert len(load_source(bundle).weights) == len(load_source(tmp_path / "model.keras").weights) > 0


@pytest.mark.parametrize("spoil", ["beside", "manifest", "above", "none"])
def test_every_digest_that_is_known_must_hold(tmp_path, spoil):
    path = tmp_path / "keras_seq" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(b"model")
    known = dict.fromkeys(("beside", "manifest", "above"), files.sha256(path)) | {spoil: "0" * 64}
    path.with_name("model.onnx.sha256").write_text(f"{known['beside']}  model.onnx\n")
    files.write_json(path.with_name("manifest.json"), {"files": {"keras_seq/model.onnx": known["manifest"]}})
    files.write_json(tmp_path / "manifest.json", {"files": {"keras_seq/model.onnx": known["above"]}})
    assert files.is_as_written(path) is (spoil == "none")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": []}', '{"files": 1}'])
def test_a_broken_manifest_vouches_for_nothing(tmp_path, text):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"model")
    (tmp_path / "manifest.json").write_text(text)
    if text == '{"files": []}':  # nothing is listed: nothing is known
        assert files.is_as_written(path)
        return
    with pytest.raises(OutputError, match="cannot be read"):
        files.is_as_written(path)


def test_the_runtime_takes_no_changed_file(tmp_path):
    from keras_seq.runtime import load

    path = exported("onnx")
    shutil.copy(path, tmp_path)
    shutil.copy(path.with_name(path.name + ".sha256"), tmp_path)
    copy = tmp_path / path.name
    load(copy)
    copy.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ModelError, match="sha256 differs"):
        load(copy)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "assets/words.txt"])
def test_the_server_takes_no_changed_version(tmp_path, name):
    from serving.contract.status import Code, Refused
    from serving.models.loading import load_version
    from serving.models.settings import ManagerSettings

    for each in ("saved_model.pb", "variables/variables.index", "assets/words.txt"):
        (tmp_path / each).parent.mkdir(exist_ok=True)
        (tmp_path / each).write_bytes(b"as exported")
    listed = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    known = {each: files.sha256(path) for each, path in listed.items()}
    files.write_json(tmp_path / "keras_seq/manifest.json", {"files": known})
    (tmp_path / name).write_bytes(b"changed")
    for settings in (ManagerSettings(), ManagerSettings(prefer_tensorflow=True)):
        with pytest.raises(Refused, match=f"{name} was changed after the export") as refused:
            load_version("m", 1, tmp_path, settings)
        assert refused.value.code == Code.DATA_LOSS


def test_a_champion_that_was_changed_is_not_judged(tmp_path):
    from keras_seq.errors import ExportError
    from keras_seq.export.canary import load_and_answer

    (tmp_path / "saved_model.pb").write_bytes(b"changed")
    files.write_json(tmp_path / "keras_seq/manifest.json", {"files": {"saved_model.pb": "0" * 64}})
    with pytest.raises(ExportError, match=r"'saved_model\.pb'.*was changed"):
        load_and_answer(tmp_path, {})


def test_lambda_layers_of_a_model_do_not_run(tmp_path):
    """A .keras file with code in it, sealed as a bundle's: Keras' safe mode refuses it."""
    import keras

    from keras_seq.training.warm_start import load_source

    layer = keras.layers.Lambda(lambda x: x, output_shape=(2,))
    keras.Sequential([keras.Input((2,)), layer]).save(tmp_path / "model.keras")
    files.write_json(tmp_path / "manifest.json", {"files": {"model.keras": files.sha256(tmp_path / "model.keras")}})
    with pytest.raises(ModelError, match=r"[Ll]ambda|unsafe"):
        load_source(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())
