"""Sets that nobody tuned to, from file to served answers, with nothing said but the target and how far ahead.

    .venv/bin/python scripts/strangers.py [--only water_flow,occupancy] [--jobs 2] [--output docs/strangers.md]

Each set is taken as its owner would bring it: ``init``, ``train`` (two epochs, small), ``predict --every 1``,
``export``, an embedded server and its client on the same file, each by its command line. The test metric that training
prints is computed once more from what ``predict`` answers and from the file as another reader reads it; both must agree
to 1e-5 of the target's mean size, as float32 holds it. A set that takes longer than ``--limit`` seconds is given up.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from strangers_sets import STRANGERS, Stranger

SMALL = ("--training.epochs", "2", "--model.units", "16", "--tracking.backend", "none", "--export.saved_model", "false")
NAIVE = "note: the naive reference is better"
COLUMNS = (
    "file, target", "rows", "task", "hand work", "told", "model", "naive (which)", "model better",
    "by another reader", "served, differs by", "s",
)  # fmt: skip
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="parts of the files' paths, with commas")
    parser.add_argument("--jobs", type=int, default=1, help="sets at a time")
    parser.add_argument("--limit", type=float, default=180, help="seconds a set may take")
    parser.add_argument("--output", help="write the table to this Markdown file too")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(_one(STRANGERS[options.one])))
        return
    wanted = [part for part in options.only.split(",") if part]
    chosen = [
        number
        for number, stranger in enumerate(STRANGERS)
        if not wanted or any(part in stranger.file for part in wanted)
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        lines = list(pool.map(lambda number: _child(number, options.limit), chosen))
    if options.output:
        _write(Path(options.output), lines)


def _write(path: Path, lines: list[str]) -> None:
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition("<!-- table -->\n")
    _, _, tail = rest.partition("<!-- end -->\n")
    path.write_text(f"{head}<!-- table -->\n{HEADER}" + "\n".join(lines) + f"\n<!-- end -->\n{tail}", encoding="utf-8")


def _child(number: int, limit: float) -> str:
    """Line of the table, worked out in a process of its own, so that a crash is one set's."""
    stranger, begun = STRANGERS[number], time.monotonic()
    command = [sys.executable, __file__, "--one", str(number)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        )
        cells = json.loads(done.stdout) if done.returncode == 0 else {"told": f"**crash**: {done.stderr[-300:]}"}
    except subprocess.TimeoutExpired:
        cells = {"told": f"given up after {limit:.0f} s"}
    cells |= {"file, target": f"{stranger.file}, {stranger.target}", "hand work": str(len(stranger.hand) // 2)}
    cells["s"] = f"{time.monotonic() - begun:.0f}"
    line = "| " + " | ".join(cells.get(name, "").replace("|", "\\|").replace("\n", " ") for name in COLUMNS) + " |"
    print(line, flush=True)
    return line


def _command(name: str, *words: str) -> str:
    """What a command prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = importlib.import_module(f"keras_seq.commands.{name}").main(words)
    if code:
        raise RuntimeError(f"{name}: exit code {code}: {said.getvalue()[-300:]}")
    return said.getvalue()


def _one(stranger: Stranger) -> dict[str, str]:
    from keras_seq.errors import KerasSeqError

    cells: dict[str, str] = {}
    home = Path(os.environ.get("KERAS_SEQ_DATA", Path.home() / ".cache" / "keras_seq"))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for step in (_understand, _train, _judge, _serve):
            try:
                cells |= step(stranger, home / stranger.file)
            except KerasSeqError as error:
                word = "refused" if step is _understand else f"**{step.__name__[1:]}**"
                text = str(error).replace(f"{home}/", "").split(". ")[0]
                return cells | {"told": f"{cells.get('told', '')} {word}: {text[:240]}".strip()}
    return cells


def _understand(stranger: Stranger, path: Path) -> dict[str, str]:
    ahead = ("--horizon", str(stranger.horizon)) if stranger.horizon else ()
    words = ("--target", stranger.target, *ahead, *stranger.hand, "--budget", "1", "--out", "made.yaml", "--json")
    told = json.loads(_command("init", str(path), *words))
    value = {one["key"]: one["value"] for one in told["choices"]}
    when = value.get("data.time")
    parts = [
        value.get("data.task") or "as the file tells",
        f"time {'+'.join(when) if isinstance(when, list) else when}",
    ]
    parts += [f"unit {value['data.unit']}"] if value.get("data.unit") else []
    parts += [f"words {', '.join(value['data.categories'])}"] if value.get("data.categories") else []
    parts += [f"repeated stamps: {value['data.duplicates']}"] if value.get("data.duplicates") else []
    parts += ["official parts"] if value.get("data.split.by") == "official" else []
    return {"task": "; ".join(parts)}


def _train(stranger: Stranger, path: Path) -> dict[str, str]:
    checked = _command("data", "check", "--config", "made.yaml")
    warnings = [line.strip() for line in checked.splitlines() if "warning [" in line]
    said = _command("train", "--config", "made.yaml", *SMALL)
    metrics = json.loads((_bundle() / "metrics.json").read_text())
    naive = metrics.get("naive") or {}
    name = next(name for name in ("accuracy", "mae") if name in metrics["test"])
    rows = next((line.split(" rows in ")[0].split()[-1] for line in checked.splitlines() if " rows in " in line), "")
    return {
        "rows": rows,
        "told": f"{len(warnings)} warnings" if warnings else "",
        "model": f"{name} {metrics['test'][name]:.4g}",
        "naive (which)": f"{naive['test'][name]:.4g} ({naive['name']})" if naive else "",
        "model better": _better(said),
    }


def _better(said: str) -> str:
    """Yes, or the metrics of which training said that the naive reference is better."""
    if NAIVE not in said:
        return "yes"
    worse = said.split(NAIVE, 1)[1].split("test part: ", 1)[1].splitlines()[0].split(", ")
    return f"no: {', '.join(one.split()[0] for one in worse)}"


def _bundle() -> Path:
    return next(Path().glob("runs/*/seed-0/bundle"))


def _asked(stranger: Stranger, path: Path) -> Path:
    """The file that is answered: the official test file where there is one."""
    return path.parent / stranger.test if stranger.test else path


def _judge(stranger: Stranger, path: Path) -> dict[str, str]:
    if stranger.truth is None:
        return {}
    asked = _asked(stranger, path)
    _command("predict", str(_bundle()), str(asked), "--every", "1", "--out", "all.parquet")
    metrics = json.loads((_bundle() / "metrics.json").read_text())
    own = metrics.get("test_files", {}).get(asked.stem) or metrics["test"]
    answers, truth = pd.read_parquet("all.parquet"), stranger.truth(asked)
    spec = json.loads((_bundle() / "spec.json").read_text())
    if stranger.per == "case":
        last = answers.groupby(answers.columns[0], sort=False).tail(1)["class"].astype(str).to_numpy()
        judged = truth["y"].notna().to_numpy()  # of every case, in the file's order, known where it is a test case
        right = last[judged] == truth["y"][judged].astype(str).to_numpy()
        name, value, printed, size = "accuracy", float(np.mean(right)), own["accuracy"], 1.0
    else:
        name, value, printed, size = _stepwise(answers, truth, spec, own, official=bool(stranger.test))
    agree = abs(printed - value) <= 1e-5 * size
    return {"by another reader": f"{name} {value:.6g}" + ("" if agree else f" **against {printed:.6g}**")}


def _stepwise(
    answers: pd.DataFrame, table: pd.DataFrame, spec: dict[str, Any], own: dict[str, float], *, official: bool
) -> tuple[str, float, float, float]:
    """Name, recomputed and printed value of the test metric, and the mean size of its truths.

    The test part is the last share of every unit's rows, or the whole of an official test file.
    """
    config = yaml.safe_load((_bundle() / "config.yaml").read_text())
    horizon, stride = spec["horizon"], config["data"]["windows"]["stride"]
    share = 1.0 if official else config["data"]["split"]["test"]
    column = "probability" if "probability" in answers else spec["targets"][0]
    units = table["unit"].nunique()
    own_rows = dict(iter(answers.groupby(answers.columns[0], sort=False))) if units > 1 else {}
    truths, values = [], []
    for unit, rows in table.groupby("unit", sort=False):
        truth = rows["y"].to_numpy(np.float64)
        count = len(truth)
        test = count - (round(share * count) if share <= 1 else int(share))
        mine = (own_rows[unit] if units > 1 else answers)[column].to_numpy(np.float64).reshape(-1, max(horizon, 1))
        last = count - len(mine) + np.arange(len(mine))  # row that each answer has seen last
        if horizon:
            judged = np.arange(test - 1, count - horizon, stride)
            chosen = np.isin(last, judged)
            truths.append(truth[last[chosen][:, None] + 1 + np.arange(horizon)])
        else:
            chosen = last >= test
            truths.append(truth[last[chosen], None])
        values.append(mine[chosen])
    truth, value = np.concatenate(truths), np.concatenate(values)
    whole = np.isfinite(truth).all(axis=1)
    truth, value = truth[whole].ravel(), value[whole].ravel()
    if "brier" in own:
        return "brier", float(np.mean((value - truth) ** 2)), own["brier"], 1.0
    return "mae", float(np.mean(np.abs(value - truth))), own["mae"], float(np.mean(np.abs(truth)))


def _serve(stranger: Stranger, path: Path) -> dict[str, str]:
    """The same windows asked of an embedded server, beside ``predict``."""
    asked = _asked(stranger, path)
    with contextlib.suppress(RuntimeError):  # a version that is not blessed is pushed all the same
        _command("export", str(_bundle()), "--formats", "saved_model,onnx", "--push", "models/stranger", "--force")
    every = str(stranger.every)
    _command("predict", str(_bundle()), str(asked), "--every", every, "--out", "some.parquet")
    with _server(Path("models/stranger")) as url:
        client = [sys.executable, "-m", "serving.client", "predict", "stranger", str(asked), "--url", url]
        done = subprocess.run([*client, "--every", every, "--out", "served.parquet"], capture_output=True, text=True)
    if done.returncode:
        return {"served, differs by": f"**{done.stderr.strip()[-300:]}**"}
    one, other = pd.read_parquet("some.parquet"), pd.read_parquet("served.parquet")
    if list(one) != list(other) or len(one) != len(other):
        return {"served, differs by": f"**{len(other)} rows of {list(other)}, not {len(one)} of {list(one)}**"[:300]}
    numbers = [name for name in one.select_dtypes("number") if one[name].dtype.kind == "f"]
    rest = [name for name in one if name not in numbers]
    same = all((one[name].astype(str) == other[name].astype(str)).all() for name in rest)
    differs = max(
        (float((one[name] - other[name]).abs().max() / (one[name].abs().max() or 1)) for name in numbers), default=0
    )
    return {"served, differs by": f"{differs:.1e} of {len(one)} rows" + ("" if same else " **other texts**")}


@contextlib.contextmanager
def _server(base: Path) -> Any:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    flags = [f"--model_name={base.name}", f"--model_base_path={base.resolve()}", f"--rest_api_port={port}", "--port=0"]
    command = [sys.executable, "-m", "serving", *flags, "--backend=embedded", "--extras_prefix=/keras_seq"]
    url = f"http://127.0.0.1:{port}"
    with open("server.log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(url, server)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            with urlopen(f"{url}/keras_seq/ready", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start: {Path('server.log').read_text()[-300:]}")


if __name__ == "__main__":
    main()
