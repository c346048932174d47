"""Writer of one shard per job: the same function on every runner."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.quality.precision import PrecisionTaker
from keras_seq.data.series import Schema, Series
from keras_seq.data.sources.registry import load_series
from keras_seq.data.sources.table import iter_table_chunks, number_taker
from keras_seq.data.sources.table_layout import Layout
from keras_seq.data.store.plan import Recipe, ShardJob, job_layout, row_bytes
from keras_seq.data.store.rows import RowTaker, Run
from keras_seq.errors import KerasSeqError
from keras_seq.files import new_file, sha256

if TYPE_CHECKING:
    import pyarrow as pa

WORK = ".unfinished"  # folder of what is known of finished shards while others are still to come
PIECE_BYTES = 2**20  # rows stored together, about
CHUNK_BYTES = 16 * 2**20  # rows taken in at once, about
STORED = ("values", "targets", "time")


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.arrow"


def facts_path(folder: str | Path, number: int) -> Path:
    """What is known of a finished shard."""
    return Path(folder) / WORK / f"shard-{number:05d}.npz"


def read_facts(folder: str | Path, number: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """``RowTaker.facts`` of a finished shard with its size and sha256, where its pieces lie and what float32 lost."""
    with np.load(facts_path(folder, number), allow_pickle=False) as file:
        arrays = dict(file)
    return json.loads(arrays.pop("facts").tobytes()), arrays


def write_shard(recipe: Recipe, job: ShardJob) -> int:
    """Read a job's rows, check them, write them, and last what is known of them; the shard's number.

    Raises:
        DataError: rows are not sorted by unit and time, are malformed or fail the quality check.
        OutputError: the disk is full or cannot be written.
    """
    with new_file(Path(recipe.folder) / shard_name(job.number)) as partial:
        with ShardFile(partial, recipe.schema, recipe.time_kind) as sink:
            taker, precision = _take_rows(recipe, job, sink)
            plain, arrays = taker.facts()
        plain |= {"bytes": partial.stat().st_size, "sha256": sha256(partial)}
        arrays |= {"at": places(partial), "precision": precision.table()}
    with new_file(facts_path(recipe.folder, job.number)) as partial:
        np.savez(partial, facts=np.frombuffer(json.dumps(plain).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    return job.number


class ShardFile:
    """An Arrow IPC file, to be used as a context: a record batch per piece, nothing compressed."""

    def __init__(self, path: Path, schema: Schema, time_kind: str) -> None:
        import pyarrow as pa

        text = pa.dictionary(pa.int32(), pa.string())
        clock = {"": {}, "f8": {"time": pa.float64()}}.get(time_kind, {"time": pa.timestamp("ns")})
        kinds = {"unit": text} | ({"group": text} if schema.group_column else {}) | clock
        kinds |= {"values": pa.list_(pa.float32(), len(schema.columns))}
        kinds |= {"targets": pa.list_(pa.float32(), len(schema.targets))}
        names = {"features": json.dumps(schema.features), "targets": json.dumps(schema.targets)}
        self.schema = pa.schema(list(kinds.items()), metadata=names)
        self.words: dict[str, dict[str, int]] = {"unit": {}, "group": {}}
        self.told = {name: pa.array([], pa.string()) for name in self.words}
        self.file = open(path, "wb")  # noqa: SIM115 (closed in __exit__)
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        self.writer = pa.ipc.new_file(self.file, self.schema, options=options)

    def __enter__(self) -> ShardFile:
        return self

    def __exit__(self, *error: object) -> None:
        with self.file:
            self.writer.close()

    def piece(self, values: NDArray[Any], targets: NDArray[Any], time: NDArray[Any], runs: list[Run]) -> None:
        """Append a record batch."""
        import pyarrow as pa

        units, groups, counts = zip(*runs, strict=True)
        columns = {
            "unit": self._coded("unit", units, counts),
            "values": pa.FixedSizeListArray.from_arrays(values.reshape(-1), values.shape[1]),
            "targets": pa.FixedSizeListArray.from_arrays(targets.reshape(-1), targets.shape[1]),
        }
        if "group" in self.schema.names:
            columns["group"] = self._coded("group", groups, counts)
        if "time" in self.schema.names:
            columns["time"] = pa.array(time, self.schema.field("time").type)
        self.writer.write_batch(pa.record_batch([columns[name] for name in self.schema.names], schema=self.schema))

    def _coded(self, name: str, texts: Sequence[str], counts: Sequence[int]) -> pa.Array:
        """Texts as numbers into all that the file has held so far."""
        import pyarrow as pa

        words, told = self.words[name], self.told[name]
        codes = np.array([words.setdefault(text, len(words)) for text in texts], np.int32)
        self.told[name] = pa.concat_arrays([told, pa.array(islice(words, len(told), None), pa.string())])
        return pa.DictionaryArray.from_arrays(np.repeat(codes, counts), self.told[name])


def places(path: Path) -> NDArray[np.int64]:
    """Where in a shard values, targets and time of every piece begin, ``(pieces, 3)``; -1 where there is no time."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        whole = file.read_buffer()
        reader = pa.ipc.open_file(pa.BufferReader(whole))
        batches = map(reader.get_batch, range(reader.num_record_batches))
        found = [[_place(batch, name) - whole.address for name in STORED] for batch in batches]
    return np.maximum(np.array(found, np.int64).reshape(-1, len(STORED)), -1)


