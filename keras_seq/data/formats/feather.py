"""Arrow's own files: Feather 2 and IPC, as file or stream, and Feather 1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seq.data.formats.registry import TableFormat, register
from keras_seq.data.reading.reading import Reading

if TYPE_CHECKING:
    import pyarrow as pa

FILE, STREAM, OLD = b"ARROW1", b"\xff\xff\xff\xff", b"FEA1"


@register(
    TableFormat("feather", "a Feather or Arrow file", (".feather", ".arrow", ".ipc"), (FILE, STREAM, OLD), apart=True)
)
def read_feather(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Batches as they lie there, in memory one at a time; dictionaries as what they hold."""
    import pyarrow as pa
    from pyarrow import feather, ipc

    with pa.memory_map(str(path)) as source:
        kind = source.read(len(FILE))
        source.seek(0)
        if kind.startswith(OLD):
            batches = iter(feather.read_table(source).to_batches())
        elif kind == FILE:
            file = ipc.open_file(source)
            batches = (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            batches = iter(ipc.open_stream(source))
        yield from map(_plain, batches)


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch without dictionaries, which may differ from batch to batch; sound, or an error."""
    import pyarrow as pa

    batch.validate(full=True)
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
