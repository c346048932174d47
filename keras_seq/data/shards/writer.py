"""Writer of one shard per job: the same function on every runner."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.running_stats import Moments
from keras_seq.data.series import Schema, Series
from keras_seq.data.shards.jobs import PIECE_BYTES, Recipe, ShardJob, job_layout, row_bytes
from keras_seq.data.shards.tfrecord import encode_example, write_record
from keras_seq.data.sources.registry import load_series
from keras_seq.data.sources.table import iter_table_chunks
from keras_seq.data.sources.table_layout import Layout
from keras_seq.data.store_writer import Chunk, RowTaker
from keras_seq.errors import DataError, KerasSeqError
from keras_seq.files import new_file, sha256

if TYPE_CHECKING:
    import pandas as pd

WORK = ".unfinished"  # folder of what is known of finished shards while others are still to come
CHUNK_BYTES = 16 * 2**20  # rows taken in at once, about
LEAST_PIECE = 16  # a unit's end closes a piece that is at least this part of a full one


def shard_name(number: int, kind: str) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.{kind}"


def facts_path(folder: str | Path, number: int) -> Path:
    """What is known of a finished shard."""
    return Path(folder) / WORK / f"shard-{number:05d}.npz"


def write_shard(recipe: Recipe, job: ShardJob) -> int:
    """Read a job's rows, check them, write them, and last what is known of them; the shard's number.

    Raises:
        DataError: rows are not sorted by unit and time, are malformed or fail the quality check.
        OutputError: the disk is full or cannot be written.
    """
    path = Path(recipe.folder) / shard_name(job.number, recipe.format)
    with new_file(path) as partial:
        sink: Sink = TFRecordSink(partial, recipe) if recipe.format == "tfrecord" else ParquetSink(partial, recipe)
        try:
            taker = _take_rows(recipe, job, sink)
            plain = taker.facts()
        finally:
            sink.close()
        facts = plain | {"bytes": partial.stat().st_size, "sha256": sha256(partial)}
    arrays = taker.arrays() | {"at": np.array(sink.at, np.int64).reshape(-1, 3)}
    with new_file(facts_path(recipe.folder, job.number)) as partial:
        np.savez(partial, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    return job.number


class Sink(Protocol):
    """A shard file that pieces of rows are written to.

    Attributes:
        at: of every piece, where its values, targets and time begin (Parquet: its row group, twice -1).
    """

    at: list[tuple[int, int, int]]

    def piece(
        self, values: NDArray[Any], targets: NDArray[Any], time: NDArray[Any], units: list[tuple[str, str, int]]
    ) -> None:
        """Write rows that are stored together; ``units``: id, group and rows of each unit in them."""

    def close(self) -> None:
        """Write what is still to be written."""


class TFRecordSink:
    """TFRecord shard: a record per piece.

    ``values`` ``(rows * features,)`` and ``targets`` ``(rows * targets,)`` are float lists, row after row; ``unit``,
    ``group`` and ``rows`` name the units in the piece and count their rows; ``time`` is one raw array, little-endian.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.file, self.recipe = open(path, "wb"), recipe  # noqa: SIM115 (closed in close)
        self.at: list[tuple[int, int, int]] = []

    def piece(
        self, values: NDArray[Any], targets: NDArray[Any], time: NDArray[Any], units: list[tuple[str, str, int]]
    ) -> None:
        """Append a record."""
        clock = np.ascontiguousarray(time, f"<{self.recipe.time_kind}").tobytes() if self.recipe.time_kind else b""
        message, places = encode_example(
            {
                "unit": [unit.encode() for unit, _, _ in units],
                "group": [group.encode() for _, group, _ in units],
                "rows": np.array([rows for _, _, rows in units], np.int64),
                "targets": targets.reshape(-1),
                "values": values.reshape(-1),
                "time": [clock],
            }
        )
        place = write_record(self.file, message)
        self.at.append((place + places["values"], place + places["targets"], place + places["time"]))

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class ParquetSink:
    """Parquet shard: a row group per piece; columns unit, group, time, features, targets (see ``parquet_names``)."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        schema = recipe.schema
        self.names, self.features, self.targets = parquet_names(schema)
        clock = {"": [], "f8": [pa.float64()]}.get(recipe.time_kind, [pa.timestamp("ns")])
        kinds = [pa.string(), pa.string(), *clock]
        self.clock = bool(clock)
        names = [*self.names[: len(kinds)], *dict.fromkeys([*self.features, *self.targets])]
        kinds += [pa.float32()] * (len(names) - len(kinds))
        self.schema = pa.schema(list(zip(names, kinds, strict=True)))
        self.writer = parquet.ParquetWriter(
            path, self.schema, compression="none", use_dictionary=self.names[:2], write_statistics=False
        )
        self.at: list[tuple[int, int, int]] = []

    def piece(
        self, values: NDArray[Any], targets: NDArray[Any], time: NDArray[Any], units: list[tuple[str, str, int]]
    ) -> None:
        """Append a row group."""
        import pyarrow as pa

        counts = [rows for _, _, rows in units]
        columns = {
            self.names[0]: np.repeat(np.array([unit for unit, _, _ in units], object), counts),
            self.names[1]: np.repeat(np.array([group for _, group, _ in units], object), counts),
        }
        if self.clock:
            columns[self.names[2]] = time
        columns |= {name: targets[:, j] for j, name in enumerate(self.targets)}
        columns |= {name: values[:, j] for j, name in enumerate(self.features)}
        arrays = [pa.array(columns[field.name], field.type) for field in self.schema]
        self.writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        self.at.append((len(self.at), -1, -1))

    def close(self) -> None:
        """Write the footer."""
        self.writer.close()


def parquet_names(schema: Schema) -> tuple[list[str], list[str], list[str]]:
    """Column names of unit, group and time, of the features, and of the targets in a Parquet shard.

    A target that is also a feature (forecasts) is stored once.
    """
    taken = {*schema.features, *schema.targets}
    names = []
    for plain in ("unit", "group", "time"):
        own = getattr(schema, f"{plain}_column")
        name = own if own and own not in taken else plain
        while name in taken:
            name = f"_{name}"
        taken.add(name)
        names.append(name)
    return names, list(schema.features), list(schema.targets)


class ShardTaker(RowTaker):
    """Gathers rows to pieces, with the moments of each and what must be known where shards meet."""

    def __init__(self, layout: Layout, recipe: Recipe, sink: Sink) -> None:
        super().__init__(layout)
        self.recipe, self.sink = recipe, sink
        self.by_text = bool(recipe.codes) and isinstance(next(iter(recipe.codes)), str)
        if self.by_text:
            self.labels = dict(recipe.codes)
        self.held: list[tuple[NDArray[Any], ...]] = []
        self.held_units: list[tuple[str, str, int]] = []
        self.held_rows = 0
        self.runs: list[tuple[Any, Any]] = []  # first and last time of each unit's rows
        self.piece_rows: list[int] = []
        self.moments: list[NDArray[np.float64]] = []

    def _targets(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """Targets as class numbers, where there are classes."""
        targets = super()._targets(frame)
        codes = self.recipe.codes
        if not codes:
            return targets
        if self.by_text:
            if len(self.labels) > len(codes):
                unknown = next(text for text in self.labels if text not in codes)
                raise DataError(
                    f"Target '{self.schema.targets[0]}' of '{self.layout.path}' holds '{unknown}', which is not among "
                    f"the schema's classes {', '.join(self.schema.classes)}."
                )
            return targets
        known = np.array(sorted(codes), np.float32)
        numbers = np.array([codes[value] for value in sorted(codes)], np.float32)
        place = np.minimum(np.searchsorted(known, targets), len(known) - 1)
        return np.where(np.isfinite(targets), numbers[place], targets)

    def keep(self, chunk: Chunk) -> None:
        """Gather rows into pieces."""
        time, starts = chunk.time, chunk.starts
        names = list(self.units)[len(self.units) - len(starts) :]
        groups = self.groups[len(self.groups) - len(starts) :]
        ends = np.append(starts[1:], len(time))
        for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            if number or not chunk.goes_on:
                self._close_piece(self.recipe.piece_rows // LEAST_PIECE)
                self.runs.append((time[start], time[end - 1]))
            else:
                self.runs[-1] = (self.runs[-1][0], time[end - 1])
            while start < end:
                stop = min(end, start + self.recipe.piece_rows - self.held_rows)  # what fits into the piece
                self.held.append((chunk.values[start:stop], chunk.targets[start:stop], time[start:stop]))
                self.held_units.append((names[number], groups[number], stop - start))
                self.held_rows += stop - start
                self._close_piece(self.recipe.piece_rows)
                start = stop

    def _close_piece(self, least: int) -> None:
        """Write the held rows as a piece, if there are at least so many."""
        if not self.held or self.held_rows < least:
            return
        values, targets, time = (np.concatenate([part[i] for part in self.held]) for i in range(3))
        merged: dict[tuple[str, str], int] = {}
        for unit, group, rows in self.held_units:
            merged[unit, group] = merged.get((unit, group), 0) + rows
        self.sink.piece(values, targets, time, [(*names, rows) for names, rows in merged.items()])
        moments = Moments(values.shape[1] + targets.shape[1])
        moments.add(np.concatenate([values, targets], axis=1))
        self.moments.append(moments.table())
        self.piece_rows.append(self.held_rows)
        self.held, self.held_units, self.held_rows = [], [], 0

    def facts(self) -> dict[str, Any]:
        """Plain facts of the shard, once all rows are in."""
        self._close_piece(1)
        ends = np.array([0, *self.ends])
        return {
            "rows": self.rows,
            "units": list(self.units),
            "groups": self.groups,
            "unit_rows": np.diff(ends).tolist(),
            "constant": self.constant,
            "numbers": sorted(self.numbers) if len(self.numbers) <= 1000 else None,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays of facts: rows and moments of each piece; times and first known target of each unit's rows."""
        return {
            "piece_rows": np.array(self.piece_rows, np.int64),
            "moments": np.array(self.moments, np.float64),
            "times": np.array(self.runs, self.time_kind).reshape(-1, 2),
            "first_targets": np.array(self.unit_targets, np.float32),
        }


def _take_rows(recipe: Recipe, job: ShardJob, sink: Sink) -> ShardTaker:
    rows = max(1024, CHUNK_BYTES // row_bytes(recipe.schema))
    if recipe.layout is not None:
        layout = job_layout(recipe.layout, job)
        taker = ShardTaker(layout, recipe, sink)
        with _told(job):
            for frame in iter_table_chunks(recipe.config, rows, layout):
                taker.add(frame)
        return taker
    series, (low, high) = loaded(recipe.config), job.span or (0, 0)
    taker = ShardTaker(_plain_layout(series), recipe, sink)
    for first in range(low, high, rows):
        taker.add_rows(*series_rows(series, first, min(first + rows, high)))
    return taker


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
    kinds: dict[str, Any] = {}
    schema = series.schema.model_copy(update={"time_column": "time"})
    kinds["time"] = "date" if series.time.dtype.kind == "M" else "clock"
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


def piece_rows(schema: Schema) -> int:
    """Most rows stored together."""
    return max(1, PIECE_BYTES // row_bytes(schema))
