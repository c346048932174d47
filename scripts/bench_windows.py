"""Windowing speed and memory, beside torch's DataLoader and keras.utils.timeseries_dataset_from_array.

    python scripts/bench_windows.py speed            # windows a second, ratios to the peers
    python scripts/bench_windows.py disk             # rows in memory, kept by cache: false, and in shards
    python scripts/bench_windows.py memory           # peak memory, a file against one ten times larger

Every peer cuts the same windows (50 steps, 14 features, batch 64, shuffled, with targets) out of the same
array, and is consumed as its training loop would: tf.data inside a graph, torch in Python (on one thread,
which is its fastest here). Passes are interleaved and medians compared, so a noisy machine hurts all
alike. "Batched by hand" is no stock DataLoader but the dataset an expert would write for it. torch is
optional: `pip install torch` into the environment, or name a folder that has it with --torch.
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
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

TIME, FEATURES, BATCH = 50, 14, 64
FD001_ROWS = 20631
Pass = Callable[[], Iterable]


def arrays(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """One long series ``(rows, features)`` with a target at every row."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, FEATURES)).astype(np.float32), rng.normal(size=(rows, 1)).astype(np.float32)


def ours(values: np.ndarray, targets: np.ndarray) -> Pass:
    from keras_seq.config import DataConfig
    from keras_seq.data.pipeline import make_dataset, steps_per_epoch
    from keras_seq.data.scaling import fit_spec
    from keras_seq.data.series import Column, Schema, build_series
    from keras_seq.data.splits import Part, Splits
    from keras_seq.data.windows import index_windows

    columns = tuple(Column(name=f"f{i}") for i in range(FEATURES))
    schema = Schema(name="bench", task="regression", columns=columns, targets=("y",))
    series = build_series(schema, [values], [targets])
    config = DataConfig.model_validate({"windows": {"mode": "sliding", "length": TIME}})
    part = Part(np.array([0]), np.array([0]), np.array([len(values)]))
    index = index_windows(series, part, config.windows)
    spec = fit_spec(series, Splits(part, part, part, ""), config)
    dataset = make_dataset(series, index, spec, config, batch_size=BATCH, training=True)
    steps = steps_per_epoch(index, BATCH)
    return graph_pass(dataset, steps)  # endless: epochs follow each other as in training


def graph_pass(dataset, steps: int) -> Pass:
    """A pass over ``steps`` batches inside one graph, as compiled training consumes them."""
    import tensorflow as tf

    iterator = iter(dataset)

    @tf.function
    def consume(iterator):
        seen = tf.constant(0)
        for _ in tf.range(steps):
            batch = next(iterator)
            seen += tf.shape(batch[1])[0]
        return seen

    return lambda: [int(consume(iterator))]


def keras_peer(values: np.ndarray, targets: np.ndarray) -> Pass:
    import keras

    dataset = keras.utils.timeseries_dataset_from_array(
        values, targets[TIME - 1 :], TIME, batch_size=BATCH, shuffle=True, seed=0
    )
    return graph_pass(dataset.repeat(), len(dataset))


