"""Data larger than memory: cost and memory of shard -> train as a sensor archive grows.

    python scripts/bench_shards.py growth                     # 0.25, 0.5, 1 and 2 GB, with the picture in docs/pictures
    python scripts/bench_shards.py growth --gigabytes 20      # one size
    python scripts/bench_shards.py speed                      # training from shards beside training from memory

The archive is a folder of Parquet files, generated on the fly (random walks of 32 sensors, float32; seeded) and removed
afterwards, as are its shards. Sharding (the command) and training run in processes of their own; the memory told is the
sum of the high-water marks of all processes of each, an upper bound of what they held at one time. Training sees every
row once: windows of 128 steps, end to end, in batches of 256, through a small dense network, so that reading and not
arithmetic is measured. Processor seconds are told beside wall-clock seconds, as other work on the machine hardly counts
in them. ``speed`` reads and trains on the same rows from shards and from memory, in turns in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FEATURES, UNIT_ROWS, FILE_MB = 32, 50_000, 64
ROW = 4 * (FEATURES + 1) + 8  # bytes: values, target, time
WINDOW, BATCH = 128, 256
SIZES = (0.25, 0.5, 1.0, 2.0)
PICTURE = ROOT / "docs" / "pictures" / "shards_growth.png"


def write_archive(folder: Path, gigabytes: float) -> int:
    """Parquet files of about 64 MB: units of 50,000 rows one after another; returns the rows."""
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir(parents=True)
    rng, total = np.random.default_rng(0), int(gigabytes * 2**30 / ROW)
    names, done, number, writer = [f"s{i:02d}" for i in range(FEATURES)], 0, -1, None
    while done < total:
        rows, unit = min(UNIT_ROWS, total - done), done // UNIT_ROWS
        values = np.cumsum(rng.normal(size=(rows, FEATURES)).astype(np.float32) * 0.01, axis=0) + np.float32(20)
        columns: dict[str, Any] = {"rig": pa.array([f"rig-{unit:06d}"] * rows).dictionary_encode()}
        columns["time"] = np.arange(rows, dtype=np.float64)
        columns |= {name: np.ascontiguousarray(values[:, j]) for j, name in enumerate(names)}
        columns["wear"] = values[:, :4].mean(axis=1)
        batch = pa.table(columns)
        if done * ROW // (FILE_MB << 20) > number:
            number = done * ROW // (FILE_MB << 20)
            if writer:
                writer.close()
            path = folder / f"archive-{number:05d}.parquet"
            writer = parquet.ParquetWriter(path, batch.schema, compression="none", use_dictionary=["rig"])
        writer.write_table(batch, row_group_size=10_000)
        done += rows
    writer.close()
    return total


class Memory(threading.Thread):
    """The most memory that a process and all its descendants can have had at one time, MB."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.over = process, 0.0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.5):
            self.peak = max(self.peak, sum(map(high_water, family(self.process))))


