"""First models and best settings beside the peers, on the same rows, metrics recomputed from raw answers.

    scripts/leaderboard [--only m4_hourly,trace] [--peers all|none|aeon,...] [--ours init,best] [--output FILE.md]

Of every set ``init`` writes a configuration from the file, its target and how far ahead; its rows and parts are handed
to the peers as arrays. "init" is ``train`` on what ``init`` wrote, "best" a configuration that was tuned to the set.
A peer runs in an environment of its own below ``--environments``, made when it is missing (``--peers none`` needs
none). What a peer answered is kept in ``--work`` and reused while the rows are the same. Seconds are of the processor,
of ``init`` and ``train`` together; metrics are of the test part, which no one has seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from leaderboard_sets import PEERS, SETS, Entry, Peer

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "keras_seq"
LIMIT = 900.0  # seconds a child may take
COLUMNS = (
    "set", "metric", "ours, by init", "family", "CPU s", "ours, best", "naive by train", "peers, best first (CPU s)",
    "place",
)  # fmt: skip
HEADER = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"


@dataclass(frozen=True)
class Score:
    """A way's metrics on a set, or why there are none."""

    name: str
    metrics: dict[str, float]
    seconds: float
    why: str = ""


def main() -> None:
    options = _parser().parse_args()
    wanted = options.only.split(",") if options.only else [entry.name for entry in SETS]
    lines = []
    for entry in (entry for entry in SETS if entry.name in wanted):
        lines.append(_line(entry, options))
        print(lines[-1], flush=True)
    if options.output:
        _write(Path(options.output), lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names of sets, with commas")
    parser.add_argument("--peers", default="all", help="all, none, or libraries with commas; '' is scikit-learn's")
    parser.add_argument("--ours", default="init,best", help="init, best, both with a comma, or none")
    parser.add_argument("--work", type=Path, default=CACHE / "leaderboard", help="rows and answers are kept here")
    parser.add_argument("--environments", type=Path, default=CACHE / "peers", help="the peers' environments")
    parser.add_argument("--output", help="write the table to this Markdown file too")
    return parser


def _line(entry: Entry, options: argparse.Namespace) -> str:
    folder = options.work / entry.name
    folder.mkdir(parents=True, exist_ok=True)
    rows = _rows(entry, folder)
    kind = json.loads(str(np.load(rows)["meta"]))["kind"]
    own = {name: _ours(entry, folder, rows, name) for name in options.ours.split(",") if name in ("init", "best")}
    libraries = [peer.library for peer in PEERS] if options.peers == "all" else options.peers.split(",")
    scores = [
        _peer(peer, entry, rows, folder, options.environments)
        for peer in PEERS
        if peer.kind == kind and peer.library in libraries
    ]
    return _row(entry, own, scores)


def _rows(entry: Entry, folder: Path) -> Path:
    """The rows, as a configuration without pilots divides them."""
    made, rows = folder / "rows.yaml", folder / "rows.npz"
    if not rows.exists():
        _init(entry, made, ("--budget", "0"))
        _run([sys.executable, HERE / "leaderboard_rows.py", "rows", made, rows, *entry.data])
    return rows


def _init(entry: Entry, made: Path, more: Sequence[str] = ()) -> float:
    home = Path(os.environ.get("KERAS_SEQ_DATA", Path.home() / ".cache" / "keras_seq"))
    ahead = ("--horizon", str(entry.horizon)) if entry.horizon else ()
    words = (home / entry.file, "--target", entry.target, *ahead, "--out", made, "--overwrite", *more)
    return _run([sys.executable, "-m", "keras_seq.init", *words])


def _ours(entry: Entry, folder: Path, rows: Path, which: str) -> Score | None:
    """Ours as ``init`` writes it, or the setting tuned to the set."""
    made, seconds = folder / f"{which}.yaml", 0.0
    if which == "best" and not entry.best:
        return None
    try:
        if which == "best" and isinstance(entry.best, str):
            made = HERE.parent / "configs" / entry.best
        else:
            seconds = _init(entry, made)
        more = entry.best if which == "best" and not isinstance(entry.best, str) else ()
        fixed = ("--name", f"board-{which}", "--tracking.backend", "none", "--export.saved_model", "false")
        data = () if which == "best" and isinstance(entry.best, str) else entry.data
        seconds += _run(
            [sys.executable, "-m", "keras_seq.train", "--config", made, *data, *more, *fixed],
            folder,
            folder / f"{which}.log",
        )
    except RuntimeError as error:
        return Score(which, {}, seconds, str(error))
    bundle = max((folder / "runs" / f"board-{which}").glob("*/bundle"), key=lambda path: path.stat().st_mtime)
    printed = json.loads((bundle / "metrics.json").read_text())
    if which == "best" and isinstance(entry.best, str):  # its own rows and protocol: what it prints
        return Score(which, printed["test"], seconds)
    answers = folder / f"{which}.npz"
    _run([sys.executable, HERE / "leaderboard_rows.py", "answers", bundle, rows, answers])
    metrics = _metrics(rows, np.load(answers)["answers"]) if entry.horizon else printed["test"]
    config = (bundle / "config.yaml").read_text()
    family = next(line.split(":")[1].strip() for line in config.splitlines() if line.startswith("  family:"))
    reference = printed.get("naive") or {}
    told = reference.get("test", {}).get(entry.metric)
    return Score(family, metrics | ({"reference": told} if told is not None else {}), seconds)


def _peer(peer: Peer, entry: Entry, rows: Path, folder: Path, environments: Path) -> Score:
    """A peer's metrics; from what it answered before, where the rows are the same."""
    fingerprint = hashlib.sha256(rows.read_bytes() + (HERE / "peers" / peer.script).read_bytes()).hexdigest()[:12]
    out = folder / f"peer-{peer.name.replace(' ', '_')}-{fingerprint}.npz"
    note = out.with_suffix(".json")
    if not out.exists() and not note.exists():
        try:
            python = _environment(peer, environments)
            word = [peer.method, str(entry.season)] if peer.kind == "forecast" else [peer.method]
            seconds = _run([python, HERE / "peers" / peer.script, rows, out, *word], log=folder / f"{out.stem}.log")
            note.write_text(json.dumps({"seconds": seconds}))
        except RuntimeError as error:
            note.write_text(json.dumps({"seconds": 0.0, "why": str(error)}))
    told = json.loads(note.read_text())
    if "why" in told:
        return Score(peer.name, {}, told["seconds"], told["why"])
    return Score(peer.name, _metrics(rows, np.load(out)["answers"]), told["seconds"])


def _environment(peer: Peer, environments: Path) -> Path:
    if not peer.library:
        return Path(sys.executable)
    folder = environments / peer.library
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        _run([python, "-m", "pip", "install", "--quiet", *peer.packages])
    return python


def _run(command: Sequence[Any], where: Path | None = None, log: Path | None = None) -> float:
    """Processor seconds of a child.

    Raises:
        RuntimeError: it failed or took longer than LIMIT; the last line that it said.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [str(word) for word in command], cwd=where, capture_output=True, text=True, timeout=LIMIT, env=environment
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"given up after {LIMIT:.0f} s") from None
    if log:
        log.with_suffix(".log").write_text(done.stdout + done.stderr)
    if done.returncode:
        raise RuntimeError(((done.stderr or done.stdout).strip().splitlines() or ["no word"])[-1][-200:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _metrics(rows_file: Path, answers: NDArray[Any]) -> dict[str, float]:
    """Metrics of answers, by NumPy from the rows alone."""
    with np.load(rows_file) as rows:
        if json.loads(str(rows["meta"]))["kind"] == "windows":
            return {"accuracy": float(np.mean(answers.reshape(len(answers)) == rows["y_test"]))}
        truth = rows["truth"].astype(np.float64)
        answers = answers.astype(np.float64)
        known = np.isfinite(truth)
        error = np.where(known, answers - np.nan_to_num(truth), 0.0)
        count = known.sum()
        size = np.where(known, np.abs(answers) + np.abs(np.nan_to_num(truth)), 1.0)
        return {
            "mae": float(np.abs(error).sum() / count),
            "rmse": float(np.sqrt(np.square(error).sum() / count)),
            "smape": float(200 * (np.abs(error) / np.where(size > 0, size, 1.0)).sum() / count),
        }


def _row(entry: Entry, own: dict[str, Score | None], peers: list[Score]) -> str:
    sign = -1 if entry.higher_is_better else 1
    judged = sorted(
        (peer for peer in peers if entry.metric in peer.metrics), key=lambda p: sign * p.metrics[entry.metric]
    )
    init, best = own.get("init"), own.get("best")
    place = ""
    if init and entry.metric in init.metrics and judged:
        ahead = sum(sign * peer.metrics[entry.metric] < sign * init.metrics[entry.metric] for peer in judged)
        place = f"{ahead + 1} of {len(judged) + 1}"
    cells = [
        entry.name,
        entry.metric,
        _cell(init, entry.metric),
        init.name if init and init.metrics else "",
        f"{init.seconds:.0f}" if init else "",
        _cell(best, entry.metric),
        f"{init.metrics['reference']:.4g}" if init and "reference" in init.metrics else "",
        "; ".join(f"{peer.name} {peer.metrics[entry.metric]:.4g} ({peer.seconds:.0f})" for peer in judged)
        + "".join(f"; {peer.name}: {peer.why}" for peer in peers if peer.why),
        place,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _cell(score: Score | None, metric: str) -> str:
    if score is None:
        return ""
    return f"{score.metrics[metric]:.4g}" if metric in score.metrics else (score.why or "no such metric")


def _write(path: Path, lines: list[str]) -> None:
    head, _, rest = path.read_text(encoding="utf-8").partition("<!-- table -->\n")
    _, _, tail = rest.partition("<!-- end -->\n")
    table = HEADER + "\n".join(lines)
    path.write_text(f"{head}<!-- table -->\n{table}\n<!-- end -->\n{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
