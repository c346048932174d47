"""Reading of CSV beside DuckDB, Polars and plain pyarrow: what each tells of messy files, rows a second, memory.

    scripts/bench engines sniff FILE ...            # rows, columns, columns of numbers by engine
    scripts/bench engines speed [--rows 1000000]    # one thread each, medians of five interleaved runs

DuckDB and Polars are no dependencies: `python -m venv V; V/bin/pip install duckdb polars`, then name the folder of
their packages with --peers V/lib/python3.11/site-packages. Without it they are left out, and it says so.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ENGINES = ("keras_seq", "pyarrow", "duckdb", "polars")
NUMBERS = {"DOUBLE", "BIGINT", "INTEGER", "HUGEINT", "FLOAT", "BOOLEAN"}  # of DuckDB
SENSORS = 8


def keras_seq(path: str) -> tuple[int, int, int]:
    """Rows, columns, columns of numbers; as training reads them."""
    from keras_seq.config import DataConfig
    from keras_seq.data.reading.batches import read_batches
    from keras_seq.data.reading.settle import settle_table

    facts = settle_table(Path(path), DataConfig(source="table", path=path))
    kinds = {name: "number" if kind == "number" else "text" for name, kind in facts.kinds.items()}
    rows = sum(batch.num_rows for batch in read_batches(Path(path), kinds, facts.reading))
    return rows, len(kinds), sum(kind in ("number", "flag") for kind in facts.kinds.values())


def pyarrow(path: str) -> tuple[int, int, int]:
    """As above, by Arrow's own reader."""
    import pyarrow as pa
    from pyarrow import csv

    reader = csv.open_csv(path, read_options=csv.ReadOptions(use_threads=False, block_size=2**20))
    types = [field.type for field in reader.schema]
    numbers = [pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_boolean(t) for t in types]
    return sum(batch.num_rows for batch in reader), len(types), sum(numbers)


def duckdb(path: str) -> tuple[int, int, int]:
    """As above, by DuckDB's sniffer."""
    import duckdb as engine

    connection = engine.connect(config={"threads": 1})
    columns = connection.execute("describe select * from read_csv(?)", [path]).fetchall()
    reader = connection.execute("select * from read_csv(?)", [path]).to_arrow_reader(65536)
    return sum(batch.num_rows for batch in reader), len(columns), sum(column[1] in NUMBERS for column in columns)


def polars(path: str) -> tuple[int, int, int]:
    """As above, by Polars."""
    import polars as engine

    table = engine.read_csv(path)
    numbers = [kind.is_numeric() or kind == engine.Boolean for kind in table.dtypes]
    return table.height, table.width, sum(numbers)


def told(engine: str, path: str, peers: str | None) -> dict:
    """What an engine says of a file, in a process of its own."""
    command = [sys.executable, __file__, "one", engine, path]
    folders = [os.environ.get("PYTHONPATH", ""), peers or ""]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, folders))}
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return (
        json.loads(answer.stdout) if answer.returncode == 0 else {"error": answer.stderr.strip().splitlines()[-1][:70]}
    )


def one(engine: str, path: str) -> None:
    """Print facts, seconds and peak memory of one reading."""
    try:
        __import__(engine if engine != "keras_seq" else "keras_seq.data.reading.settle")
        begin = time.perf_counter()
        facts = globals()[engine](path)
    except Exception as error:  # whatever an engine raises is its answer
        sys.exit(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"facts": facts, "seconds": seconds, "peak_mb": peak}))


def speed(rows: int, peers: str | None) -> None:
    """Rows a second on one table of numbers with a column of unit names."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        with open(path, "w", encoding="utf-8") as file:
            file.write("unit,step," + ",".join(f"s{i}" for i in range(SENSORS)) + ",y\n")
            for row, numbers in enumerate(rng.normal(size=(rows, SENSORS + 1)).round(5)):
                file.write(f"m{row // 1000},{row % 1000}," + ",".join(map(str, numbers)) + "\n")
        runs = [{engine: told(engine, str(path), peers) for engine in ENGINES} for _ in range(5)]
    for engine in ENGINES:
        if "error" in runs[0][engine]:
            print(f"{engine:10} left out: {runs[0][engine]['error']}")
            continue
        rate = statistics.median(rows / run[engine]["seconds"] for run in runs)
        print(f"{engine:10} {rate:12,.0f} rows/s, peak {max(run[engine]['peak_mb'] for run in runs)} MB")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sniff", "speed", "one"))
    parser.add_argument("files", nargs="*")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--peers", help="site-packages that hold duckdb and polars")
    options = parser.parse_args()
    if options.what == "one":
        one(*options.files)
    elif options.what == "speed":
        speed(options.rows, options.peers)
    else:
        for file in options.files:
            answers = {engine: told(engine, file, options.peers) for engine in ENGINES}
            words = [f"{engine} {answer.get('facts') or answer['error']}" for engine, answer in answers.items()]
            print(f"{Path(file).name}: " + "; ".join(words))


if __name__ == "__main__":
    main()
