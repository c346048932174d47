"""Reading tables and cutting windows beside pandas and keras.utils.timeseries_dataset_from_array; a big archive.

    scripts/bench reading speed                       # CPU seconds, rows and windows a CPU second, ratios
    scripts/bench reading archive --gb 5              # peak memory with data.cache: false: store written, store found

Rows are those of C-MAPSS FD001 from the data home (KERAS_SEQ_DATA), repeated in units of their own. Each measurement is
a process of its own; CPU seconds are of all its threads after its imports, so a busy machine changes them little.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

LENGTH, BATCH, ROUNDS = 50, 256, 3
TAKEN = 400  # batches of the archive
NAMES = ["unit", "time", *(f"x{number}" for number in range(1, 25))]
OPTIONS: dict[str, Any] = {"source": "table", "unit": "unit", "time": "time", "targets": ["x24"]}
OPTIONS |= {"windows": {"mode": "sliding", "length": LENGTH}}


def write_csv(path: Path, size: int) -> int:
    """Write FD001 again and again, each time as other units, until ``size`` bytes; the number of rows."""
    from keras_seq.data.home import data_home

    lines = (data_home() / "cmapss" / "train_FD001.txt").read_text().splitlines()
    block = "".join(f"\0{','.join(line.split())}\n" for line in lines).encode()
    rows = number = 0
    with open(path, "wb") as file:
        file.write((",".join(NAMES) + "\n").encode())
        while file.tell() < size:
            file.write(block.replace(b"\0", f"r{number}-".encode()))
            rows, number = rows + len(lines), number + 1
    return rows


def rows_read(what: str, path: str) -> int:
    """Rows of a table, read by pandas or as a series."""
    if what.startswith("pandas"):
        return len(pandas_table(path))
    from keras_seq.config import DataConfig
    from keras_seq.data.sources.registry import load_series

    return len(load_series(DataConfig.model_validate({**OPTIONS, "path": path})).values)


def pandas_table(path: str) -> Any:
    """The table as a DataFrame."""
    import pandas as pd

    return pd.read_csv(path) if path.endswith(".csv") else pd.read_parquet(path)


def windows_cut(what: str, path: str) -> int:
    """Windows of a table from the file on, taken inside a graph."""
    import keras
    import tensorflow as tf

    if what.startswith("pandas"):
        table = pandas_table(path)
        values, targets = table[NAMES[2:-1]].to_numpy("float32"), table["x24"].to_numpy("float32")
        cut = keras.utils.timeseries_dataset_from_array(values, targets, LENGTH, batch_size=BATCH)
        return int(cut.reduce(tf.constant(0), lambda seen, batch: seen + tf.shape(batch[1])[0]))
    from keras_seq.config import DataConfig
    from keras_seq.data.pipeline import make_dataset
    from keras_seq.data.prepare import prepare

    config = DataConfig.model_validate({**OPTIONS, "path": path, "cache": what != "archive"})
    prepared = prepare(config)
    index = prepared.index["train"]
    data = make_dataset(prepared.series, index, prepared.spec, config, batch_size=BATCH, training=True)
    batches = -(-len(index) // BATCH) if what != "archive" else TAKEN
    return int(data.take(batches).reduce(tf.constant(0), lambda seen, batch: seen + tf.shape(batch[1])[0]))


def job(what: str, path: str) -> dict[str, float]:
    """One measurement in this process: rows or windows, CPU seconds after the imports, peak MB."""
    for name in ("pandas", "pyarrow.csv", "pyarrow.parquet", *(() if what.endswith("rows") else ("keras",))):
        import_module(name)
    begin = time.process_time()
    count = rows_read(what, path) if what.endswith("rows") else windows_cut(what, path)
    return {"count": count, "cpu": time.process_time() - begin, "mb": peak_mb()}


def measured(what: str, path: Path, stores: Path) -> dict[str, float]:
    """Count, CPU seconds and peak MB of one process."""
    command = [sys.executable, __file__, "job", what, str(path)]
    environment = os.environ | {"KERAS_SEQ_STORES": str(stores)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(done.stderr)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def peak_mb() -> float:
    """Peak resident memory of this process, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def speed(size: int, rounds: int) -> None:
    """Interleaved rounds of all measurements; medians."""
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        rows = write_csv(path, size)
        pd.read_csv(path).to_parquet(path.with_suffix(".parquet"))
        print(f"{rows:,} rows of {len(NAMES)} columns, CSV {path.stat().st_size / 1e6:.0f} MB; {rounds} rounds")
        jobs = [(what, path.with_suffix(suffix)) for suffix in (".csv", ".parquet") for what in
                ("pandas rows", "keras_seq rows", "pandas windows", "keras_seq windows")]  # fmt: skip
        seconds: dict[tuple[str, str], list[float]] = {}
        counts: dict[tuple[str, str], float] = {}
        for _ in range(rounds):
            for what, file in jobs:
                answer = measured(what, file, Path(folder))
                seconds.setdefault((what, file.suffix), []).append(answer["cpu"])
                counts[what, file.suffix] = answer["count"]
        for (what, suffix), values in seconds.items():
            cpu = statistics.median(values)
            rate = counts[what, suffix] / cpu
            print(f"{what:18} {suffix:9} {cpu:7.2f} CPU s  {rate:12,.0f} a CPU second", flush=True)


def archive(size: int, folder: str | None) -> None:
    """Peak memory of preparing a big file and taking ``TAKEN`` batches, with the store written and with it found."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "archive.csv"
        rows = write_csv(path, size)
        print(f"{rows:,} rows, {path.stat().st_size / 1e9:.2f} GB", flush=True)
        for which in ("store written", "store found"):
            answer = measured("archive", path, Path(place) / "stores")
            print(f"{which}: peak {answer['mb']:.0f} MB, {answer['cpu']:.0f} CPU s", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    fast = commands.add_parser("speed")
    fast.add_argument("--mb", type=float, default=50)
    fast.add_argument("--rounds", type=int, default=ROUNDS)
    big = commands.add_parser("archive")
    big.add_argument("--gb", type=float, default=5)
    big.add_argument("--folder", help="for the file and its store; default: that of temporary files")
    one = commands.add_parser("job")
    one.add_argument("what")
    one.add_argument("path")
    options = parser.parse_args()
    if options.command == "job":
        print(json.dumps(job(options.what, options.path)))
    elif options.command == "speed":
        speed(int(options.mb * 1e6), options.rounds)
    else:
        archive(int(options.gb * 1e9), options.folder)


if __name__ == "__main__":
    main()