def torch_peers(values: np.ndarray, targets: np.ndarray) -> dict[str, Pass]:
    import torch
    from torch.utils import data

    torch.set_num_threads(1)
    table, answers = torch.from_numpy(values), torch.from_numpy(targets)

    class Windows(data.Dataset):
        def __len__(self) -> int:
            return len(table) - TIME + 1

        def __getitem__(self, start: int) -> tuple:
            return table[start : start + TIME], answers[start + TIME - 1]

    class Batched(Windows):  # a whole batch per call: what an expert writes by hand
        views = table.unfold(0, TIME, 1).transpose(1, 2)

        def __getitem__(self, starts: list[int]) -> tuple:
            chosen = torch.as_tensor(starts)
            return self.views[chosen], answers[chosen + TIME - 1]

    def loader(workers: int) -> Pass:
        made = data.DataLoader(
            Windows(), batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
        return lambda: made

    windows = Batched()
    sampler = data.BatchSampler(data.RandomSampler(windows), BATCH, drop_last=False)
    by_hand = data.DataLoader(windows, sampler=sampler, batch_size=None)
    return {
        "torch DataLoader, 0 workers": loader(0),
        "torch DataLoader, 2 workers": loader(2),
        "torch DataLoader, batched by hand": lambda: by_hand,
    }


def speed(rows: int, repeats: int) -> dict[str, float]:
    """Median windows per second of each peer, passes interleaved."""
    values, targets = arrays(rows)
    peers: dict[str, Pass] = {
        "keras_seq": ours(values, targets),
        "keras timeseries_dataset": keras_peer(values, targets),
    }
    try:
        peers |= torch_peers(values, targets)
    except ImportError:
        print("torch is not installed: its DataLoader is skipped (pip install torch, or --torch FOLDER)")
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for repeat in range(repeats + 1):
        for name, one_pass in peers.items():
            begin = time.perf_counter()
            for _ in one_pass():
                pass
            if repeat:  # the first pass warms up
                seconds[name].append(time.perf_counter() - begin)
    windows = rows - TIME + 1
    return {name: windows / statistics.median(found) for name, found in seconds.items()}


def report_speed(repeats: int) -> None:
    for rows in (FD001_ROWS, 10 * FD001_ROWS):
        found = speed(rows, repeats)
        print(f"\n{rows} rows, {TIME} steps, {FEATURES} features, batch {BATCH}: windows a second, ours / peer")
        for name, rate in found.items():
            print(f"  {name:48s} {rate:12,.0f}  {found['keras_seq'] / rate:6.2f}x")


def write_table(path: Path, megabytes: int) -> int:
    """A CSV (or Parquet) file of about that size: units of 200 to 400 rows; returns its rows."""
    import pandas as pd

    rng = np.random.default_rng(0)
    names, unit, rows = [f"s{i}" for i in range(FEATURES)], 0, 0
    writer = None
    while not path.exists() or path.stat().st_size < megabytes * 2**20:
        frames = []
        for _ in range(200):
            n = int(rng.integers(200, 400))
            frame = pd.DataFrame(rng.normal(size=(n, FEATURES)).round(6).astype(np.float32), columns=names)
            frame.insert(0, "unit", f"u{unit}")
            frame.insert(1, "time", np.arange(n))
            frame["y"] = rng.normal(size=n).round(4)
            frames.append(frame)
            unit += 1
        chunk = pd.concat(frames)
        rows += len(chunk)
        if path.suffix == ".csv":
            chunk.to_csv(path, mode="a", index=False, header=not path.exists())
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            batch = pa.Table.from_pandas(chunk, preserve_index=False)
            writer = writer or pq.ParquetWriter(path, batch.schema)
            writer.write_table(batch)
    if writer:
        writer.close()
    return rows


def peak_mb() -> float:
    """Peak resident memory of this process, MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("VmHWM is not reported here; the memory part needs Linux")


def child(path: str, steps: int, cache: bool) -> None:
    """Prepare a file and take training and validation batches, then print the peak memory."""
    from keras_seq.config import DataConfig
    from keras_seq.data.pipeline import make_dataset
    from keras_seq.data.prepare import prepare

    config = DataConfig.model_validate(
        {
            "source": "table",
            "path": path,
            "unit": "unit",
            "time": "time",
            "targets": ["y"],
            "cache": cache,
            "windows": {"mode": "sliding", "length": TIME},
        }
    )
    begin = time.perf_counter()
    prepared = prepare(config)
    ready = time.perf_counter() - begin
    begin, taken = time.perf_counter(), 0
    for part, training in (("train", True), ("validation", False)):
        dataset = make_dataset(
            prepared.series, prepared.index[part], prepared.spec, config, batch_size=BATCH, training=training
        )
        for _, _, weights in dataset.take(
            steps if steps else 10**9 if not training else len(prepared.index[part]) // BATCH
        ):
            taken += len(weights)
    print(json.dumps({"mb": peak_mb(), "prepare": ready, "rate": taken / (time.perf_counter() - begin)}))


def measure(path: Path, *, steps: int, cache: bool, stores: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "child", "--path", str(path), "--steps", str(steps)]
    environment = os.environ | {"KERAS_SEQ_STORES": str(stores)}
    done = subprocess.run(
        command + (["--cache"] if cache else []), env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def report_memory(small: int, kind: str, steps: int) -> None:
    """Peak memory of the whole path (conversion included) on a file and on one ten times larger."""
    with tempfile.TemporaryDirectory() as folder:
        for cache in (False, True):
            found = []
            for size in (small, 10 * small):
                path = Path(folder) / f"table{size}.{kind}"
                rows = write_table(path, size) if not path.exists() else 0
                result = measure(path, steps=steps, cache=cache, stores=Path(folder) / "stores")
                found.append(result["mb"])
                megabytes = f"{path.stat().st_size >> 20:5d} MB" + (f", {rows:,} rows" if rows else "")
                what = f"data.cache={str(cache).lower():5} {kind} {megabytes}"
                speed_told = f"prepared in {result['prepare']:.1f} s, {result['rate']:,.0f} windows/s"
                print(f"{what}: peak {result['mb']:,.0f} MB, {speed_told}", flush=True)
            print(f"  ten times the file: {100 * (found[1] / found[0] - 1):+.1f}% peak memory", flush=True)


def report_disk(megabytes: int, kind: str, repeats: int) -> None:
    """Windows per processor second from memory and from disk: one table, one process, in turns."""
    from keras_seq.config import DataConfig
    from keras_seq.data.pipeline import make_dataset, steps_per_epoch
    from keras_seq.data.prepare import prepare
    from keras_seq.data.store.run import write_shards

    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERAS_SEQ_STORES"] = f"{folder}/stores"
        path = Path(folder) / f"table.{kind}"
        rows = write_table(path, megabytes)
        table = {"source": "table", "path": str(path), "unit": "unit", "time": "time", "targets": ["y"]}
        windows = {"windows": {"mode": "sliding", "length": TIME}}
        write_shards(DataConfig.model_validate(table | windows), f"{folder}/shards", shard_bytes=2**24, workers=1)
        ways = {"memory": table, "cache: false": table | {"cache": False}}
        ways["shards"] = {"source": "shards", "path": f"{folder}/shards"}
        passes, spent = {}, {name: [] for name in ways}
        for name, given in ways.items():
            config = DataConfig.model_validate(given | windows)
            made = prepare(config)
            index = made.index["train"]
            dataset = make_dataset(made.series, index, made.spec, config, batch_size=BATCH, training=True)
            passes[name] = graph_pass(dataset, steps_per_epoch(index, BATCH))
        for repeat in range(repeats + 1):
            for name, one_pass in passes.items():
                begin = time.process_time()
                (seen,) = one_pass()
                if repeat:  # the first pass warms up
                    spent[name].append(seen / (time.process_time() - begin))
        print(f"{rows} rows, {TIME} steps, {FEATURES} features, batch {BATCH}: windows per processor second")
        for name, rates in spent.items():
            print(f"  {name:14s} {statistics.median(rates):12,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "disk", "memory", "child"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=30, help="disk, memory: size of the (smaller) file")
    parser.add_argument("--kind", choices=("csv", "parquet"), default="csv", help="disk, memory: kind of file")
    parser.add_argument("--steps", type=int, default=0, help="memory: batches taken of each part (0: an epoch)")
    parser.add_argument("--path", help=argparse.SUPPRESS)
    parser.add_argument("--cache", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--torch", help="folder that holds torch, if it is not in the environment")
    arguments = parser.parse_args()
    if arguments.torch:
        sys.path.append(arguments.torch)
    if arguments.what == "speed":
        report_speed(arguments.repeats)
    elif arguments.what == "disk":
        report_disk(arguments.megabytes, arguments.kind, arguments.repeats)
    elif arguments.what == "memory":
        report_memory(arguments.megabytes, arguments.kind, arguments.steps)
    else:
        child(arguments.path, arguments.steps, arguments.cache)


if __name__ == "__main__":
    main()