def family(process: int) -> set[int]:
    """A process and all its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
    found, more = {process}, {process}
    while more:
        more = {child for child, parent in parents.items() if parent in more}
        found |= more
    return found


def high_water(process: int) -> float:
    """Most resident memory that a process has had, MB."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def measured(command: list[Any], environment: dict[str, str]) -> dict[str, float]:
    """Wall-clock and processor seconds and peak memory of a command; what it printed as JSON in its last line."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen(
        list(map(str, command)), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        watch = Memory(child.pid)
        watch.start()
        out, err = child.communicate()
        watch.over.set()
    if child.returncode:
        raise SystemExit(f"{command}: {err[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = json.loads(out.splitlines()[-1]) if out.splitlines()[-1].startswith("{") else {}
    return {"seconds": time.perf_counter() - begin, "processor": processor, "mb": watch.peak} | told


def data_options(**more: Any) -> dict[str, Any]:
    windows = {"mode": "sliding", "length": WINDOW, "stride": WINDOW}
    return {"windows": windows, "split": {"validation": 0.1, "test": 0.1}} | more


def make_model(spec: Any, *, recurrent: bool = False) -> Any:
    import keras

    center, scale = (np.array(numbers[0]) for numbers in (spec.scaling.center, spec.scaling.scale))
    values = keras.Input((spec.time, len(spec.features)), name="values")
    scaled = keras.layers.Normalization(mean=center, variance=scale**2)(values)
    if recurrent:
        hidden = keras.layers.LSTM(64)(scaled)
    else:
        hidden = keras.layers.Flatten()(keras.layers.AveragePooling1D(8)(scaled))
        hidden = keras.layers.Dense(16, activation="relu")(hidden)
    model = keras.Model({"values": values}, keras.layers.Dense(1)(hidden))
    model.compile("adam", "mse")
    return model


def train(folder: str) -> None:
    """One epoch over all train windows and one pass over the validation windows; prints what it took."""
    from keras_seq.config import DataConfig
    from keras_seq.data.pipeline import make_dataset, steps_per_epoch
    from keras_seq.data.prepare import prepare

    config = DataConfig.model_validate(data_options(source="shards", path=folder))
    begin = time.perf_counter()
    prepared = prepare(config)
    prepared.statistics()
    ready = time.perf_counter() - begin
    index, model = prepared.index, make_model(prepared.spec)
    sets = [
        make_dataset(prepared.series, index[part], prepared.spec, config, batch_size=BATCH, training=training)
        for part, training in (("train", True), ("validation", False))
    ]
    steps, begin, spent = steps_per_epoch(index["train"], BATCH), time.perf_counter(), time.process_time()
    model.fit(sets[0], steps_per_epoch=steps, epochs=1, verbose=0)
    loss = model.evaluate(sets[1], verbose=0)
    seen = steps * BATCH + len(index["validation"])
    told = {"fit": time.perf_counter() - begin, "fit_processor": time.process_time() - spent}
    print(json.dumps({"prepare": ready, "windows": seen, "loss": float(loss)} | told))


def grow(sizes: list[float], keep: Path, workers: int) -> Iterator[dict[str, Any]]:
    """Archive, shards and training of each size."""
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=keep) as work:
            environment = os.environ | {"PYTHONPATH": str(ROOT), "KERAS_SEQ_STORES": f"{work}/stores"}
            rows = write_archive(Path(work) / "archive", size)
            words = [sys.executable, "-m", "keras_seq.data", "shard", "--path", f"{work}/archive", "--unit", "rig"]
            words += ["--time", "time", "--targets", "[wear]", "--output", f"{work}/shards"]
            words += ["--workers", str(workers)] if workers else []
            words += ["--split.validation", "0.1", "--split.test", "0.1"]
            shard = measured(words, environment)
            shutil.rmtree(f"{work}/archive")
            fit = measured([sys.executable, __file__, "train", "--nice", "0", "--path", f"{work}/shards"], environment)
        print(
            f"{size:6.2f} GB, {rows:,} rows: shard {shard['seconds']:.1f} s ({shard['processor']:.1f} s of processors, "
            f"{shard['mb']:,.0f} MB); train {fit['seconds']:.1f} s ({fit['processor']:.1f} s of processors, "
            f"{fit['mb']:,.0f} MB), ready in {fit['prepare']:.2f} s, fit {fit['fit']:.1f} s "
            f"({fit['fit_processor']:.1f} s of processors), {fit['windows']:,.0f} windows",
            flush=True,
        )
        yield {"gigabytes": size, "rows": rows, "shard": shard, "train": fit}


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Processor seconds and memory over the size of the archive."""
    from keras_seq.drawing import BLUE, ORANGE, panels, save

    figure, axes = panels(2, columns=2, width=4.6)
    sizes = np.array([one["gigabytes"] for one in found])
    for name, key, axis, colour, label in (
        ("shard", "processor", 0, BLUE, "shard"),
        ("train", "fit_processor", 0, ORANGE, "train, one epoch"),
        ("shard", "mb", 1, BLUE, "shard, all processes"),
        ("train", "mb", 1, ORANGE, "train"),
    ):
        points = np.array([one[name][key] for one in found])
        axes[axis].plot(sizes, points, "o", color=colour, label=label)
        if axis == 0:
            slope, start = np.polyfit(sizes, points, 1)
            axes[0].plot([0, sizes.max()], [start, start + slope * sizes.max()], color=colour, alpha=0.5)
    axes[0].set(xlabel="archive, GB", ylabel="processor seconds", ylim=(0, None))
    axes[1].set(xlabel="archive, GB", ylabel="peak resident memory, MB", ylim=(0, None))
    for axis in axes:
        axis.legend(frameon=False)
    save(figure, path, "A sensor archive, sharded and trained on once: cost and memory over its size")


