"""Sets that nobody tuned to, from file to judged answers: init, check, train, predict, and the metric by pandas alone.

    .venv/bin/python scripts/strangers.py [--only water_flow,occupancy] [--output docs/strangers.md]

Each set is taken as its owner would bring it. The test metric that training prints is computed once more from what
``predict --every 1`` answers and from the file as pandas reads it; both must agree to 1e-6 of the target's
mean size, as float32 holds it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

SMALL = ("--training.epochs", "2", "--model.units", "16", "--tracking.backend", "none", "--export.saved_model", "false")
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


@dataclass(frozen=True)
class Stranger:
    """A set and how its owner would bring it.

    Attributes:
        file: below the data home.
        init: options of ``keras_seq.init`` after the file.
        train: options of ``keras_seq.train``.
        read: the file by pandas, independent of us; None where the file is refused.
        time, unit, target: columns of what ``read`` gives.
        why: what it is an example of.
    """

    file: str
    why: str
    init: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    read: Callable[[Path], pd.DataFrame] | None = None
    time: str = ""
    unit: str = ""
    target: str = ""
    asked: tuple[str, ...] = field(default=())


def _occupancy(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)  # the unnamed numbers of rows become the index


def _water(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    return table.assign(Time=pd.to_datetime(table["Time"], utc=True))


def _air_original(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep=";", decimal=",").dropna(how="all").replace(-200, np.nan)


def _dated(name: str) -> Callable[[Path], pd.DataFrame]:
    def read(path: Path) -> pd.DataFrame:
        table = pd.read_csv(path)
        return table.assign(**{name: pd.to_datetime(table[name], utc=True)})

    return read


AIR = ("--model.family", "ridge", "--data.impute", "forward", "--data.missing_codes", "[-200]")
RIDGE = ("--model.family", "ridge")
STRANGERS = (
    Stranger(
        "beijing_pm25/pollution.csv", "gaps, a word column, a row number",
        ("--target", "pm2.5", "--horizon", "1"), RIDGE, pd.read_csv, "No", "", "pm2.5",
    ),
    Stranger(
        "air_quality_italy/AirQualityUCI.csv", "-200 for missing; date and time in two columns",
        ("--target", "C6H6_GT", "--time", "none", "--task", "regression"), AIR,
        lambda path: pd.read_csv(path).replace(-200, np.nan), "", "", "C6H6_GT",
    ),
    Stranger(
        "air_quality_italy/AirQualityUCI_semicolon_decimal_comma.csv", "its original: semicolons, decimal commas",
        ("--target", "C6H6(GT)", "--time", "none", "--task", "regression"), AIR,
        _air_original, "", "", "C6H6(GT)",
    ),
    Stranger("occupancy/datatraining.txt", "rows with unnamed numbers; classes", ("--target", "Occupancy"), (),
             _occupancy, "date", "", "Occupancy"),
    Stranger("bike_hourly/bike_sharing_dataset_clean.csv", "a word column, known calendar",
             ("--target", "users", "--horizon", "24"), RIDGE, pd.read_csv, "date_time", "", "users"),
    Stranger("vic_electricity/vic_electricity.csv", "UTC stamps, local calendar by --data.zone, true and false",
             ("--target", "Demand", "--horizon", "48"), (*RIDGE, "--data.zone", "Australia/Melbourne"),
             _dated("Time"), "Time", "", "Demand"),
    Stranger("water_flow/water-flow.csv", "offsets across a clock change, gaps",
             ("--target", "Water flow [l/s]", "--horizon", "6"), (), _water, "Time", "", "Water flow [l/s]"),
    Stranger("walmart_weekly/walmart_sales_weekly.csv", "units, gaps, true and false",
             ("--target", "Weekly_Sales", "--horizon", "4"), RIDGE, pd.read_csv, "Date", "id", "Weekly_Sales"),
    Stranger("nasa_battery/B0005.csv", "168 rows, a companion of the target",
             ("--target", "soh", "--horizon", "1"), (), pd.read_csv, "discharge", "", "soh"),
    Stranger("exchange_rate/exchange_rate.txt.gz", "no header"),
    Stranger("eeg_eye_state/EEG Eye State.arff", "ARFF"),
    Stranger("basic_motions/BasicMotions_TRAIN.ts", ".ts"),
    Stranger("trace_npz/Trace.npz", "arrays"),
    Stranger("calce_battery/CS2_35_8_17_10.xlsx", "an Excel file"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="parts of the files' paths, with commas")
    parser.add_argument("--output", help="write the table to this Markdown file too")
    options = parser.parse_args()
    home = Path(os.environ.get("KERAS_SEQ_DATA", Path.home() / ".cache" / "keras_seq"))
    wanted = [part for part in options.only.split(",") if part]
    lines = []
    for stranger in STRANGERS:
        if wanted and not any(part in stranger.file for part in wanted):
            continue
        line = _one(stranger, home / stranger.file)
        print(line, flush=True)
        lines.append(line)
    if options.output:
        _write(Path(options.output), lines)


def _write(path: Path, lines: list[str]) -> None:
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition("<!-- table -->\n")
    _, _, tail = rest.partition("<!-- end -->\n")
    path.write_text(f"{head}<!-- table -->\n{HEADER}" + "\n".join(lines) + f"\n<!-- end -->\n{tail}", encoding="utf-8")


COLUMNS = ("file", "what it is like", "understood", "told or refused", "metric, printed", "by pandas", "s")
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **QUIET})


def _one(stranger: Stranger, path: Path) -> str:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        target = stranger.init or ("--target", "y")
        made = _run(folder, "keras_seq.init", str(path), *target, "--out", "made.yaml", "--json")
        if made.returncode:
            reason = json.loads(made.stdout)["error"]["message"]
            text = reason.replace(str(path), path.name).split(". ")[0][:200]
            return _line(stranger, "", f"refused: {text}")
        told = json.loads(made.stdout)
        check = _run(folder, "keras_seq.data", "check", "--config", "made.yaml", *stranger.train)
        trained = _run(folder, "keras_seq.train", "--config", "made.yaml", *SMALL, *stranger.train, "--json")
        if trained.returncode:
            return _line(stranger, _understood(told), f"train: {trained.stderr.strip()[-300:]}")
        bundle = next(folder.glob("runs/*/seed-0/bundle"))
        answers = folder / "answers.parquet"
        done = _run(folder, "keras_seq.predict", str(bundle), str(path), "--every", "1", "--out", str(answers))
        assert done.returncode == 0, done.stderr
        metrics = json.loads((bundle / "metrics.json").read_text())["test"]
        name, printed, recomputed, size = _recomputed(stranger, path, bundle, pd.read_parquet(answers), metrics)
        notes = "; ".join(line.strip() for line in check.stdout.splitlines() if "warning" in line)[:160]
    agree = abs(printed - recomputed) <= 1e-6 * size
    verdict = f"{recomputed:.7g}{'' if agree else ' **differs**'}"
    took = f"{time.monotonic() - begun:.0f}"
    return _line(stranger, _understood(told), notes, f"{name} {printed:.7g}", verdict, took)


def _line(stranger: Stranger, *cells: str) -> str:
    cells = (stranger.file, stranger.why, *cells, *[""] * (len(COLUMNS) - 2 - len(cells)))
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _understood(told: dict[str, Any]) -> str:
    value = {one["key"]: one["value"] for one in told["choices"]}
    parts = [f"{value.get('data.task') or 'task as the file tells'}", f"time {value.get('data.time')}"]
    return ", ".join(part for part in (*parts, f"unit {value['data.unit']}" if value.get("data.unit") else "") if part)


def _recomputed(
    stranger: Stranger, path: Path, bundle: Path, answers: pd.DataFrame, metrics: dict[str, float]
) -> tuple[str, float, float, float]:
    """Name, printed and recomputed value of the test metric, and the mean size of its truths.

    The test part is the last share of every unit's rows.
    """
    config = yaml.safe_load((bundle / "config.yaml").read_text())
    spec = json.loads((bundle / "spec.json").read_text())
    horizon, share, stride = spec["horizon"], config["data"]["split"]["test"], config["data"]["windows"]["stride"]
    assert config["data"]["split"]["by"] == "time" and stranger.read is not None
    table = stranger.read(path)
    table = table if stranger.unit else table.assign(_unit="all")
    unit = stranger.unit or "_unit"
    truths, values = [], []
    first = spec["targets"][0]
    own = answers.groupby(unit if stranger.unit else (lambda _: "all"), sort=False)
    for name, rows in table.groupby(unit, sort=False):
        truth = rows[stranger.target].to_numpy(np.float64)
        count = len(truth)
        test = count - (round(share * count) if share < 1 else int(share))
        mine = own.get_group(name if stranger.unit else "all")
        if horizon:
            grid = mine["probability" if "probability" in mine else first].to_numpy(np.float64).reshape(-1, horizon)
            last = count - len(grid) + np.arange(len(grid))  # row that each forecast has seen last
            judged = np.arange(test - 1, count - horizon, stride)  # rows that the judged windows have seen last
            chosen = np.isin(last, judged)
            wanted = last[chosen][:, None] + 1 + np.arange(horizon)
            truths.append(truth[wanted].ravel())
            values.append(grid[chosen].ravel())
        else:
            column = mine["probability" if "probability" in mine else first].to_numpy(np.float64)
            last = count - len(column) + np.arange(len(column))
            chosen = last >= test
            truths.append(truth[last[chosen]])
            values.append(column[chosen])
    truth, value = np.concatenate(truths), np.concatenate(values)
    known = np.isfinite(truth)
    if horizon and not known.all():
        whole = known.reshape(-1, horizon).all(axis=1).repeat(horizon)
        known = whole
    truth, value = truth[known], value[known]
    if "brier" in metrics:
        return "brier", metrics["brier"], float(np.mean((value - truth) ** 2)), 1.0
    return "mae", metrics["mae"], float(np.mean(np.abs(value - truth))), float(np.mean(np.abs(truth)))


if __name__ == "__main__":
    main()
