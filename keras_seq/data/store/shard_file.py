"""One shard: an uncompressed Arrow IPC file, and where in it the rows lie."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.series import Schema

if TYPE_CHECKING:
    import pyarrow as pa

STORED = ("values", "targets", "time")
FIRST_MESSAGE = 8  # bytes, behind the magic word of an Arrow file
Run = tuple[str, str, int]  # unit, its group, and how many of its rows follow one another


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
    """Where in a shard values, targets and time of every piece begin, ``(pieces, 3)``; -1 where there is no time.

    The file is read message by message: a mapped one would count as the process's own memory.
    """
    import pyarrow as pa

    with pa.ipc.open_file(str(path)) as reader:
        plain = pa.schema([field.with_type(_stored_type(field.type)) for field in reader.schema])
    found = []
    with pa.OSFile(str(path)) as file:
        file.seek(FIRST_MESSAGE)
        for message in pa.ipc.MessageReader.open_stream(file):
            if message.type == "record batch":
                batch = pa.ipc.read_record_batch(message, plain)
                shift = file.tell() - message.body.size - message.body.address
                found.append([_place(batch, name, shift) for name in STORED])
    return np.array(found, np.int64).reshape(-1, len(STORED))


def _stored_type(kind: pa.DataType) -> pa.DataType:
    """Type of what lies in a record batch: of texts their numbers."""
    import pyarrow as pa

    return kind.index_type if pa.types.is_dictionary(kind) else kind


def _place(batch: pa.RecordBatch, name: str, shift: int) -> int:
    """Where the numbers of a column begin in the file; -1: there is none."""
    if name not in batch.schema.names:
        return -1
    column = batch.column(name)
    return int((column if name == "time" else column.flatten()).buffers()[1].address) + shift
