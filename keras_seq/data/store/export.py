"""Copies of shards for other tools: Parquet with a column each, or TFRecord files of ``tf.train.Example``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_seq.data.store.series import StoredSeries
from keras_seq.files import ensure_writable, new_file

if TYPE_CHECKING:
    import pyarrow as pa


def export_shards(series: StoredSeries, output: str | Path, format: str) -> list[Path]:
    """Copy every shard into a file of its own.

    Args:
        series: of the folder.
        output: folder of the copies.
        format: "parquet": columns unit, group, time, features and targets by their names; "tfrecord": an Example per
            unit and piece, ``values`` and ``targets`` float lists row after row, ``unit``, ``group`` and ``time`` (raw
            little-endian float64, or int64 nanoseconds) as bytes.

    Raises:
        OutputError: the folder cannot be written.
    """
    write = _WRITERS[format]
    folder = ensure_writable(output)
    paths = []
    for shard in series.stored.manifest["shards"]:
        paths.append(folder / f"{Path(shard['name']).stem}.{format}")
        with new_file(paths[-1]) as partial:
            write(partial, series, _batches(series.stored.folder / shard["name"]))
    return paths


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    with pa.OSFile(str(path)) as file:
        reader = pa.ipc.open_file(file)
        yield from map(reader.get_batch, range(reader.num_record_batches))


def _write_parquet(path: Path, series: StoredSeries, batches: Iterator[pa.RecordBatch]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    writer = None
    for batch in batches:
        columns = {}
        for name in [name for name in batch.schema.names if name not in ("values", "targets")]:
            own = getattr(series.schema, f"{name}_column")
            columns[own or name] = batch.column(name)
        for part, names in (("targets", series.schema.targets), ("values", series.schema.features)):
            flat = batch.column(part).flatten().to_numpy().reshape(len(batch), -1)
            columns |= {name: pa.array(flat[:, j]) for j, name in enumerate(names)}
        table = pa.table(columns)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def _write_tfrecord(path: Path, series: StoredSeries, batches: Iterator[pa.RecordBatch]) -> None:
    import tensorflow as tf

    def listed(column: pa.Array, name: str) -> tf.train.Feature:
        if name in ("values", "targets"):
            return tf.train.Feature(float_list=tf.train.FloatList(value=column.flatten().to_numpy()))
        text = column.to_numpy().tobytes() if name == "time" else column[0].as_py().encode()
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for batch in batches:
            changes = np.flatnonzero(np.diff(batch.column("unit").indices.to_numpy())) + 1
            for low, high in pairwise([0, *changes.tolist(), len(batch)]):
                run = batch.slice(low, high - low)
                feature = {name: listed(run.column(name), name) for name in run.schema.names}
                writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


_WRITERS: dict[str, Callable[[Path, StoredSeries, Iterator[pa.RecordBatch]], None]] = {
    "parquet": _write_parquet,
    "tfrecord": _write_tfrecord,
}