def _place(batch: pa.RecordBatch, name: str) -> int:
    """Address of the numbers of a column."""
    if name not in batch.schema.names:
        return -1
    column = batch.column(name)
    return int((column if name == "time" else column.flatten()).buffers()[1].address)


def _take_rows(recipe: Recipe, job: ShardJob, sink: ShardFile) -> tuple[RowTaker, PrecisionTaker]:
    rows, piece = (max(1, size // row_bytes(recipe.schema)) for size in (CHUNK_BYTES, PIECE_BYTES))
    if recipe.layout is not None:
        layout = job_layout(recipe.layout, job)
        taker, precision = RowTaker(layout, recipe.codes, recipe.time_kind, sink, piece), number_taker(layout)
        with _told(job):
            for frame in iter_table_chunks(recipe.config, rows, layout, precision):
                taker.add(frame)
        return taker, precision
    series, (low, high) = loaded(recipe.config), job.span or (0, 0)
    taker = RowTaker(_plain_layout(series), {}, recipe.time_kind, sink, piece)
    for first in range(low, high, rows):
        taker.add_rows(*series_rows(series, first, min(first + rows, high)))
    return taker, PrecisionTaker(())


@contextmanager
def _told(job: ShardJob) -> Iterator[None]:
    """Name the input file in errors whose message does not."""
    try:
        yield
    except KerasSeqError as error:
        if job.path in str(error):
            raise
        raise type(error)(f"In '{job.path}': {error}") from None


def _plain_layout(series: Series) -> Layout:
    kinds: dict[str, Any] = {"time": "date" if series.time.dtype.kind == "M" else "clock"}
    schema = series.schema.model_copy(update={"time_column": "time"})
    return Layout(Path(series.schema.name), schema, kinds, True, True)


def loaded(config: DataConfig) -> Series:
    """A source of the project; each worker loads it once."""
    return _loaded(config.model_dump_json())


@functools.lru_cache(1)
def _loaded(config: str) -> Series:
    return load_series(DataConfig.model_validate_json(config))


def series_rows(series: Series, low: int, high: int) -> tuple[NDArray[Any], ...]:
    """Values, targets, unit, group and time of some rows of a series in memory."""
    unit = np.searchsorted(series.offsets, np.arange(low, high), side="right") - 1
    targets = series.targets[unit] if series.schema.target_per == "unit" else series.targets[low:high]
    return series.values[low:high], targets, series.unit_ids[unit], series.groups[unit], series.time[low:high]
