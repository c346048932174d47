"""The commands that are killed: what they start from, how they are called, and what they must give."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TINY = """name: tiny
output: runs
data:
  source: jvowels
  split: {by: official, validation: 0.2}
  windows: {mode: whole, length: 30}
  bucket: 30
model: {family: lstm, units: 4, layers: 1, hidden_dims: []}
training: {epochs: 2, batch_size: 32, jit: false, backup_seconds: 0, deterministic: true}
evaluation: {baseline: false}
tracking: {uri: "sqlite:///mlflow.db", log_model: false}
export: {saved_models: served}
tuning:
  trials: 2
  tuner: random
  space: {model.units: [2, 3, 4, 5], training.learning_rate: {low: 0.001, high: 0.01}}
"""
Result = Callable[[Path], Any]


@dataclass(frozen=True)
class Command:
    """One command under test.

    Attributes:
        words: module and arguments.
        result: what a finished one has given; equal, whatever happened before.
        cold: its work is done by interpreters that it starts, so nothing is gained by forking it.
        base: start from trained bundles and a served version; otherwise from the configuration alone.
        weight: share of the kills.
        over: whether a killed one had done everything, so that the same command does it again.
    """

    words: tuple[str, ...]
    result: Result
    cold: bool = False
    base: bool = True
    weight: float = 1.0
    over: Result | None = None


def make_base(place: Path, run: Callable[..., None]) -> None:
    """Two trained bundles, one of them served, their record, a CSV file and server configurations.

    Args:
        place: empty folder.
        run: runs a command there to its end.
    """
    for seed in ("0", "1"):
        run("keras_seq.train", "--config", "tiny.yaml", "--seed", seed, "--export.saved_model", "false")
    run("keras_seq.export", "runs/tiny/seed-0", "--formats", "saved_model,keras", "--output", "exported", cold=True)
    for number in ("1", "2"):
        run("tests.endurance.commands", "push", "exported/1", "served/tiny")
        assert (place / "served" / "tiny" / number / "saved_model.pb").is_file()
    run("tests.endurance.commands", "table", "rows.csv")
    (place / "models.config").write_text(
        "model_config_list { config { name: 'tiny' base_path: 'served/tiny' model_platform: 'tensorflow' } }\n"
    )
    run("serving.rollout", "set", "tiny", "--weights", "1=100", "--file", "rollout.yaml")


def main(argv: list[str]) -> int:
    """Small commands of the project's functions that have no command line of their own."""
    {"push": _push, "table": _table, "record": _record, "fetch": _fetch, "store": _store}[argv[0]](*argv[1:])
    return 0


def _push(version: str, base: str) -> None:
    from keras_seq.export.push import push

    push(version, base, force=True)


def _table(path: str) -> None:
    import pandas as pd

    from keras_seq import config
    from keras_seq.data.sources.registry import load_series

    series = load_series(config.from_dict(config.override({}, {"data.source": "jvowels"})).data)
    last = int(series.offsets[40])
    frame = pd.DataFrame(np.asarray(series.values[:last]), columns=list(series.schema.features))
    frame.insert(0, "utterance", np.repeat(series.unit_ids[:40], np.diff(series.offsets[:41])))
    frame["speaker"] = np.repeat(np.asarray(series.targets).reshape(-1)[:40], np.diff(series.offsets[:41])).astype(int)
    frame.to_csv(path, index=False)


def _record() -> None:
    """The first run in a store that is not there yet."""
    from keras_seq import config, tracking

    experiment = config.from_dict(config.override({}, {"tracking.uri": "sqlite:///new.db", "output": "runs"}))
    with tracking.track(experiment, run_name="first") as tracker:
        tracker.log_params({"a": 1})


def _store() -> None:
    """A file as the store that training streams from."""
    from keras_seq import config
    from keras_seq.data.store.cache import stored_series

    options = {"source": "table", "path": "rows.csv", "unit": "utterance", "targets": ["speaker"], "task": "multiclass"}
    stored_series(
        config.from_dict(config.override({}, {f"data.{name}": value for name, value in options.items()})).data
    )