def speed(gigabytes: float, keep: Path, rounds: int) -> None:
    """Steps of the same model from shards, the same rows kept by ``cache: false``, and memory, in turns."""
    from keras_seq.config import DataConfig
    from keras_seq.data.pipeline import make_dataset
    from keras_seq.data.prepare import prepare
    from keras_seq.data.store.run import write_shards

    with tempfile.TemporaryDirectory(dir=keep) as work:
        os.environ["KERAS_SEQ_STORES"] = f"{work}/stores"
        write_archive(Path(work) / "archive", gigabytes)
        table = {"source": "table", "unit": "rig", "time": "time", "targets": ["wear"]}
        options = data_options(**table, path=f"{work}/archive")
        write_shards(DataConfig.model_validate(options), f"{work}/shards", workers=1)
        (file,) = (Path(work) / "archive").iterdir()
        ways = {}
        for name, given in (
            ("memory", table | {"path": str(file)}),
            ("shards", {"source": "shards", "path": f"{work}/shards"}),
            ("cache: false", table | {"path": str(file), "cache": False}),
        ):
            config = DataConfig.model_validate(data_options(**given))
            prepared = prepare(config)
            data = make_dataset(
                prepared.series, prepared.index["train"], prepared.spec, config, batch_size=BATCH, training=True
            )
            ways[name] = iter(data), make_model(prepared.spec, recurrent=True)
        report_speed(ways, rounds)


def report_speed(ways: dict[str, Any], rounds: int) -> None:
    """Wall-clock and processor time of both ways, in turns: batches taken in a graph, then an LSTM trained on them."""
    import tensorflow as tf

    def consume(iterator: Any) -> None:
        for _ in tf.range(40):
            next(iterator)

    def learn(data: Any, model: Any) -> None:
        for _ in range(8):
            model.train_on_batch(*next(data))

    reading = tf.function(consume)
    for what, steps, go in (("reading alone", 40, lambda data, _: reading(data)), ("training an LSTM of 64", 8, learn)):
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name, way in ways.items():
                begin, spent = time.perf_counter(), time.process_time()
                go(*way)
                if turn:
                    found[name].append((time.perf_counter() - begin, time.process_time() - spent))
        for kind, clock in enumerate(("wall-clock", "processor")):
            taken = {name: [one[kind] for one in times] for name, times in found.items()}
            rates = {name: steps * BATCH / statistics.median(times) for name, times in taken.items()}
            told = (f"{rates[name]:,.0f} windows/s from {name}" for name in rates)
            ratio = rates["shards"] / rates["memory"]
            turns = f"medians of {rounds} turns of {steps} steps"
            print(f"{what}, {clock} time: {', '.join(told)}; shards/memory {ratio:.2f} ({turns})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("growth", "speed", "train"))
    parser.add_argument("--gigabytes", type=float, nargs="+", default=list(SIZES))
    parser.add_argument("--workers", type=int, default=0, help="processes that write shards (0: one per processor)")
    parser.add_argument("--nice", type=int, default=10, help="leave the processors to other work")
    parser.add_argument("--rounds", type=int, default=5, help="speed: turns")
    parser.add_argument("--folder", default=".", help="where archive and shards may lie for a while")
    parser.add_argument("--json", metavar="FILE", help="growth: write the numbers there; read them too, if it is there")
    parser.add_argument("--path", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.nice(max(0, arguments.nice - os.nice(0)))
    if arguments.what == "train":
        train(arguments.path)
    elif arguments.what == "speed":
        speed(0.05, Path(arguments.folder), arguments.rounds)
    else:
        kept = Path(arguments.json) if arguments.json else None
        found = json.loads(kept.read_text()) if kept and kept.exists() else []
        for one in grow(arguments.gigabytes, Path(arguments.folder), arguments.workers):
            found.append(one)
            if kept:
                kept.write_text(json.dumps(found, indent=1))
        if len(found) > 1:
            draw(found, PICTURE)
            print(f"drawn: {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
