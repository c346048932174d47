"""Files of registered formats as Parquet files in the cache: converted once, found again while their content stays."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seq import files
from keras_seq.data.formats.apart import convert_apart
from keras_seq.data.formats.members import files_below, is_many, labels_file, root_of, table_stem
from keras_seq.data.formats.registry import CSV, PARQUET, TableFormat, format_name, known_formats
from keras_seq.data.home import stores_home
from keras_seq.data.reading.reading import Reading
from keras_seq.errors import DataError, KerasSeqError

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 2  # of what is written; another one converts anew
MOST_COLUMNS = 100_000
ROW_GROUP = 2**17  # rows written together
GATHERED = 2**26  # bytes above which fewer rows are


def is_text(path: Path, reading: Reading | None = None) -> bool:
    """Whether a file is read as CSV text, and not brought into another shape first."""
    return (reading is None or reading.shape is None) and format_name(path) == CSV


def parquet_of(path: Path, reading: Reading) -> Path:
    """The Parquet file that holds a table: the file itself, or what it was converted into.

    Args:
        path: file or folder of any format but CSV.
        reading: options of the format (``sheet``, ``dataset`` ...).

    Raises:
        DataError: it cannot be read, holds no rows, or needs a package that is not installed.
    """
    name = reading.shape.kind if reading.shape else format_name(path)
    if name in (PARQUET, CSV):
        return path
    table_format = known_formats()[name]
    options = {option: getattr(reading, option) for option in table_format.options}
    parts = [VERSION, name, _digest(path), json.dumps(options, sort_keys=True, default=str)]
    if reading.shape and (companion := labels_file(path, reading.shape)):
        parts.append(_digest(companion))
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    target = stores_home() / "tables" / f"{table_stem(path)}-{key}.parquet"
    if not target.is_file():
        table_format.require(path)
        if table_format.apart:
            convert_apart(path, table_format.what, name, reading, target)
        else:
            convert(path, table_format, reading, target)
    return target


def content_digest(path: Path) -> str:
    """sha256 of a file's bytes, or of the names and bytes of the files of a folder or pattern.

    Raises:
        OSError: a file cannot be read.
    """
    if not is_many(path):
        return files.sha256(path)
    digest = hashlib.sha256()
    for file in files_below(path):
        digest.update(f"{file.relative_to(root_of(path)).as_posix()}\0{files.sha256(file)}\n".encode())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    """``content_digest``, taken again only where a file was written to since."""
    members = files_below(path) if is_many(path) else [path]
    marks = tuple((str(one), (s := one.stat()).st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for one in members)
    return _remembered(path, marks)


@lru_cache(maxsize=256)
def _remembered(path: Path, marks: tuple[object, ...]) -> str:
    return content_digest(path)


def convert(path: Path, table_format: TableFormat, reading: Reading, target: Path) -> None:
    """Write a table as Parquet, batch by batch.

    Raises:
        DataError: as ``parquet_of``.
    """
    from pyarrow import parquet

    batches = _checked(path, table_format, reading)
    first = next(batches, None)
    if first is None:
        raise DataError(f"File '{path}' is {table_format.what} without rows; it needs rows of values.")
    if len(first.schema.names) > MOST_COLUMNS:
        raise DataError(
            f"File '{path}' has {len(first.schema.names)} columns, at most {MOST_COLUMNS} are read. Where rows and "
            "columns are exchanged, turn the table round."
        )
    with files.new_file(target) as partial, parquet.ParquetWriter(partial, first.schema) as writer:
        for table in _gathered(itertools.chain([first], batches)):
            writer.write_table(table, row_group_size=ROW_GROUP)


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Neighbouring batches together, as many as fill a row group or take ``GATHERED`` bytes."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= ROW_GROUP or size >= GATHERED:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _checked(path: Path, table_format: TableFormat, reading: Reading) -> Iterator[pa.RecordBatch]:
    """The batches of a file that have rows; whatever a library raises over a malformed file becomes one paragraph."""
    assert table_format.read is not None  # set by ``register``
    try:
        yield from (batch for batch in table_format.read(path, reading) if batch.num_rows)
    except KerasSeqError:
        raise
    except MemoryError:
        raise DataError(f"File '{path}', {table_format.what}, needs more memory than there is.") from None
    except Exception as error:  # parsers of other people raise anything
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(
            f"File '{path}' cannot be read as {table_format.what}: {lines[0][:200].rstrip('.')}. Write it anew, or "
            "convert it to CSV or Parquet."
        ) from None