def _fetch() -> None:
    """Files of a known set from a server on this machine that hands them out slowly."""
    import hashlib
    import threading
    import time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    from keras_seq.data.fetch import fetch
    from keras_seq.data.home import data_home
    from keras_seq.data.sources.registry import Download

    content = (data_home(None) / "cmapss" / "RUL_FD001.txt").read_bytes()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            for begin in range(0, len(content), 64):
                self.wfile.write(content[begin : begin + 64])
                time.sleep(0.02)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    digest = hashlib.sha256(content).hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/x"
    places = tuple(Download(f"{name}.txt", url, digest, len(content)) for name in ("one", "two"))
    fetch("cmapss", "fetched", downloads=places)


# ---------------------------------------------------------------- results


def _weights(path: Path) -> dict[str, Any]:
    """Digests of the arrays of a ``.keras`` file."""
    import hashlib
    import io

    import h5py

    found: dict[str, Any] = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:

        def take(name: str, item: Any) -> None:
            if hasattr(item, "dtype"):
                found[name] = hashlib.sha256(np.ascontiguousarray(item[()]).tobytes()).hexdigest()[:12]

        file.visititems(take)
    return found


def _metrics(bundle: Path) -> dict[str, Any]:
    found = json.loads((bundle / "metrics.json").read_text())
    return {part: _rounded(found[part]) for part in ("validation", "test")}


def _rounded(tree: Any, digits: int = 6) -> Any:
    if isinstance(tree, Mapping):
        return {key: _rounded(value, digits) for key, value in tree.items()}
    return float(f"{tree:.{digits}g}") if isinstance(tree, float) else tree


def bundle_result(bundle: str) -> Result:
    """Weights bit for bit, and metrics."""

    def result(place: Path) -> Any:
        return [_weights(place / bundle / "model.keras"), _metrics(place / bundle)]

    return result


def _crossval(place: Path) -> Any:
    found = json.loads((place / "runs/cv/crossval.json").read_text())
    return [[run["seed"], run["fold"], _rounded(run["metrics"]["validation"])] for run in found["runs"]]


def _study(place: Path) -> Any:
    from tuning.records import open_study

    study = open_study(place / "studies/tiny")
    assert (place / "studies/tiny/best.yaml").is_file() and (place / "studies/tiny/report/report.html").is_file()
    return [[record.number, record.status, record.values] for record in study.records()]


def _compressed(place: Path) -> Any:
    bundle = place / "runs/tiny/seed-0-prune/bundle"
    found = json.loads((bundle / "compression.json").read_text())
    return [found["total_sparsity"], sorted(found["forms"]["after"]), _metrics(bundle)]


def _exported(place: Path) -> Any:
    from keras_seq.export.gate import read_verdict

    own, served = (
        place / "runs/tiny/seed-0/export",
        sorted(path.name for path in (place / "served/tiny").glob("[0-9]*")),
    )
    version = max(own.glob("[0-9]*"), key=lambda path: int(path.name))
    names = sorted(str(path.relative_to(version)) for path in version.rglob("*") if path.is_file())
    return [names, read_verdict(version)["blessed"], len(served) > 2]  # type: ignore[index]


def _explained(place: Path) -> Any:
    from keras_seq.explain import layout

    folder = place / "runs/tiny/seed-0/explanations"
    layout.read(folder)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    with np.load(next(folder.rglob("*.npz"))) as stored:
        return [
            names,
            {
                name: np.round(stored[name].astype(float), 5).tolist()
                for name in stored.files
                if stored[name].dtype.kind == "f"
            },
        ]


def _retrained(place: Path) -> Any:
    found = json.loads((place / "retrain/tiny/state.json").read_text())
    served = sorted(path.name for path in (place / "served/tiny").glob("[0-9]*"))
    return [found["step"], Path(found["pushed"]).name, served, _weights(Path(place / found["bundle"]) / "model.keras")]


def _retrain_over(place: Path) -> bool:
    path = place / "retrain/tiny/state.json"
    return path.is_file() and json.loads(path.read_text())["step"] in ("done", "failed")


