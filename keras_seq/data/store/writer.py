"""Writer of one shard per job: the same function on every runner."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.quality.precision import PrecisionTaker
from keras_seq.data.series import Series
from keras_seq.data.sources.registry import load_series
from keras_seq.data.sources.table import iter_table_chunks, number_taker
from keras_seq.data.store.plan import Recipe, ShardJob, row_bytes
from keras_seq.data.store.rows import RowTaker
from keras_seq.data.store.shard_file import ShardFile, places
from keras_seq.errors import KerasSeqError
from keras_seq.files import new_file, sha256

WORK = ".unfinished"  # folder of what is known of finished shards while others are still to come
PIECE_BYTES = 2**20  # rows stored together, about
CHUNK_BYTES = 16 * 2**20  # rows taken in at once, about


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


def _take_rows(recipe: Recipe, job: ShardJob, sink: ShardFile) -> tuple[RowTaker, PrecisionTaker]:
    rows, piece = (max(1, size // row_bytes(recipe.schema)) for size in (CHUNK_BYTES, PIECE_BYTES))
    if recipe.layout is not None:
        layout = dataclasses.replace(recipe.layout, path=Path(job.path), span=job.span)
        taker, precision = RowTaker(recipe, job.path, sink, piece), number_taker(layout)
        with _told(job):
            for frame in iter_table_chunks(recipe.config, rows, layout, precision):
                taker.add(frame)
        return taker, precision
    series, (low, high) = loaded(recipe.config), job.span or (0, 0)
    taker = RowTaker(recipe, series.schema.name, sink, piece)
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