def _texts(*names: str) -> Result:
    return lambda place: {name: (place / name).read_text() for name in names}


def _stored(place: Path) -> Any:
    from keras_seq.data.store.folder import open_store

    return [open_store(path).fingerprint() for path in sorted((place / "stores").glob("[!.]*"))]


def _listed(*patterns: str) -> Result:
    return lambda place: [sorted(str(path.relative_to(place)) for path in place.glob(pattern)) for pattern in patterns]


def _runs(place: Path) -> Any:
    from keras_seq.tracking import open_store

    client = open_store(f"sqlite:///{place}/new.db")
    experiments = [one.experiment_id for one in client.search_experiments()]
    return "FINISHED" in [run.info.status for run in client.search_runs(experiments)]


NO_RECORD = ("--tracking.backend", "none")
CONFIG = ("--config", "tiny.yaml")
RETRAIN = ("--model", "tiny", "--base", "served/tiny", "--warm-start", "--formats", "saved_model,keras")
COMMANDS: dict[str, Command] = {
    "train": Command(
        ("keras_seq.train", *CONFIG, "--name", "fresh"), bundle_result("runs/fresh/seed-0/bundle"), base=False, weight=2
    ),
    "first record": Command(("tests.endurance.commands", "record"), _runs, base=False),
    "crossval": Command(
        ("keras_seq.crossval", *CONFIG, "--name", "cv", "--folds", "2", "--seeds", "0", *NO_RECORD),
        _crossval,
        cold=True,
        weight=0.7,
    ),
    "tuning": Command(("tuning", *CONFIG, "--tracking", "none"), _study, cold=True, weight=0.7),
    "compress": Command(
        ("keras_seq.compress", "runs/tiny/seed-0", "--method", "prune", "--epochs", "1"), _compressed, weight=0.7
    ),
    "export": Command(
        (
            *("keras_seq.export", "runs/tiny/seed-0", "--formats", "saved_model,onnx,keras"),
            *("--push", "served/tiny", "--force", *NO_RECORD),
        ),
        _exported,
        weight=0.7,
    ),
    "ensemble": Command(
        ("keras_seq.ensemble", "runs/tiny/seed-0", "runs/tiny/seed-1", "--output", "runs/both", *NO_RECORD),
        lambda place: _metrics(place / "runs/both/bundle"),
    ),
    "data store": Command(("tests.endurance.commands", "store"), _stored),
    "data fetch": Command(
        ("tests.endurance.commands", "fetch"), _texts("fetched/cmapss/one.txt", "fetched/cmapss/two.txt"), base=False
    ),
    "explain": Command(
        (
            *("keras_seq.explain", "runs/tiny/seed-0", "--samples", "3", "--local", "1"),
            *("--methods", "integrated_gradients", "--backgrounds", "5"),
        ),
        _explained,
    ),
    "report": Command(
        ("keras_seq.report", "runs/tiny/seed-0", "--png"),
        _listed("runs/tiny/seed-0/report.html", "runs/tiny/seed-0/report_pictures/*"),
    ),
    "predict": Command(
        ("keras_seq.predict", "runs/tiny/seed-0", "rows.csv", "--out", "answers.csv"), _texts("answers.csv")
    ),
    "retrain": Command(("serving.retrain", *RETRAIN), _retrained, weight=0.7, over=_retrain_over),
    "rollout": Command(
        ("serving.rollout", "set", "tiny", "--weights", "1=90,2=10", "--file", "rollout.yaml"), _texts("rollout.yaml")
    ),
    "server config": Command(
        ("serving.rollout", "rollback", "tiny", "--to", "1", "--policy", "models.config"), _texts("models.config")
    ),
    "roll back": Command(
        ("serving.rollout", "rollback", "tiny", "--base", "served/tiny"),
        lambda place: (place / "served/tiny/3/saved_model.pb").is_file(),
    ),
    "deploy files": Command(
        ("serving.tf_serving", "write", "deploy", "--models", "served", "--replace"),
        _listed("deploy/**/*"),
    ),
}
